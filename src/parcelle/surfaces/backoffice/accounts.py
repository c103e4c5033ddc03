"""Users and API tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from allauth.account.models import EmailAddress
from django import forms
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group
from django.db.models import Q, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.forms import AdminPasswordChangeForm, UserCreationForm

from parcelle.domain.accounts.models import ApiToken, User, normalise_email
from parcelle.domain.tenancy.models import Membership
from parcelle.surfaces.backoffice import verbs, words
from parcelle.surfaces.backoffice.base import Lines, Page
from parcelle.surfaces.backoffice.changes import Changing
from parcelle.surfaces.backoffice.filters import by_code
from parcelle.surfaces.backoffice.values import NOTHING, badge, link_to, moment

if TYPE_CHECKING:
    _UserAdmin = UserAdmin[User]
    _UserForm = ModelForm[User]
    _CreationForm = ModelForm[User]
else:
    _UserAdmin = UserAdmin
    _UserForm = ModelForm
    _CreationForm = UserCreationForm

# Everything an operator may do follows from `is_staff` and `is_superuser`.
admin.site.unregister(Group)
# Shown on the user's own page.
admin.site.unregister(EmailAddress)


class MembershipLines(Lines):
    """The organizations a user belongs to."""

    model = Membership
    verbose_name_plural = _("Organizations")
    fields = ["of", "role", "since"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("organization").order_by("created_at")

    @admin.display(description=_("Organization"))
    def of(self, row: Membership) -> SafeString | str:
        return link_to(row.organization)

    @admin.display(description=_("Since"))
    def since(self, row: Membership) -> SafeString | str:
        return moment(row.created_at)


class AddressLines(Lines):
    """The user's e-mail addresses, and whether they were proven."""

    model = EmailAddress
    verbose_name_plural = _("E-mail addresses")
    fields = ["email", "verified", "primary"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).order_by("-primary", "email")


