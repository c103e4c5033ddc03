"""The checkout under everything that can happen to it, in any order: hypothesis looks for the order that breaks it.

Customers order, pay, leave and come back; services decide, stay silent, answer too late or wrong; messages come
twice, late, reordered, forged or never; workers die between any two statements; the clock jumps. After every step
the properties of `contracts/money-properties.md` hold; in the end, with all faults off, the service's books and
ours agree to the cent. One file per way to pay is in `rails/`. `PARCELLE_MACHINE=400` looks for longer, at other
orders each time.

Nothing here may depend on chance that Hypothesis does not draw, or it gives up: rows are chosen by their numbers and
never by their random keys, and each shop begins with the same calls made.
"""

from __future__ import annotations

import json
import os
import random
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

import pytest
import time_machine
from django.db import connection, transaction
from django.db.models import Q, Sum
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
from procrastinate.contrib.django import app as queue
from procrastinate.contrib.django.models import ProcrastinateJob

from parcelle.core import events
from parcelle.core.models import Fact
from parcelle.core.models import Reaction as Wanted
from parcelle.core.money import Money
from parcelle.core.states import Transitions
from parcelle.domain.billing import order_states, parked, payment_states, payments, refunds, webhooks
from parcelle.domain.billing.errors import CouponRefused, OrderClosed, ParkedRefused, PaymentOpen, RefundRefused
from parcelle.domain.billing.gateways.base import Forged, GatewayError
from parcelle.domain.billing.ledger import accounts, audit
from parcelle.domain.billing.models import (
    CouponUse,
    GatewayEvent,
    LedgerEntry,
    LedgerTransaction,
    Order,
    Payment,
    Refund,
    Subscription,
)
from parcelle.domain.catalog.models import Coupon, Price
from parcelle.domain.notifications.models import Message
from parcelle.domain.provisioning.models import Instance
from parcelle.journeys import checkout
from tests import people
from tests.domain.billing.rails import AFTERWARDS, CLERKING, DECISIONS, FAULTS, RAILS, Rail
from tests.people import NOW

# How many random orders of events are tried, in place of the few that are the same every time.
LONG = int(os.environ.get("PARCELLE_MACHINE", "0"))
COUPON_USES = 2
HAS_MONEY = (
    *(payment_states.PAID, payment_states.PAID_LATE, payment_states.PARKED),
    *(payment_states.PARTLY_REFUNDED, payment_states.REFUNDED, payment_states.CHARGED_BACK),
)
PAST_THE_MONEY = tuple(state for state in HAS_MONEY if state != payment_states.PARKED)

SHORT = (timedelta(seconds=7), timedelta(minutes=3), timedelta(minutes=25))
LEAPS = (timedelta(hours=3), timedelta(days=1), timedelta(days=16))

some = st.integers(0, 20)
faults = st.sampled_from((*[""] * 6, *FAULTS))
# The statement before which the process dies; mostly it does not.
deaths = st.one_of(st.just(0), st.just(0), st.integers(1, 40))


class Killed(BaseException):
    """The process is gone: nothing in it may catch this."""


@contextmanager
def dying_before_statement(number: int) -> Iterator[None]:
    """Whatever was committed stays, whatever was not is lost, and nobody learns the result. 0: nobody dies."""
    left = number

    def count(execute: Callable[..., Any], sql: str, parameters: Any, many: bool, context: Any) -> Any:
        nonlocal left
        # What ends a transaction is not a moment of its own: it either happened or it did not.
        if left > 0 and not sql.startswith(("RELEASE", "ROLLBACK", "SAVEPOINT")):
            left -= 1
            if left == 0:
                raise Killed
        return execute(sql, parameters, many, context)

    with connection.execute_wrapper(count), suppress(Killed):
        yield


def closure(table: Transitions) -> dict[str, set[str]]:
    """Where a state may have come to by any number of steps."""
    reached = {state: set(targets) for state, targets in table.items()}
    for _round in table:
        for targets in reached.values():
            targets |= {further for target in targets for further in reached.get(target, ())}
    return reached


