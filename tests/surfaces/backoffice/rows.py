"""At least one row of everything, with secrets that are known to the tests and must be seen nowhere."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from decimal import Decimal

from parcelle.core.money import Money
from parcelle.domain.accounts.models import ApiToken
from parcelle.domain.billing import refunds, statements
from parcelle.domain.billing.models import ExchangeRate, GatewayEvent, Payment, PriceChange, SavedMethod, VatCheck
from parcelle.domain.catalog import actions as catalog
from parcelle.domain.catalog.models import AddOn, Coupon, Feature, Price
from parcelle.domain.notifications.models import MailboxMail, Message
from parcelle.domain.provisioning.models import Domain, Finding, Instance, Operation, Target, Template
from tests import people
from tests.domain.billing import bank, documents, selling, transferring
from tests.people import NOW, Cast


@dataclass(frozen=True)
class World:
    """What the tests ask about; `secrets` are parts of texts."""

    live: Instance
    failed: Instance
    suspended: Instance
    standby: Instance
    target: Target
    template: Template
    token: ApiToken
    secrets: tuple[str, ...]


def _sell(cast: Cast) -> None:
    """An order with a payment, a refund and a message about it."""
    order = selling.order(selling.open_shop(plan=cast.plan))
    payment = selling.attempt(order)
    Payment.objects.filter(pk=payment.pk).update(
        state="paid",
        received_minor=payment.amount_minor,
        received_currency=payment.currency,
        memo={"session": "Secret-memo-6"},
    )
    refunds.request(
        payment.pk, amount=Money(100, "EUR"), reason="goodwill", actor=f"user:{cast.operator.pk}", now=NOW, by_hand=True
    )
    GatewayEvent.objects.create(
        gateway="fake",
        event_id="evt_1",
        kind="charge.approved",
        subject=str(payment.pk),
        headers={"x-test-payment-signature": "Secret-signature-7", "cookie": "Secret-cookie-8"},
        body=b'{"id": "evt_1", "client_secret": "Secret-client-9", "note": "<script>alert(1)</script>"}',
        state="failed",
        error="ZeroDivisionError: division by zero",
        received_at=NOW,
        payment=payment,
    )
    SavedMethod.objects.create(
        organization=cast.organization,
        payment=payment,
        gateway="fake",
        reference={"token": "Secret-wallet-10"},
        label="Visa •••• 4242",
        agreed_at=NOW,
    )
    # To itself: everybody else here finds one price.
    PriceChange.objects.create(
        old=order.price, new=order.price, actor=f"user:{cast.operator.pk}", announced_at=NOW, effective_at=NOW
    )


def _offer_an_add_on(cast: Cast) -> None:
    feature, _new = Feature.objects.get_or_create(
        product=cast.plan.product, key="users", defaults={"name_fr": "Utilisateurs", "name_en": "Users"}
    )
    made = AddOn.objects.create(feature=feature, slug="users-one", name_fr="Utilisateur", name_en="User")
    catalog.set_add_on_price(made.pk, interval="month", amount=Money.of("5.00", "EUR"), adds=1, now=NOW)


def _expect_a_transfer() -> None:
    """One on its way, and a bank statement with a line that is for nothing."""
    transferring.switch_on()
    price = Price.objects.get()
    transferring.expect(selling.order(price))
    statements.take("releve.xml", bank.camt(bank.Ntry(amount="1.00", texts=["one"])), actor="system", now=NOW)


def _invoice(cast: Cast) -> None:
    """An invoice that was issued, and what it was made of."""
    documents.vendor()
    documents.customer(cast.organization)
    documents.issue(cast.organization)
    ExchangeRate.objects.create(currency="USD", per_euro=Decimal("1.08"), source="ECB", dated=NOW.date())
    VatCheck.objects.create(number="FR32123456789", valid=None, at=NOW)


def fill(cast: Cast) -> World:
    plan = cast.plan
    target = Target.objects.get(name="nowhere")
    target.connection = {"token": "Secret-connection-1"}
    target.save()
    template = Template.objects.create(
        target=target,
        blueprint="plain",
        version="1",
        state="ready",
        secrets={"template_password": "Secret-template-2"},
        created_at=NOW,
    )
    live = people.live_instance(cast.organization, plan, slug="live-one")
    suspended = people.live_instance(cast.organization, plan, slug="suspended-one")
    failed = people.requested_instance(cast.other_organization, plan, slug="failed-one")
    Instance.objects.filter(pk=failed.pk).update(owner={**failed.owner, "email": "stranger@example.com"})
    operation = failed.operations.get()
    operation.steps.filter(position=1).update(
        state="failed", attempt=2, started_at=NOW, finished_at=NOW, error="it broke", output="line of output"
    )
    Operation.objects.filter(pk=operation.pk).update(
        state="failed", started_at=NOW, finished_at=NOW, error_code="step_failed", error_detail="it broke"
    )
    standby = Instance.objects.create(product=plan.product, target=target, state="standby", created_at=NOW)
    Domain.objects.create(
        host="erp.example.com", organization=cast.organization, instance=live, problem="no_record", created_at=NOW
    )
    for number, (instance, state) in enumerate(
        ((live, "live"), (suspended, "suspended"), (failed, "failed"), (standby, "standby"))
    ):
        secrets = {"initial_password": f"Secret-initial-{number}", "database_password": f"Secret-database-{number}"}
        Instance.objects.filter(pk=instance.pk).update(state=state, secrets=secrets, template=template)
        instance.refresh_from_db()
    Operation.objects.create(
        template=template, kind="build_template", state="succeeded", created_at=NOW, deadline_at=NOW
    )
    Finding.objects.create(
        target=target,
        kind="stopped",
        ref=live.ref,
        name="live-one",
        instance=live,
        parts=["container/client-live-one-web-1"],
        opened_at=NOW,
        seen_at=NOW,
    )
    Finding.objects.create(
        target=target,
        kind="unknown",
        ref=uuid.uuid4(),
        name="client-stray-one",
        parts=["container/client-stray-one-web-1", "volume/client-stray-one_database"],
        opened_at=NOW,
        seen_at=NOW,
    )
    Message.objects.create(
        key="welcome:1",
        kind="welcome",
        to="somebody@example.com",
        language="fr",
        context={"password": "Secret-message-3"},
        organization_id=cast.organization.pk,
        instance_id=live.pk,
        state="sent",
        created_at=NOW,
    )
    MailboxMail.objects.create(message_id="a@b", sender="a", to="b", subject="c", raw=b"Secret-raw-4")
    _sell(cast)
    _expect_a_transfer()
    _offer_an_add_on(cast)
    _invoice(cast)
    Coupon.objects.create(code="ONE", percent=Decimal(10))
    token, plain = ApiToken.issue(user=cast.operator, name="Website", now=NOW)
    cast.owner.set_password("Secret-password-5")
    cast.owner.save()
    shared = ("Secret-", token.digest, plain, cast.owner.password, cast.owner.password.rsplit("$", 1)[1])
    return World(live, failed, suspended, standby, target, template, token, shared)