class TokenLines(Lines):
    """The user's API tokens."""

    model = ApiToken
    verbose_name_plural = pgettext_lazy("label", "API tokens")
    fields = ["token", "validity", "created", "used"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("digest").order_by("-created_at")

    @admin.display(description=pgettext_lazy("label", "API token"))
    def token(self, row: ApiToken) -> SafeString | str:
        return link_to(row)

    @admin.display(description=_("State"))
    def validity(self, row: ApiToken) -> SafeString:
        return _validity(row)

    @admin.display(description=_("Created"))
    def created(self, row: ApiToken) -> SafeString | str:
        return moment(row.created_at)

    @admin.display(description=_("Last used"))
    def used(self, row: ApiToken) -> SafeString | str:
        return moment(row.last_used_at)


class _OneAddress:
    """An address is stored, and compared, in lower case."""

    cleaned_data: dict[str, Any]

    def clean_email(self) -> str:
        return normalise_email(self.cleaned_data["email"])


class UserForm(_OneAddress, _UserForm):
    pass


class UserAddForm(_OneAddress, _CreationForm):
    class Meta:
        model = User
        fields = ["email", "first_name", "last_name", "language", "is_staff", "is_superuser"]


_RIGHTS_HELP = {
    "is_staff": _("May open this back office and read everything in it."),
    "is_superuser": _("May also change, suspend, archive and create everything in it."),
    "is_active": _("May sign in. Taking this away also stops the person’s API tokens."),
}
_RIGHTS_LABELS = {"is_staff": _("Operator"), "is_superuser": _("Administrator"), "is_active": _("Active")}


@admin.register(User)
class UserPage(Page, _UserAdmin):
    when_empty = _("An account is made when somebody starts a trial or buys.")
    form = UserForm
    add_form = UserAddForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["email", "full_name", "phone", "speaks", "rights", "joined", "seen"]
    list_filter = [
        "is_active",
        "is_staff",
        "is_superuser",
        by_code("language", _("language"), words.LANGUAGES.items),
        "date_joined",
    ]
    search_fields = ["email", "first_name", "last_name", "phone"]
    search_help_text = _("E-mail, name, telephone, organization or identifier")
    ordering = ["-date_joined"]
    filter_horizontal = ()
    inlines = [MembershipLines, AddressLines, TokenLines]
    actions_detail = ["set_password"]
    fieldsets = [
        (None, {"fields": ["email", "first_name", "last_name", "phone", "language"]}),
        (_("Rights"), {"fields": ["is_active", "is_staff", "is_superuser"]}),
        (_("Record"), {"classes": ["collapse"], "fields": [("date_joined", "last_login"), "identifier"]}),
    ]
    add_fieldsets = [
        (None, {"classes": ["wide"], "fields": ["email", "first_name", "last_name", "language"]}),
        (_("Password"), {"fields": ["password1", "password2"]}),
        (_("Rights"), {"fields": ["is_staff", "is_superuser"]}),
    ]
    readonly_fields = ["date_joined", "last_login", "identifier"]

    def found_elsewhere(self, term: str) -> Q:
        return Q(pk__in=Membership.objects.filter(organization__name__icontains=term).values("user_id"))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # A person stays behind what they did: take away `is_active` instead.
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if not super().has_change_permission(request, obj):
            return False
        # Who may change an operator could become one.
        return bool(request.user.is_superuser) or obj is None or not obj.is_staff

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        if obj is not None and obj == request.user:
            # Nobody locks themselves out.
            return [*self.readonly_fields, "is_active", "is_staff", "is_superuser"]
        return [*self.readonly_fields, *([] if request.user.is_superuser else ["is_staff", "is_superuser"])]

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change and "email" in form.changed_data:
            # Whoever reads the old mailbox must not get in any more; the new one is proven at the next sign-in.
            EmailAddress.objects.filter(user=obj).delete()
            EmailAddress.objects.create(user=obj, email=obj.email, primary=True, verified=False)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        for name, field in form.base_fields.items():
            field.label = _RIGHTS_LABELS.get(name, field.label)
            field.help_text = _RIGHTS_HELP.get(name, field.help_text)
        if "language" in form.base_fields:
            field = form.base_fields["language"]
            field.widget = _language_select()
        return form

    def get_inline_instances(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return list(super().get_inline_instances(request, obj)) if obj else []

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]:
        user = self.find(object_id)
        allowed = user is not None and self.has_change_permission(request, user)
        return list(super().get_actions_detail(request, object_id)) if allowed else []  # type: ignore[misc]

    @action(description=_("Set a password"), url_path="set-password", icon="password")
    def set_password(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:auth_user_password_change", args=[object_id]))

    @admin.display(description=_("Name"), ordering="last_name")
    def full_name(self, row: User) -> str:
        return row.get_full_name() or NOTHING

    @admin.display(description=_("Rights"), ordering="is_staff")
    def rights(self, row: User) -> SafeString | str:
        if not row.is_active:
            return badge("ended", _("Disabled"))
        if row.is_superuser and row.is_staff:
            return badge("standby", _("Administrator"))
        return badge("standby", _("Operator")) if row.is_staff else NOTHING

    @admin.display(description=_("Language"), ordering="language")
    def speaks(self, row: User) -> str:
        return words.word(words.LANGUAGES, row.language)

    @admin.display(description=_("Since"), ordering="date_joined")
    def joined(self, row: User) -> SafeString | str:
        return moment(row.date_joined)

    @admin.display(description=_("Last signed in"), ordering="last_login")
    def seen(self, row: User) -> SafeString | str:
        return moment(row.last_login)


def _language_select() -> forms.Select:
    from unfold.widgets import UnfoldAdminSelectWidget

    widget: forms.Select = UnfoldAdminSelectWidget(choices=list(words.LANGUAGES.items()))
    return widget


# --- API tokens ---------------------------------------------------------------------------------------------


def _validity(row: ApiToken) -> SafeString:
    if row.revoked_at is not None:
        return badge("ended", _("Revoked"))
    if row.expires_at is not None and row.expires_at <= timezone.now():
        return badge("expired", _("Expired"))
    return badge("active", _("Valid"))


class TokenForm(ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = ApiToken
        fields = ["user", "name", "expires_at"]

    def clean_expires_at(self) -> Any:
        until = self.cleaned_data["expires_at"]
        if until is not None and until <= timezone.now():
            raise forms.ValidationError(_("This moment has passed already."))
        return until


@admin.register(ApiToken)
class TokenPage(Changing, Page):
    form = TokenForm
    verbs = [verbs.REVOKE]
    confirmation_columns = (pgettext_lazy("label", "API token"), _("User"))
    when_empty = _("A token lets a program use the API in your name.")
    list_display = ["name", "ends_with", "owner", "validity", "created", "expires", "used"]
    list_filter = [("revoked_at", admin.EmptyFieldListFilter), "created_at", "last_used_at"]
    list_select_related = ["user"]
    search_fields = ["name", "hint", "user__email"]
    search_help_text = _("Name, last characters, e-mail or identifier")
    id_fields = ["user_id"]
    ordering = ["-created_at"]
    autocomplete_fields = ["user"]
    actions_detail = ["revoke_one"]
    add_fieldsets = [
        (
            None,
            {
                "fields": ["user", "name", "expires_at"],
                "description": _(
                    "A program that sends this token acts for the user. The token is shown once, on the next page."
                ),
            },
        )
    ]
    fields = [
        ("name", "ends_with"),
        ("owner", "validity"),
        ("created_at", "expires_at"),
        ("revoked_at", "last_used_at"),
        "identifier",
    ]
    readonly_fields = ["ends_with", "owner", "validity", "identifier"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiToken]:
        return super().get_queryset(request).select_related("user").defer("digest")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"user": request.user.pk, **super().get_changeform_initial_data(request)}

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        only_save = {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().add_view(request, form_url, {**only_save, **(extra_context or {})})

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if field is not None:
            field.queryset = User.objects.filter(is_active=True)
        return field

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "user" and field is not None:
            # Users are not made in passing.
            widget = field.widget
            widget.can_add_related = widget.can_change_related = widget.can_view_related = False
        return field

    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: bool) -> None:
        """Issues the token. Its readable form lives in this request and nowhere else."""
        given = form.cleaned_data
        token, plain = ApiToken.issue(
            user=given["user"], name=given["name"], expires_at=given["expires_at"], now=timezone.now()
        )
        obj.__dict__.update(token.__dict__)
        request.issued_token = plain  # type: ignore[attr-defined]

    def response_add(self, request: HttpRequest, obj: ApiToken, post_url_continue: str | None = None) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": _("Token created"),
            "opts": self.opts,
            "token": obj,
            "plain": request.issued_token,  # type: ignore[attr-defined]
        }
        # Django's admin forbids every page to be stored.
        return TemplateResponse(request, "backoffice/token.html", context)

    def describe(self, row: ApiToken) -> object:
        return row.user

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]:
        token = self.find(object_id)
        shown = token is not None and token.revoked_at is None and self.has_operate_permission(request)
        return list(super().get_actions_detail(request, object_id)) if shown else []  # type: ignore[misc]

    @action(description=_("Revoke"), url_path="revoke", icon="block", variant=ActionVariant.DANGER)
    def revoke_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.one(request, object_id, verbs.REVOKE)

    @admin.display(description=_("Ends with"))
    def ends_with(self, row: ApiToken) -> str:
        return f"…{row.hint}"

    @admin.display(description=_("User"), ordering="user__email")
    def owner(self, row: ApiToken) -> SafeString | str:
        return link_to(row.user)

    @admin.display(description=_("State"))
    def validity(self, row: ApiToken) -> SafeString:
        return _validity(row)

    @admin.display(description=_("Created"), ordering="created_at")
    def created(self, row: ApiToken) -> SafeString | str:
        return moment(row.created_at)

    @admin.display(description=_("Expires"), ordering="expires_at")
    def expires(self, row: ApiToken) -> SafeString | str:
        return moment(row.expires_at)

    @admin.display(description=_("Last used"), ordering="last_used_at")
    def used(self, row: ApiToken) -> SafeString | str:
        return moment(row.last_used_at)
