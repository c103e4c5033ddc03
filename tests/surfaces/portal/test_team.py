"""`/team` and the link in an invitation, as those see it who are concerned."""

from __future__ import annotations

from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from parcelle.domain.accounts.models import User
from parcelle.domain.notifications.models import Message
from parcelle.domain.tenancy import permissions
from parcelle.domain.tenancy.models import Invitation, Membership
from parcelle.domain.tenancy.queries import role_of
from parcelle.surfaces.portal import team_words
from tests import jobs
from tests.people import Cast

pytestmark = pytest.mark.django_db
NEWCOMER = "noa@example.com"
ACCOUNT = {"first_name": "Noa", "last_name": "Ba", "password": "un-tres-bon-mot-de-passe"}


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def text_of(response: Any) -> str:
    return unescape(response.content.decode())


def invite(cast: Cast, email: str = NEWCOMER, role: str = "viewer", **typed: str) -> Any:
    form = {"organization": str(cast.organization.pk), "email": email, "role": role, **typed}
    return signed_in(cast.owner).post("/team/invite", form)


def link(email: str = NEWCOMER) -> str:
    message = Message.objects.filter(kind="team_invitation", to=email).latest("created_at")
    return "/invitations/" + str(message.context["url"]).rpartition("/")[2]


def membership(cast: Cast, user: User) -> Membership:
    return Membership.objects.get(organization=cast.organization, user=user)


def test_every_action_and_role_has_words() -> None:
    assert set(team_words.ACTIONS) == set(permissions.TABLE)
    assert list(team_words.ROLES) == list(permissions.ROLES)


def test_somebody_new_joins_with_a_password_of_their_own(cast: Cast) -> None:
    assert invite(cast)["Location"] == "/team"
    page = text_of(signed_in(cast.owner).get("/team"))
    assert NEWCOMER in page and "Invitations en cours" in page
    visitor = Client()
    assert "Rejoindre Maçonnerie Diop" in text_of(visitor.get(link()))
    weak = visitor.post(link(), {**ACCOUNT, "password": "court"})
    assert weak.status_code == 422 and 'value="Noa"' in text_of(weak)
    answer = visitor.post(link(), ACCOUNT, follow=True)
    assert "Bienvenue chez Maçonnerie Diop" in text_of(answer)
    noa = User.objects.get(email=NEWCOMER)
    assert noa.check_password(ACCOUNT["password"]) and role_of(noa, cast.organization.pk) == "viewer"
    again = Client().post(link(), ACCOUNT)
    assert again.status_code == 410 and "déjà été acceptée" in text_of(again)


def test_somebody_who_is_known_signs_in_and_accepts(cast: Cast) -> None:
    invite(cast, cast.stranger.email)
    path = link(cast.stranger.email)
    assert "J’ai déjà" in text_of(Client().get(path)) or f"/accounts/login/?next={path}" in text_of(Client().get(path))
    # Nobody takes an account over with a link.
    Client().post(path, ACCOUNT)
    assert role_of(cast.stranger, cast.organization.pk) is None
    other = signed_in(cast.viewer)
    assert cast.viewer.email in text_of(other.get(path))
    other.post(path)
    assert Invitation.objects.get().accepted_at is None
    assert signed_in(cast.stranger).post(path)["Location"] == "/dashboard"
    assert role_of(cast.stranger, cast.organization.pk) == "viewer"


def test_inviting_tells_nothing_about_accounts(cast: Cast) -> None:
    def seen(email: str) -> str:
        answer = invite(cast, email)
        page = text_of(signed_in(cast.owner).get("/team"))
        Invitation.objects.all().delete()
        return f"{answer.status_code} {answer['Location']} {page.count(email)}"

    assert seen(cast.stranger.email) == seen("nobody-knows@example.com")


