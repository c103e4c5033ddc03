"""Sentences for the operator that more than a page reads: English as they are, and in the reader's language there."""

from __future__ import annotations

from typing import Self

from django.utils.translation import gettext


class Sentence(str):
    """What `pattern` says with its values. Mark the pattern with `gettext_noop`, so that it is found."""

    __slots__ = ("pattern", "values")
    pattern: str
    values: dict[str, object]

    def __new__(cls, pattern: str, **values: object) -> Self:
        made = super().__new__(cls, pattern % values if values else pattern)
        made.pattern, made.values = pattern, values
        return made


def translated(sentence: str) -> str:
    """In the language that is active, as far as it is one that can be."""
    if not isinstance(sentence, Sentence):
        return sentence
    pattern = gettext(sentence.pattern)
    return pattern % sentence.values if sentence.values else pattern
