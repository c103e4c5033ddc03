"""Parked and unknown payments, refunds and messages: what waits for a human, what they may do, and what it leaves."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from parcelle.core.models import Fact
from parcelle.core.money import Money
from parcelle.domain.billing import payments, webhooks
from parcelle.domain.billing.gateways import fake
from parcelle.domain.billing.gateways.base import GatewayError, Paid
from parcelle.domain.billing.models import FakeCharge, GatewayEvent, GatewaySettings, Order, Payment, Refund
from parcelle.domain.catalog.models import Price
from tests import jobs
from tests.domain.billing.selling import LATER, attempt, click, look, open_shop, order
from tests.people import NOW, Cast
from tests.surfaces.backoffice.rows import World

pytestmark = pytest.mark.django_db

PAYMENTS = "/admin/billing/payment/"
MESSAGES = "/admin/billing/gatewayevent/"


@pytest.fixture
def placed(cast: Cast) -> Order:
    return order(open_shop(plan=cast.plan))


def parked(placed: Order, received: Money) -> Payment:
    payment = attempt(placed)
    payments.record(payment.pk, Paid(received=received), now=LATER)
    return payment


def unknown(placed: Order, monkeypatch: pytest.MonkeyPatch) -> Payment:
    def silent(*_arguments: object) -> None:
        raise GatewayError("no answer", unknown=True)

    with monkeypatch.context() as broken:
        broken.setattr(fake.FakeGateway, "start", silent)
        payment = attempt(placed)
    Payment.objects.filter(pk=payment.pk).update(look_at=None)
    return payment


def paid(placed: Order) -> Payment:
    payment = attempt(placed)
    click(payment, "approved")
    return look(payment)


def page(payment: Payment, verb: str) -> str:
    return f"{PAYMENTS}{payment.pk}/{verb}/"


def offered(client: Client, payment: Payment) -> set[str]:
    html = client.get(f"{PAYMENTS}{payment.pk}/change/").content.decode()
    return {verb for verb in ("look", "accept", "keep", "return", "refund", "abandon") if page(payment, verb) in html}


def confirm(client: Client, payment: Payment, verb: str, **given: str) -> str:
    answer = client.post(page(payment, verb), {"confirmed": verb, **given}, follow=True)
    payment.refresh_from_db()
    return str(answer.content.decode())


def last(name: str) -> Fact:
    return Fact.objects.filter(name=name).latest("id")


def test_what_is_parked_is_work_to_do(operator: Client, placed: Order) -> None:
    parked(placed, Money(5879, "EUR"))
    home = operator.get("/admin/").content.decode()
    assert f'href="{PAYMENTS}?work=parked"' in home
    assert operator.get(f"{PAYMENTS}?work=parked").context["cl"].result_count == 1
    assert operator.get(f"{PAYMENTS}?work=silent").context["cl"].result_count == 0


def test_amounts_of_a_list_stand_under_each_other(operator: Client, placed: Order) -> None:
    attempt(placed)
    listed = operator.get(PAYMENTS).content.decode()
    assert re.search(r'<td class="field-asked [^"]*!text-end', listed)


def test_what_is_parked_counts_for_the_order(operator: Client, cast: Cast, placed: Order) -> None:
    payment = parked(placed, Money(5879, "EUR"))
    assert offered(operator, payment) == {"accept", "keep", "return"}
    assert "asked for €58.80, came in €58.79" in operator.get(page(payment, "accept")).content.decode()
    # Without a reason nothing happens, and what was typed stays.
    assert "This field is required" in confirm(operator, payment, "accept", reason=" ")
    assert payment.state == "parked"
    assert "Done: it counts." in confirm(operator, payment, "accept", reason="A cent of bank charges")
    placed.refresh_from_db()
    assert (payment.state, placed.state) == ("paid", "paid")
    fact = last("ParkedPaymentAccepted")
    assert (fact.actor, fact.data["reason"]) == (f"user:{cast.operator.pk}", "A cent of bank charges")


def test_what_is_parked_is_kept_as_credit_or_given_back(operator: Client, placed: Order) -> None:
    payment = parked(placed, Money(5879, "EUR"))
    confirm(operator, payment, "keep", reason="they will order again")
    placed.refresh_from_db()
    assert (payment.state, placed.state, last("ParkedPaymentAccepted").data["surplus"]) == ("paid", "open", True)
    other = parked(placed, Money(100, "EUR"))
    confirm(operator, other, "return", reason="by mistake", how="hand")
    assert (other.state, last("ParkedPaymentReturned").data["by_hand"]) == ("refunded", True)


def test_another_currency_cannot_count_for_the_order(operator: Client, placed: Order) -> None:
    payment = parked(placed, Money(38000, "XAF"))
    assert offered(operator, payment) == {"keep", "return"}
    html = operator.get(page(payment, "return")).content.decode()
    assert 'value="hand"' in html and 'value="service"' not in html


def test_an_unknown_payment_is_given_up_with_a_reason(
    operator: Client, cast: Cast, placed: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = unknown(placed, monkeypatch)
    assert f'href="{PAYMENTS}?work=silent"' in operator.get("/admin/").content.decode()
    assert offered(operator, payment) == {"look", "abandon"}
    confirm(operator, payment, "abandon")
    assert payment.state == "unknown"
    confirm(operator, payment, "abandon", reason="Not in the service’s list")
    assert payment.state == "abandoned"
    assert last("PaymentAbandoned").actor == f"user:{cast.operator.pk}"


def test_the_service_is_asked_again_by_a_job(operator: Client, placed: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    payment = unknown(placed, monkeypatch)
    confirm(operator, payment, "look")
    jobs.work_off(LATER)
    payment.refresh_from_db()
    assert payment.state == "pending"


@pytest.mark.parametrize("amount", ["", "much", "-1", "0", "58.81", "1.005"])
def test_an_amount_that_cannot_be_refunded_is_refused_with_what_was_typed(
    operator: Client, placed: Order, amount: str
) -> None:
    payment = paid(placed)
    html = confirm(operator, payment, "refund", amount=amount, reason="goodwill", how="service")
    assert 'class="bo-error"' in html and "goodwill" in html
    assert not Refund.objects.exists()


def test_a_refund_in_part_by_the_service_and_the_rest_by_hand(operator: Client, cast: Cast, placed: Order) -> None:
    payment = paid(placed)
    asked = operator.get(page(payment, "refund")).content.decode()
    assert "At most €58.80." in asked and "This cannot be called off" in asked
    assert "has been asked for" in confirm(operator, payment, "refund", amount="8.80", reason="late", how="service")
    jobs.work_off(LATER)
    payment.refresh_from_db()
    assert payment.state == "partly_refunded"
    assert (last("RefundRequested").actor, last("RefundRequested").data["reason"]) == (
        f"user:{cast.operator.pk}",
        "late",
    )
    confirm(operator, payment, "refund", amount="€50.00", reason="gone", how="hand")
    assert payment.state == "refunded"
    assert offered(operator, payment) == set()
    assert operator.get("/admin/billing/refund/").context["cl"].result_count == 2


def test_a_french_operator_types_a_french_amount(operator: Client, placed: Order) -> None:
    payment = paid(placed)
    operator.cookies["parcelle_language"] = "fr"
    assert "58,80" in operator.get(page(payment, "refund")).content.decode()
    confirm(operator, payment, "refund", amount="8,80", reason="retard", how="hand")
    assert payment.refunded_minor == 880


def test_who_may_only_read_is_offered_nothing(reader: Client, placed: Order) -> None:
    payment = paid(placed)
    assert offered(reader, payment) == set()
    confirm(reader, payment, "refund", amount="1.00", reason="x", how="hand")
    assert not Refund.objects.exists()


# --- messages -----------------------------------------------------------------------------------------------


def failed_message(placed: Order, monkeypatch: pytest.MonkeyPatch) -> GatewayEvent:
    payment = attempt(placed)
    click(payment, "approved")
    body = fake.message(FakeCharge.objects.get(payment_id=payment.pk))
    webhooks.receive("fake", headers={fake.SIGNATURE: fake.sign("s" * 32, body)}, body=body, now=NOW)
    event = GatewayEvent.objects.get()
    with monkeypatch.context() as broken:
        broken.setattr(fake.FakeGateway, "fetch", lambda *_args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            webhooks.process(event.pk, now=LATER)
    return event


def test_p11_a_message_that_failed_is_shown_and_tried_again(
    operator: Client, cast: Cast, placed: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = failed_message(placed, monkeypatch)
    home = operator.get("/admin/").content.decode()
    assert f'href="{MESSAGES}?state=failed"' in home
    assert "ZeroDivisionError" in operator.get(f"{MESSAGES}?state=failed").content.decode()
    assert f"{MESSAGES}{event.pk}/retry/" in operator.get(f"{MESSAGES}{event.pk}/change/").content.decode()
    operator.post(f"{MESSAGES}{event.pk}/retry/", {"confirmed": "retry"})
    jobs.work_off(LATER)
    event.refresh_from_db()
    assert (event.state, event.payment.state if event.payment else "") == ("done", "paid")
    assert last("GatewayMessageRetried").actor == f"user:{cast.operator.pk}"
    assert f"{MESSAGES}{event.pk}/retry/" not in operator.get(f"{MESSAGES}{event.pk}/change/").content.decode()


def test_several_messages_are_tried_again_at_once(
    operator: Client, placed: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = failed_message(placed, monkeypatch)
    form = {"action": "retry", "_selected_action": [str(event.pk)], "confirmed": "retry"}
    assert "1 row: done." in operator.post(MESSAGES, form, follow=True).content.decode()
    assert GatewayEvent.objects.get().state == "received"


def test_a_message_is_read_as_it_came_without_its_secrets(operator: Client, world: World) -> None:
    event = GatewayEvent.objects.get(event_id="evt_1")
    html = operator.get(f"{MESSAGES}{event.pk}/change/").content.decode()
    assert "&quot;id&quot;: &quot;evt_1&quot;" in html
    assert "&lt;script&gt;" in html and "<script>alert(1)" not in html
    assert re.search(r"client_secret&quot;: &quot;\[redacted\]", html)
    assert not re.search("Secret-(signature|cookie|client)", html)
    GatewayEvent.objects.filter(pk=event.pk).update(body=b"\xff not JSON password=hunter2")
    html = operator.get(f"{MESSAGES}{event.pk}/change/").content.decode()
    assert "not JSON" in html and "hunter2" not in html


def test_mobile_money_without_disbursement_goes_back_by_hand_to_the_number_that_paid(
    operator: Client, placed: Order
) -> None:
    GatewaySettings.objects.create(name="mtn_momo", values={"environment": "sandbox"})
    payment = paid(placed)
    Payment.objects.update(gateway="mtn_momo", details={"phone": "+237671234567"})
    html = operator.get(page(payment, "refund")).content.decode()
    assert 'value="hand"' in html and 'value="service"' not in html
    assert "I send it to +237 6 71 23 45 67, the number that paid" in html
    confirm(operator, payment, "refund", amount="58.80", reason="gone", how="hand")
    assert payment.state == "refunded"
    GatewaySettings.objects.filter(name="mtn_momo").update(values={"disbursement_subscription_key": "k"})
    again = paid(order(Price.objects.get()))
    Payment.objects.filter(pk=again.pk).update(gateway="mtn_momo")
    assert 'value="service"' in operator.get(page(again, "refund")).content.decode()
