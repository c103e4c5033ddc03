from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from parcelle.domain.tenancy.names import WELL_FORMED, free_name, slugify

ANY_TEXT = st.text(st.characters(codec=None), max_size=300)


@pytest.mark.parametrize(
    ("company", "slug"),
    [
        ("Maçonnerie Général & Fils", "maconnerie-general-fils"),
        ("  L’Œuvre d’Été  ", "l-oeuvre-d-ete"),
        ("شركة البناء", "shrk-lbn"),
        ("Строй Сервис", "stroi-servis"),
        ("東京", "dong-jing"),
        ("🏗️🏠", "client"),
        ("", "client"),
        ("---", "client"),
        ("A", "a-client"),
        ("É1", "e1-client"),
        ("a" * 300, "a" * 50),
        ("ab " * 100, "ab-" * 16 + "ab"),
    ],
)
def test_a_company_gets_a_readable_short_name(company: str, slug: str) -> None:
    assert slugify(company) == slug


@given(ANY_TEXT)
@example("'; DROP TABLE tenancy_organization; --")
@example("$(rm -rf /) `id` && true | sh")
@example("<script>alert(1)</script>")
@example("../../etc/passwd\x00${secret_key}")
@example("\ud800 lone surrogate")
@example("ﷺ" * 40)
def test_any_text_becomes_a_well_formed_name(company: str) -> None:
    assert WELL_FORMED.fullmatch(slugify(company))


@given(ANY_TEXT)
def test_a_short_name_of_a_short_name_is_itself(company: str) -> None:
    assert slugify(slugify(company)) == slugify(company)


def test_a_free_name_is_taken_as_it_is() -> None:
    assert free_name("acme", set().__contains__) == "acme"


def test_the_next_ones_are_numbered_from_two() -> None:
    assert free_name("acme", {"acme", "acme-2", "acme-4"}.__contains__) == "acme-3"


@given(
    companies=st.lists(st.sampled_from(["Acme", "acme!", "A" * 60, "A" * 49 + " b", "a-2", "---", "é"]), max_size=40)
)
def test_names_given_one_after_the_other_are_well_formed_and_never_equal(companies: list[str]) -> None:
    given_out: list[str] = []
    for company in companies:
        given_out.append(free_name(slugify(company), given_out.__contains__))
    assert len(set(given_out)) == len(companies)
    assert all(WELL_FORMED.fullmatch(name) for name in given_out)


@given(wanted=st.from_regex(WELL_FORMED, fullmatch=True), number=st.integers(0, 120))
@example(wanted="---", number=1)
def test_whatever_is_wanted_stays_well_formed_with_its_number(wanted: str, number: int) -> None:
    tries = iter(range(number))
    assert WELL_FORMED.fullmatch(free_name(wanted, lambda _name: next(tries, None) is not None))
