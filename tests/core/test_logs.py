from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from parcelle.core import crypto
from parcelle.core.logs import REDACTED, configure, redact, redact_event

SECRET = st.integers(9, 40).map(crypto.generate)


@given(text=st.text(), secrets=st.lists(SECRET, min_size=1), data=st.data())
def test_a_given_secret_never_survives_wherever_it_stands(text: str, secrets: list[str], data: st.DataObject) -> None:
    pieces = data.draw(st.lists(st.sampled_from([*secrets, text, "=", "/", "@", " "]), max_size=12))
    shown = redact("".join(pieces), secrets)
    assert not [secret for secret in secrets if secret in shown]


@given(secret=SECRET)
def test_a_secret_that_is_part_of_a_longer_one_leaves_nothing_of_the_longer(secret: str) -> None:
    assert redact(f"it is {secret}-{secret}", [secret, f"{secret}-{secret}"]) == f"it is {REDACTED}"


def test_short_secrets_do_not_eat_the_mark_of_others() -> None:
    assert redact("long-secret-1 red", ["long-secret-1", "red"]) == f"{REDACTED} {REDACTED}"


LEAKS = [
    "postgresql://parcelle:hunter2hunter2@db/parcelle",
    "could not connect: password=hunter2hunter2 host=db",
    "password = 'hunter2hunter2'",
    'PGPASSWORD="hunter2hunter2"',
    "initial_password: hunter2hunter2",
    "client_secret=hunter2hunter2&grant_type=x",
    "GET /callback?code=1&access_token=hunter2hunter2",
    '{"password": "hunter2hunter2", "user": "x"}',
    "{'secret_key': 'hunter2hunter2'}",
    json.dumps(json.dumps({"password": "hunter2hunter2"})),
    "API-KEY: hunter2hunter2",
    "Authorization: Bearer hunter2hunter2",
    "Authorization: Token hunter2hunter2",
    "authorization: Basic aHVudGVyMmh1bnRlcjI= ",
    "Set-Cookie: parcelle_session=hunter2hunter2; HttpOnly",
    "Session hunter2hunter2hunter2",
]


@pytest.mark.parametrize("text", LEAKS)
def test_what_looks_like_a_credential_is_removed(text: str) -> None:
    assert "hunter2" not in redact(text)
    assert "aHVudGVy" not in redact(text)


@pytest.mark.parametrize("text", LEAKS)
def test_redacting_again_changes_nothing(text: str) -> None:
    assert redact(redact(text)) == redact(text)


@pytest.mark.parametrize(
    "text", ["the secretary: Ann", "3 tokens were made", "https://example.com/a:b", "password must be changed", ""]
)
def test_ordinary_sentences_stay_as_they_are(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize("piece", ["token_", "password=", "://a:", "Bearer ", 'secret\\"', "cookie: "])
def test_a_megabyte_of_output_is_redacted_in_no_time(piece: str) -> None:
    begun = time.monotonic()
    redact(piece * (1_000_000 // len(piece)))
    assert time.monotonic() - begun < 5


class Leaky(Exception):
    pass


@pytest.mark.parametrize(
    "event",
    [
        {"password": "hunter2hunter2"},
        {"API_KEY": "hunter2hunter2"},
        {"nested": {"deeper": [{"initial_password": "hunter2hunter2"}]}},
        {"nested": [("url", "amqp://u:hunter2hunter2@mq")]},
        {"headers": {"Authorization": "hunter2hunter2", "Cookie": "hunter2hunter2"}},
        {"error": Leaky("password=hunter2hunter2")},
        {"output": b"password=hunter2hunter2"},
        {"seen": {"password=hunter2hunter2"}},
        {"event": "password=hunter2hunter2"},
    ],
)
def test_no_value_of_a_log_line_carries_a_credential(event: dict[str, Any]) -> None:
    assert "hunter2" not in json.dumps(redact_event(None, "info", event), default=str)


def test_numbers_and_identifiers_of_a_log_line_stay() -> None:
    event = {"event": "step done", "attempt": 2, "seconds": 0.25, "fine": True, "none": None}
    assert redact_event(None, "info", dict(event)) == event


# --- what is really written ----------------------------------------------------------------------------------


@pytest.fixture
def log_file(tmp_path: Path) -> Iterator[Path]:
    """All logging goes into this file, as the settings would set it up."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure(level="INFO", style="json", file=str(tmp_path / "parcelle.log"))
    yield tmp_path / "parcelle.log"
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_line_is_json_with_time_level_and_the_ids_it_was_bound_to(log_file: Path) -> None:
    with structlog.contextvars.bound_contextvars(operation_id="op-1"):
        structlog.get_logger("parcelle.tests").info("step done", step="start")
    [line] = lines(log_file)
    assert (line["event"], line["level"], line["operation_id"], line["step"]) == ("step done", "info", "op-1", "start")
    assert line["timestamp"].endswith("Z")


def test_lines_of_libraries_are_redacted_too(log_file: Path) -> None:
    logging.getLogger("some.library").warning("login with %s", "password=hunter2hunter2")
    assert "hunter2" not in log_file.read_text() and REDACTED in lines(log_file)[0]["event"]


def test_a_traceback_is_kept_without_the_credentials_in_it(log_file: Path) -> None:
    try:
        raise Leaky("could not connect to postgresql://u:hunter2hunter2@db/x")
    except Leaky:
        structlog.get_logger("parcelle.tests").exception("broken")
    assert "Traceback" in log_file.read_text() and "hunter2" not in log_file.read_text()


def test_debugging_output_is_off_by_default(log_file: Path) -> None:
    structlog.get_logger("parcelle.tests").debug("noise")
    assert log_file.read_text() == ""
