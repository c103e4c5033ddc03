"""The page that answers where an application does not, in every language, for browsers and for programs.

Needs nothing but the standard library: the holding process uses it too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from parcelle.domain.provisioning import visitors

# How anybody, we ourselves included, recognises such a page.
MARK = "X-Parcelle-Page"
# Nothing is loaded and no script runs: the page is one file.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


@dataclass(frozen=True)
class Wording:
    """The page in one language: complete HTML, and the same as plain text."""

    html: str
    text: str


@dataclass(frozen=True)
class Page:
    """`status` is the HTTP status, `retry_after` in seconds; `words` is by language, the preferred one first."""

    kind: str
    status: int
    retry_after: int | None
    words: Mapping[str, Wording]

    def answer(self, *, accept: str, accept_language: str) -> tuple[dict[str, str], str]:
        """Headers and body for who asks."""
        language = visitors.language(accept_language, list(self.words))
        as_html = visitors.reads_html(accept)
        headers = {
            "Content-Type": f"text/{'html' if as_html else 'plain'}; charset=utf-8",
            "Content-Language": language,
            "Cache-Control": "no-store",
            "Vary": "Accept, Accept-Language",
            "X-Robots-Tag": "noindex",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "same-origin",
            "Content-Security-Policy": _POLICY,
            MARK: self.kind,
        }
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        words = self.words[language]
        return headers, words.html if as_html else words.text

    def to_json(self, *, of: str = "") -> str:
        """As a file; `of` says whose page it is."""
        return json.dumps({**asdict(self), "of": of}, ensure_ascii=False)

    @staticmethod
    def owner(text: str) -> str:
        """Whose page this file is; empty when it does not say."""
        return str(json.loads(text).get("of", ""))

    @classmethod
    def from_json(cls, text: str) -> Page:
        values = json.loads(text)
        values.pop("of", None)
        return cls(**{**values, "words": {name: Wording(**words) for name, words in values["words"].items()}})
