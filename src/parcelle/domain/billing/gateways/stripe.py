"""Stripe: a hosted page for cards and whatever else the account has switched on (Checkout Session), by Stripe's SDK.

The session's id is our `provider_id`. Its page stays open for a day, in which the customer may try one card after
another: only the end of the session, or of a delayed method, is an outcome.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import stripe
from django.utils.translation import gettext_noop as _
from stripe import Charge as StripeCharge
from stripe import Dispute, PaymentIntent, Refund
from stripe.checkout import Session

from parcelle.core import http
from parcelle.core.money import Money, NotMoney, decimals
from parcelle.domain.billing.gateways.base import (
    Abilities,
    Charge,
    ChargedBack,
    Declined,
    DisputeFee,
    Event,
    Expired,
    Forged,
    GatewayError,
    Kept,
    Outcome,
    Paid,
    Pending,
    Redirect,
    RefundOutcome,
    RefundRequest,
    Setting,
)
from parcelle.domain.billing.sentences import Sentence

API = "https://api.stripe.com"
DAY = 24 * 3600
# How old or early a message may be, in seconds. The SDK itself lets the future pass.
TOLERANCE = 300
# Nobody is told how long our earlier calls took.
stripe.enable_telemetry = False


# --- amounts ------------------------------------------------------------------------------------------------

_WITHOUT_DECIMALS = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF"
_WITH_THREE = "BHD JOD KWD OMR TND"
# Stripe's own page has it in two tables that contradict each other: a factor of 100 is not for guessing.
_UNSETTLED = "UGX"
# Stripe refuses less, in its own units. Of currencies that are not here it wants the worth of half a dollar.
_LEAST = {
    **dict.fromkeys(["USD", "AUD", "BRL", "CAD", "CHF", "EUR", "INR", "NZD", "SGD"], 50),
    "AED": 200,
    "BGN": 100,
    "CZK": 1500,
    "DKK": 250,
    "GBP": 30,
    "HKD": 400,
    "HUF": 17500,
    "JPY": 50,
    "MXN": 1000,
    "MYR": 200,
    "NOK": 300,
    "PLN": 200,
    "RON": 200,
    "SEK": 300,
    "THB": 1000,
    # Half a euro, to which both are fixed.
    "XAF": 328,
    "XOF": 328,
}
_MOST = 99_999_999


def exponent(currency: str) -> int:
    """How many decimals Stripe counts in: two for ISK, which has none. Raises NotMoney for what it cannot take."""
    if currency in _UNSETTLED:
        raise NotMoney(f"Stripe counts {currency} in two ways")
    if currency in _WITHOUT_DECIMALS:
        return 0
    return 3 if currency in _WITH_THREE else 2


def to_wire(money: Money) -> int:
    """The amount in Stripe's units. Raises NotMoney where Stripe cannot express it."""
    more, fewer = _factors(money.currency)
    if money.minor % fewer:
        raise NotMoney(f"{money} has more decimals than Stripe knows")
    amount = money.minor * more // fewer
    if money.currency in _WITH_THREE and amount % 10:
        raise NotMoney(f"{money}: Stripe wants the last of three decimals to be zero")
    return amount


