"""What operators do to rows: first a page that says what will happen to each, then what became of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import helpers
from django.contrib.admin.options import Action, ActionLocation
from django.core.exceptions import ObjectDoesNotExist
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from parcelle.core.states import IllegalTransition
from parcelle.domain.billing.errors import (
    AddOnRefused,
    ChangeRefused,
    CreditNotPaidOut,
    CreditRefused,
    NotActive,
    ParkedRefused,
    PaymentOpen,
    PriceChangeRefused,
    RefundRefused,
)
from parcelle.domain.catalog.blueprints import BlueprintError
from parcelle.domain.provisioning.errors import (
    ChangedMeanwhile,
    InstanceBusy,
    NameTaken,
    NothingToDo,
    ProvisioningError,
)
from parcelle.surfaces.backoffice import words
from parcelle.surfaces.backoffice.base import PageMixin, Record
from parcelle.surfaces.backoffice.values import list_of, page_of

MOST_AT_ONCE = 200
_SESSION = "backoffice_outcome"


@dataclass(frozen=True)
class Forecast:
    """What would happen to one row; `possible` is False when the answer is already known to be no."""

    effect: str
    possible: bool = True
    # Comes back with the confirmation as `row.shown`: what the operator saw when they agreed.
    shown: str = ""


class RowForm(forms.Form):
    """What a verb wants to know before it is done to `row`; it finds the answers in `row.given`."""

    def __init__(self, row: Any, data: Any = None) -> None:
        self.row = row
        super().__init__(data)


@dataclass(frozen=True)
class Verb:
    """Something an operator can do to one or several rows; with a form to one alone, on its own page."""

    name: str
    label: str | Promise
    icon: str
    # What is done, what is lost, and how long it can be undone.
    meaning: str | Promise
    # With a plural by `count`.
    question: Promise
    foresee: Callable[[Sequence[Any]], list[Forecast]]
    do: Callable[[Any, str, datetime], object]
    done: str | Promise
    dangerous: bool = False
    form: type[RowForm] | None = None


_WITH_WORDS = (RefundRefused, ParkedRefused, AddOnRefused, ChangeRefused, CreditNotPaidOut, PriceChangeRefused)


def refusal(error: Exception) -> str | None:
    """Why it was not done, for the operator; None for an error that nobody foresaw."""
    if isinstance(error, InstanceBusy):
        return _("Another operation is changing it right now: try again when that one has ended.")
    if isinstance(error, IllegalTransition):
        state = getattr(error.row, "get_state_display", lambda: "")()
        return _("Not possible in its present state (%(state)s).") % {"state": state}
    if isinstance(error, NameTaken):
        return _("Its name “%(name)s” belongs to somebody else by now.") % {"name": error.slug}
    if isinstance(error, CreditRefused):
        return _not_credited(error)
    if isinstance(error, PaymentOpen):
        return _("A payment is on its way: wait until it has arrived, or is given up.")
    if isinstance(error, NotActive):
        return _("It has changed in the meantime: look at it again.")
    if isinstance(error, ObjectDoesNotExist):
        return _("It no longer exists.")
    if isinstance(error, ProvisioningError | BlueprintError):
        return _not_provided(error)
    if isinstance(error, _WITH_WORDS):
        return words.word(words.MONEY_REFUSED, error.code)
    return None


def _not_provided(error: ProvisioningError | BlueprintError) -> str:
    if isinstance(error, BlueprintError):
        return _("The blueprint cannot be used. In its own words: %(detail)s") % {"detail": error}
    if isinstance(error, NothingToDo):
        return _("There is nothing left to do: it is as it should be, or will be by itself.")
    if isinstance(error, ChangedMeanwhile):
        return _("It has changed in the meantime: look at it again.")
    what = words.word(words.ERRORS, error.code)
    return _("%(problem)s. In its own words: %(detail)s") % {"problem": what, "detail": error.detail}


def _not_credited(error: CreditRefused) -> str:
    if error.code == "too_small":
        return _("So small a part has no tax of its own beside what was credited before: credit more at once.")
    return _("Something else was credited in the meantime: look at what is left.")


class Changing(PageMixin):
    """For pages whose rows can be changed by verbs: bulk actions, and links on a row's own page."""

    verbs: Sequence[Verb] = ()
    # How rows are called in the confirmation: heading of the first column, and of the second one.
    confirmation_columns: tuple[str | Promise, str | Promise] = ("", "")

    def get_urls(self) -> list[URLPattern]:
        info = f"{self.opts.app_label}_{self.opts.model_name}"
        own = [path("outcome/", self.admin_site.admin_view(self.outcome_view), name=f"{info}_outcome")]
        return [*own, *super().get_urls()]

    def has_operate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}")

    def get_actions(
        self, request: HttpRequest, action_location: ActionLocation = ActionLocation.CHANGE_LIST
    ) -> dict[str, Any]:
        actions = super().get_actions(request, action_location=action_location)
        if action_location is not ActionLocation.CHANGE_LIST or not self.has_operate_permission(request):
            return actions
        for verb in self.verbs:
            if verb.form is not None:
                continue
            title = f"{verb.label}…"
            actions[verb.name] = Action(_bulk(verb), verb.name, title, title, [ActionLocation.CHANGE_LIST])
        return actions

    def one(self, request: HttpRequest, object_id: str, verb: Verb) -> HttpResponse:
        """The verb on one row, asked for on the row's own page."""
        if not self.has_operate_permission(request):
            return self._not_allowed(request)
        row = self.get_object(request, object_id)
        if row is None:
            messages.error(request, _("It no longer exists."))
            return HttpResponseRedirect(list_of(self.model))
        confirmed = request.POST.get("confirmed") == verb.name
        form = verb.form(row, request.POST if confirmed else None) if verb.form else None
        if not confirmed or (form is not None and not form.is_valid()):
            return self._confirm(request, verb, [row], back=page_of(row), form=form)
        row.given = form.cleaned_data if form is not None else {}
        [(_row, done, sentence)] = self._carry_out(request, verb, [row])
        said = _("%(row)s: %(sentence)s") % {"row": self.called(row), "sentence": sentence}
        messages.add_message(request, messages.SUCCESS if done else messages.ERROR, said)
        still_there = self.model._default_manager.filter(pk=row.pk).exists()
        return HttpResponseRedirect(page_of(row) if still_there else list_of(self.model))

    def several(self, request: HttpRequest, verb: Verb, rows: QuerySet[Any]) -> HttpResponse | None:
        """The verb on the rows that were ticked in the list."""
        count = rows.count()
        if count > MOST_AT_ONCE:
            messages.error(request, _("Choose at most %(most)d rows at once.") % {"most": MOST_AT_ONCE})
            return None
        if request.POST.get("confirmed") != verb.name:
            return self._confirm(request, verb, list(rows), back=request.get_full_path())
        request.session[_SESSION] = {
            "model": self.opts.label,
            "verb": verb.name,
            "rows": [
                {"title": self.called(row), "url": page_of(row), "done": done, "sentence": sentence}
                for row, done, sentence in self._carry_out(request, verb, rows)
            ],
            "back": request.get_full_path(),
        }
        return HttpResponseRedirect(reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_outcome"))

    def called(self, row: Any) -> str:
        """What a row is called in the confirmation, and when something became of it."""
        return str(row)

    def describe(self, row: Any) -> object:
        """The second column of the confirmation."""
        return ""

    def _confirm(
        self, request: HttpRequest, verb: Verb, rows: list[Any], *, back: str, form: RowForm | None = None
    ) -> HttpResponse:
        forecasts = verb.foresee(rows)
        possible = sum(forecast.possible for forecast in forecasts)
        context = {
            **self.admin_site.each_context(request),
            "title": verb.question % {"count": len(rows)},
            "opts": self.opts,
            "verb": verb,
            "columns": self.confirmation_columns,
            "rows": [
                {
                    "row": row,
                    "title": self.called(row),
                    "url": page_of(row),
                    "about": self.describe(row),
                    "forecast": forecast,
                }
                for row, forecast in zip(rows, forecasts, strict=True)
            ],
            "possible": possible,
            "form": form,
            "submit": ngettext("%(verb)s %(count)d row", "%(verb)s %(count)d rows", possible)
            % {"verb": verb.label, "count": possible}
            if len(rows) > 1
            else str(verb.label),
            "checkbox": helpers.ACTION_CHECKBOX_NAME,
            "back": back,
        }
        return TemplateResponse(request, "backoffice/confirm.html", context)

    def _carry_out(self, request: HttpRequest, verb: Verb, rows: Iterable[Any]) -> list[tuple[Model, bool, str]]:
        actor, now = f"user:{request.user.pk}", timezone.now()
        outcomes: list[tuple[Model, bool, str]] = []
        for row in rows:
            row.shown = request.POST.get(f"shown-{row.pk}", "")
            try:
                # A refusal undoes its own row and nothing else.
                with transaction.atomic():
                    verb.do(row, actor, now)
            except Exception as error:
                reason = refusal(error)
                if reason is None:
                    raise
                outcomes.append((row, False, reason))
            else:
                outcomes.append((row, True, str(verb.done)))
                self.log_change(request, row, str(verb.label))
        return outcomes

    def outcome_view(self, request: HttpRequest) -> HttpResponse:
        """What became of the last bulk action of this session."""
        outcome = request.session.get(_SESSION)
        if not outcome or outcome["model"] != self.opts.label:
            return HttpResponseRedirect(reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"))
        verb = next(verb for verb in self.verbs if verb.name == outcome["verb"])
        done = sum(row["done"] for row in outcome["rows"])
        context = {
            **self.admin_site.each_context(request),
            "title": verb.label,
            "opts": self.opts,
            "columns": self.confirmation_columns,
            "outcome": outcome,
            "done": done,
            "refused": len(outcome["rows"]) - done,
        }
        return TemplateResponse(request, "backoffice/outcome.html", context)

    def _not_allowed(self, request: HttpRequest) -> HttpResponse:
        messages.error(request, _("Your account may look at this, but not change it."))
        return HttpResponseRedirect(reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist"))


class ChangingAsForeseen(Changing, Record):
    """A row's own page offers the verbs that are possible with it as it is; `<verb>_one` is the link to a verb."""

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]:
        row = self.find(object_id)
        if row is None or not self.has_operate_permission(request):
            return []
        offered = {f"{verb.name}_one" for verb in self.verbs if verb.foresee([row])[0].possible}
        prefix = f"{self.opts.app_label}_{self.opts.model_name}_"
        shown = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return [action for action in shown if action.action_name.removeprefix(prefix) in offered]


def _bulk(verb: Verb) -> Callable[[Any, HttpRequest, QuerySet[Any]], HttpResponse | None]:
    def act(page: Changing, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponse | None:
        return page.several(request, verb, rows)

    return act
