"""Subscriptions under everything that can happen to them, in any order: hypothesis looks for the order that breaks it.

Customers subscribe, pay early, late or never, change their plan or their add-ons, pause, leave and come
back; money is given back or charged back; documents get their numbers in any order, or are thrown away before;
workers die between any two statements; the clock jumps up to years. After every step P1, P5, P9, P15, P16, P18 to P22,
P24, P27, P28 and P29 hold. `PARCELLE_MACHINE=200` lives so many lives.
"""

from __future__ import annotations

import os
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import time_machine
from django.db import transaction
from django.db.models import Sum
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from parcelle.core.money import Money
from parcelle.domain.billing import (
    baskets,
    entitlement,
    invoicing,
    ledger,
    payment_states,
    payments,
    plan_changes,
    recoveries,
    refunds,
    renewals,
    revenue,
    states,
    subscriptions,
    usage,
)
from parcelle.domain.billing.entitlement import Right
from parcelle.domain.billing.errors import (
    AddOnRefused,
    ChangeRefused,
    NotActive,
    NotRenewable,
    OrderClosed,
    PaymentOpen,
    RefundRefused,
)
from parcelle.domain.billing.gateways.base import ChargedBack, Declined, Paid
from parcelle.domain.billing.invoicing import chain
from parcelle.domain.billing.invoicing.content import Content
from parcelle.domain.billing.ledger import accounts, audit
from parcelle.domain.billing.ledger import queries as books
from parcelle.domain.billing.models import (
    Invoice,
    InvoiceBalance,
    LedgerEntry,
    LedgerTransaction,
    Order,
    Payment,
    Refund,
    SavedMethod,
    Subscription,
)
from parcelle.domain.catalog.models import AddOn, Coupon, Price
from parcelle.journeys import automatic_payment
from tests import isolation
from tests.domain.billing import documents
from tests.domain.billing.subscribing import DAY, START, add_on, run, shop, subscribe
from tests.domain.billing.test_checkout_machine import deaths, dying_before_statement

LONG = int(os.environ.get("PARCELLE_MACHINE", "0"))
LEAPS = (timedelta(hours=5), DAY, 6 * DAY, 23 * DAY, 40 * DAY, 400 * DAY)
PAID_FOR = ("new", "renewal", "switch")
REFUSALS = (AddOnRefused, ChangeRefused, NotActive, NotRenewable, OrderClosed, PaymentOpen, RefundRefused)

VERBS = ("cancel", "cancel_now", "take_back", "pause", "go_on", "offer")

some = st.integers(0, 20)


