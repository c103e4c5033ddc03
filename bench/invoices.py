"""Claim: an invoice (XML, all its checks, UBL, PDF/A-3 with the XML in it) takes at most 0.6 s, 3 a second on 2 cores.

Two threads share two press children, as two workers would. Then the same with numbers, on the database, one after
the other as the queue does it. The ratio is to WeasyPrint alone printing the same page into a PDF that is no invoice.
Processor time is printed too, because a machine that does something else makes the clock run.
Run: `.venv/bin/python bench/invoices.py [how many]`
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

from harness import claim, percentile, running_system, summary

DOCUMENTS = 60
BARE = 10
THREADS = 2
MOST_SECONDS = 0.6
PER_SECOND = 3
TODAY = date(2026, 3, 2)


def said(number: int) -> Any:
    """What a small company buys: two lines, one of them reduced, paid by transfer."""
    from decimal import Decimal

    from parcelle.core.money import Money
    from parcelle.domain.billing.invoicing import content
    from parcelle.domain.billing.taxes import Decision

    tax = Decision(category="S", rate=Decimal(20))
    seller = content.Seller(
        name="Atelier Logiciel",
        legal_form="SAS",
        share_capital="10 000 €",
        address="12 rue des Carmes",
        postcode="44000",
        city="Nantes",
        siren="732829320",
        register="RCS Nantes 732 829 320",
        vat_number="FR44732829320",
        email="compta@atelier.example",
        iban="FR7630006000011234567890189",
        bic="AGRIFRPP",
    )
    buyer = content.Buyer(
        name=f"Maçonnerie n° {number} SARL",
        address="3 quai de la Fosse",
        postcode="44000",
        city="Nantes",
        siren="552100554",
        vat_number="FR96552100554",
        email=f"compta@client-{number}.example",
    )
    lines = [
        content.Line(
            name="Tryton Silver", description="Abonnement mensuel", price=Money(4900 + number, "EUR"), tax=tax
        ),
        content.Line(name="Utilisateur de plus", price=Money(900, "EUR"), quantity=3, tax=tax),
    ]
    return content.Content(
        kind=content.INVOICE,
        language="fr" if number % 2 else "en",
        currency="EUR",
        lines=tuple(content.with_discount(lines, Money(500, "EUR"), "Code BIENVENUE")),
        seller=seller,
        buyer=buyer,
        starts_on=TODAY,
        ends_on=date(2026, 4, 1),
        due_on=date(2026, 4, 1),
    )


def timed(act: Callable[[int], object]) -> Callable[[int], float]:
    def run(number: int) -> float:
        began = time.perf_counter()
        act(number)
        return time.perf_counter() - began

    return run


def processor_seconds() -> float:
    """Of this process and of the press children that are alive."""
    import psutil

    used = 0.0
    for process in (own := psutil.Process(), *own.children()):
        times = process.cpu_times()
        used += times.user + times.system
    return used


def press(number: int) -> None:
    from parcelle.domain.billing.invoicing.press import WarmPress

    WarmPress().make(said(number), number=f"FA-2026-{number:06d}", issued_on=TODAY)


def bare(number: int) -> None:
    import weasyprint
    from django.utils import translation

    from parcelle.domain.billing.invoicing import pages

    document = said(number)
    with translation.override(document.language):
        page = pages.render(document, number=f"FA-2026-{number:06d}", issued_on=TODAY)
    weasyprint.HTML(string=page.html).write_pdf()


def customer() -> Any:
    from dataclasses import asdict

    from django.utils import timezone

    from parcelle.domain.billing.models import BillingDetails, Seller
    from parcelle.domain.tenancy.models import Organization

    example = said(1)
    names = {field.name for field in Seller._meta.fields}
    Seller.objects.update_or_create(
        pk=1, defaults={name: value for name, value in asdict(example.seller).items() if name in names}
    )
    organization = Organization.objects.create(name="Client", slug="client-bench", created_at=timezone.now())
    BillingDetails.objects.create(organization=organization, updated_at=timezone.now(), **asdict(example.buyer))
    return organization


def finalise(organization: Any) -> Callable[[int], object]:
    import uuid

    from django.utils import timezone

    from parcelle.domain.billing import invoicing
    from parcelle.domain.billing.invoicing import drafts

    def act(number: int) -> object:
        draft = drafts._store(
            said(number), now=timezone.now(), key=f"bench:{uuid.uuid4()}", organization=organization, paid_at=None
        )
        return invoicing.finalise(draft.pk)

    return act


def rate_of(act: Callable[[int], float], numbers: Iterable[int], threads: int) -> tuple[float, list[float], float]:
    """Documents a second, the seconds of each, and processor seconds of each."""
    used, began = processor_seconds(), time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        seconds = list(pool.map(act, numbers))
    rate = len(seconds) / (time.perf_counter() - began)
    return rate, seconds, (processor_seconds() - used) / len(seconds)


def main(count: int) -> bool:
    # No workers: what is measured has the machine to itself.
    with running_system(PARCELLE_DEMO="0", PARCELLE_WORKERS="0", PARCELLE_LOG_LEVEL="ERROR"):
        import django

        django.setup()
        from parcelle.core import context

        context.of_process(context.Platform.COMMANDS)
        numbers = range(1, count + 1)
        # Both children have loaded their libraries and made a document before anything is measured.
        rate_of(timed(press), range(2 * THREADS), THREADS)
        rate, seconds, each = rate_of(timed(press), numbers, THREADS)
        in_a_row, finalised, finalised_each = rate_of(timed(finalise(customer())), numbers, 1)
        bare(0)
        alone = percentile([timed(bare)(number) for number in range(BARE)], 50)
        print(f"made and checked, {THREADS} at a time: {summary(seconds)}, {each:.3f} s of a processor each")
        print(f"made and numbered in a row: {summary(finalised)}, {finalised_each:.3f} s of a processor each")
        print(f"in a row, as the queue does it: {in_a_row:.1f} a second")
        print(f"WeasyPrint alone, the page only: p50 {alone:.3f} s; ratio {percentile(finalised, 50) / alone:.2f}")
        p95 = percentile(finalised, 95)
        return all(
            (
                claim(f"invoices: at most {MOST_SECONDS} s each", f"p95 {p95:.3f} s", p95 <= MOST_SECONDS),
                claim(f"invoices: at least {PER_SECOND} a second", f"{rate:.1f} a second", rate >= PER_SECOND),
            )
        )


if __name__ == "__main__":
    sys.exit(not main(int(sys.argv[1]) if len(sys.argv) > 1 else DOCUMENTS))
