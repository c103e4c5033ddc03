"""Bank statements as files: pure reading, no tables. Whatever is in a file, reading it ends in entries or in words."""

from __future__ import annotations

from parcelle.domain.billing.statement_files.base import Entry, Reading

__all__ = ["Entry", "Reading", "is_xml"]


def is_xml(content: bytes) -> bool:
    """Whether a file is meant as XML, by its first sign."""
    beginning = content[:64].lstrip(b"\xef\xbb\xbf \t\r\n").replace(b"\0", b"").lstrip(b"\xff\xfe \t\r\n")
    return beginning.startswith(b"<")
