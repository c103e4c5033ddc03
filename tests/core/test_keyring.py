from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pytest_django import Settings

from parcelle.core import crypto, keyring


@pytest.fixture
def file(tmp_path: Path, settings: Settings) -> Path:
    """An installation that keeps its keys itself."""
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"PARCELLE_SECRET_KEYS": keyring.new_key(), "OTHER": "stays"}))
    settings.SECRET_KEYS_FILE = path
    return path


def test_without_a_file_the_keys_are_those_of_the_settings(settings: Settings) -> None:
    settings.SECRET_KEYS_FILE, settings.SECRET_KEYS = None, ["a", "b"]
    assert keyring.keys() == ("a", "b") and not keyring.is_ours()


def test_a_new_key_encrypts_at_once_and_the_old_ones_go_on_decrypting(file: Path) -> None:
    before = crypto.encrypt(b"old")
    old = keyring.keys()
    keyring.add()
    assert keyring.keys()[1:] == old and keyring.keys()[0] not in old
    assert crypto.decrypt(before) == b"old" and crypto.decrypt(crypto.encrypt(b"new")) == b"new"


def test_forgotten_keys_open_nothing_any_more(file: Path) -> None:
    before = crypto.encrypt(b"old")
    keyring.add()
    assert keyring.forget_all_but_first() == 1
    with pytest.raises(crypto.CannotDecrypt):
        crypto.decrypt(before)


def test_only_the_keys_of_the_file_change_and_nobody_else_may_read_it(file: Path) -> None:
    keyring.add()
    assert json.loads(file.read_text())["OTHER"] == "stays"
    assert file.stat().st_mode & 0o777 == 0o600


def test_two_rotations_at_once_lose_no_key(file: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _number: keyring.add(), range(8)))
    assert len(set(keyring.keys())) == 9
