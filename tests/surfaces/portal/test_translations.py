"""Every sentence exists in French, says the same, and is written as French is written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po

from tests import needs

SOURCE = Path(__file__).resolve().parents[3] / "src" / "parcelle"
PO = SOURCE / "locale" / "fr" / "LC_MESSAGES" / "django.po"
# Given word for word, with plain spaces and apostrophes.
EXACT = {
    "Erreur lors de l'enregistrement : %(detail)s",
    "Cible de déploiement injoignable : %(advice)s",
    "Erreur lors de la création de la stack : %(detail)s",
    "Timeout : la création de la stack a pris trop de temps",
}


@cache
def catalog() -> Catalog:
    with PO.open("rb") as file:
        return read_po(file, locale="fr")


def pairs() -> Iterator[tuple[Message, str, str]]:
    for message in catalog():
        if not message.id:
            continue
        if isinstance(message.id, str):
            yield message, message.id, str(message.string)
        else:
            for number, translated in enumerate(message.string or ()):
                yield message, message.id[min(number, 1)], translated


def test_everything_is_translated() -> None:
    assert [original for _message, original, french in pairs() if not french.strip()] == []
    assert [message.id for message, _original, _french in pairs() if message.fuzzy] == []


def test_placeholders_and_markup_match() -> None:
    for _message, original, french in pairs():
        for pattern in (r"%\(\w+\)s", r"</?\w+"):
            assert sorted(re.findall(pattern, original)) == sorted(re.findall(pattern, french)), original


def test_french_typography() -> None:
    for _message, _original, french in pairs():
        if french in EXACT:
            continue
        text = re.sub(r"<[^>]*>", "", french)
        assert "'" not in text, text
        assert not re.search(r" ([:;!?»]|%(?!\())|« ", text), text
        assert not re.search(r"[^\s\u00a0\u202f][;!?»](?!\w)", text.replace("&nbsp;", "\u00a0")), text


def test_nothing_in_code_or_templates_is_missing(tmp_path: Path) -> None:
    needs.require("gettext")
    copy = tmp_path / "parcelle"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("static", "migrations", "__pycache__", "*.mo"))
    (copy / "locale" / "fr" / "LC_MESSAGES" / "django.po").unlink()
    # Without a settings module nothing of the project is imported: only the texts are read.
    command = "import sys; from django.core.management import ManagementUtility as M; M(sys.argv).execute()"
    done = subprocess.run(
        [sys.executable, "-c", command, "makemessages", "--locale", "fr", "--no-wrap"],
        cwd=copy,
        env={name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with (copy / "locale" / "fr" / "LC_MESSAGES" / "django.po").open("rb") as file:
        found = {(message.context, message.id) for message in read_po(file, locale="fr") if message.id}
    known = {(message.context, message.id) for message in catalog() if message.id}
    assert found - known == set(), "run `python tools/messages.py` and translate"
    assert known - found == set(), "run `python tools/messages.py`: these are no longer used"