def test_mistakes_are_said_beside_the_field(cast: Cast) -> None:
    for typed, sentence in (
        ({"email": "noa@"}, "incomplète"),
        ({"email": cast.viewer.email}, "fait déjà partie de l’organisation"),
        ({"role": "owner"}, ""),
    ):
        answer = invite(cast, **typed)
        assert answer.status_code == 422 and sentence in text_of(answer)
        assert f'value="{typed.get("email", NEWCOMER)}"' in text_of(answer)
    assert not Invitation.objects.exists()


def test_a_new_link_ends_the_old_one_and_revoking_ends_both(cast: Cast) -> None:
    invite(cast)
    first, row = link(), Invitation.objects.get()
    owner = signed_in(cast.owner)
    owner.post(f"/team/invitations/{row.pk}/resend")
    assert link() != first and Client().get(first).status_code == 404
    assert Client().get(link()).status_code == 200
    Invitation.objects.update(expires_at=timezone.now() - timedelta(days=1))
    assert "a expiré" in text_of(Client().get(link()))
    owner.post(f"/team/invitations/{row.pk}/revoke")
    assert "révoquée" in text_of(Client().get(link()))


def test_there_is_an_end_to_invitations(cast: Cast, settings: Settings) -> None:
    settings.RATE_LIMITS = True
    codes = [invite(cast).status_code for _number in range(6)]
    assert codes[:5] == [302] * 5 and codes[5] == 429
    row = Invitation.objects.get()
    page = signed_in(cast.owner).post(f"/team/invitations/{row.pk}/resend", follow=True)
    assert "réessayer" in text_of(page)


def test_everybody_concerned_is_told_in_their_language(cast: Cast) -> None:
    owner = signed_in(cast.owner)
    invite(cast, cast.stranger.email, "member")
    signed_in(cast.stranger).post(link(cast.stranger.email))
    english = membership(cast, cast.stranger)
    owner.post(f"/team/members/{english.pk}/role", {"role": "admin"})
    owner.post(f"/team/members/{english.pk}/hand-over")
    signed_in(cast.stranger).post(f"/team/members/{membership(cast, cast.viewer).pk}/remove")
    signed_in(cast.member).post("/team/leave", {"organization": str(cast.organization.pk)})
    jobs.work_off(timezone.now())
    told = {(sent.to[0], sent.subject) for sent in mail.outbox}
    assert told == {
        (cast.stranger.email, "Awa Owner invites you to Maçonnerie Diop"),
        (cast.owner.email, "Sam Stranger a rejoint Maçonnerie Diop"),
        (cast.stranger.email, "Your role in Maçonnerie Diop has changed"),
        (cast.stranger.email, "You are now the owner of Maçonnerie Diop"),
        (cast.owner.email, "Maçonnerie Diop a été transmise"),
        (cast.viewer.email, "Vous ne faites plus partie de Maçonnerie Diop"),
        (cast.stranger.email, "Member Member has left Maçonnerie Diop"),
    }


def test_the_last_owner_is_told_what_to_do_first(cast: Cast) -> None:
    owner = signed_in(cast.owner)
    assert "/team/leave" not in text_of(owner.get("/team"))
    answer = owner.post("/team/leave", {"organization": str(cast.organization.pk)}, follow=True)
    assert "Transmettez-la d’abord" in text_of(answer)
    assert role_of(cast.owner, cast.organization.pk) == "owner"


def test_big_steps_are_confirmed_first(cast: Cast) -> None:
    owner, viewer = signed_in(cast.owner), membership(cast, cast.viewer)
    assert "Viewer Viewer" in text_of(owner.get(f"/team/members/{viewer.pk}/remove"))
    assert "devient propriétaire" in text_of(owner.get(f"/team/members/{viewer.pk}/hand-over"))
    assert "Quitter Maçonnerie Diop" in text_of(signed_in(cast.viewer).get("/team/leave"))
    assert Membership.objects.filter(organization=cast.organization).count() == 3


def test_who_only_looks_sees_the_team_and_no_button(cast: Cast) -> None:
    invite(cast)
    page = text_of(signed_in(cast.viewer).get("/team"))
    assert cast.owner.email in page and NEWCOMER not in page
    assert "/team/invite" not in page and "/role" not in page and "/remove" not in page
