"""Money: a whole number of a currency's smallest unit, and the currency. Nothing here, or built on it, is a float.

Decimals come from ISO 4217 as Babel knows it: EUR has 2, XAF and XOF have none, KWD has 3. What a payment
provider believes about decimals is the business of its gateway.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import cache

from babel.core import Locale
from babel.numbers import (
    format_currency,
    get_currency_precision,
    get_decimal_symbol,
    get_group_symbol,
    list_currencies,
)


class NotMoney(ValueError):
    """Something that cannot be an amount in this currency; the text says why."""


class CurrencyMismatch(ValueError):
    """Two currencies in one sum."""


@cache
def decimals(currency: str) -> int:
    """How many digits follow the decimal sign: 2 for EUR, 0 for XAF. Raises NotMoney for an unknown currency."""
    if currency not in _currencies():
        raise NotMoney(f"{currency!r} is not a currency")
    return int(get_currency_precision(currency))


@cache
def _currencies() -> frozenset[str]:
    return frozenset(code for code in list_currencies() if re.fullmatch(r"[A-Z]{3}", code))


@dataclass(frozen=True, slots=True)
class Money:
    """An amount: `minor` units of `currency`, so `Money(1250, "EUR")` is 12,50 €. May be negative."""

    minor: int
    currency: str

    def __post_init__(self) -> None:
        if type(self.minor) is not int:
            raise NotMoney(f"an amount is a whole number of minor units, not {type(self.minor).__name__}")
        decimals(self.currency)

    @classmethod
    def of(cls, amount: str | int | Decimal, currency: str) -> Money:
        """From an amount in major units: `Money.of("12.50", "EUR")`. Raises NotMoney for decimals it does not have."""
        if type(amount) not in {str, int, Decimal}:
            raise NotMoney(f"an amount is text, a whole number or a Decimal, not {type(amount).__name__}")
        try:
            scaled = Decimal(amount).scaleb(decimals(currency))
            minor = int(scaled)
        except (InvalidOperation, ValueError, OverflowError):
            raise NotMoney(f"{amount!r} is not an amount") from None
        if scaled != minor:
            raise NotMoney(f"{amount} has more decimals than {currency} knows")
        return cls(minor, currency)

    @classmethod
    def zero(cls, currency: str) -> Money:
        return cls(0, currency)

    @classmethod
    def total(cls, amounts: Iterable[Money], currency: str) -> Money:
        """The sum; zero of `currency` when there are none. Raises CurrencyMismatch."""
        result = cls(0, currency)
        for amount in amounts:
            result += amount
        return result

    @property
    def amount(self) -> Decimal:
        """In major units, exactly."""
        return Decimal(self.minor).scaleb(-decimals(self.currency))

    def __add__(self, other: Money) -> Money:
        return Money(self.minor + self._same(other).minor, self.currency)

    def __sub__(self, other: Money) -> Money:
        return Money(self.minor - self._same(other).minor, self.currency)

    def __neg__(self) -> Money:
        return Money(-self.minor, self.currency)

    def __mul__(self, times: int) -> Money:
        if type(times) is not int:
            raise NotMoney(f"an amount is multiplied by a whole number or by `times`, not by {type(times).__name__}")
        return Money(self.minor * times, self.currency)

    __rmul__ = __mul__

    def __lt__(self, other: Money) -> bool:
        return self.minor < self._same(other).minor

    def __le__(self, other: Money) -> bool:
        return self.minor <= self._same(other).minor

    def __gt__(self, other: Money) -> bool:
        return self.minor > self._same(other).minor

    def __ge__(self, other: Money) -> bool:
        return self.minor >= self._same(other).minor

    def __bool__(self) -> bool:
        return self.minor != 0

    def _same(self, other: Money) -> Money:
        if other.currency != self.currency:
            raise CurrencyMismatch(f"{self.currency} and {other.currency} cannot be counted together")
        return other

    def times(self, factor: Fraction | Decimal) -> Money:
        """A part of the amount, half a unit rounded away from zero: `times(Fraction(20, 100))` is twenty percent."""
        exact = Fraction(factor) * abs(self.minor)
        rounded = (2 * exact.numerator + exact.denominator) // (2 * exact.denominator)
        return Money(rounded if self.minor >= 0 else -rounded, self.currency)

    def spread(self, weights: Sequence[int]) -> list[Money]:
        """The amount divided in proportion to `weights` (none negative, one positive), to the last unit.

        What does not divide goes to the largest remainders, the first of equals.
        """
        whole = sum(weights)
        if whole <= 0 or min(weights) < 0:
            raise NotMoney("an amount is spread over weights of which none is negative and one is positive")
        size, sign = abs(self.minor), 1 if self.minor >= 0 else -1
        shares = [size * weight // whole for weight in weights]
        by_remainder = sorted(range(len(weights)), key=lambda at: (-(size * weights[at] % whole), at))
        for at in by_remainder[: size - sum(shares)]:
            shares[at] += 1
        return [Money(sign * share, self.currency) for share in shares]

    def format(self, locale: str) -> str:
        """As a reader of `locale` ("fr", "en") writes it: `1 234,50 €`, `32 000 FCFA`."""
        return _written(format_currency(self.amount, self.currency, locale=locale))

    def format_short(self, locale: str) -> str:
        """As prices are announced: without decimals where there is nothing behind them, `49 €`."""
        if self.amount % 1:
            return self.format(locale)
        pattern = re.sub(r"\.0+", "", str(Locale.parse(locale).currency_formats["standard"].pattern))
        return _written(format_currency(self.amount, self.currency, pattern, locale=locale, currency_digits=False))

    def __str__(self) -> str:
        return f"{self.amount:f} {self.currency}"


def _written(written: str) -> str:
    """Letters do not run into digits: Unicode's data ask for a space there, and Babel leaves it out. What is taken off
    has a minus sign, which lines up with digits and is not broken from them as a hyphen is."""
    return re.sub(r"([^\W\d_])(?=\d)", "\\1\u00a0", written).replace("-", "\N{MINUS SIGN}")


_SPACES = re.compile(r"[\s\u00a0\u202f]")


def parse(text: str, currency: str, locale: str) -> Money:
    """The inverse of `format`, lenient about spaces and the currency's sign. Raises NotMoney."""
    known = Locale.parse(locale)
    bare = _SPACES.sub("", text)
    for sign in sorted({currency, known.currency_symbols.get(currency, currency)}, key=len, reverse=True):
        bare = bare.replace(_SPACES.sub("", sign), "")
    bare = bare.replace("\N{MINUS SIGN}", "-").replace(_SPACES.sub("", get_group_symbol(known)), "")
    bare = bare.replace(get_decimal_symbol(known), ".")
    if not re.fullmatch(r"-?\d+(\.\d+)?", bare, re.ASCII):
        raise NotMoney(f"{text!r} is not an amount")
    return Money.of(bare, currency)


__all__ = ["CurrencyMismatch", "Money", "NotMoney", "decimals", "parse"]
