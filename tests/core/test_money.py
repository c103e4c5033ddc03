"""P2 of the money properties, and the arithmetic that the others stand on."""

from __future__ import annotations

import ast
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcelle.core import money
from parcelle.core.money import CurrencyMismatch, Money, NotMoney, decimals, parse

CURRENCIES = sorted(money._currencies())
amounts = st.integers(-(10**13), 10**13)
SOURCE = Path(money.__file__).parents[1]


@pytest.mark.parametrize(
    ("currency", "digits"), [("EUR", 2), ("XAF", 0), ("XOF", 0), ("JPY", 0), ("KWD", 3), ("HUF", 2), ("USD", 2)]
)
def test_p02_decimals(currency: str, digits: int) -> None:
    assert decimals(currency) == digits


@pytest.mark.parametrize("wrong", [10.0, Decimal(10), "10", True, None])
def test_p02_minor_units_are_whole_numbers(wrong: object) -> None:
    with pytest.raises(NotMoney):
        Money(wrong, "EUR")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("amount", "currency"),
    [("10.005", "EUR"), ("10.5", "XAF"), (Decimal("0.1"), "XOF"), ("1.0001", "KWD"), ("ten", "EUR"), ("NaN", "EUR")],
)
def test_p02_no_more_decimals_than_the_currency_has(amount: str | Decimal, currency: str) -> None:
    with pytest.raises(NotMoney):
        Money.of(amount, currency)


def test_p02_every_currency_has_so_many_decimals_and_no_more() -> None:
    for currency in CURRENCIES:
        least = Decimal(1).scaleb(-decimals(currency))
        assert Money.of(least, currency).minor == 1
        with pytest.raises(NotMoney):
            Money.of(least / 10, currency)
        for locale in ("fr", "en"):
            assert parse(Money(-1, currency).format(locale), currency, locale) == Money(-1, currency)


def test_p02_a_float_is_refused_wherever_it_comes_in() -> None:
    with pytest.raises(NotMoney):
        Money.of(10.0, "EUR")  # type: ignore[arg-type]
    with pytest.raises(NotMoney):
        Money(10, "EUR") * 1.2  # type: ignore[operator]


@pytest.mark.parametrize("unknown", ["", "eur", "EURO", "ZZZ"])
def test_p02_an_unknown_currency_is_refused(unknown: str) -> None:
    with pytest.raises(NotMoney):
        Money(1, unknown)


@given(minor=amounts, currency=st.sampled_from(CURRENCIES), locale=st.sampled_from(["fr", "en"]))
def test_p02_parsing_what_was_formatted_gives_it_back(minor: int, currency: str, locale: str) -> None:
    amount = Money(minor, currency)
    assert parse(amount.format(locale), currency, locale) == amount


@given(minor=amounts, currency=st.sampled_from(CURRENCIES))
def test_p02_major_units_are_exact(minor: int, currency: str) -> None:
    amount = Money(minor, currency)
    assert Money.of(amount.amount, currency) == amount
    assert Money.of(f"{amount.amount:f}", currency) == amount


def test_as_readers_write_it() -> None:
    assert Money(123450, "EUR").format("fr") == "1\u202f234,50\u00a0€"
    assert Money(32000, "XAF").format("fr") == "32\u202f000\u00a0FCFA"
    assert Money(123450, "EUR").format("en") == "€1,234.50"
    assert Money(32000, "XAF").format("en") == "FCFA\u00a032,000"
    assert Money(-32000, "XOF").format("en") == "−F\u202fCFA\u00a032,000"


@given(minor=amounts, weights=st.lists(st.integers(0, 10**6), min_size=1, max_size=20).filter(any))
def test_p04_spreading_loses_no_cent(minor: int, weights: list[int]) -> None:
    shares = Money(minor, "EUR").spread(weights)
    assert Money.total(shares, "EUR").minor == minor
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share.minor - Fraction(minor * weight, sum(weights))) < 1
        assert weight or not share


@pytest.mark.parametrize("weights", [[], [0, 0], [1, -1, 3]])
def test_weights_that_mean_nothing_are_refused(weights: list[int]) -> None:
    with pytest.raises(NotMoney):
        Money(1, "EUR").spread(weights)


@pytest.mark.parametrize(("minor", "rounded"), [(2, 0), (3, 1), (-2, 0), (-3, -1), (5, 1), (7, 1), (8, 2), (1235, 247)])
def test_p04_half_a_cent_is_rounded_away_from_zero(minor: int, rounded: int) -> None:
    assert Money(minor, "EUR").times(Fraction(20, 100)).minor == rounded
    assert Money(125, "EUR").times(Decimal("0.1")).minor == 13
    assert Money(-125, "EUR").times(Decimal("0.1")).minor == -13


def test_currencies_do_not_mix() -> None:
    for operation in (Money.__add__, Money.__sub__, Money.__lt__, Money.__ge__):
        with pytest.raises(CurrencyMismatch):
            operation(Money(1, "EUR"), Money(1, "USD"))
    assert Money(1, "EUR") != Money(1, "USD")


def floats(tree: ast.AST) -> list[int]:
    """Lines where a float is written or made."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if (isinstance(node, ast.Constant) and isinstance(node.value, float))
        or (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float")
        or (isinstance(node, ast.Name) and node.id == "FloatField")
        or (isinstance(node, ast.Attribute) and node.attr == "FloatField")
    ]


def test_p02_the_search_for_floats_finds_them() -> None:
    assert floats(ast.parse("a = 1.5\nb = float(a)\nc = models.FloatField()\nd = 15")) == [1, 2, 3]


def test_p02_no_float_anywhere_near_money() -> None:
    files = [Path(money.__file__), *(SOURCE / "domain" / "billing").rglob("*.py")]
    assert len(files) > 5
    found = {str(path.relative_to(SOURCE)): lines for path in files if (lines := floats(ast.parse(path.read_text())))}
    assert not found


@pytest.mark.parametrize("locale", ["fr", "en"])
def test_what_is_taken_off_has_a_minus_sign(locale: str) -> None:
    for written in (Money(-1250, "EUR").format(locale), Money(-1200, "EUR").format_short(locale)):
        assert "\N{MINUS SIGN}" in written and "-" not in written
