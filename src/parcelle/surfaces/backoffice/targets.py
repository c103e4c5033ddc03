"""Targets: where instances run, how they are reached, and whether they can be worked with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from django.contrib import admin, messages
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action
from unfold.enums import ActionVariant

from parcelle.domain.provisioning import checks, queries, states
from parcelle.domain.provisioning.errors import CertificateUnknown, ProvisioningError
from parcelle.domain.provisioning.models import Finding, Instance, Target
from parcelle.surfaces.backoffice import connections, words
from parcelle.surfaces.backoffice.base import Page, counted
from parcelle.surfaces.backoffice.filters import by_code
from parcelle.surfaces.backoffice.values import NOTHING, badge, list_of, moment, original, page_of

_FINGERPRINT = re.compile(r"\b(?:[0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}\b|\b[0-9A-Fa-f]{64}\b")


def _provider_choices() -> list[tuple[str, str]]:
    return [(name, words.word(words.PROVIDERS, name)) for name in queries.provider_names()]


@admin.register(Target)
class TargetPage(Page):
    when_empty = _(
        "A target is a place where instances run: a Docker Engine, a Swarm, a Portainer server, or this machine."
    )
    list_display = ["name", "provider_word", "region", "health", "occupancy", "drift", "enabled"]
    list_filter = [by_code("provider", _("provider"), _provider_choices), "enabled"]
    search_fields = ["name", "region"]
    ordering = ["name"]
    actions_detail = ["check_one", "environment_one", "compare_one"]
    readonly_fields = ["provider_word", "health", "occupancy", "software", "drift", "environment"]

    # --- the list ---------------------------------------------------------------------------------------

    def complete(self, rows: list[Any]) -> None:
        held = Instance.objects.filter(target__in=rows, state__in=(*states.HOLDING_NAME, states.STANDBY))
        used = counted(held, "target_id")
        open_now = counted(Finding.objects.filter(target__in=rows, closed_at=None), "target_id")
        for row in rows:
            row.used, row.findings_open = used.get(row.pk, 0), open_now.get(row.pk, 0)

    @admin.display(description=_("Provider"), ordering="provider")
    def provider_word(self, row: Target) -> str:
        return words.word(words.PROVIDERS, row.provider)

    @admin.display(description=_("Occupied"))
    def occupancy(self, row: Any) -> SafeString:
        share = min(100, round(100 * row.used / row.capacity)) if row.capacity else 100
        return format_html(
            '<span class="bo-meter" title="{}&nbsp;%"><span style="width:{}%"></span></span>'
            '<span class="bo-numbers">{} / {}</span> <span class="bo-soft">· {}</span>',
            share,
            share,
            row.used,
            row.capacity,
            gettext("%(free)d free") % {"free": max(0, row.capacity - row.used)},
        )

    @admin.display(description=_("Health"), ordering="problem_code")
    def health(self, row: Target) -> SafeString | str:
        if row.checked_at is None:
            return badge("", gettext("Not checked yet"))
        if not row.problem_code:
            return format_html("{} {}", badge("ready", gettext("Answers")), moment(row.checked_at))
        problem, advice = words.answer(row.problem_code)
        return format_html(
            '{} {}<span class="bo-remark">{} {}</span>{}',
            badge("failed", gettext("Not usable")),
            moment(row.checked_at),
            problem,
            advice,
            original(row.problem),
        )

    @admin.display(description=_("Versions"))
    def software(self, row: Target) -> str:
        said = (gettext("%(name)s: %(version)s") % {"name": n, "version": v} for n, v in _versions(row.versions))
        return " · ".join(said) or NOTHING

    @admin.display(description=_("Drift"))
    def drift(self, row: Any) -> SafeString | str:
        if not row.findings_open:
            return NOTHING
        page = list_of(Finding, f"target__id__exact={row.pk}")
        return format_html('<a class="bo-link bo-numbers" href="{}">{}</a>', page, row.findings_open)

    # --- the form ---------------------------------------------------------------------------------------

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if self._provider(request, None) or not self.has_add_permission(request):
            return super().add_view(request, form_url, extra_context)
        known = queries.provider_names()
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("What runs on the new target?"),
            "opts": self.opts,
            "offered": [
                {"name": name, "icon": icon, "about": about, "title": words.word(words.PROVIDERS, name)}
                for name, (icon, about) in connections.OFFERED.items()
                if name in known
            ],
        }
        return TemplateResponse(request, "backoffice/choose_provider.html", context)

    def get_queryset(self, request: HttpRequest) -> Any:
        # The form needs the connection: it is stored again with what was typed, and what is secret stays unseen.
        match = request.resolver_match
        rows = super().get_queryset(request)
        return rows.defer(None) if match and match.url_name == "provisioning_target_change" else rows

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        kwargs["form"] = connections.form_of(self._provider(request, obj))
        return super().get_form(request, obj, change=change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        provider = self._provider(request, obj)
        first = ["name", "provider_word", "region", "capacity", "enabled"]
        asked = connections.fields_of(provider)
        if provider == "portainer" and obj is not None:
            asked.append("environment")
        sets: list[Any] = [(None, {"fields": first if obj else [name for name in first if name != "provider_word"]})]
        if asked:
            sets.append((_("Connection"), {"fields": asked}))
        if obj is not None:
            sets.append((_("How it is"), {"fields": ["health", "software", "occupancy", "drift"]}))
        return sets

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        # What runs there was made by this provider and product rows name the target: neither can be exchanged.
        return [*self.readonly_fields, "name"] if obj else list(self.readonly_fields)

    def save_model(self, request: HttpRequest, obj: Target, form: ModelForm[Any], change: bool) -> None:
        if not change:
            obj.provider = self._provider(request, None)
        elif "connection" in obj.get_deferred_fields():
            raise RuntimeError("a target must not be saved without its connection")
        super().save_model(request, obj, form, change)

    def response_add(self, request: HttpRequest, obj: Target, post_url_continue: str | None = None) -> HttpResponse:
        """A new target is checked at once: that is the next thing anybody wants to know."""
        following = "environment" if obj.provider == "portainer" else "check"
        return HttpResponseRedirect(self._action_page(obj, following))

    @staticmethod
    def _provider(request: HttpRequest, obj: Target | None) -> str:
        name = obj.provider if obj else request.GET.get("provider", "")
        return name if obj or name in queries.provider_names() else ""

    @staticmethod
    def _action_page(row: Target, name: str) -> str:
        return page_of(row).removesuffix("change/") + f"{name}/"

    @admin.display(description=_("Environment"))
    def environment(self, row: Target) -> SafeString | str:
        chosen = row.connection.get("environment")
        name = row.connection.get("environment_name") or chosen
        return format_html(
            '{} <a class="bo-link" href="{}">{}</a>',
            name or NOTHING,
            self._action_page(row, "environment"),
            gettext("Choose"),
        )

    # --- asking the target ------------------------------------------------------------------------------

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("provisioning.change_target")

    def get_actions_detail(self, request: HttpRequest, object_id: str) -> list[Any]:
        row = self.find(object_id)
        if row is None or not self.has_operate_permission(request):
            return []
        shown = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return [a for a in shown if row.provider == "portainer" or not a.action_name.endswith("environment_one")]

    def _asked(self, request: HttpRequest, object_id: str) -> Target | None:
        """The whole row, connection included, for somebody who may change it."""
        if not self.has_operate_permission(request):
            messages.error(request, gettext("Your account may look at this, but not change it."))
            return None
        found = self.find(object_id)
        return Target.objects.get(pk=found.pk) if found else None

    @action(description=_("Check"), url_path="check", icon="network_check", variant=ActionVariant.PRIMARY)
    def check_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Asks the target now; outside any transaction, because it may take its time to answer."""
        row = self._asked(request, object_id)
        if row is None:
            return HttpResponseRedirect(list_of(Target))
        if request.method == "POST" and (pinned := request.POST.get("fingerprint", "")):
            return self._pin(request, row, pinned)
        context: dict[str, Any] = {"versions": [], "code": "", "detail": "", "fingerprint": ""}
        try:
            context["versions"] = list(_versions(checks.check(row, now=timezone.now()).versions))
        except ProvisioningError as error:
            context |= _explained(error)
        return self._answer(request, row, "backoffice/check.html", gettext("Check of %(name)s"), context)

    def _pin(self, request: HttpRequest, row: Target, fingerprint: str) -> HttpResponse:
        if _FINGERPRINT.fullmatch(fingerprint) and "fingerprint" in connections.fields_of(row.provider):
            row.connection = {**row.connection, "fingerprint": fingerprint.replace(":", "").lower()}
            row.save(update_fields=["connection"])
            self.log_change(request, row, gettext("Fingerprint pinned"))
            messages.success(request, gettext("The certificate with this fingerprint is trusted from now on."))
        following = "environment" if row.provider == "portainer" and not row.connection.get("environment") else "check"
        return HttpResponseRedirect(self._action_page(row, following))

    @action(description=_("Choose the environment"), url_path="environment", icon="lan")
    def environment_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The environments as the server lists them at this moment."""
        row = self._asked(request, object_id)
        if row is None or row.provider != "portainer":
            return HttpResponseRedirect(list_of(Target))
        context: dict[str, Any] = {"environments": [], "chosen": row.connection.get("environment"), "code": ""}
        try:
            found = checks.environments(row, now=timezone.now())
        except ProvisioningError as error:
            context |= _explained(error)
        else:
            chosen = next((e for e in found if str(e.id) == request.POST.get("environment") and e.usable), None)
            if request.method == "POST" and chosen is not None:
                row.connection = {**row.connection, "environment": chosen.id, "environment_name": chosen.name}
                row.save(update_fields=["connection"])
                self.log_change(request, row, gettext("Environment: %(name)s") % {"name": chosen.name})
                return HttpResponseRedirect(self._action_page(row, "check"))
            context["environments"] = found
        title = gettext("Where on %(name)s?")
        return self._answer(request, row, "backoffice/choose_environment.html", title, context)

    @action(description=_("Compare now"), url_path="compare", icon="difference")
    def compare_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Has a worker compare what should be there with what is."""
        row = self._asked(request, object_id)
        if row is None:
            return HttpResponseRedirect(list_of(Target))
        checks.look_soon(row)
        return HttpResponseRedirect(list_of(Finding, f"target__id__exact={row.pk}"))

    def _answer(
        self, request: HttpRequest, row: Target, template: str, title: str, context: dict[str, Any]
    ) -> HttpResponse:
        shared = {
            **self.admin_site.each_context(request),
            "title": title % {"name": row},
            "opts": self.opts,
            "target": row,
            "back": page_of(row),
            "environment_page": self._action_page(row, "environment") if row.provider == "portainer" else "",
        }
        return TemplateResponse(request, template, {**shared, **context})


def _versions(found: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    return ((words.word(words.VERSIONS, name), words.version(text)) for name, text in found.items())


def _explained(error: ProvisioningError) -> dict[str, Any]:
    """What is wrong in words, with the original, and the fingerprint to compare where there is one."""
    fingerprint = _FINGERPRINT.search(error.detail) if isinstance(error, CertificateUnknown) else None
    problem, advice = words.answer(error.code)
    return {
        "code": error.code,
        "problem": problem,
        "advice": advice,
        "detail": error.detail,
        "fingerprint": fingerprint[0] if fingerprint else "",
    }
