from __future__ import annotations

from typing import Any

import pytest

from parcelle.domain.catalog.blueprints import Call, Probe
from parcelle.domain.provisioning import application
from parcelle.domain.provisioning.application import CallRefused
from parcelle.domain.provisioning.errors import TryAgain
from tests import loopback
from tests.loopback import Answer, Seen

VARIABLES = {"slug": "acme", "company": 'A "B" ${secret_key}\n', "secret_key": "hunter2hunter2"}


def call(**fields: Any) -> Call:
    return Call.model_validate({"path": "/rpc", **fields})


def perform(answer: Any, *calls: Call, status: int = 200) -> list[Seen]:
    with loopback.answering(lambda _seen: (status, answer)) as server:
        application.perform(server.url, calls, VARIABLES)
    return server.seen


def test_a_call_carries_the_customer_s_values_exactly() -> None:
    [seen] = perform(
        None, call(method="PUT", path="/${slug}", json={"name": "${company}"}, headers={"X-Name": "${slug}"})
    )
    assert (seen.method, seen.path, seen.headers["X-Name"]) == ("PUT", "/acme", "acme")
    assert seen.body == {"name": VARIABLES["company"]}


def test_what_one_call_captures_the_next_one_uses() -> None:
    first = call(capture={"session": "result.1"})
    seen = perform({"result": [2, "s-42"]}, first, call(headers={"Authorization": "Session ${session}"}))
    assert seen[1].headers["Authorization"] == "Session s-42"


@pytest.mark.parametrize(
    "expected",
    [
        {"result.0": 2, "result.1": "present"},
        {"name": "${slug}"},
        {"error": None},
        {"missing": None},
    ],
)
def test_an_answer_as_expected_is_accepted(expected: dict[str, Any]) -> None:
    perform({"result": [2, "x"], "name": "acme", "error": None}, call(expect={"json": expected}))


@pytest.mark.parametrize("expected", [{"result.0": 3}, {"result.9": "present"}, {"error": None}, {"result.x": 1}])
def test_an_answer_that_is_not_as_expected_is_refused_for_good(expected: dict[str, Any]) -> None:
    with pytest.raises(CallRefused, match="call 1") as caught:
        perform({"result": [2], "error": "no"}, call(expect={"json": expected}))
    assert not caught.value.retry


def test_an_answer_that_is_not_json_is_refused_by_name_of_what_was_missing() -> None:
    with (
        loopback.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n<ht>") as url,
        pytest.raises(CallRefused, match="result"),
    ):
        application.perform(url, [call(expect={"json": {"result": "present"}})], {})


@pytest.mark.parametrize(("status", "retry"), [(500, True), (404, False), (429, True), (502, True), (503, True)])
def test_only_an_application_in_trouble_is_asked_again(status: int, retry: bool) -> None:
    with pytest.raises((CallRefused, TryAgain), match=str(status)) as caught:
        perform(None, call(), status=status)
    assert caught.value.retry is retry


@pytest.mark.parametrize("padding", [0, 180, 190])
def test_a_refusal_shows_no_secret_even_where_it_cuts_the_answer(padding: int) -> None:
    with pytest.raises(CallRefused) as caught:
        perform({"said": "x" * padding + "hunter2hunter2"}, call(expect={"json": {"fine": "present"}}))
    assert "hunter" not in str(caught.value)


def test_nobody_answering_is_worth_another_try() -> None:
    with pytest.raises(TryAgain, match=r"call 1: .*cannot be reached"):
        application.perform(f"http://127.0.0.1:{loopback.free_port()}", [call()], VARIABLES)


def test_a_probe_waits_for_an_application_that_is_still_starting() -> None:
    answers = iter([503, 503, 200])

    def starting(_seen: Seen) -> Answer:
        return next(answers), None

    with loopback.answering(starting) as server:
        application.wait_until_it_answers(server.url, Probe(), seconds=5)
    assert len(server.seen) == 3


def test_a_probe_does_not_wait_for_ever() -> None:
    with loopback.answering(lambda _seen: (503, None)) as server, pytest.raises(TryAgain, match="did not answer"):
        application.wait_until_it_answers(server.url, Probe(), seconds=0.05)
