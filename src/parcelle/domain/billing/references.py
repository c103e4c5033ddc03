"""Creditor references (ISO 11649): `RF`, two check digits, and our payment's number.

They are what a transfer is recognised by, so they are read out of whatever a bank made of them: in lower case, cut
by spaces, glued to other words. One wrong character, and the check digits refuse it.
"""

from __future__ import annotations

import re

from stdnum import iso11649
from stdnum.iso7064 import mod_97_10

_BEGINNING = re.compile(r"RF\d\d")
# What may follow `RF` and its check digits, by the standard.
_LONGEST = 21
_SHORTEST = 5


def make(number: str) -> str:
    """`PAR2026000123` becomes `RF22PAR2026000123`. Raises ValueError for what no reference can be made of."""
    if not re.fullmatch(r"[A-Z0-9]{1,21}", number):
        raise ValueError(f"{number!r} is not 1 to 21 capital letters and digits")
    return f"RF{mod_97_10.calc_check_digits(number + 'RF')}{number}"


def grouped(reference: str) -> str:
    """In groups of four, as people read it aloud."""
    return " ".join(reference[at : at + 4] for at in range(0, len(reference), 4))


def candidates(*texts: str) -> list[str]:
    """Every reference with the right check digits that can be read in the texts, the longest first.

    Where a reference ends nobody says: words that follow it may be glued to it, and one in a hundred of those still
    has the right check digits. Which of them is one of ours, only our own books tell.
    """
    plain = re.sub(r"[^A-Z0-9]", "", "".join(texts).upper(), flags=re.ASCII)
    found = set()
    for begin in _BEGINNING.finditer(plain):
        for length in range(_SHORTEST, 4 + _LONGEST + 1):
            text = plain[begin.start() : begin.start() + length]
            if len(text) == length and iso11649.is_valid(text):
                found.add(text)
    return sorted(found, key=lambda text: (-len(text), text))