REACHABLE = {
    Order: closure(order_states.TRANSITIONS),
    Payment: closure(payment_states.TRANSITIONS),
    Refund: closure(refunds.TRANSITIONS),
}
# What only a human does never happens by itself on the way to something else.
HUMAN = (payment_states.ABANDONED,)


class Checkout(RuleBasedStateMachine):
    """One shop, a few customers, and one rail."""

    rail: ClassVar[Rail]

    def __init__(self) -> None:
        super().__init__()
        self.block = transaction.atomic()
        self.block.__enter__()
        self.now = NOW
        self.seen: dict[tuple[type, uuid.UUID], str] = {}
        self.quiet = False
        self.abandoned: set[uuid.UUID] = set()
        self.settled_money: dict[uuid.UUID, tuple[int | None, str]] = {}

    @initialize()
    def open(self) -> None:
        with self.at_now():
            self.rail.set_up()
            plan = people.offer()
            self.prices = [
                Price.objects.create(
                    plan=plan,
                    interval=interval,
                    currency=currency,
                    amount_minor=Money.of(amount, currency).minor,
                    created_at=NOW,
                )
                for amount, currency, interval in self.rail.prices
            ]
            Coupon.objects.create(code="FEW", percent="12.5", most_uses=COUPON_USES, most_uses_each=None)
        # Somebody is always half-way, so that few steps are spent on getting anywhere.
        for number in range(2):
            self.order_a_plan(customer=number, currency=number, coupon=bool(number), dies=0)
            self.pay(which=number, fault="", dies=0)

    def teardown(self) -> None:
        try:
            if hasattr(self, "prices"):
                self.all_is_well_that_ends_well()
        finally:
            transaction.set_rollback(True)
            self.block.__exit__(None, None, None)

    @contextmanager
    def at_now(self, *, fault: str = "", dies: int = 0) -> Iterator[None]:
        if fault:
            self.rail.break_next_call(fault)
        with time_machine.travel(self.now, tick=False):
            self.rail.clock_is(self.now)
            with dying_before_statement(dies):
                yield
        self.rail.heal()

    # --- choosing among what is there -------------------------------------------------------------------

    def order(self, number: int) -> Order:
        rows = list(Order.objects.order_by("number"))
        return rows[number % len(rows)]

    def payment(self, number: int) -> Payment:
        rows = list(Payment.objects.order_by("number"))
        return rows[-1 - number % len(rows)]

    # --- customers --------------------------------------------------------------------------------------

    @precondition(lambda self: Order.objects.count() < 5)
    @rule(customer=st.integers(0, 2), currency=st.integers(0, 1), coupon=st.booleans(), dies=deaths)
    def order_a_plan(self, customer: int, currency: int, coupon: bool, dies: int) -> None:
        left = COUPON_USES - CouponUse.objects.count()
        request_id = uuid.uuid4()
        for death in (dies, 0):
            # Whoever sees no answer sends the form again.
            with self.at_now(dies=death):
                try:
                    checkout.place(
                        request_id=request_id,
                        price_id=self.prices[currency].pk,
                        coupon_code="few" if coupon else "",
                        buyer=replace(self.rail.buyer, email=f"customer{customer}@example.com"),
                        language="fr",
                        user=None,
                        now=self.now,
                    )
                except CouponRefused:
                    assert coupon
                    assert not left

    @precondition(lambda self: Order.objects.exists())
    @rule(which=some, fault=faults, dies=deaths)
    def pay(self, which: int, fault: str, dies: int) -> None:
        order = self.order(which)
        blocked = order.payments.filter(state__in=payment_states.BLOCKING).exists()
        may = order.state == order_states.OPEN and order.expires_at > self.now
        before = order.payments.count()
        with self.at_now(fault=fault, dies=dies):
            try:
                checkout.pay(order.pk, gateway=self.rail.name, details=self.rail.details, now=self.now)
            except PaymentOpen:
                assert blocked
            except OrderClosed:
                assert not may
        if blocked or not may:
            assert order.payments.count() == before, "P9: another charge while money may be on its way"

    @precondition(lambda self: Order.objects.filter(state=order_states.OPEN).exists())
    @rule(which=some, what=st.sampled_from(DECISIONS), fault=faults, dies=deaths, back=st.booleans())
    def pay_and_decide(self, which: int, what: str, fault: str, dies: int, back: bool) -> None:
        """The usual way through, with whatever goes wrong on it."""
        open_orders = list(Order.objects.filter(state=order_states.OPEN).order_by("number"))
        number = list(Order.objects.order_by("number")).index(open_orders[which % len(open_orders)])
        self.pay(which=number, fault=fault, dies=dies)
        attempt = self.order(number).payments.order_by("number").last()
        if attempt is not None:
            with self.at_now():
                self.rail.decide(attempt.pk, what)
            if back:
                with self.at_now():
                    payments.look(attempt.pk, now=self.now)

    @precondition(lambda self: Payment.objects.exists())
    @rule(which=some, what=st.sampled_from(DECISIONS))
    def customer_or_service_decides(self, which: int, what: str) -> None:
        with self.at_now():
            self.rail.decide(self.payment(which).pk, what)

    @precondition(lambda self: Payment.objects.exists())
    @rule(which=some, fault=faults, dies=deaths)
    def browser_comes_back(self, which: int, fault: str, dies: int) -> None:
        with self.at_now(fault=fault, dies=dies):
            payments.look(self.payment(which).pk, now=self.now)

    @precondition(lambda self: Payment.objects.exists())
    @rule(which=some, fault=faults, dies=deaths)
    def customer_wants_to_pay_another_way(self, which: int, fault: str, dies: int) -> None:
        with self.at_now(fault=fault, dies=dies):
            payments.cancel(self.payment(which).pk, now=self.now)

    @precondition(lambda self: self.rail.goes_on and Payment.objects.exists())
    @rule(which=some, what=st.sampled_from(AFTERWARDS))
    def money_goes_another_way(self, which: int, what: str) -> None:
        with self.at_now():
            self.rail.afterwards(self.payment(which).pk, what)

    @precondition(lambda self: self.rail.by_hand and Payment.objects.exists())
    @rule(which=some, what=st.sampled_from(CLERKING), dies=deaths)
    def operator_looks_at_the_account(self, which: int, what: str, dies: int) -> None:
        with self.at_now(dies=dies):
            self.rail.clerk(self.payment(which).pk, what, now=self.now)

    # --- messages and workers ---------------------------------------------------------------------------

    @precondition(lambda self: Payment.objects.exists())
    @rule(which=some, times=st.integers(1, 3), dies=deaths)
    def message_arrives(self, which: int, times: int, dies: int) -> None:
        """Any that was ever sent, however old: on time, twice, reordered; those that are not drawn never come."""
        with self.at_now():
            sent = self.rail.messages()
        if sent:
            headers, body = sent[which % len(sent)]
            for death in [dies] + [0] * (times - 1):
                with self.at_now(dies=death):
                    webhooks.receive(self.rail.name, headers=headers, body=body, now=self.now)

    @precondition(lambda self: Payment.objects.exists())
    @rule(which=some)
    def forged_message_arrives(self, which: int) -> None:
        with self.at_now():
            made_up = json.dumps({"id": "made-up", "kind": "paid", "payment": str(self.payment(which).pk)})
            headers, body = self.rail.forge(made_up.encode())
            with pytest.raises(Forged):
                webhooks.receive(self.rail.name, headers=headers, body=body, now=self.now)

    @rule(many=st.integers(1, 6), seed=some, fault=faults, dies=deaths)
    def workers_work(self, many: int, seed: int, fault: str, dies: int) -> None:
        self.work(random.Random(seed), many=many, fault=fault, dies=dies)

    def work(self, chance: random.Random, *, many: int, fault: str = "", dies: int = 0) -> int:
        """Jobs, messages and reactions in any order. What fails or dies stays and is done again, as the queue does."""
        for done in range(many):
            jobs = self.due_jobs()
            wanted = list(Wanted.objects.select_related("fact"))
            messages = self.due_messages()
            if not jobs and not wanted and not messages:
                return done
            number = chance.randrange(len(jobs) + len(wanted) + len(messages))
            finished = False
            with self.at_now(fault=fault, dies=dies):
                if number < len(jobs):
                    _id, name, arguments = jobs[number]
                    queue.tasks[name](**arguments)
                elif number < len(jobs) + len(wanted):
                    row = wanted[number - len(jobs)]
                    events.run_reaction(fact_id=row.fact_id, function=row.function)
                else:
                    with suppress(webhooks.ServiceSilent, GatewayError):
                        webhooks.process(messages[number - len(jobs) - len(wanted)], now=self.now)
                finished = True
            if finished and number < len(jobs):
                with connection.cursor() as cursor:
                    cursor.execute("DELETE FROM procrastinate_jobs WHERE id = %s", [jobs[number][0]])
            elif finished and number < len(jobs) + len(wanted):
                wanted[number - len(jobs)].delete()
            fault, dies = "", 0
        return many

    def due_jobs(self) -> list[tuple[int, str, dict[str, Any]]]:
        due = Q(scheduled_at=None) | Q(scheduled_at__lte=self.now)
        rows = ProcrastinateJob.objects.filter(due).order_by("id")
        return [(row.id, row.task_name, row.args) for row in rows]

    def due_messages(self) -> list[int]:
        due = Q(state=GatewayEvent.RECEIVED, wait_until=None) | Q(wait_until__lte=self.now)
        rows = GatewayEvent.objects.filter(due, state__in=(GatewayEvent.RECEIVED, GatewayEvent.FAILED))
        return list(rows.order_by("pk").values_list("pk", flat=True))

    @rule(fault=faults, dies=deaths)
    def cron_sweeps(self, fault: str, dies: int) -> None:
        with self.at_now(fault=fault, dies=dies):
            checkout.run(now=self.now)

    # A new draw of the rare long leaps is a leap over everything that was going on.
    @rule(ahead=st.sampled_from([*SHORT, *SHORT, *SHORT, *LEAPS]))
    def time_passes(self, ahead: timedelta) -> None:
        self.quiet = True
        self.now += ahead

    # --- the operator -----------------------------------------------------------------------------------

    @precondition(lambda self: Payment.objects.filter(state__in=HAS_MONEY).exists())
    @rule(which=some, part=st.sampled_from([1, 2, 3, 1_000_000]), times=st.integers(1, 2), by_hand=st.booleans())
    def operator_gives_back(self, which: int, part: int, times: int, by_hand: bool) -> None:
        rows = list(Payment.objects.filter(state__in=HAS_MONEY).order_by("number"))
        payment = rows[which % len(rows)]
        # A whole, a half, a third, and more than there is.
        minor = max(1, payment.amount_minor // part) if part < 10 else payment.amount_minor + 1
        for _time in range(times):
            with self.at_now():
                try:
                    refunds.request(
                        payment.pk,
                        amount=Money(minor, payment.currency),
                        reason="asked for",
                        actor="operator",
                        now=self.now,
                        by_hand=by_hand,
                    )
                except RefundRefused:
                    continue

    @precondition(lambda self: Payment.objects.filter(state=payment_states.PARKED).exists())
    @rule(which=some, what=st.sampled_from(["order", "credit", "back", "by hand"]), dies=deaths)
    def operator_decides_about_what_is_parked(self, which: int, what: str, dies: int) -> None:
        rows = list(Payment.objects.filter(state=payment_states.PARKED).order_by("number"))
        payment = rows[which % len(rows)]
        why: dict[str, Any] = {"reason": "looked at", "actor": "operator", "now": self.now}
        with self.at_now(dies=dies):
            try:
                if what in {"order", "credit"}:
                    parked.accept(payment.pk, for_order=what == "order", **why)
                else:
                    parked.give_back(payment.pk, by_hand=what == "by hand", **why)
            except ParkedRefused:
                assert payment.received is None or payment.received_currency != payment.currency

    @precondition(lambda self: Payment.objects.filter(state=payment_states.UNKNOWN).exists())
    @rule(which=some)
    def operator_gives_up(self, which: int) -> None:
        rows = list(Payment.objects.filter(state=payment_states.UNKNOWN).order_by("number"))
        self.abandon(rows[which % len(rows)])

    def abandon(self, payment: Payment) -> None:
        self.abandoned.add(payment.pk)
        payments.abandon(payment.pk, reason="the bank knows nothing of it", actor="operator", now=self.now)

    # --- what always holds ------------------------------------------------------------------------------

    @invariant()
    def what_always_holds(self) -> None:
        if self.quiet:
            # Only the clock moved.
            self.quiet = False
            return
        self.p13_states_only_move_forward()
        self.p07_p08_each_order_is_paid_and_fulfilled_once()
        self.p09_p14_an_order_is_paid_by_exactly_the_money_that_was_asked_for()
        self.money_that_was_received_is_told_of_once_and_stays_what_it_was()
        self.p06_never_more_is_given_back_than_came_in()
        self.coupons_are_never_used_too_often_and_lapsed_orders_use_none()
        self.nobody_is_written_to_twice_about_one_order()
        self.p01_p05_the_ledger_says_what_happened()
        self.p10_one_key_is_one_request()

    def p13_states_only_move_forward(self) -> None:
        for model, reachable in REACHABLE.items():
            for pk, state in model._default_manager.values_list("pk", "state"):
                before = self.seen.get((model, pk), state)
                assert state == before or state in reachable[before], f"{model.__name__} went {before} -> {state}"
                if state in HUMAN:
                    assert pk in self.abandoned, "only a human gives up what may have been paid"
                self.seen[model, pk] = state

    def p07_p08_each_order_is_paid_and_fulfilled_once(self) -> None:
        for name, state in (("OrderPaid", order_states.PAID), ("OrderFulfilled", order_states.FULFILLED)):
            told = [fact.data["order_id"] for fact in Fact.objects.filter(name=name)]
            assert len(told) == len(set(told)), f"{name} twice"
            there = Order.objects.filter(state__in=(state, order_states.FULFILLED)).values_list("pk", flat=True)
            assert {str(pk) for pk in there} == set(told)
        fulfilled = Order.objects.filter(state=order_states.FULFILLED).count()
        assert Subscription.objects.count() == Instance.objects.count() == fulfilled

    def p09_p14_an_order_is_paid_by_exactly_the_money_that_was_asked_for(self) -> None:
        for order in Order.objects.prefetch_related("payments"):
            rows = list(order.payments.all())
            assert sum(row.state in payment_states.BLOCKING for row in rows) <= 1
            used = Fact.objects.filter(name="PaymentReceived", data__order_id=str(order.pk), data__surplus=False)
            assert used.count() == (order.state in {order_states.PAID, order_states.FULFILLED})
            for fact in used:
                [paid] = [row for row in rows if str(row.pk) == fact.data["payment_id"]]
                assert paid.received_currency == order.currency
                # Only a human lets another amount count.
                assert paid.received_minor == order.total_minor or str(paid.pk) in self.accepted()

    @staticmethod
    def accepted() -> set[str]:
        return set(Fact.objects.filter(name="ParkedPaymentAccepted").values_list("data__payment_id", flat=True))

    def money_that_was_received_is_told_of_once_and_stays_what_it_was(self) -> None:
        names = ("PaymentReceived", "PaymentParked")
        told = Counter(Fact.objects.filter(name__in=names).values_list("data__payment_id", flat=True))
        # What a human let count was told of before, when it came.
        told.subtract(self.accepted())
        for payment in Payment.objects.all():
            received = (payment.received_minor, payment.received_currency)
            assert (payment.received_minor is not None) == (payment.state in HAS_MONEY)
            assert told[str(payment.pk)] == (payment.state in HAS_MONEY)
            if payment.state in HAS_MONEY:
                assert self.settled_money.setdefault(payment.pk, received) == received

    def p06_never_more_is_given_back_than_came_in(self) -> None:
        for payment in Payment.objects.prefetch_related("refunds"):
            asked = [row for row in payment.refunds.all() if row.state != Refund.FAILED]
            assert payment.refunded_minor == sum(row.amount_minor for row in asked)
            assert payment.refunded_minor <= (payment.received_minor or 0)
            if asked:
                assert payment.received_currency == payment.currency

    def coupons_are_never_used_too_often_and_lapsed_orders_use_none(self) -> None:
        assert CouponUse.objects.count() <= COUPON_USES
        used = set(CouponUse.objects.values_list("order_id", flat=True))
        kept = Order.objects.exclude(coupon=None).exclude(state=order_states.EXPIRED)
        assert used == set(kept.values_list("pk", flat=True))

    def nobody_is_written_to_twice_about_one_order(self) -> None:
        told = [fact.data["order_id"] for fact in Fact.objects.filter(name="OrderLeftOpen")]
        assert len(told) == len(set(told))
        assert Message.objects.filter(kind="order_open").count() <= len(told)

    def p01_p05_the_ledger_says_what_happened(self) -> None:
        with connection.cursor() as cursor:
            # What the database would check at the commit.
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        assert audit.differences() == []
        sums = LedgerEntry.objects.order_by().values_list("currency").annotate(Sum("amount_minor"))
        assert not any(total for _currency, total in sums)

    def p10_one_key_is_one_request(self) -> None:
        assert self.rail.asked_twice_otherwise() == []

    # --- the end ----------------------------------------------------------------------------------------

    def all_is_well_that_ends_well(self) -> None:
        """Faults off, every message delivered, time enough: nothing is open, and both books agree to the cent."""
        chance = random.Random(1)
        for ahead in (timedelta(minutes=30), timedelta(days=1), timedelta(days=20), timedelta(days=20)):
            self.now += ahead
            with self.at_now():
                for headers, body in self.rail.messages():
                    webhooks.receive(self.rail.name, headers=headers, body=body, now=self.now)
            for _round in range(3):
                with self.at_now():
                    checkout.run(now=self.now)
                self.work(chance, many=500)
                with self.at_now():
                    self.rail.settle(now=self.now)
            # What the service never decided is left to a human.
            for payment in Payment.objects.filter(state=payment_states.UNKNOWN, look_at=None):
                self.abandon(payment)
        self.quiet = False
        self.what_always_holds()
        assert not Wanted.objects.exists()
        assert not Payment.objects.filter(state__in=payment_states.UNSETTLED).exists()
        assert not Refund.objects.exclude(state__in=(*Refund.LEFT, Refund.FAILED)).exists()
        assert not Order.objects.filter(state=order_states.PAID).exists(), "paid, and nothing to show for it"
        parked = Payment.objects.filter(state=payment_states.PARKED).values("order_id")
        assert not Order.objects.filter(state=order_states.OPEN).exclude(pk__in=parked).exists()
        for payment in Payment.objects.order_by("number"):
            with self.at_now():
                assert +self.booked(payment) == +self.rail.holds(payment), payment

    @staticmethod
    def booked(payment: Payment) -> Counter[str]:
        """What of a payment is at its service by our books. A bank's charges are no fee of a service."""
        entries = LedgerEntry.objects.filter(
            account=accounts.rail(payment.gateway), transaction__reference=payment.number
        ).order_by()
        if accounts.rail(payment.gateway) != accounts.BANK:
            entries = entries.exclude(transaction__kind=LedgerTransaction.FEE)
        return Counter(dict(entries.values_list("currency").annotate(Sum("amount_minor"))))


def run(rail: Rail, *, examples: int, steps: int, derandomize: bool) -> None:
    machine = type("CheckoutOn" + rail.name.title(), (Checkout,), {"rail": rail})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=derandomize,
            database=None,
            print_blob=False,
            phases=(Phase.generate, Phase.shrink) if LONG else (Phase.generate,),
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.django_db
@pytest.mark.usefixtures("test_blueprints")
@pytest.mark.timeout(3600 if LONG else 900)
@pytest.mark.parametrize("name", RAILS)
def test_p07_p08_p09_p13_p14_the_checkout_holds_whatever_happens(name: str) -> None:
    with RAILS[name]() as rail:
        run(rail, examples=LONG or 4, steps=30, derandomize=not LONG)
