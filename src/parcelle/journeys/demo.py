"""What a new installation can sell at once, so that the first visitor finds something to try."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from django.conf import settings
from django.db import transaction

from parcelle.core import crypto
from parcelle.core.money import Money
from parcelle.domain.billing.models import GatewaySettings
from parcelle.domain.catalog.models import AddOn, AddOnPrice, Feature, Plan, PlanFeature, Price, Product
from parcelle.domain.provisioning.models import Target
from parcelle.journeys import standby_pool


def ensure(*, now: datetime, pool_size: int = 2) -> None:
    """Creates the target `local`, Tryton with its plans, and the test payment if there is no product; starts its pool.

    Whatever an operator changed or removed since stays as they left it.
    """
    with transaction.atomic():
        if settings.DEMO and not Product.objects.exists():
            Target.objects.get_or_create(name="local", defaults={"provider": "process"})
            product = Product.objects.create(
                slug="tryton",
                name="Tryton",
                tagline_fr="Ventes, factures, comptabilité et projets dans un seul outil libre.",
                tagline_en="Sales, invoices, accounting and projects in one free tool.",
                blueprint="tryton",
                target_name="local",
                pool_size=pool_size,
            )
            _plans(product, now=now)
            _test_payment()
    for product in Product.objects.filter(enabled=True):
        standby_pool.keep_soon(product.pk)


# short name -> name, for whom in French and English, months in each currency, users, storage in GB
_OFFERS = (
    ("bronze", "Bronze", "Pour commencer seul ou à deux.", "To begin alone or as two.", (19, 21, 17, 12_500), 2, 5),
    ("silver", "Silver", "Pour une équipe qui travaille.", "For a team at work.", (49, 54, 42, 32_000), 10, 25),
    ("gold", "Gold", "Pour toute l’entreprise.", "For the whole company.", (99, 109, 85, 65_000), None, 100),
    # Made, but not on sale: three plans side by side are enough to begin with.
    ("starter", "Starter", "Pour essayer pour de bon.", "To try it for real.", (9, 10, 8, 6_000), 1, 2),
    ("pro", "Pro", "Pour un cabinet et ses clients.", "For a practice.", (149, 164, 128, 98_000), 50, 250),
)
_NOT_YET = ("starter", "pro")
# short name, name in French and English, what it raises and by how much, months in each currency, plans, most of it
_ADD_ONS = (
    ("extra-user", "Utilisateur de plus", "Extra user", "users", 1, (8, 9, 7, 5_000), ("bronze", "silver"), 50),
    ("extra-storage", "10 Go de plus", "10 GB more", "storage_gb", 10, (4, 5, 4, 2_500), (), 100),
)
_CURRENCIES = ("EUR", "USD", "GBP", "XAF", "XOF")
# Ten months are paid for a year.
_MONTHS_PAID = 10


def _plans(product: Product, *, now: datetime) -> None:
    users, storage, database, support = (
        Feature.objects.create(product=product, key=key, name_fr=fr, name_en=en, icon=icon, position=at)
        for at, (key, fr, en, icon) in enumerate(
            (
                ("users", "Utilisateurs", "Users", "users"),
                ("storage_gb", "Stockage en Go", "Storage in GB", "database"),
                ("database", "Base de données à part", "Database of its own", "shield-check"),
                ("support", "Réponse sous un jour ouvré", "Answers within one working day", "lifebuoy"),
            )
        )
    )
    Plan.objects.create(product=product, slug="essai", name="Essai", trial_days=30, retention_days=30)
    for position, (slug, name, fr, en, amounts, seats, gigabytes) in enumerate(_OFFERS, start=1):
        plan = Plan.objects.create(
            product=product,
            slug=slug,
            name=name,
            summary_fr=fr,
            summary_en=en,
            trial_days=0,
            popular=slug == "silver",
            enabled=slug not in _NOT_YET,
            position=position,
        )
        PlanFeature.objects.create(plan=plan, feature=users, counted=True, amount=seats)
        PlanFeature.objects.create(plan=plan, feature=storage, counted=True, amount=gigabytes)
        PlanFeature.objects.create(plan=plan, feature=database)
        if slug in {"gold", "pro"}:
            PlanFeature.objects.create(plan=plan, feature=support)
        for month in _monthly(amounts):
            _price(plan, Price.MONTH, month, now=now)
            _price(plan, Price.YEAR, month * _MONTHS_PAID, now=now)
    Plan.objects.create(
        product=product,
        slug="enterprise",
        name="Entreprise",
        summary_fr="Plusieurs sociétés, vos propres serveurs, un contrat à vos conditions.",
        summary_en="Several companies, servers of your own, a contract on your terms.",
        on_request=True,
        trial_days=0,
        position=len(_OFFERS) + 1,
    )
    _add_ons(product, now=now)


def _add_ons(product: Product, *, now: datetime) -> None:
    features = {feature.key: feature for feature in product.features.all()}
    for position, (slug, fr, en, raises, adds, amounts, plans, most) in enumerate(_ADD_ONS):
        add_on = AddOn.objects.create(
            feature=features[raises], slug=slug, name_fr=fr, name_en=en, most=most, position=position
        )
        # A plan without a limit needs no more of it.
        add_on.plans.set(product.plans.filter(slug__in=plans))
        for month in _monthly(amounts):
            for interval, amount in ((Price.MONTH, month), (Price.YEAR, month * _MONTHS_PAID)):
                AddOnPrice.objects.create(
                    add_on=add_on,
                    interval=interval,
                    currency=amount.currency,
                    amount_minor=amount.minor,
                    adds=adds,
                    created_at=now,
                )


def _monthly(amounts: Sequence[int]) -> Iterator[Money]:
    # The two francs CFA are worth the same.
    for currency, amount in zip(_CURRENCIES, (*amounts, amounts[-1]), strict=True):
        yield Money.of(amount, currency)


def _price(plan: Plan, interval: str, amount: Money, *, now: datetime) -> None:
    Price.objects.create(
        plan=plan, interval=interval, currency=amount.currency, amount_minor=amount.minor, created_at=now
    )


def _test_payment() -> None:
    GatewaySettings.objects.get_or_create(
        name="fake", defaults={"enabled": True, "values": {"secret": crypto.generate(32)}}
    )
