"""Every code has its words, and every sentence its French, also those of unfold."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import unfold
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_python
from babel.messages.pofile import read_po
from django.test import Client
from django.utils.translation import override
from django.utils.translation.template import templatize

from parcelle.core import events
from parcelle.domain.provisioning import errors, queries, states
from parcelle.domain.provisioning.providers import PROVIDERS
from parcelle.domain.provisioning.workflows import WORKFLOWS
from parcelle.surfaces import backoffice
from parcelle.surfaces.backoffice import unfolded, words
from tests.surfaces.backoffice.rows import World

OURS = Path(backoffice.__file__).parent
SOURCE = OURS.parents[1]
THEIRS = Path(unfold.__file__).parent
KEYWORDS = {
    **dict.fromkeys(("_", "gettext", "gettext_lazy", "gettext_noop")),
    **dict.fromkeys(("ngettext", "ngettext_lazy"), (1, 2)),
    **dict.fromkeys(("pgettext", "pgettext_lazy"), ((1, "c"), 2)),
}
# For developers' eyes only: warnings about a ModelAdmin, and what only older versions of Django show.
PLACEHOLDER = r"%\(\w+\)[sd]"
NOT_FOR_OPERATORS = re.compile(r"autocomplete_fields|Raw passwords")


def catalog() -> Catalog:
    with (OURS / "locale" / "fr" / "LC_MESSAGES" / "django.po").open("rb") as file:
        return read_po(file, locale="fr")


def pairs() -> Iterator[tuple[str, str]]:
    for message in catalog():
        if isinstance(message.id, str) and message.id:
            yield message.id, str(message.string)
        elif message.id:
            yield from zip(message.id, message.string or (), strict=True)


def sentences(folder: Path) -> Iterator[str | tuple[str, ...]]:
    """Everything that is marked for translation in Python and templates."""
    for path in [*folder.rglob("*.py"), *folder.rglob("*.html")]:
        if "contrib" in path.relative_to(folder).parts:
            continue
        text = path.read_text()
        # What the templates say between their tags becomes noise at the beginning of lines, which Python dislikes.
        source = re.sub(r"(?m)^\s+", "", templatize(text)) if path.suffix == ".html" else text
        # Babel's annotations know lists where it yields texts and tuples.
        extracted: Any = extract_python(io.BytesIO(source.encode()), KEYWORDS, (), {"encoding": "utf-8"})
        for _line, function, message, _comments in extracted:
            texts = [part for part in (message if isinstance(message, list | tuple) else [message]) if part]
            if function.startswith("pgettext"):
                texts = texts[1:]
            if texts:
                yield texts[0] if len(texts) == 1 else tuple(texts)


def test_our_catalogue_is_complete_and_holds_nothing_else() -> None:
    known = {message.id for message in catalog() if message.id}
    used = {sentence for sentence in sentences(OURS) if isinstance(sentence, str)}
    plurals = {sentence[:2] for sentence in sentences(OURS) if isinstance(sentence, tuple)}
    assert used - known == set()
    assert plurals - known == set()
    assert known - used - plurals == set()
    for original, french in pairs():
        assert french, original
        assert sorted(re.findall(PLACEHOLDER, french)) == sorted(re.findall(PLACEHOLDER, original)), original


def test_french_typography() -> None:
    for _original, french in pairs():
        plain = re.sub(rf"<[^>]*>|{PLACEHOLDER}", "x", french)
        assert not re.search(r" [:;!?»]|« ", plain), french
        assert not re.search(r"(?<![\s\u00a0\u202fx])[;!?»]", plain), french
        assert "'" not in plain, french


def test_unfold_speaks_french() -> None:
    """Whatever unfold says is translated by Django's own catalogue or listed in `unfolded`."""
    listed = {sentence for sentence in unfolded.SENTENCES if isinstance(sentence, str)}
    with override("fr"):
        from django.utils.translation import gettext

        untranslated = {
            sentence
            for sentence in sentences(THEIRS)
            if isinstance(sentence, str)
            and sentence not in listed
            and gettext(sentence) == sentence
            and sentence not in {"Objects", "Action", "Date"}
            and not NOT_FOR_OPERATORS.search(sentence)
        }
    assert untranslated == set()


def test_the_pages_of_customers_say_it_alike() -> None:
    """Django makes one catalogue of both: where they differ, one is never read. `pgettext` tells them apart."""
    with (SOURCE / "locale" / "fr" / "LC_MESSAGES" / "django.po").open("rb") as file:
        theirs = {(each.context, each.id): each.string for each in read_po(file, locale="fr") if each.id}
    ours = {(each.context, each.id): each.string for each in catalog() if each.id}
    assert {key: (theirs[key], said) for key, said in ours.items() if theirs.get(key, said) != said} == {}


def test_every_code_has_words() -> None:
    steps = {
        work.name
        for workflow in WORKFLOWS.values()
        for provider in _providers()
        for work in [*workflow.steps(provider), *workflow.undo]
    }
    assert set(WORKFLOWS) <= set(words.KINDS)
    assert steps <= set(words.STEPS)
    # Other tests of this process may have declared facts of their own.
    ours = {name for declared, name in events._event_names.items() if declared.__module__.startswith("parcelle.")}
    assert ours <= set(words.FACTS)
    assert set(queries.REASONS) <= set(words.REASONS)
    codes = {kind.code for kind in _subclasses(errors.ProvisioningError)}
    assert codes <= set(words.ERRORS)
    for choices in (states.INSTANCE_CHOICES, states.OPERATION_CHOICES, states.TEMPLATE_CHOICES):
        assert all(str(title) for _state, title in choices)
    templates = Path(errors.__file__).parents[1] / "notifications" / "templates" / "notifications"
    kinds = {path.name.removesuffix(".subject.txt") for path in templates.glob("*.subject.txt")}
    assert kinds <= set(words.MESSAGES)


def _providers() -> list[Any]:
    from parcelle.domain.provisioning.providers.process import ProcessProvider

    return [PROVIDERS["null"]({}), ProcessProvider]


def _subclasses(kind: type[errors.ProvisioningError]) -> Iterator[type[errors.ProvisioningError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _subclasses(below)


@pytest.mark.django_db
def test_both_languages_are_a_click_away(operator: Client, world: World) -> None:
    for language, title in (("fr", "Vue d’ensemble"), ("en", "Overview")):
        answer = operator.post("/i18n/setlang/", {"language": language, "next": "/admin/"}, follow=True)
        html = answer.content.decode()
        assert f'<html lang="{language}"' in html
        assert title in html


@pytest.mark.django_db
def test_no_english_is_left_on_a_french_page(operator: Client, world: World) -> None:
    operator.cookies["parcelle_language"] = "fr"
    english = re.compile(
        r">\s*(State|Created|Instance live|Organization|Filters|Save|Delete|Product|User|Steps?|Home|Add|Back)\s*<"
    )
    for page in ("", "tenancy/organization/", "provisioning/operation/", "core/fact/", "accounts/user/add/"):
        html = operator.get(f"/admin/{page}").content.decode()
        assert not english.search(html), page
