"""`/team`: who belongs to the organization, who is invited, and what each role may do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from parcelle.domain.accounts.models import User
from parcelle.domain.tenancy import permissions, queries
from parcelle.domain.tenancy import team as verbs
from parcelle.domain.tenancy.errors import NotAllowed, TeamRefused
from parcelle.domain.tenancy.models import Invitation, Membership
from parcelle.journeys import team as journey
from parcelle.surfaces import current
from parcelle.surfaces.current import Current
from parcelle.surfaces.portal import team_words, visitor
from parcelle.surfaces.portal.access import RoleRefused, require
from parcelle.surfaces.refusals import TEAM

_TO_ONE_ADDRESS_PER_HOUR = 5


class InviteForm(forms.Form):
    email = forms.EmailField(
        label=_("E-mail"),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "off", "inputmode": "email", "spellcheck": "false"}),
        error_messages={
            "required": _("Please fill in this field."),
            "invalid": _("This e-mail address is not complete, for example name@company.com."),
        },
    )
    role = forms.ChoiceField(
        label=_("Role"),
        choices=[(role, team_words.ROLES[role]) for role in reversed(verbs.INVITED_ROLES)],
        widget=forms.Select(attrs={"class": "form-select"}),
    )


@login_required
@never_cache
@require_safe
def team(request: HttpRequest) -> HttpResponse:
    return _page(request, current.current(request), InviteForm())


def _page(
    request: HttpRequest, here: Current | None, form: InviteForm, *, alert: str = "", status: int = 200
) -> HttpResponse:
    members = queries.members_of(here.organization.pk) if here else []
    owners = [row for row in members if row.role == Membership.OWNER]
    now = timezone.now()
    context = {
        "here": here,
        "form": form,
        "alert": alert,
        "may_manage": here is not None and here.may(permissions.MANAGE_TEAM),
        "may_leave": here is not None and (here.role != Membership.OWNER or len(owners) > 1),
        "members": [(row, _roles_for(here, row, alone=owners == [row])) for row in members],
        "may_hand_over": here is not None and here.may(permissions.MAKE_OWNERS),
        "invitations": [(row, row.standing(now)) for row in queries.waiting_invitations(here.organization.pk)]
        if here and here.may(permissions.MANAGE_TEAM)
        else [],
        "permissions": team_words.table(),
        "roles": team_words.ROLES.values(),
    }
    return render(request, "portal/team.html", context, status=status)


def _roles_for(here: Current | None, row: Membership, *, alone: bool) -> list[tuple[str, Promise]]:
    """The roles that whoever looks can give this member; none where nothing can be changed."""
    if here is None or alone or not permissions.may_touch(here.role, row.role):
        return []
    return [(role, words) for role, words in team_words.ROLES.items() if permissions.may_touch(here.role, role)]


# --- invitations --------------------------------------------------------------------------------------------


@login_required
@never_cache
@require_POST
def invite(request: HttpRequest) -> HttpResponse:
    here = current.choose_typed(request)
    require(here, permissions.MANAGE_TEAM)
    form = InviteForm(request.POST)
    if not form.is_valid():
        return _page(request, here, form, status=422)
    email, role = form.cleaned_data["email"], form.cleaned_data["role"]
    if wait := _too_often(here, email):
        return _page(request, here, form, alert=_wait_sentence(wait), status=429)
    try:
        with _still_allowed(here):
            invitation = journey.invite(
                here.organization.pk, email=email, role=role, by=_me(request), now=timezone.now()
            )
    except TeamRefused as refused:
        form.add_error("email", str(TEAM[refused.code]))
        return _page(request, here, form, status=422)
    messages.success(request, gettext("An invitation is on its way to %(email)s.") % {"email": invitation.email})
    return redirect("team")


@login_required
@never_cache
@require_POST
def resend(request: HttpRequest, invitation_id: UUID) -> HttpResponse:
    here, invitation = _invitation(request, invitation_id)
    if wait := _too_often(here, invitation.email):
        messages.warning(request, _wait_sentence(wait))
        return redirect("team")

    def send() -> None:
        journey.invite(
            here.organization.pk, email=invitation.email, role=invitation.role, by=_me(request), now=timezone.now()
        )

    done = gettext("A new link is on its way to %(email)s. The old one no longer works.") % {"email": invitation.email}
    return _do(request, here, send, done)


@login_required
@never_cache
@require_POST
def revoke(request: HttpRequest, invitation_id: UUID) -> HttpResponse:
    here, invitation = _invitation(request, invitation_id)
    return _do(
        request,
        here,
        lambda: verbs.revoke(invitation, by=_me(request), now=timezone.now()),
        gettext("The invitation of %(email)s is revoked. Its link no longer works.") % {"email": invitation.email},
    )


def _too_often(here: Current, email: str) -> int | None:
    limits = [
        (f"invite:{here.organization.pk}", journey.INVITATIONS_PER_HOUR),
        (f"invite:{here.organization.pk}:{email.lower()}", _TO_ONE_ADDRESS_PER_HOUR),
    ]
    return visitor.wait_before(limits, window=timedelta(hours=1), now=timezone.now())


def _wait_sentence(wait: int) -> str:
    sentence = gettext("Many invitations were sent already. Please try again in %(minutes)s min.")
    return sentence % {"minutes": -(-wait // 60)}


# --- members ------------------------------------------------------------------------------------------------


@login_required
@never_cache
@require_POST
def change_role(request: HttpRequest, member_id: int) -> HttpResponse:
    here, member = _member(request, member_id)
    role = request.POST.get("role", "")
    if role not in permissions.ROLES:
        raise Http404
    return _do(
        request,
        here,
        lambda: verbs.change_role(member, role=role, by=_me(request), now=timezone.now()),
        gettext("Noted. %(name)s is told by mail.") % {"name": _name(member.user)},
    )


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def remove(request: HttpRequest, member_id: int) -> HttpResponse:
    here, member = _member(request, member_id)
    if not permissions.may_touch(here.role, member.role):
        raise RoleRefused(here, permissions.MANAGE_TEAM)
    if request.method != "POST":
        return _confirm(request, here, "remove", name=_name(member.user))
    return _do(
        request,
        here,
        lambda: verbs.remove(member, by=_me(request), now=timezone.now()),
        gettext("%(name)s no longer belongs to the organization.") % {"name": _name(member.user)},
    )


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def hand_over(request: HttpRequest, member_id: int) -> HttpResponse:
    here, member = _member(request, member_id)
    require(here, permissions.MAKE_OWNERS)
    if request.method != "POST":
        return _confirm(request, here, "hand_over", name=_name(member.user))
    return _do(
        request,
        here,
        lambda: verbs.hand_over(member, by=_me(request), now=timezone.now()),
        gettext("%(name)s is the owner now, and you are an administrator.") % {"name": _name(member.user)},
    )


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def leave(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        here = current.current(request)
        if here is None:
            raise Http404
        return _confirm(request, here, "leave")
    here = current.choose_typed(request)
    return _do(
        request,
        here,
        lambda: verbs.leave(here.organization.pk, user=_me(request), now=timezone.now()),
        gettext("You no longer belong to %(name)s.") % {"name": here.organization.name},
    )


def _confirm(request: HttpRequest, here: Current, what: str, *, name: str = "") -> HttpResponse:
    return render(request, "portal/team_confirm.html", {"here": here, "what": what, "name": name})


def _do(request: HttpRequest, here: Current, act: Callable[[], Any], done: str) -> HttpResponse:
    try:
        with _still_allowed(here):
            act()
    except TeamRefused as refused:
        messages.error(request, str(TEAM[refused.code]))
    except Membership.DoesNotExist:
        messages.error(request, gettext("This person has left in the meantime."))
    else:
        messages.success(request, done)
    return redirect("team")


@contextmanager
def _still_allowed(here: Current) -> Iterator[None]:
    try:
        yield
    except NotAllowed:
        raise RoleRefused(here, permissions.MANAGE_TEAM) from None


def _member(request: HttpRequest, member_id: int) -> tuple[Current, Membership]:
    """Raises Http404 for strangers: for them nobody belongs to it."""
    found = Membership.objects.select_related("user").filter(pk=member_id).first()
    if found is None:
        raise Http404
    return current.choose(request, found.organization_id), found


def _invitation(request: HttpRequest, invitation_id: UUID) -> tuple[Current, Invitation]:
    found = Invitation.objects.filter(pk=invitation_id).first()
    if found is None:
        raise Http404
    here = current.choose(request, found.organization_id)
    require(here, permissions.MANAGE_TEAM)
    return here, found


def _me(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


def _name(user: User) -> str:
    return user.get_full_name() or user.email
