"""`parcelle token …`"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from django.test import Client

from tests.surfaces.cli.typing_it import run, type_in

if TYPE_CHECKING:
    from tests.people import Cast

pytestmark = pytest.mark.django_db


def asks(token: str) -> int:
    return Client().get("/api/instances", headers={"Authorization": f"Bearer {token}"}).status_code


def test_the_token_stands_alone_and_works(cast: Cast) -> None:
    done = type_in("token", "create")
    assert done.code == 0
    token = done.out.splitlines()[-1]
    assert done.out == f"{token}\n" and token.startswith("parcelle_")
    assert cast.operator.email in done.err and token not in done.err
    assert asks(token) == 200


def test_a_token_of_somebody_for_some_time(cast: Cast) -> None:
    made = type_in(
        "token", "create", "--user", "OWNER@example.com", "--name", "shop", "--expires-days", "30", "--json"
    ).json
    assert (made["user"], made["name"], made["state"]) == ("owner@example.com", "shop", "valid")
    assert made["expires_at"] > made["created_at"]
    assert asks(made["token"]) == 200


def test_somebody_unknown_gets_none(cast: Cast) -> None:
    done = type_in("token", "create", "--user", "nobody@example.com")
    assert (done.code, done.out) == (1, "") and "There is no user 'nobody@example.com'" in done.err


@pytest.mark.parametrize("by", ["id", "hint", "token"])
def test_revoking_ends_it(cast: Cast, by: str) -> None:
    other = type_in("token", "create", "--json").json["token"]
    made = type_in("token", "create", "--json").json
    named = {"id": made["id"], "hint": f"…{made['ends_with']}", "token": made["token"]}[by]
    assert "is revoked" in type_in("token", "revoke", named).out
    assert (asks(made["token"]), asks(other)) == (401, 200)
    assert type_in("token", "revoke", named, "--json").json["state"] == "revoked"
    assert [row["state"] for row in type_in("token", "list", "--json").json] == ["valid"]
    assert len(type_in("token", "list", "--all", "--json").json) == 2


def test_the_list_shows_no_token(cast: Cast) -> None:
    token = type_in("token", "create").out.strip()
    for words in (["list"], ["list", "--all"], ["list", "--json"]):
        text = type_in("token", *words).out
        assert token not in text and token.removeprefix("parcelle_")[:8] not in text
        assert token[-6:] in text
    assert "There is no such token" in type_in("token", "revoke", "unheard-of").err


@pytest.mark.django_db(transaction=True)
def test_the_program_prints_the_token_on_its_last_line(committed: Cast) -> None:
    done = run("token", "create", "--name", "é\u200b")
    assert done.code == 0, done.err
    assert asks(done.out.splitlines()[-1]) == 200
    assert json.loads(run("token", "list", "--json").out)[0]["name"] == "é\u200b"
