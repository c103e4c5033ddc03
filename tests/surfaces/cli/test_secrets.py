"""`parcelle secrets …`: keys change while others read and write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.fernet import Fernet
from pytest_django import Settings

from tests.surfaces.cli.typing_it import run, type_in

if TYPE_CHECKING:
    from parcelle.domain.provisioning.models import Instance
    from tests.people import Cast

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def home(tmp_path: Path, settings: Settings) -> Path:
    """A home whose file holds the keys, as in the embedded system."""
    home = tmp_path / "home"
    home.mkdir()
    values = {
        "DATABASE_URL": os.environ["DATABASE_URL"],
        "DJANGO_SECRET_KEY": "x" * 50,
        "PARCELLE_SECRET_KEYS": ",".join(settings.SECRET_KEYS),
    }
    (home / "embedded.json").write_text(json.dumps(values))
    settings.SECRET_KEYS_FILE = home / "embedded.json"
    return home


@pytest.fixture
def live(committed: Cast) -> Instance:
    from tests import people

    return people.live_instance(committed.organization, committed.plan)


def keys_in(home: Path) -> list[str]:
    return str(json.loads((home / "embedded.json").read_text())["PARCELLE_SECRET_KEYS"]).split(",")


def as_embedded(home: Path) -> dict[str, str]:
    return {"PARCELLE_HOME": str(home), "DATABASE_URL": "", "PARCELLE_SECRET_KEYS": "", "DJANGO_SECRET_KEY": ""}


def test_rotate_moves_every_row_to_a_new_key(home: Path, live: Instance) -> None:
    from parcelle.core import crypto

    before, kept = keys_in(home), dict(live.secrets)
    done = type_in("secrets", "rotate", "--json")
    assert done.code == 0 and done.json["only_older_keys_open"] == 0 and done.json["rewritten"] > 0
    assert keys_in(home)[1:] == before and keys_in(home)[0] not in before
    assert (home / "embedded.json").stat().st_mode & 0o077 == 0
    live.refresh_from_db()
    assert live.secrets == kept
    assert json.loads((home / "embedded.json").read_text())["DJANGO_SECRET_KEY"] == "x" * 50
    assert crypto.left_behind() == 0
    assert type_in("secrets", "forget", "--yes", "--json").json == {"removed": 1, "keys": 1}
    live.refresh_from_db()
    assert live.secrets == kept


def test_no_key_is_printed_when_keys_change(home: Path, live: Instance) -> None:
    said = [type_in("secrets", "rotate"), type_in("secrets", "rotate", "--json"), type_in("secrets", "forget", "--yes")]
    for key in keys_in(home):
        assert all(key not in done.out + done.err for done in said)


def test_forget_refuses_while_a_row_needs_an_older_key(home: Path, live: Instance) -> None:
    from parcelle.core import keyring

    keyring.add()
    done = type_in("secrets", "forget", "--yes")
    assert done.code == 1 and "secrets rotate" in done.err
    assert len(keys_in(home)) == 2


def test_forget_asks(home: Path, live: Instance) -> None:
    type_in("secrets", "rotate")
    done = type_in("secrets", "forget")
    assert done.code == 1 and "add --yes" in done.err and len(keys_in(home)) == 2


# What another process of the installation does all the time. Ends when the file `stop` appears.
_NEIGHBOUR = """
import sys, pathlib, uuid, django
django.setup()
from parcelle.core import context
context.of_process(context.Platform.JOBS)
from django.utils import timezone
from parcelle.domain.notifications.models import Message
from parcelle.domain.provisioning.models import Instance
stop, seen = pathlib.Path(sys.argv[1]), 0
print("ready", flush=True)
while not stop.exists():
    assert Instance.objects.get().secrets["initial_password"]
    made = Message.objects.create(key=str(uuid.uuid4()), kind="x", to="a@example.com", language="fr",
        context={"number": seen}, created_at=timezone.now())
    assert Message.objects.get(pk=made.pk).context == {"number": seen}
    for message in Message.objects.order_by("-created_at")[:20]:
        assert "number" in message.context
    seen += 1
print(seen)
"""


def test_running_processes_notice_nothing(home: Path, live: Instance, tmp_path: Path) -> None:
    from parcelle.core import crypto
    from parcelle.domain.notifications.models import Message

    Message.objects.all().delete()
    variables = {k: v for k, v in {**os.environ, **as_embedded(home)}.items() if v}
    neighbours = [
        subprocess.Popen(
            [sys.executable, "-c", _NEIGHBOUR, str(tmp_path / "stop")],
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _number in range(2)
    ]
    for neighbour in neighbours:
        assert neighbour.stdout and neighbour.stdout.readline() == "ready\n"
    for _round in range(3):
        done = type_in("secrets", "rotate")
        assert done.code == 0, done.err
    first = keys_in(home)[0]
    (tmp_path / "stop").touch()
    for neighbour in neighbours:
        out, err = neighbour.communicate(timeout=60)
        assert neighbour.returncode == 0, err
        assert int(out) > 3
    # They write with the newest key, too: nothing that they stored needs an older one.
    assert crypto.left_behind() == 0
    assert type_in("secrets", "forget", "--yes").code == 0
    assert keys_in(home) == [first]
    assert all("number" in message.context for message in Message.objects.all())


def test_the_program_rotates_its_own_home(home: Path, live: Instance) -> None:
    done = run("secrets", "rotate", "--json", **as_embedded(home))
    assert done.code == 0, done.err
    assert done.json["keys"] == len(keys_in(home)) == 2


# --- keys from the environment --------------------------------------------------------------------------


def test_elsewhere_one_key_is_not_enough(live: Instance) -> None:
    done = type_in("secrets", "rotate")
    assert done.code == 1 and "secrets new-key" in done.err


def test_elsewhere_the_first_key_must_be_known_everywhere(live: Instance, settings: Settings) -> None:
    from parcelle.core import crypto

    settings.SECRET_KEYS = [Fernet.generate_key().decode(), *settings.SECRET_KEYS]
    assert "add --yes if so" in type_in("secrets", "rotate").err
    assert crypto.left_behind() > 0
    assert type_in("secrets", "rotate", "--yes").code == 0
    assert crypto.left_behind() == 0
    assert "remove the older ones there" in type_in("secrets", "forget", "--yes").err


def test_a_new_key_is_a_key(committed: Any) -> None:
    Fernet(type_in("secrets", "new-key").out.strip())
    Fernet(type_in("secrets", "new-key", "--json").json["key"])
