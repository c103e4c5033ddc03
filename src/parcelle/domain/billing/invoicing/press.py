"""Making and checking documents, in processes of their own that stay warm.

The libraries behind it are native code that has taken whole workers down. A child that dies or is too slow is a
technical failure, tried again; it never counts as "valid".
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import json
import os
import queue
import select
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Protocol

import structlog
from django.conf import settings
from django.utils import translation

from parcelle.domain.billing.invoicing import pages, terms
from parcelle.domain.billing.invoicing.content import Content
from parcelle.domain.billing.invoicing.refusals import InvoiceRefused, of_rule

logger = structlog.get_logger(__name__)

JOB_SECONDS = 120
# Loading the libraries takes seconds, and much longer on a machine that is busy.
START_SECONDS = 300
# How many documents one process of ours has made at the same time.
CHILDREN = 2


class PressFailed(Exception):
    """No document was made, and nothing is known against it: try again later."""


class LibrariesMissing(PressFailed):
    """This machine lacks what PDF files are made with (Pango); drafts wait until it is installed."""


@dataclass(frozen=True)
class Made:
    """A document in all its forms: the XML (CII), the same in UBL, and the PDF that carries the first."""

    xml: bytes
    ubl: bytes
    pdf: bytes


class Press(Protocol):
    def make(self, content: Content, *, number: str, issued_on: date) -> Made:
        """Raises InvoiceRefused, and PressFailed where it could not be made or checked."""


class WarmPress:
    """The real one."""

    def make(self, content: Content, *, number: str, issued_on: date) -> Made:
        with translation.override(content.language):
            said = terms.of(content, number=number, issued_on=issued_on)
            sheets = ["en16931", "br-fr"] if terms.is_french(content) else ["en16931"]
            answer = ask({"do": "xml", "terms": _dates_as_text(said), "sheets": sheets})
            _refuse(answer)
            page = pages.render(content, number=number, issued_on=issued_on)
        return Made(
            xml=base64.b64decode(answer["xml"]),
            ubl=base64.b64decode(answer["ubl"]),
            pdf=_print(page, answer["xml"]),
        )


def check_xml(xml: bytes, *, french: bool = True) -> None:
    """Runs all checks on a file. Raises InvoiceRefused and PressFailed."""
    sheets = ["en16931", "br-fr"] if french else ["en16931"]
    _refuse(ask({"do": "check", "xml": base64.b64encode(xml).decode(), "sheets": sheets}))


def draft_pdf(content: Content) -> bytes:
    """A plain PDF of what is not an invoice yet: no number, no XML. Raises PressFailed."""
    with translation.override(content.language):
        return _print(pages.render(content, number="", issued_on=None), "")


def missing_library() -> str:
    """Which library of the system is missing, asked in a process that ends at once; empty when none is."""
    question = "import weasyprint"
    asked = subprocess.run([sys.executable, "-c", question], capture_output=True, text=True, check=False)
    return asked.stderr.strip().splitlines()[-1][:200] if asked.returncode else ""


def _print(page: pages.Page, xml: str) -> bytes:
    job = {
        "do": "pdf",
        "html": page.html,
        "xml": xml,
        "lang": page.language,
        "metadata": page.metadata,
        "fonts": settings.DOCUMENT_FONTS,
    }
    return base64.b64decode(ask(job)["pdf"])


def _refuse(answer: dict[str, Any]) -> None:
    if answer["failed"]:
        raise InvoiceRefused([of_rule(rule, text) for rule, text in answer["failed"]])


def _dates_as_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _dates_as_text(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_dates_as_text(inner) for inner in value]
    return value.isoformat() if isinstance(value, date) else value


# --- the processes ------------------------------------------------------------------------------------------


class _Child:
    def __init__(self) -> None:
        # Its fonts lie there as long as it lives; whoever is killed cannot tidy up.
        self.folder = tempfile.TemporaryDirectory(prefix="parcelle-press-", ignore_cleanup_errors=True)
        # Started anew, never forked: the libraries do not survive a fork. And by its path: it is not to load Django.
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).with_name("press_child.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": self.folder.name},
        )

    def start(self) -> None:
        self._answer(seconds=START_SECONDS)

    def ask(self, job: dict[str, Any], *, seconds: float) -> dict[str, Any]:
        """Raises OSError, also for a time-out, and ValueError where the child died in the middle of its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(job).encode() + b"\n")
        self.process.stdin.flush()
        return self._answer(seconds=seconds)

    def _answer(self, *, seconds: float) -> dict[str, Any]:
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            raise TimeoutError("no answer in time")
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def end(self) -> None:
        with contextlib.suppress(OSError):
            self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        self.process.wait()
        self.folder.cleanup()


_idle: queue.LifoQueue[_Child] = queue.LifoQueue()
_free = threading.BoundedSemaphore(CHILDREN)


def ask(job: dict[str, Any], *, seconds: float = JOB_SECONDS) -> dict[str, Any]:
    """Has a job done by a child. Raises PressFailed; what a dead child was at is tried once more by a fresh one."""
    with _free:
        for fresh in (False, True):
            child, new = _take(fresh=fresh)
            try:
                if new:
                    child.start()
                answer = child.ask(job, seconds=seconds)
            except (OSError, ValueError) as error:
                child.end()
                logger.warning("a document maker died", doing=job["do"], reason=type(error).__name__)
                continue
            _idle.put(child)
            return _understood(answer)
    raise PressFailed("no document maker stays alive")


def _take(*, fresh: bool) -> tuple[_Child, bool]:
    """A child, and whether it has yet to load its libraries."""
    while not fresh:
        try:
            child = _idle.get_nowait()
        except queue.Empty:
            break
        if child.process.poll() is None:
            return child, False
        child.end()
    return _Child(), True


def _understood(answer: dict[str, Any]) -> dict[str, Any]:
    if "missing" in answer:
        raise LibrariesMissing(answer["missing"])
    if "error" in answer:
        raise PressFailed(answer["error"])
    return answer


def close() -> None:
    """Lets the children go; the next job starts another."""
    while True:
        try:
            _idle.get_nowait().end()
        except queue.Empty:
            return


atexit.register(close)