def from_wire(amount: int, currency: str) -> Money:
    """Raises NotMoney for what the currency cannot express."""
    currency = currency.upper()
    more, fewer = _factors(currency)
    if amount % more:
        raise NotMoney(f"{amount} of Stripe is no whole number of the smallest unit of {currency}")
    return Money(amount * fewer // more, currency)


def _factors(currency: str) -> tuple[int, int]:
    """Our smallest unit is so many of Stripe's, or Stripe's so many of ours; one of the two is 1."""
    shift = exponent(currency) - decimals(currency)
    return int(10 ** max(shift, 0)), int(10 ** max(-shift, 0))


# --- why a card was declined --------------------------------------------------------------------------------

_REASONS = {
    "not_enough_funds": "insufficient_funds",
    "limit_reached": """
        card_velocity_exceeded withdrawal_count_limit_exceeded amount_too_large
        charge_exceeds_source_limit charge_exceeds_weekly_limit""",
    "no_account": """
        expired_card invalid_account incorrect_number invalid_number invalid_expiry_month invalid_expiry_year
        card_not_supported currency_not_supported new_account_information_available not_permitted
        service_not_allowed transaction_not_allowed account_closed debit_not_authorized invalid_account_number
        live_mode_test_card""",
    "refused_by_payer": """
        authentication_required payment_intent_authentication_failure incorrect_cvc invalid_cvc incorrect_pin
        invalid_pin offline_pin_required online_or_offline_pin_required pin_try_exceeded incorrect_zip
        incorrect_address approve_with_id payment_method_customer_decline""",
    "service_down": """
        processing_error issuer_not_available try_again_later reenter_transaction payment_method_provider_timeout""",
    "blocked": """
        fraudulent lost_card stolen_card pickup_card restricted_card merchant_blacklist security_violation
        stop_payment_order highest_risk_level elevated_risk_level""",
}
_CODES = {theirs: ours for ours, listed in _REASONS.items() for theirs in listed.split()}


def decline_code(theirs: str | None) -> str:
    return _CODES.get(theirs or "", "declined")


# --- the gateway --------------------------------------------------------------------------------------------


class _OurClient(stripe.HTTPClient):
    """Stripe's requests go the way of all others: one pool, our time-outs, nothing of it in a log."""

    name = "parcelle"

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None, **_named: Any
    ) -> Any:
        content = post_data.encode() if isinstance(post_data, str) else post_data
        try:
            answer = http.request(method.upper(), url, headers=dict(headers or {}), content=content or None)
        except http.OutsideError as error:
            # What did not even leave the house may be sent again at once.
            raise stripe.APIConnectionError(  # type: ignore[no-untyped-call]
                str(error), should_retry=not error.unknown
            ) from error
        return answer.content, answer.status_code, answer.headers

    def close(self) -> None:
        """The pool is everybody's."""


