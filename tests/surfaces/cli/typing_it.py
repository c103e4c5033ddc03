"""Typing commands: in this process, and as the program that is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from typer.testing import CliRunner


@dataclass(frozen=True)
class Typed:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def type_in(group: str, *words: str, answers: str = "") -> Typed:
    """Runs `parcelle <group> <words>` in this process."""
    app = import_module(f"parcelle.surfaces.cli.{group}").app
    done = CliRunner().invoke(app, list(words), input=answers)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Typed(done.exit_code, done.stdout, done.stderr)


def run(*words: str, **environment: str) -> Typed:
    """Runs the program itself; an empty value removes a variable."""
    variables = {k: v for k, v in {**os.environ, **environment}.items() if v}
    done = subprocess.run(
        [sys.executable, "-m", "parcelle.config.program", *words],
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    return Typed(done.returncode, done.stdout, done.stderr)
