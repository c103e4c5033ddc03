"""What the pages of the back office share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import admin
from django.db import models
from django.db.models import Model, QuerySet
from django.forms import BaseInlineFormSet
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from parcelle.core.crypto import EncryptedField
from parcelle.domain.accounts.models import ApiToken, User
from parcelle.surfaces.backoffice import words
from parcelle.surfaces.backoffice.values import badge, code

# unfold brings no types: it is checked as what it extends.
if TYPE_CHECKING:
    from django.contrib.admin.views.main import ChangeList

    ModelAdmin = admin.ModelAdmin[Any]
    TabularInline = admin.TabularInline[Any, Any]
    LineFormSet = BaseInlineFormSet[Any, Any, Any]
    # What a mixin for pages may count on.
    PageMixin = ModelAdmin
else:
    from unfold.admin import ModelAdmin, TabularInline
    from unfold.forms import PaginationInlineFormSet as LineFormSet
    from unfold.views import ChangeList

    PageMixin = object


# --- pages --------------------------------------------------------------------------------------------------


def as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text.strip())
    except ValueError:
        return None


class Readable:
    """Every operator may read; what somebody may change is a matter of Django's permissions."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_active and request.user.is_staff)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)


class ReadOnly(Readable):
    """Records of the past: nobody adds, changes or removes them here."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def lean[M: Model](rows: QuerySet[M], *related: str) -> QuerySet[M]:
    """The rows with what they point at by `related`, and without encrypted columns anywhere.

    What is never shown is not even read, let alone decrypted.
    """
    secret = _encrypted(rows.model)
    for path in related:
        model: Any = rows.model
        for step in path.split("__"):
            model = model._meta.get_field(step).related_model
        secret += [f"{path}__{name}" for name in _encrypted(model)]
    return (rows.select_related(*related) if related else rows).defer(*secret)


def found[M: Model](model: type[M], key: UUID | None) -> M | None:
    """The row with this key, for columns that hold a key without saying of which table."""
    return lean(model._default_manager.all()).filter(pk=key).first() if key else None


def counted(rows: QuerySet[Any], key: str) -> dict[Any, int]:
    """How many of the rows there are by a column."""
    return dict(rows.order_by().values_list(key).annotate(models.Count("pk")))


def _encrypted(model: type[Model]) -> list[str]:
    return [field.name for field in model._meta.fields if isinstance(field, EncryptedField)]


class _CompletedList(ChangeList):
    @property
    def is_of_one(self) -> bool:
        """Whether nothing narrows it but the row of another page that it belongs to."""
        return not self.query and set(self.params) <= set(self.model_admin.belonging)  # type: ignore[attr-defined]

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not self.query and not self.has_active_filters:
            # Everything is shown: there is no larger number to speak of.
            self.full_result_count = self.result_count
        self.result_list: Any = list(self.result_list)
        self.model_admin.complete(self.result_list)  # type: ignore[attr-defined]


class _Called:
    """A row under the name that its reader knows it by, for the line above the page."""

    def __init__(self, row: Any, name: str) -> None:
        self._row, self._name = row, name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._row, attribute)

    def __str__(self) -> str:
        return self._name


class Page(Readable, ModelAdmin):
    """A model's list and its rows' pages."""

    list_per_page = 50
    show_full_result_count = False
    compressed_fields = True
    list_filter_sheet = True
    # Columns of UUIDs that a search for one finds, besides the row's own key.
    id_fields: Sequence[str] = ()
    # Parameters by which other pages lead to what belongs to one of their rows: not what a person filters for.
    belonging: Sequence[str] = ()
    # What its list says where nothing was searched or filtered for, and there is nothing.
    when_empty: str | Promise = ""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return lean(super().get_queryset(request))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return _CompletedList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        row = super().get_object(request, object_id, from_field)
        if row is not None:
            self.complete([row])
        return row

    def complete(self, rows: list[Any]) -> None:
        """Looks up, for the rows that are shown and no others, what is not in their own table."""

    def called(self, row: Any) -> str:
        """What a row's page calls it, in the line above it and in the window's title."""
        return str(row)

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        row = context.get("original")
        if row is not None:
            context["subtitle"] = self.called(row)
            context["original"] = _Called(row, context["subtitle"])
            # Django's "View %s" does not know the nouns of other languages: "Affichage de opération".
            context["title"] = capfirst(self.opts.verbose_name)
        return super().render_change_form(request, context, *args, **kwargs)

    def find(self, object_id: str) -> Any:
        """The row of a page, None when the address names none."""
        return found(self.model, as_uuid(object_id))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        wanted = as_uuid(search_term)
        if wanted is not None:
            by_key = models.Q()
            for name in (*self.id_fields, *self._own_keys()):
                by_key |= models.Q(**{name: wanted})
            return (queryset.filter(by_key) if by_key else queryset.none()), False
        found_here, duplicates = super().get_search_results(request, queryset, search_term)
        elsewhere = self.found_elsewhere(search_term.strip()) if search_term.strip() else None
        # Keys from other tables instead of joins: nothing comes twice, and each table is searched once.
        return (found_here | queryset.filter(elsewhere) if elsewhere else found_here), duplicates

    def found_elsewhere(self, term: str) -> models.Q | None:
        """Which rows a search finds by what is written in other tables."""
        return None

    def _own_keys(self) -> list[str]:
        fields = self.model._meta.fields
        return [field.name for field in fields if field.primary_key and isinstance(field, models.UUIDField)]

    @admin.display(description=_("State"), ordering="state")
    def state_badge(self, row: Any) -> SafeString:
        return badge(row.state, row.get_state_display())

    @admin.display(description=_("Identifier"), ordering="pk")
    def identifier(self, row: Any) -> SafeString:
        return code(row.pk)


class Record(ReadOnly, Page):
    """A page that only shows."""


class Lines(ReadOnly, TabularInline):
    """A table of rows inside another row's page, only shown."""

    extra = 0
    can_delete = False
    show_change_link = False
    show_title = False
    per_page: int | None = 20

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return lean(super().get_queryset(request))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return list(self.fields or ())

    @admin.display(description=_("State"))
    def state_badge(self, row: Any) -> SafeString:
        return badge(row.state, row.get_state_display())


# --- who did it ---------------------------------------------------------------------------------------------


def name_actors(rows: Iterable[Any]) -> None:
    """Sets `actor_name` on rows that have an `actor`, with at most two questions for all of them."""
    rows = list(rows)
    keys = {row.actor: row.actor.partition(":") for row in rows}
    users = {key for kind, _colon, text in keys.values() if kind == "user" and (key := as_uuid(text))}
    tokens = {key for kind, _colon, text in keys.values() if kind == "token" and (key := as_uuid(text))}
    names: dict[str, str] = {}
    if users:
        names |= {f"user:{user.pk}": user.email for user in User.objects.filter(pk__in=users).only("email")}
    if tokens:
        found = ApiToken.objects.filter(pk__in=tokens).only("name")
        names |= {f"token:{token.pk}": gettext("Token “%(name)s”") % {"name": token.name} for token in found}
    for row in rows:
        row.actor_name = names.get(row.actor) or words.word(words.ACTORS, row.actor)


class WithActors(PageMixin):
    """For pages whose rows say who asked."""

    def complete(self, rows: list[Any]) -> None:
        name_actors(rows)

    @admin.display(description=_("Asked by"), ordering="actor")
    def asked_by(self, row: Any) -> str:
        return str(row.actor_name)


class LinesWithActors(LineFormSet):
    """The same for rows inside another row's page."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        name_actors(self.get_queryset())