class StripeGateway:
    name: ClassVar[str] = "stripe"
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting(name="secret_key", kind="secret"),
        # One, or two while it is being exchanged, separated by spaces.
        Setting(name="webhook_secrets", kind="secret"),
        # A simulator's address, for trying it out.
        Setting(name="api_url", kind="url", required=False, default=API),
    )
    abilities = Abilities(
        refunds=True,
        prepaid=False,
        saves=True,
        looks=(10, 20, 40, 60, 120, 300, 600, 1800, 3600),
        # The page stays open for a day; a delayed method tells its end by a message, up to two weeks later.
        gives_up_after=15 * DAY,
    )

    def __init__(self, *, secret_key: str, webhook_secrets: str, api_url: str, production: bool) -> None:
        self.secret_key = secret_key.strip()
        self.webhook_secrets = re.split(r"[\s,;]+", webhook_secrets.strip())
        self.api_url = api_url.strip().rstrip("/") or API
        self.production = production

    @classmethod
    def open(cls, values: Mapping[str, str], production: bool) -> StripeGateway:
        return cls(
            secret_key=values.get("secret_key", ""),
            webhook_secrets=values.get("webhook_secrets", ""),
            api_url=values.get("api_url", ""),
            production=production,
        )

    @property
    def _client(self) -> stripe.StripeClient:
        return stripe.StripeClient(
            self.secret_key or "none",
            base_addresses={"api": self.api_url},
            # Only what had no effect or carries our own key is ever sent again.
            max_network_retries=1,
            http_client=_OurClient(),
        )

    def problems(self) -> list[str]:
        found = [*self._key_problems()]
        if not all(secret.startswith("whsec_") for secret in self.webhook_secrets):
            found.append(
                Sentence(_("A webhook secret of Stripe begins with whsec_: copy it from the endpoint’s page."))
            )
        if self.production and self.api_url != API:
            found.append(Sentence(_("Real money goes to Stripe’s own address: leave the address empty.")))
        return found or self._account_problems()

    def _key_problems(self) -> list[str]:
        kind, _underscore, mode = self.secret_key.partition("_")
        if kind == "pk":
            return [Sentence(_("This is Stripe’s publishable key: the secret key is wanted."))]
        if kind not in {"sk", "rk"}:
            return [Sentence(_("A secret key of Stripe begins with sk_ or rk_."))]
        wanted, other = ("live", "test") if self.production else ("test", "live")
        if mode.startswith(f"{other}_"):
            return [Sentence(_MIXED_UP[wanted])]
        if mode.startswith(f"{wanted}_"):
            return []
        return [Sentence(_("This key of Stripe should begin with %(start)s."), start=f"{kind}_{wanted}_")]

    def _account_problems(self) -> list[str]:
        try:
            balance = self._client.v1.balance.retrieve()
        except stripe.PermissionError:
            # A restricted key need not be allowed to see the balance; it is a key all the same.
            return []
        except stripe.AuthenticationError:
            return [Sentence(_("Stripe does not know this secret key."))]
        except stripe.StripeError as error:
            return [Sentence(_("Stripe cannot be asked: %(detail)s"), detail=_detail(error))]
        return [] if balance.livemode == self.production else [Sentence(_("Stripe answers from its other mode."))]

    def accepts(self, amount: Money, country: str) -> bool:
        try:
            return _LEAST.get(amount.currency, 1) <= to_wire(amount) <= _MOST
        except NotMoney:
            return False

    # --- charges ----------------------------------------------------------------------------------------

    def start(self, charge: Charge) -> Outcome:
        if charge.saved:
            return self._take(charge, first=True)
        try:
            session = self._create(charge)
        except (stripe.InvalidRequestError, stripe.AuthenticationError, stripe.PermissionError) as error:
            return Declined(code="seller_setup", remark=_detail(error))
        except stripe.StripeError as error:
            raise _unanswered(error) from error
        self._ours(charge, session)
        url = str(session.url)
        return Redirect(url=url, provider_id=session.id, memo={"url": url})

    def _take(self, charge: Charge, *, first: bool) -> Outcome:
        """Takes the amount from what the customer left with Stripe; they are not there to prove anything."""
        try:
            intent = self._client.v1.payment_intents.create(
                params={
                    "amount": to_wire(charge.amount),
                    "currency": charge.amount.currency.lower(),
                    "customer": charge.saved["customer"],
                    "payment_method": charge.saved["payment_method"],
                    # Nobody is there who could be sent to another page.
                    "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
                    "off_session": True,
                    "confirm": True,
                    "description": charge.description,
                    "metadata": _ours(charge),
                    "expand": ["latest_charge.balance_transaction"],
                },
                options={"idempotency_key": str(charge.key)},
            )
        except stripe.CardError as error:
            # The same key brings the same refusal back, so this is the truth however often it is asked.
            refused = error.error.payment_intent if error.error is not None else None
            known: dict[str, Any] = {"provider_id": refused.id} if refused is not None else {}
            code = getattr(error.error, "decline_code", None) or error.code
            return Declined(code=decline_code(code), remark=_detail(error), **known)
        except (stripe.InvalidRequestError, stripe.AuthenticationError, stripe.PermissionError) as error:
            if not first:
                raise GatewayError(_detail(error), unknown=True) from error
            return Declined(
                code="no_account" if error.code == "resource_missing" else "seller_setup", remark=_detail(error)
            )
        except stripe.StripeError as error:
            raise _unanswered(error) from error
        return self._taken(charge, intent)

    def _taken(self, charge: Charge, intent: PaymentIntent) -> Outcome:
        if intent.livemode != self.production or _noted(intent, "payment") != str(charge.payment_id):
            raise GatewayError(f"the payment {intent.id} of Stripe is not this one", unknown=True)
        about: dict[str, Any] = {"provider_id": intent.id, "memo": {"payment_intent": intent.id}}
        if intent.status == "succeeded":
            return self._paid(_counted(intent.amount_received, intent.currency), intent, about)
        if intent.status == "processing":
            return Pending(code="bank", **about)
        if intent.status == "canceled":
            return Expired(**about)
        # Nobody is there who could try another card, or prove who they are.
        failed = _failure(intent) or "authentication_required"
        return Declined(code=decline_code(failed), remark=failed, **about)

    def _look_at_taken(self, charge: Charge) -> Outcome:
        if not charge.provider_id:
            # The answer was lost: its key brings it back.
            return self._take(charge, first=False)
        expand = ["latest_charge.balance_transaction"]
        ask = self._client.v1.payment_intents.retrieve
        return self._taken(charge, self._read(lambda: ask(charge.provider_id, params={"expand": expand})))

    def forget(self, reference: Mapping[str, str]) -> None:
        # One that Stripe does not know any more is forgotten.
        with contextlib.suppress(stripe.InvalidRequestError):
            self._read_through(lambda: self._client.v1.payment_methods.detach(reference["payment_method"]))

    def _create(self, charge: Charge) -> Session:
        # With the same key it must be the same to the letter, so nothing in it depends on the moment.
        ours = _ours(charge)
        # Without a customer of Stripe's there is nothing that a card could be kept with.
        # Messages about the intent do not carry what the session knows.
        intent: Any = {"metadata": ours, "description": charge.description}
        if charge.keep:
            intent["setup_future_usage"] = "off_session"
        return self._client.v1.checkout.sessions.create(
            params={
                "customer_creation": "always" if charge.keep else "if_required",
                "mode": "payment",
                "line_items": [
                    {
                        "quantity": 1,
                        "price_data": {
                            "currency": charge.amount.currency.lower(),
                            "unit_amount": to_wire(charge.amount),
                            "product_data": {"name": charge.description},
                        },
                    }
                ],
                "success_url": charge.return_url,
                "cancel_url": charge.cancel_url,
                "client_reference_id": str(charge.payment_id),
                "metadata": ours,
                "payment_intent_data": intent,
                "customer_email": charge.payer.email,
                "locale": "fr" if charge.payer.language == "fr" else "en",
                # What is paid is what was asked for, in its own currency.
                "adaptive_pricing": {"enabled": False},
            },
            options={"idempotency_key": str(charge.key)},
        )

    def fetch(self, charge: Charge) -> Outcome:
        if charge.saved:
            return self._look_at_taken(charge)
        session = self._read(lambda: self._session(charge))
        self._ours(charge, session)
        intent = session.payment_intent if isinstance(session.payment_intent, PaymentIntent) else None
        about: dict[str, Any] = {"provider_id": session.id}
        if intent is not None:
            about["memo"] = {"payment_intent": intent.id}
        if session.payment_status in {"paid", "no_payment_required"}:
            paid = self._paid(_received(session, intent), intent, about)
            return replace(paid, kept=_kept(intent)) if charge.keep and isinstance(paid, Paid) else paid
        if session.status == "open":
            return Redirect(url=str(session.url), **about)
        declined = _failure(intent)
        if session.status == "complete" and (intent is None or intent.status == "processing"):
            return Pending(code="bank", **about)
        if declined is not None:
            return Declined(code=decline_code(declined), remark=declined, **about)
        return Expired(**about) if session.status == "expired" else Declined(code="declined", **about)

    def _paid(self, received: Money, intent: PaymentIntent | None, about: dict[str, Any]) -> Outcome:
        """The money came in; what became of it since is told as well."""
        paid_by = intent.latest_charge if intent is not None else None
        told: dict[str, Any] = {}
        if intent is not None and isinstance(paid_by, StripeCharge):
            dispute = self._read(lambda: self._dispute(intent.id)) if paid_by.disputed else None
            if dispute is not None and dispute.status == "lost":
                taken = _counted(dispute.amount, dispute.currency)
                held = received - _counted(paid_by.amount_refunded, paid_by.currency)
                fee = _dispute_fee(dispute)
                return ChargedBack(
                    amount=taken, dispute=dispute.id, received=max(held, taken), dispute_fee=fee, **about
                )
            told["returned"] = _counted(paid_by.amount_refunded, paid_by.currency)
            told["won"] = dispute is not None and dispute.status == "won"
            told["disputed"] = dispute is not None and dispute.status in {"needs_response", "under_review"}
            told["dispute_fee"] = _dispute_fee(dispute) if dispute is not None else None
        return Paid(received=received, fee=_fee(intent), **told, **about)

    def _dispute(self, intent: str) -> Dispute | None:
        """The newest: a payment can be disputed again after one was won."""
        return next(iter(self._client.v1.disputes.list(params={"payment_intent": intent, "limit": 1}).data), None)

    def cancel(self, charge: Charge) -> Outcome:
        if charge.provider_id and not charge.saved:
            # One that is over by now refuses: what it has become is read next.
            with contextlib.suppress(stripe.InvalidRequestError):
                self._read_through(lambda: self._client.v1.checkout.sessions.expire(charge.provider_id))
        return self.fetch(charge)

    def _session(self, charge: Charge) -> Session:
        # Without an id the answer to the first call was lost: its key brings it back, as it was then.
        found = charge.provider_id or self._create(charge).id
        return self._client.v1.checkout.sessions.retrieve(
            found, params={"expand": ["payment_intent.latest_charge.balance_transaction"]}
        )

    def _ours(self, charge: Charge, session: Session) -> None:
        if session.livemode != self.production or session.client_reference_id != str(charge.payment_id):
            raise GatewayError(f"the session {session.id} of Stripe is not this payment's", unknown=True)

    @staticmethod
    def _read_through[T](ask: Callable[[], T]) -> T:
        """Like `_read`, but a refusal is the caller's business."""
        try:
            return ask()
        except stripe.InvalidRequestError:
            raise
        except stripe.StripeError as error:
            raise GatewayError(_detail(error), unknown=True) from error

    @staticmethod
    def _read[T](ask: Callable[[], T]) -> T:
        """What is asked after is never declined by an error: what was sent before may have been paid."""
        try:
            return ask()
        except stripe.StripeError as error:
            raise GatewayError(_detail(error), unknown=True) from error

    # --- refunds ----------------------------------------------------------------------------------------

    def refund(self, charge: Charge, request: RefundRequest) -> RefundOutcome:
        intent = self._read(lambda: self._intent_of(charge))
        try:
            return _told(
                self._client.v1.refunds.create(
                    params={
                        "payment_intent": intent,
                        "amount": to_wire(request.amount),
                        "metadata": {"payment": str(charge.payment_id), "refund": str(request.key)},
                    },
                    options={"idempotency_key": str(request.key)},
                )
            )
        except stripe.InvalidRequestError as error:
            return RefundOutcome(state="failed", remark=_detail(error))
        except stripe.StripeError as error:
            raise _unanswered(error) from error

    def fetch_refund(self, charge: Charge, request: RefundRequest) -> RefundOutcome:
        found = self._read(lambda: self._find_refund(charge, request))
        # Stripe never heard of it: with the same key it can be said once more.
        return _told(found) if found is not None else self.refund(charge, request)

    def _find_refund(self, charge: Charge, request: RefundRequest) -> Refund | None:
        if request.provider_id:
            return self._client.v1.refunds.retrieve(request.provider_id)
        # A key is forgotten after a day or so, what was written on the refund is not.
        listed = self._client.v1.refunds.list(params={"payment_intent": self._intent_of(charge), "limit": 100})
        return next((one for one in listed.auto_paging_iter() if _noted(one, "refund") == str(request.key)), None)

    def _intent_of(self, charge: Charge) -> str:
        known = charge.memo.get("payment_intent")
        if known:
            return known
        session = self._client.v1.checkout.sessions.retrieve(charge.provider_id)
        return str(session.payment_intent)

    # --- messages ---------------------------------------------------------------------------------------

    def parse_webhook(self, headers: Mapping[str, str], body: bytes) -> Event:
        self._verify(headers.get("stripe-signature", ""), body)
        try:
            message = json.loads(body)
            about = message["data"]["object"]
            event = Event(event_id=str(message["id"]), kind=str(message["type"]), subject=_subject(about))
            livemode, account = message["livemode"], message.get("account")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Forged("not a message of Stripe") from error
        if livemode is not self.production:
            raise Forged("a message from the other mode")
        # What happens in somebody else's account is not about our payments, whatever it says.
        return event if account is None else Event(event_id=event.event_id, kind=event.kind)

    def trace(self, subject: str) -> str:
        """Disputes, and refunds made in the dashboard, name the payment intent alone."""
        if not subject.startswith("pi_"):
            return ""
        return self._read(lambda: _noted(self._client.v1.payment_intents.retrieve(subject), "payment"))

    def _verify(self, signature: str, body: bytes) -> None:
        for secret in self.webhook_secrets:
            try:
                stripe.WebhookSignature.verify_header(body, signature, secret, TOLERANCE)
            except (stripe.SignatureVerificationError, UnicodeDecodeError):
                continue
            signed_at = int(re.findall(r"(?:^|,)t=(\d+)", signature)[0])
            if signed_at > time.time() + TOLERANCE:
                raise Forged("signed in the future")
            return
        raise Forged("the signature does not fit, or is too old")


