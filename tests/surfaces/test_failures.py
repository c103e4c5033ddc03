"""Every failure has words in both languages, and nobody but operators reads what a program said."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator

import pytest
from django.utils import translation

from parcelle.domain import provisioning
from parcelle.domain.provisioning.errors import ProvisioningError
from parcelle.journeys import signup
from parcelle.surfaces import failures
from parcelle.surfaces.backoffice import words

ADVICE = {
    "fr": re.compile(r"réessayez|contactez-nous|choisissez|rien à faire|a pris trop de temps$"),
    "en": re.compile(r"try again|contact us|choose|nothing you need to do|took too long$"),
}


def codes() -> list[str]:
    """Of all errors that the source declares, wherever in provisioning that is."""
    for module in pkgutil.walk_packages(provisioning.__path__, f"{provisioning.__name__}."):
        if ".migrations" not in module.name:
            importlib.import_module(module.name)
    ours = {kind for kind in _below(ProvisioningError) if kind.__module__.startswith("parcelle.")}
    return sorted({kind.code for kind in ours})


def _below(kind: type[ProvisioningError]) -> Iterator[type[ProvisioningError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _below(below)


def test_every_code_is_known_to_every_surface() -> None:
    known = {*failures.CAUSES, *failures.UNREACHABLE, failures.TIMEOUT}
    assert set(codes()) == known
    assert known <= set(words.ERRORS)


@pytest.mark.parametrize("kind", ["create", "resume"])
def test_every_failure_says_what_to_do_next_in_both_languages(kind: str) -> None:
    said = {}
    for language, advice in ADVICE.items():
        with translation.override(language):
            said[language] = {code: failures.sentence(code, kind=kind) for code in codes()}
        assert {code: text for code, text in said[language].items() if not advice.search(text)} == {}
    assert not [code for code in codes() if said["fr"][code] == said["en"][code]]


def test_a_code_that_nobody_knows_still_has_words() -> None:
    with translation.override("fr"):
        assert failures.sentence("broken_in_two") == failures.sentence("step_failed")


def test_a_registration_that_failed_says_why_in_one_language() -> None:
    for code in ("not_on_sale", "not_provided", "not_stored"):
        refused = signup.RegistrationFailed(code, reference="0a1b2c3d", detail="relation is gone")
        for language, begins in (("fr", "Erreur lors de l'enregistrement : "), ("en", "Registration error: ")):
            with translation.override(language):
                text = failures.registration(refused.code, refused.reference)
            assert text.startswith(begins) and "0a1b2c3d" in text and ADVICE[language].search(text)
