"""Brings the `locale/fr` folders up to date with the sentences in code and templates: `python tools/messages.py`.

Extraction needs GNU gettext (`xgettext`). New sentences are added with an empty translation, which
`tests/surfaces/portal/test_translations.py` refuses, so that nobody forgets to write the French.
`--compile` only writes the .mo files (with Babel, which needs no gettext); installing does that by itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

SOURCE = Path(__file__).resolve().parents[1] / "src" / "parcelle"


def extract() -> None:
    subprocess.run(
        [
            *(sys.executable, "-m", "django", "makemessages", "--locale", "fr"),
            *("--no-wrap", "--no-obsolete", "--add-location", "never"),
        ],
        cwd=SOURCE,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "parcelle.config.settings"},
        check=True,
    )


def compile_all() -> None:
    for source in SOURCE.rglob("locale/*/LC_MESSAGES/*.po"):
        with source.open("rb") as po, source.with_suffix(".mo").open("wb") as mo:
            write_mo(mo, read_po(po))


if __name__ == "__main__":
    if "--compile" not in sys.argv:
        extract()
    compile_all()