_MIXED_UP = {
    "live": _("This is a test key of Stripe, and real money needs a live key."),
    "test": _("This is a live key of Stripe, and trying it out needs a test key."),
}


def _unanswered(error: stripe.StripeError) -> GatewayError:
    """A call that may have had an effect, unless it cannot have left or was turned away at the door."""
    cause = error.__cause__
    never_sent = isinstance(cause, http.OutsideError) and not cause.unknown
    return GatewayError(_detail(error), unknown=not never_sent and not isinstance(error, stripe.RateLimitError))


def _detail(error: stripe.StripeError) -> str:
    words = [type(error).__name__, error.code or "", error.user_message or "", error.request_id or ""]
    return " ".join(filter(None, words))[:500]


def _ours(charge: Charge) -> dict[str, str]:
    """What is written on everything of Stripe's that belongs to an attempt."""
    return {"payment": str(charge.payment_id), "number": charge.number, "order": charge.order_number}


def _kept(intent: PaymentIntent | None) -> Kept | None:
    """What the customer left for later payments; None for a method that cannot be used again."""
    paid_by = intent.latest_charge if intent is not None else None
    if intent is None or not isinstance(paid_by, StripeCharge) or not intent.customer or not paid_by.payment_method:
        return None
    details: Any = paid_by.payment_method_details
    kind = str(details.type) if details is not None else "card"
    card = getattr(details, "card", None) if kind == "card" else None
    label = f"{str(card.brand).capitalize()} •••• {card.last4}" if card is not None else kind.replace("_", " ")
    customer = intent.customer if isinstance(intent.customer, str) else intent.customer.id
    return Kept(
        reference={"customer": customer, "payment_method": str(paid_by.payment_method), "type": kind}, label=label
    )