class Life(RuleBasedStateMachine):
    """One shop and a few customers."""

    def __init__(self) -> None:
        super().__init__()
        self.block = transaction.atomic()
        self.block.__enter__()
        self.now = START
        # What recurred at each moment, as it was known then.
        self.recurred: dict[datetime, dict[str, int]] = {}
        # How long each subscription was not served, and how long it was before it was found out that nobody pays.
        self.off: defaultdict[Any, timedelta] = defaultdict(timedelta)

    @initialize()
    def open(self) -> None:
        documents.vendor()
        euro, franc = shop(), shop("XAF")
        self.prices = [
            price for sold in (euro, franc) for price in (sold.bronze, sold.silver, sold.bronze_year, sold.silver_year)
        ]
        for sold, monthly in ((euro, 7), (franc, 700)):
            add_on(sold, "users", month=monthly, year=monthly * 10, adds=3)
            add_on(sold, "disk", month=monthly * 3)
        self.coupon = Coupon.objects.create(code="TWICE", percent="33.33", payments=2, most_uses_each=None)
        self.join(which=0, coupon=False)
        self.join(which=5, coupon=True)

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.block.__exit__(None, None, None)

    @contextmanager
    def at_now(self, dies: int = 0) -> Iterator[None]:
        with time_machine.travel(self.now, tick=False), dying_before_statement(dies), suppress(*REFUSALS):
            yield

    def subscription(self, number: int) -> Subscription:
        rows = list(Subscription.objects.select_related("plan", "price").order_by("created_at", "pk"))
        return rows[number % len(rows)]

    def work_off(self) -> None:
        """What a worker does about paid orders, whoever died before."""
        for order in Order.objects.filter(state="paid").exclude(kind=Order.NEW):
            renewals.fulfil(order.pk, now=self.now)
        for order_id in Order.objects.filter(state="fulfilled", invoices=None).values_list("pk", flat=True):
            invoicing.draft_for_order(order_id, now=self.now)
        for refund in Refund.objects.filter(state__in=Refund.LEFT, credit_notes=None).order_by("created_at"):
            invoicing.credit_for_refund(refund.pk, now=self.now)

    # --- customers --------------------------------------------------------------------------------------

    @precondition(lambda self: Subscription.objects.count() < 3)
    @rule(which=some, coupon=st.booleans())
    def join(self, which: int, coupon: bool) -> None:
        with self.at_now():
            joined = subscribe(
                self.prices[which % len(self.prices)], now=self.now, coupon=self.coupon if coupon else None
            )
            documents.customer(joined.organization)
            self.work_off()

    @rule(which=some, what=st.sampled_from(["paid", "paid", "paid", "declined", "on its way"]), dies=deaths)
    def pay(self, which: int, what: str, dies: int) -> None:
        order = Order.objects.filter(state="open", subscription=self.subscription(which)).order_by("created_at").last()
        if order is None:
            return
        with self.at_now(dies):
            payment = payments.begin(order.pk, gateway="fake", details={}, now=self.now)
            if what == "paid":
                payments.record(payment.pk, Paid(received=payment.amount), now=self.now)
            elif what == "declined":
                payments.record(payment.pk, Declined(code="declined"), now=self.now)
        with self.at_now(dies // 2):
            self.work_off()

    @rule(which=some, arrives=st.booleans())
    def what_was_on_its_way_is_decided(self, which: int, arrives: bool) -> None:
        rows = list(Payment.objects.filter(state__in=payment_states.UNSETTLED).order_by("number"))
        if not rows:
            return
        payment = rows[which % len(rows)]
        outcome = Paid(received=payment.amount) if arrives else Declined(code="declined")
        with self.at_now():
            payments.record(payment.pk, outcome, now=self.now)
            self.work_off()

    @rule(which=some, to=some, at_once=st.booleans(), dies=deaths)
    def change(self, which: int, to: int, at_once: bool, dies: int) -> None:
        subscription = self.subscription(which)
        if subscription.price is None:
            return
        choice = list(Price.objects.filter(plan__product=subscription.plan.product_id, retired_at=None).order_by("pk"))
        with self.at_now(dies):
            plan_changes.change(
                subscription.pk,
                price_id=choice[to % len(choice)].pk,
                request_id=uuid.uuid4(),
                actor="customer",
                now=self.now,
                at_once=at_once,
            )
        with self.at_now():
            self.work_off()

    @rule(
        which=some, quantities=st.tuples(*[st.sampled_from([None, 0, 1, 2, 5])] * 2), at_once=st.booleans(), dies=deaths
    )
    def change_add_ons(self, which: int, quantities: tuple[int | None, ...], at_once: bool, dies: int) -> None:
        subscription = self.subscription(which)
        sold = AddOn.objects.filter(feature__product=subscription.plan.product_id).order_by("slug")
        chosen = zip(sold, quantities, strict=True)
        with self.at_now(dies):
            plan_changes.change_add_ons(
                subscription.pk,
                quantities={one.pk: quantity for one, quantity in chosen if quantity is not None},
                request_id=uuid.uuid4(),
                actor="customer",
                now=self.now,
                at_once=at_once,
            )
        with self.at_now():
            self.work_off()

    @rule(which=some, verb=st.sampled_from(VERBS), dies=deaths)
    def decide(self, which: int, verb: str, dies: int) -> None:
        key, asked = self.subscription(which).pk, {"actor": "customer", "now": self.now}
        with self.at_now(dies):
            if verb.startswith("cancel"):
                subscriptions.cancel(key, at_once=verb == "cancel_now", reason="x", actor="customer", now=self.now)
            elif verb == "offer":
                renewals.offer(key, now=self.now)
            else:
                getattr(subscriptions, verb)(key, **asked)

    @rule(which=some, minor=st.sampled_from([1, 500, 3599, 50000]))
    def credit(self, which: int, minor: int) -> None:
        subscription = self.subscription(which)
        if subscription.price is None:
            return
        with self.at_now():
            ledger.keep_as_credit(
                organization_id=subscription.organization_id,
                amount=Money(minor, subscription.price.currency),
                key=f"gift:{uuid.uuid4()}",
                reference="gift",
                now=self.now,
            )

    @rule(which=some)
    def agree_to_be_charged(self, which: int) -> None:
        subscription = self.subscription(which)
        paid = Payment.objects.filter(order__subscription=subscription, state="paid", saved=None).first()
        known = SavedMethod.objects.filter(organization_id=subscription.organization_id, removed_at=None)
        if paid is not None and not known.exists():
            SavedMethod.objects.create(
                organization_id=subscription.organization_id,
                payment=paid,
                gateway="fake",
                reference={"charge": "x"},
                label="4242",
                agreed_at=self.now,
            )

    # --- money that goes back ---------------------------------------------------------------------------

    @rule(which=some, share=st.integers(1, 4))
    def refund(self, which: int, share: int) -> None:
        rows = list(Payment.objects.filter(state__in=("paid", "partly_refunded")).order_by("number"))
        if not rows:
            return
        payment = rows[which % len(rows)]
        with self.at_now():
            amount = Money(max(payment.returnable.minor // share, 1), payment.currency)
            refunds.request(payment.pk, amount=amount, reason="x", actor="x", now=self.now, by_hand=True)
            self.work_off()

    @rule(which=some)
    def charge_back(self, which: int) -> None:
        rows = list(Payment.objects.filter(state="paid", refunded_minor=0).order_by("number"))
        if not rows:
            return
        payment = rows[which % len(rows)]
        with self.at_now():
            taken = ChargedBack(amount=payment.amount, dispute=f"case-{payment.number}")
            payments.record(payment.pk, taken, now=self.now)
            recoveries.ask(payment.pk, now=self.now)

    @rule(which=some)
    def win_back(self, which: int) -> None:
        rows = list(Payment.objects.filter(state="charged_back").order_by("number"))
        if not rows:
            return
        payment = rows[which % len(rows)]
        with self.at_now():
            payments.record(payment.pk, Paid(received=payment.amount, won=True), now=self.now)
            recoveries.win(payment.pk, now=self.now)

    # --- documents --------------------------------------------------------------------------------------

    def drafts(self, **only: object) -> list[Invoice]:
        waiting = Invoice.objects.filter(state=Invoice.DRAFT, **only)
        return list(waiting.order_by("created_at", "-kind", "total_minor"))

    @rule(which=some, many=st.integers(1, 4), dies=deaths)
    def finalise(self, which: int, many: int, dies: int) -> None:
        """Some of what waits, in any order."""
        waiting = self.drafts()
        for number in range(min(many, len(waiting))):
            with self.at_now(dies):
                self.issue(waiting[(which + number) % len(waiting)])

    def issue(self, draft: Invoice) -> None:
        invoicing.attempt(draft.pk, clock=lambda: self.now, press=documents.QuickPress())

    @rule(which=some)
    def throw_a_draft_away(self, which: int) -> None:
        """A worker makes it again, as long as it is about something."""
        waiting = self.drafts(credit_notes=None, kind=Invoice.INVOICE)
        if waiting:
            with self.at_now():
                assert invoicing.discard(waiting[which % len(waiting)].pk)
                self.work_off()

    # --- the clock --------------------------------------------------------------------------------------

    @rule(leap=st.sampled_from(LEAPS), dies=deaths)
    def time_goes_by(self, leap: timedelta, dies: int) -> None:
        before = {one.pk: one.state for one in Subscription.objects.all()}
        for key, state in before.items():
            self.off[key] += leap if state == states.SUSPENDED else timedelta(0)
        self.now += leap
        with self.at_now(dies):
            self.night()
        with self.at_now():
            # A night that died is made up for by the next one.
            self.night()
        self.p24_nobody_was_suspended_too_early(before)
        self.p21_nothing_is_served_unpaid_beyond_the_grace()

    def night(self) -> None:
        run(self.now)
        automatic_payment.run(now=self.now)
        self.work_off()
        for draft in self.drafts():
            self.issue(draft)

    def p24_nobody_was_suspended_too_early(self, before: dict[Any, str]) -> None:
        for one in Subscription.objects.filter(state=states.SUSPENDED, suspended_for=states.UNPAID):
            if before.get(one.pk) not in {states.ACTIVE, states.PAST_DUE}:
                continue
            order = one.orders.filter(kind__in=Order.DUNNED, state="open").earliest("grace_until")
            assert order.grace_until is not None and order.grace_until <= self.now
            blocking = order.payments.filter(state__in=payment_states.BLOCKING, created_at__lt=order.grace_until)
            assert not blocking.exists()
            assert one.period_end is not None
            self.off[one.pk] += max(self.now - one.period_end, timedelta(0))

    def p21_nothing_is_served_unpaid_beyond_the_grace(self) -> None:
        """Nor anybody left without what they paid for, but who asked for it."""
        for one in Subscription.objects.filter(state__in=(states.ACTIVE, states.PAST_DUE)):
            assert one.period_end is not None
            if one.period_end <= self.now:
                order = one.orders.filter(kind__in=Order.DUNNED, state="open").latest("grace_until")
                assert order.grace_until is not None
                on_its_way = order.payments.filter(state__in=payment_states.BLOCKING, created_at__lt=order.grace_until)
                assert order.grace_until > self.now or on_its_way.exists()

    # --- what always holds ------------------------------------------------------------------------------

    @invariant()
    def what_always_holds(self) -> None:
        self.p01_p05_the_books_are_what_happened()
        self.p05_a_balance_is_invoices_less_what_was_paid()
        self.p15_p18_numbers_have_no_hole_and_drafts_have_none()
        self.p19_p20_documents_are_what_is_booked_and_stay()
        self.p06_nothing_gives_back_more_than_there_was()
        self.p21_periods_tile()
        self.p24_who_is_overdue_is_asked_to_pay()
        self.p26_nobody_is_parked()
        self.p27_a_right_follows_from_the_state()
        self.p28_recurring_revenue_is_what_is_active()
        self.what_was_bought_is_allowed_and_invoiced()
        isolation.hold()

    def p01_p05_the_books_are_what_happened(self) -> None:
        sums = LedgerEntry.objects.values("transaction", "currency").annotate(sum=Sum("amount_minor"))
        assert not [row for row in sums.order_by() if row["sum"]]
        assert audit.differences() == []

    def p05_a_balance_is_invoices_less_what_was_paid(self) -> None:
        """Reckoned from the rows of the documents and of the money, without the books."""
        owed: defaultdict[Any, Counter[str]] = defaultdict(Counter)
        for document in Invoice.objects.filter(state=Invoice.FINALISED):
            sign = 1 if document.kind == Invoice.INVOICE else -1
            owed[document.organization_id][document.currency] += sign * document.total_minor
        for payment in Payment.objects.exclude(received_minor=None).select_related("order"):
            still = (payment.received_minor or 0) - payment.charged_back_minor
            owed[payment.order.organization_id][payment.received_currency] -= still
        for refund in Refund.objects.filter(state=Refund.DONE).select_related("payment__order"):
            owed[refund.payment.order.organization_id][refund.payment.currency] += refund.amount_minor
        for organization_id in Subscription.objects.values_list("organization", flat=True).distinct():
            booked = {currency: sum_.minor for currency, sum_ in books.balances(organization_id).items() if sum_}
            assert booked == {currency: minor for currency, minor in owed[organization_id].items() if minor}

    def p15_p18_numbers_have_no_hole_and_drafts_have_none(self) -> None:
        for kind in (Invoice.INVOICE, Invoice.CREDIT_NOTE):
            issued = list(Invoice.objects.filter(kind=kind, sequence__isnull=False).order_by("sequence"))
            assert [one.sequence for one in issued] == list(range(1, len(issued) + 1))
            dates = [one.issued_on for one in issued]
            assert dates == sorted(dates, key=str)
            assert all(one.state == Invoice.FINALISED for one in issued)
        assert not Invoice.objects.filter(state=Invoice.DRAFT).exclude(number=None, issued_on=None).exists()

    def p19_p20_documents_are_what_is_booked_and_stay(self) -> None:
        assert list(chain.verify()) == []
        for document in Invoice.objects.filter(state=Invoice.FINALISED).select_related("file"):
            assert document.total == Content.read(document.content).total
            assert bytes(document.file.xml) == f"xml {document.number} {document.issued_on} {document.total}".encode()
            on_account = LedgerEntry.objects.filter(
                account=accounts.CUSTOMERS,
                transaction__kind__in=(LedgerTransaction.INVOICE, LedgerTransaction.CREDIT_NOTE),
                transaction__reference=document.number,
            )
            sign = 1 if document.kind == Invoice.INVOICE else -1
            assert [(entry.amount_minor * sign, entry.currency) for entry in on_account] == [
                (document.total_minor, document.currency)
            ]

    def p06_nothing_gives_back_more_than_there_was(self) -> None:
        for balance in InvoiceBalance.objects.filter(invoice__kind="invoice"):
            assert balance.credited_minor <= balance.total_minor
        for payment in Payment.objects.exclude(refunded_minor=0):
            assert payment.refunded_minor <= payment.amount_minor
        given = Refund.objects.exclude(state="failed").values("payment").annotate(sum=Sum("amount_minor"))
        assert all(row["sum"] <= Payment.objects.get(pk=row["payment"]).amount_minor for row in given.order_by())

    def p21_periods_tile(self) -> None:
        paid = Order.objects.filter(state="fulfilled", kind__in=PAID_FOR)
        for subscription in Subscription.objects.all():
            rows = list(paid.filter(subscription=subscription).order_by("period_start", "created_at"))
            gaps = timedelta(0)
            for before, after in pairwise(rows):
                assert before.period_end is not None and after.period_start is not None
                assert before.period_end <= after.period_start, (before.kind, after.kind)
                gaps += after.period_start - before.period_end
            # Who was served all the time has paid for all of it.
            assert gaps <= self.off[subscription.pk]
            if subscription.state in {states.ACTIVE, states.PAST_DUE} and rows:
                assert rows[-1].period_end == subscription.period_end
        begun = Counter(
            Order.objects.filter(kind=Order.RENEWAL)
            .exclude(state="expired")
            .values_list("subscription", "period_start")
        )
        assert max(begun.values(), default=1) == 1
        blocking = Counter(Payment.objects.filter(state__in=payment_states.BLOCKING).values_list("order", flat=True))
        assert max(blocking.values(), default=1) == 1

    def p24_who_is_overdue_is_asked_to_pay(self) -> None:
        for one in Subscription.objects.filter(state=states.PAST_DUE):
            assert one.orders.filter(kind__in=Order.DUNNED, state__in=("open", "paid")).exists()

    def p26_nobody_is_parked(self) -> None:
        assert list(Subscription.objects.exclude(problem="").values_list("problem", flat=True)) == []

    def p27_a_right_follows_from_the_state(self) -> None:
        for one in Subscription.objects.select_related("plan"):
            right = entitlement.of(one, now=self.now)
            if one.state in {states.ACTIVE, states.PAST_DUE}:
                assert right == (
                    Right.KEPT if one.cancel_at is not None and one.cancel_at <= self.now else Right.RUNNING
                )
            if one.state == states.ENDED:
                assert right == Right.NOTHING

    def p28_recurring_revenue_is_what_is_active(self) -> None:
        sums: Counter[str] = Counter()
        for one in Subscription.objects.select_related("price").filter(state__in=(states.ACTIVE, states.PAST_DUE)):
            assert one.price is not None
            sums[one.price.currency] += revenue.monthly(baskets.of(one)).minor
        found = self.recurring(self.now)
        assert found == {currency: minor for currency, minor in sums.items() if minor}
        # The past stays as it was, and what happened since explains the difference.
        self.recurred[self.now] = found
        for moment, known in self.recurred.items():
            assert self.recurring(moment) == known
            for currency, parts in revenue.movements(moment, self.now).items():
                change = sum(part.minor for part in parts.values())
                assert known.get(currency, 0) + change == found.get(currency, 0)

    @staticmethod
    def recurring(at: datetime) -> dict[str, int]:
        return {currency: amount.minor for currency, amount in revenue.recurring(at).items() if amount}

    def what_was_bought_is_allowed_and_invoiced(self) -> None:
        for one in Subscription.objects.filter(state__in=(states.ACTIVE, states.PAST_DUE)):
            bought: Counter[str] = Counter()
            for extra in baskets.read(one.extras):
                bought[extra.price.add_on.feature.key] += extra.allows
            counted = {counter.metric: counter.limit for counter in usage.current(one) if counter.limit}
            assert counted == bought
        for invoice in Invoice.objects.filter(kind="invoice").select_related("order"):
            content = Content.read(invoice.content)
            assert all(line.price.minor > 0 for line in content.lines)
            assert invoice.order is not None and content.total == invoice.order.total


@pytest.mark.slow
@pytest.mark.django_db
@pytest.mark.usefixtures("test_blueprints")
@pytest.mark.timeout(3600 if LONG else 900)
def test_p21_p28_p29_subscriptions_keep_their_promises() -> None:
    run_state_machine_as_test(
        Life,
        settings=settings(
            max_examples=LONG or 6,
            stateful_step_count=40 if LONG else 25,
            deadline=None,
            derandomize=not LONG,
            database=None,
            print_blob=False,
            phases=(Phase.generate, Phase.shrink) if LONG else (Phase.generate,),
            suppress_health_check=list(HealthCheck),
        ),
    )
