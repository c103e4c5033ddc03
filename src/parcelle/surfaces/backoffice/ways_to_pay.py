"""Ways to pay: whether each is offered, and what it needs to know. Secrets go in and never come out."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.widgets import (
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from parcelle.domain.billing import rails
from parcelle.domain.billing.models import GatewaySettings
from parcelle.domain.billing.rails import Setting
from parcelle.domain.billing.sentences import translated
from parcelle.surfaces.backoffice import gateway_words, words
from parcelle.surfaces.backoffice.base import Page
from parcelle.surfaces.backoffice.values import badge, list_of, page_of
from parcelle.surfaces.backoffice.words import word

# PEM texts and lists do not fit into one line.
_LONG = frozenset({"trusted_ca", "other_accounts", "webhook_secrets"})


def _field(setting: Setting, stored: str) -> forms.Field:
    label = word(gateway_words.LABELS, setting.name)
    about = str(gateway_words.HELP.get(setting.name, ""))
    if setting.kind == "choice":
        choices = [(one, word(gateway_words.CHOICES, one)) for one in setting.choices]
        return forms.ChoiceField(
            label=label,
            help_text=about,
            required=False,
            choices=choices,
            initial=stored or setting.default,
            widget=UnfoldAdminSelectWidget,
        )
    if setting.kind == "secret":
        attributes = {"autocomplete": "new-password"}
        if stored:
            attributes["placeholder"] = gettext("Stored. Leave empty to keep it.")
        never = gettext("It is never shown again.")
        return forms.CharField(
            label=label,
            help_text=f"{about} {never}".strip(),
            required=False,
            widget=UnfoldAdminPasswordWidget(attrs=attributes, render_value=False),
        )
    widget = UnfoldAdminTextareaWidget(attrs={"rows": 4}) if setting.name in _LONG else UnfoldAdminTextInputWidget()
    return forms.CharField(
        label=label, help_text=about, required=False, initial=stored or setting.default, widget=widget
    )


class WayToPayForm(ModelForm):  # type: ignore[type-arg]
    """What every way to pay has; what one of them needs besides is added by its name."""

    class Meta:
        model = GatewaySettings
        fields = ["enabled", "production", "position"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        values = self.instance.values or {}
        for setting in rails.settings_of(self.instance.name):
            if setting.name in self.fields:
                field = _field(setting, str(values.get(setting.name, "")))
                self.fields[setting.name] = field
                if setting.kind != "secret":
                    self.initial.setdefault(setting.name, field.initial)

    def clean(self) -> dict[str, Any]:
        """A way to pay that lacks something is not offered."""
        cleaned = super().clean() or self.cleaned_data
        if cleaned.get("enabled"):
            known = self.typed()
            for setting in rails.settings_of(self.instance.name):
                if setting.required and not known.get(setting.name) and setting.name in self.fields:
                    self.add_error(setting.name, _("Needed before customers can pay with it."))
        return cleaned

    def typed(self) -> dict[str, str]:
        """What is stored, changed by what was typed; an empty secret leaves the stored one."""
        values = dict(self.instance.values or {})
        for setting in rails.settings_of(self.instance.name):
            text = str(self.cleaned_data.get(setting.name) or "").strip()
            if text or (setting.kind != "secret" and setting.name in self.cleaned_data):
                values[setting.name] = text
        return {name: text for name, text in values.items() if text}

    def save(self, commit: bool = True) -> Any:
        self.instance.values = self.typed()
        return super().save(commit)


@admin.register(GatewaySettings)
class WayToPayPage(Page):
    when_empty = _("All ways to pay that this version knows are listed here.")
    list_display = ["title", "offered", "money", "position"]
    ordering = ["position", "name"]
    actions_detail = ["check_one"]
    readonly_fields = ["title"]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        rails.make_known()
        return super().changelist_view(request, extra_context)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Payments that were begun with it are still asked about.
        return False

    @admin.display(description=_("Way to pay"), ordering="name")
    def title(self, row: GatewaySettings) -> str:
        return word(words.GATEWAYS, row.name)

    @admin.display(description=_("Offered"), ordering="enabled")
    def offered(self, row: GatewaySettings) -> SafeString:
        return badge("live", gettext("Offered")) if row.enabled else badge("", gettext("Not offered"))

    @admin.display(description=_("Money"), ordering="production")
    def money(self, row: GatewaySettings) -> SafeString:
        return badge("", gettext("Real money")) if row.production else badge("", gettext("For trying out"))

    # --- the form ---------------------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> Any:
        # The form needs the values: they are stored again with what was typed, and what is secret stays unseen.
        match = request.resolver_match
        rows = super().get_queryset(request)
        return rows.defer(None) if match and match.url_name == "billing_gatewaysettings_change" else rows

    def find(self, object_id: str) -> GatewaySettings | None:
        return GatewaySettings.objects.filter(pk=object_id).first() if object_id.isdecimal() else None

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        asked = rails.settings_of(obj.name) if obj else ()
        # Django looks for the names of the fieldsets on the class of the form.
        more = {setting.name: forms.CharField(required=False) for setting in asked}
        kwargs["form"] = type("Form", (WayToPayForm,), more)
        return super().get_form(request, obj, change=change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        sets: list[Any] = [(None, {"fields": ["title", "enabled", "production", "position"]})]
        asked = [setting.name for setting in rails.settings_of(obj.name)] if obj else []
        if asked:
            sets.append((_("Account"), {"fields": asked}))
        return sets

    # --- asking the service -----------------------------------------------------------------------------

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("billing.change_gatewaysettings")

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]:
        if not self.has_operate_permission(request):
            return []
        shown: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return shown

    @action(description=_("Check"), url_path="check", icon="network_check", variant=ActionVariant.PRIMARY)
    def check_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Asks the service whether it knows these settings; outside any transaction, because it may take its time."""
        row = self.find(object_id)
        if row is None or not self.has_operate_permission(request):
            messages.error(request, gettext("Your account may look at this, but not change it."))
            return HttpResponseRedirect(list_of(GatewaySettings))
        found = rails.problems_of(row.name)
        for sentence in found:
            messages.warning(request, translated(sentence))
        if not found:
            messages.success(request, gettext("%(name)s is ready.") % {"name": self.title(row)})
        return HttpResponseRedirect(page_of(row))