def _received(session: Session, intent: PaymentIntent | None) -> Money:
    if intent is not None:
        return _counted(intent.amount_received, intent.currency)
    return _counted(session.amount_total or 0, session.currency or "")


def _counted(amount: int, currency: str) -> Money:
    try:
        return from_wire(amount, currency)
    except NotMoney as error:
        raise GatewayError(f"Stripe says {amount} {currency}, which cannot be counted", unknown=True) from error


def _dispute_fee(dispute: Dispute) -> DisputeFee | None:
    """What was kept for it and not given back, in the currency of the account; None where nothing was booked yet."""
    booked = dispute.balance_transactions
    if not booked or len({one.currency for one in booked}) > 1:
        return None
    amount = _counted(sum(one.fee for one in booked), booked[0].currency)
    return DisputeFee(dispute=dispute.id, amount=amount)


def _fee(intent: PaymentIntent | None) -> Money | None:
    """What Stripe keeps, in the currency of the account; None while it is not settled."""
    paid_by = intent.latest_charge if intent is not None else None
    booked = paid_by.balance_transaction if isinstance(paid_by, StripeCharge) else None
    if booked is None or isinstance(booked, str):
        return None
    try:
        return from_wire(booked.fee, booked.currency)
    except NotMoney:
        return None


def _failure(intent: PaymentIntent | None) -> str | None:
    """Stripe's code for why the last attempt of a session did not work; None when there was none."""
    failed = intent.last_payment_error if intent is not None else None
    if failed is None:
        return None
    return getattr(failed, "decline_code", None) or getattr(failed, "code", None) or "declined"


def _told(refund: Refund) -> RefundOutcome:
    if refund.status == "succeeded":
        return RefundOutcome(state="done", provider_id=refund.id)
    if refund.status in {"failed", "canceled"}:
        why = getattr(refund, "failure_reason", None) or ""
        return RefundOutcome(state="failed", provider_id=refund.id, remark=f"{refund.status} {why}".strip())
    return RefundOutcome(state="pending", provider_id=refund.id)


def _noted(row: Any, name: str) -> str:
    """What we wrote on something of Stripe's when we made it."""
    return str(row.metadata[name]) if row.metadata and name in row.metadata else ""


def _subject(about: Mapping[str, Any]) -> str:
    noted = (about.get("metadata") or {}).get("payment")
    return str(about.get("client_reference_id") or noted or about.get("payment_intent") or "")
