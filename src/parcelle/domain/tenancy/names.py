"""Short names from company names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from text_unidecode import unidecode

from parcelle.core.rows import insert_unless_taken

SHORTEST, LONGEST = 3, 50
WELL_FORMED = re.compile(r"[a-z0-9-]{3,50}")
FALLBACK = "client"


def slugify(company: str) -> str:
    """A well-formed short name for any text: accents folded, other scripts transliterated, 3 to 50 characters."""
    folded = unidecode(unicodedata.normalize("NFKC", company)).lower()
    slug = re.sub(r"[^a-z0-9]+", "-", folded).strip("-")[:LONGEST].strip("-")
    if not slug:
        return FALLBACK
    return slug if len(slug) >= SHORTEST else f"{slug}-{FALLBACK}"


def free_name(wanted: str, is_taken: Callable[[str], bool]) -> str:
    """`wanted`, or the first of `wanted-2`, `wanted-3`, … that nobody has."""
    if not is_taken(wanted):
        return wanted
    number = 2
    while True:
        suffix = f"-{number}"
        candidate = (wanted[: LONGEST - len(suffix)].rstrip("-") or FALLBACK) + suffix
        if not is_taken(candidate):
            return candidate
        number += 1


def store_under_free_name(row: Any, *, held: QuerySet[Any]) -> None:
    """Stores a new row under the first free name like its `slug`; `held` are the rows of its table that hold names.

    No lock: the unique constraint makes two that reach for one name wait for each other, and nobody else.
    """
    wanted: str = row.slug
    while not insert_unless_taken(row):
        # All that `free_name` may make of it begin like this.
        taken = set(held.filter(slug__startswith=wanted[: LONGEST - 10]).values_list("slug", flat=True))
        if row.slug not in taken:
            # It is not the name that is taken: that is no reason to look for another, but an error.
            row.save(force_insert=True)
            return
        row.slug = free_name(wanted, taken.__contains__)
