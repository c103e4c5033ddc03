"""PayPal: Orders v2 with the customer's approval on PayPal's page, captures and refunds of Payments v2.

Money is ours only when a capture says COMPLETED; an approved order is captured by whoever looks first. The return of
the browser and every message only cause a look.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import urlsplit

from django.utils import timezone
from django.utils.translation import gettext_noop as _

from parcelle.core.money import Money, NotMoney
from parcelle.domain.billing.gateways import paypal_issues as issues
from parcelle.domain.billing.gateways.base import (
    Abilities,
    Charge,
    ChargedBack,
    Declined,
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
from parcelle.domain.billing.gateways.paypal_api import Answer, Api, CredentialsRefused, Refused, encode
from parcelle.domain.billing.gateways.paypal_messages import OF_ORDER, Judge, event_of, verification_body
from parcelle.domain.billing.gateways.paypal_money import DECIMALS, from_wire, to_wire
from parcelle.domain.billing.sentences import Sentence

SANDBOX, LIVE = "https://api-m.sandbox.paypal.com", "https://api-m.paypal.com"
# Three hours until the customer must be there, and three more until the order must be captured.
WINDOW = timedelta(hours=6)
_LOCALES = {"fr": "fr-FR", "en": "en-GB"}
_DAY = 24 * 3600


@dataclass(frozen=True, kw_only=True)
class PayPal:
    """One account of one REST application. Without `base_url` the hosts follow from `production`."""

    name: ClassVar[str] = "paypal"
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting(name="client_id"),
        Setting(name="client_secret", kind="secret"),
        Setting(name="webhook_id"),
        Setting(name="verification", kind="choice", choices=("offline", "online"), default="offline"),
        # PayPal must have allowed the account to keep its customers' wallets, or it refuses the first payment.
        Setting(name="vault", kind="choice", choices=("off", "on"), default="off"),
        # For a simulator, never for real money.
        Setting(name="base_url", kind="url", required=False),
        Setting(name="trusted_hosts", required=False),
        Setting(name="trusted_ca", required=False),
    )

    # Every few minutes inside the window, then daily: a bank may take days over what it holds.
    _ABILITIES: ClassVar[Abilities] = Abilities(
        currencies=frozenset(DECIMALS),
        refunds=True,
        asks_about_messages=True,
        looks=(5, 10, 20, 40, 60, 120, *(300,) * 72, _DAY),
        gives_up_after=30 * _DAY,
    )

    client_id: str
    client_secret: str = field(repr=False)
    webhook_id: str
    verification: str = "offline"
    vault: str = "off"
    base_url: str = ""
    trusted_hosts: str = ""
    trusted_ca: str = ""
    production: bool = False

    @classmethod
    def open(cls, values: Mapping[str, str], production: bool) -> PayPal:
        given = {setting.name: str(values.get(setting.name) or setting.default).strip() for setting in cls.settings}
        return cls(**{**given, "base_url": given["base_url"].rstrip("/")}, production=production)

    @property
    def abilities(self) -> Abilities:
        return replace(self._ABILITIES, saves=self.vault == "on")

    @property
    def api(self) -> Api:
        return self._api_at(self.base_url or (LIVE if self.production else SANDBOX))

    def _api_at(self, host: str) -> Api:
        return Api(base_url=host, client_id=self.client_id, secret=self.client_secret)

    # --- settings ---------------------------------------------------------------------------------------

    def problems(self) -> list[str]:
        found: list[str] = [
            Sentence(_("PayPal needs its setting %(name)s."), name=setting.name)
            for setting in self.settings
            if setting.required and not getattr(self, setting.name)
        ]
        if self.verification not in {"offline", "online"}:
            found.append(Sentence(_("The verification of PayPal’s messages is either offline or online.")))
        if self.base_url and not _is_address(self.base_url):
            found.append(
                Sentence(_("The address of PayPal’s interface must begin with https://, or name this machine."))
            )
        if self.production:
            found += self._not_for_real_money()
        return found or self._asked()

    def _not_for_real_money(self) -> list[str]:
        found: list[str] = []
        if self.base_url not in {"", LIVE}:
            found.append(
                Sentence(_("For real money PayPal is asked at %(address)s alone: empty the address."), address=LIVE)
            )
        if self.trusted_hosts or self.trusted_ca:
            found.append(
                Sentence(_("For real money only PayPal’s own certificates count: empty trusted_hosts and trusted_ca."))
            )
        return found

    def _asked(self) -> list[str]:
        try:
            self.api.token()
        except CredentialsRefused:
            return [self._whose_credentials()]
        except GatewayError as error:
            return [Sentence(_("PayPal cannot be asked: %(detail)s."), detail=error.detail)]
        try:
            webhook = self.api.get(f"/v1/notifications/webhooks/{self.webhook_id}").data
        except Refused:
            return [Sentence(_("PayPal knows no webhook with this webhook_id in this account."))]
        except GatewayError as error:
            return [Sentence(_("PayPal cannot be asked about the webhook: %(detail)s."), detail=error.detail)]
        names = {str(one.get("name")) for one in webhook.get("event_types", [])}
        wanted = (*issues.EVENTS, *(issues.VAULT_EVENTS if self.vault == "on" else ()))
        missing = [name for name in wanted if name not in names] if "*" not in names else []
        if not missing:
            return []
        return [Sentence(_("The webhook at PayPal is not subscribed to %(names)s."), names=", ".join(missing))]

    def _whose_credentials(self) -> str:
        """Sandbox and real accounts are easily mixed up, so the other host is asked whether they are its own."""
        refused = Sentence(_("PayPal refuses this client_id with this client_secret."))
        if self.base_url:
            return refused
        try:
            self._api_at(SANDBOX if self.production else LIVE).token()
        except GatewayError:
            return refused
        if self.production:
            return Sentence(_("These are credentials of the sandbox, but PayPal is set to real money."))
        return Sentence(_("These are credentials for real money, but PayPal is set to the sandbox."))

    def accepts(self, amount: Money, country: str) -> bool:
        try:
            to_wire(amount)
        except NotMoney:
            return False
        return True

    # --- the attempt ------------------------------------------------------------------------------------

    def start(self, charge: Charge) -> Outcome:
        if charge.saved:
            return self._take_saved(charge)
        try:
            content = encode(_order(charge))
        except NotMoney as error:
            return Declined(code="seller_setup", remark=str(error))
        try:
            answer = self.api.post("/v2/checkout/orders", key=f"{charge.key}-create", content=content)
        except CredentialsRefused as error:
            return Declined(code="seller_setup", remark=error.detail)
        except Refused as refused:
            if refused.issue in issues.LOOK:
                raise GatewayError(f"PayPal knows this reference: {refused.remark}", unknown=True) from refused
            return Declined(code=issues.DECLINES.get(refused.issue, "seller_setup"), remark=refused.remark)
        order, link = str(answer.data.get("id", "")), _link(answer.data.get("links"), "payer-action", "approve")
        if not order or not link:
            raise GatewayError("PayPal made an order without saying where it is approved", unknown=True)
        created = str(answer.data.get("create_time") or "")
        return Redirect(url=link, provider_id=order, memo={"order": order, "url": link, "created": created})

    def _take_saved(self, charge: Charge) -> Outcome:
        """An order that PayPal pays out of a wallet it keeps, and captures at once; its customer is not there."""
        try:
            content = encode(_order(charge))
            answer = self.api.post("/v2/checkout/orders", key=f"{charge.key}-create", content=content)
        except (NotMoney, CredentialsRefused) as error:
            return Declined(code="seller_setup", remark=str(error))
        except Refused as refused:
            if refused.issue in issues.LOOK:
                raise GatewayError(f"PayPal knows this reference: {refused.remark}", unknown=True) from refused
            if refused.issue in issues.OTHER_SOURCE:
                # Nobody is there who could choose another one.
                return Declined(code="declined", remark=refused.remark)
            return Declined(code=issues.DECLINES.get(refused.issue, "seller_setup"), remark=refused.remark)
        order = str(answer.data.get("id", ""))
        outcome = self._read(charge, answer)
        if isinstance(outcome, Pending) and not outcome.provider_id:
            return Declined(code="refused_by_payer", remark=f"order {order}: {answer.data.get('status')}")
        return replace(outcome, memo={"order": order, **outcome.memo})

    def forget(self, reference: Mapping[str, str]) -> None:
        try:
            self.api.delete(f"/v3/vault/payment-tokens/{reference['vault_id']}")
        except Refused as refused:
            if refused.status != 404:
                raise GatewayError(f"PayPal does not forget a wallet: {refused.remark}", unknown=True) from refused

    def fetch(self, charge: Charge) -> Outcome:
        if "order" not in charge.memo:
            # The answer was lost: the same key makes sending it again safe, and tells the same order.
            return Pending() if charge.closed else self.start(charge)
        try:
            return self._read(charge, self.api.get(f"/v2/checkout/orders/{charge.memo['order']}"))
        except Refused as refused:
            return self._not_found(charge, refused)

    def cancel(self, charge: Charge) -> Outcome:
        """Only we can take the money of an approved order, and for one that is closed we never do."""
        outcome = self.fetch(replace(charge, closed=True))
        held = isinstance(outcome, Pending) and bool(outcome.provider_id)
        return Expired() if isinstance(outcome, Pending) and not held else outcome

    def _not_found(self, charge: Charge, refused: Refused) -> Outcome:
        """PayPal forgets orders nobody paid, and may forget a paid one long before its capture."""
        if charge.memo.get("capture"):
            try:
                capture = self.api.get(f"/v2/payments/captures/{charge.memo['capture']}").data
            except Refused as error:
                raise GatewayError(f"PayPal does not know the capture: {error.remark}", unknown=True) from error
            return self._captured(charge, capture, refunds=None)
        if refused.status == 404 and _is_over(charge.memo.get("created", ""), refused.at):
            return Expired()
        raise GatewayError(f"PayPal does not know the order: {refused.remark}", unknown=True) from refused

    def _read(self, charge: Charge, answer: Answer) -> Outcome:
        order = answer.data
        unit = _first(order.get("purchase_units"))
        payments = unit.get("payments") or {}
        capture = _first(payments.get("captures"))
        if capture:
            return self._keeping(self._captured(charge, capture, refunds=payments.get("refunds") or []), charge, order)
        status = order.get("status")
        if status == "VOIDED":
            return Expired()
        if status == "APPROVED":
            if not _is_ours(charge, unit):
                raise GatewayError("the order at PayPal belongs to another payment", unknown=True)
            # What was given up is not paid after all only because PayPal still could.
            return Pending() if charge.closed else self._take(charge, order)
        if status not in {"CREATED", "SAVED", "PAYER_ACTION_REQUIRED"}:
            raise GatewayError(f"PayPal says {status} of an order without a capture", unknown=True)
        over = _is_over(str(order.get("create_time") or charge.memo.get("created", "")), answer.at)
        return Expired() if over else Pending()

    def _take(self, charge: Charge, order: Mapping[str, Any]) -> Outcome:
        """Captures an approved order. Each try after a refusal is another act and has another key."""
        tries, changed = int(charge.memo.get("tries", "0")), str(order.get("update_time") or "")
        if tries and changed and changed == charge.memo.get("refused_at"):
            # The customer has not chosen another source yet: the same one would be refused again.
            return Pending()
        path = f"/v2/checkout/orders/{charge.memo['order']}/capture"
        try:
            answer = self.api.post(path, key=f"{charge.key}-capture-{tries}")
        except Refused as refused:
            return self._not_taken(charge, refused, tries=tries, changed=changed)
        unit = _first(answer.data.get("purchase_units"))
        capture = _first((unit.get("payments") or {}).get("captures"))
        if not capture:
            raise GatewayError("PayPal captured an order without saying what", unknown=True)
        return self._keeping(self._captured(charge, capture, refunds=[]), charge, answer.data)

    def _not_taken(self, charge: Charge, refused: Refused, *, tries: int, changed: str) -> Outcome:
        if refused.issue in issues.OTHER_SOURCE:
            url = _link(refused.links, "redirect", "payer-action", "approve") or charge.memo.get("url", "")
            return Redirect(url=url, memo={"tries": str(tries + 1), "refused_at": changed, "url": url})
        if refused.issue in issues.IN_PROGRESS:
            return Pending()
        if refused.issue in issues.DECLINES:
            return Declined(code=issues.DECLINES[refused.issue], remark=refused.remark)
        # Paid already, or nobody knows what it means: the order tells.
        try:
            order = self.api.get(f"/v2/checkout/orders/{charge.memo['order']}").data
        except Refused as error:
            raise GatewayError(f"PayPal does not know the order: {error.remark}", unknown=True) from error
        payments = _first(order.get("purchase_units")).get("payments") or {}
        if capture := _first(payments.get("captures")):
            return self._captured(charge, capture, refunds=payments.get("refunds") or [])
        raise GatewayError(f"PayPal did not capture: {refused.remark}", unknown=True) from refused

    # --- what became of it ------------------------------------------------------------------------------

    def _captured(self, charge: Charge, capture: Mapping[str, Any], *, refunds: list[Any] | None) -> Outcome:
        """`refunds` is None where PayPal only shows the capture itself."""
        reference = str(capture.get("id", ""))
        status, reason = capture.get("status"), str((capture.get("status_details") or {}).get("reason", ""))
        known: dict[str, Any] = {"provider_id": reference, "memo": {"capture": reference}}
        if status in {"DECLINED", "FAILED"}:
            return Declined(code="declined", remark=f"capture {reference}: {status} {reason}".strip(), **known)
        received = _money(capture.get("amount"))
        if status == "PENDING":
            return _held(charge, received, reason, known)
        if status not in {"COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED"}:
            raise GatewayError(f"PayPal says {status} of a capture", unknown=True)
        known["memo"] |= {"paid": "1"}
        returned = received if status == "REFUNDED" else None
        if refunds is not None:
            returned = _sum(refunds, received.currency, {"COMPLETED"})
            taken = received - returned - _sum(refunds, received.currency, {"PENDING"})
            if status == "REFUNDED" and taken.minor > 0:
                return ChargedBack(
                    amount=taken, dispute=f"reversal-{reference}", code="reversal", received=taken, **known
                )
        doubt = "" if _is_ours(charge, capture) else "other_reference"
        fee = _fee(capture, received.currency)
        paid = Paid(received=received, fee=fee, returned=returned, doubt=doubt, **known)
        return self._contested(paid, reference) if charge.memo.get("paid") else paid

    def _contested(self, paid: Paid, capture: str) -> Outcome:
        """A payment that came in before is looked at again: somebody may contest it."""
        found = self._disputes(capture)
        for dispute in found:
            if _ended(dispute) in issues.LOST:
                returned = paid.returned or Money.zero(paid.received.currency)
                lost = min(_money(dispute.get("dispute_amount")), paid.received - returned)
                if lost.minor > 0:
                    return ChargedBack(
                        amount=lost,
                        dispute=str(dispute.get("dispute_id", "")),
                        received=paid.received - returned,
                        provider_id=paid.provider_id,
                        memo=paid.memo,
                    )
        contested = any(not _ended(dispute) for dispute in found)
        return replace(paid, disputed=contested, won=bool(found) and not contested)

    def _disputes(self, capture: str) -> list[Mapping[str, Any]]:
        """In full: a list of disputes does not say how they ended. None where the application may not see them."""
        try:
            listed = self.api.get("/v1/customer/disputes", disputed_transaction_id=capture).data.get("items") or []
            return [self.api.get(f"/v1/customer/disputes/{one['dispute_id']}").data for one in listed]
        except Refused:
            return []

    # --- the wallet it keeps ----------------------------------------------------------------------------

    def _keeping(self, outcome: Outcome, charge: Charge, order: Mapping[str, Any]) -> Outcome:
        """With the wallet that PayPal keeps, where the customer agreed. It may be kept only a while after the capture:
        then a message causes another look, and the customer's tokens tell which one it is."""
        if not charge.keep or not isinstance(outcome, Paid):
            return outcome
        wallet = (order.get("payment_source") or {}).get("paypal") or {}
        vaulted = (wallet.get("attributes") or {}).get("vault") or {}
        token, customer = str(vaulted.get("id") or ""), str((vaulted.get("customer") or {}).get("id") or "")
        if vaulted.get("status") == "APPROVED":
            token = self._token_of(customer, wallet) if customer and charge.memo.get("paid") else ""
        if not token:
            return outcome
        label = f"PayPal {wallet.get('email_address', '')}".strip()
        return replace(outcome, kept=Kept(reference={"vault_id": token}, label=label))

    def _token_of(self, customer: str, wallet: Mapping[str, Any]) -> str:
        """The token of this wallet among those of a customer of PayPal's."""
        try:
            listed = self.api.get("/v3/vault/payment-tokens", customer_id=customer).data.get("payment_tokens") or []
        except Refused:
            return ""
        for one in listed:
            kept = (one.get("payment_source") or {}).get("paypal")
            if kept is not None and kept.get("email_address") == wallet.get("email_address"):
                return str(one.get("id") or "")
        return ""

    def trace(self, subject: str) -> str:
        """A message about a kept wallet names the order that it comes from and nothing of ours."""
        order = subject.removeprefix(OF_ORDER)
        if order == subject or not re.fullmatch(r"[A-Z0-9]{1,36}", order):
            return ""
        try:
            found = self.api.get(f"/v2/checkout/orders/{order}").data
        except Refused:
            return ""
        return str(_first(found.get("purchase_units")).get("custom_id") or "")

    # --- giving back ------------------------------------------------------------------------------------

    def refund(self, charge: Charge, request: RefundRequest) -> RefundOutcome:
        capture = charge.memo.get("capture") or charge.provider_id
        try:
            content = encode({"amount": to_wire(request.amount), "custom_id": str(charge.payment_id)})
            path = f"/v2/payments/captures/{capture}/refund"
            return _given_back(self.api.post(path, key=str(request.key), content=content).data)
        except NotMoney as error:
            return RefundOutcome(state="failed", remark=str(error))
        except Refused as refused:
            return RefundOutcome(state="failed", remark=refused.remark)

    def fetch_refund(self, charge: Charge, request: RefundRequest) -> RefundOutcome:
        if not request.provider_id:
            # Its answer was lost: the same key makes sending it again safe.
            return self.refund(charge, request)
        try:
            return _given_back(self.api.get(f"/v2/payments/refunds/{request.provider_id}").data)
        except Refused as refused:
            raise GatewayError(f"PayPal does not know the refund: {refused.remark}", unknown=True) from refused

    # --- messages ---------------------------------------------------------------------------------------

    def parse_webhook(self, headers: Mapping[str, str], body: bytes) -> Event:
        check = self._ask_about if self.verification == "online" else self._judge
        check(headers, body)
        return event_of(body)

    def _judge(self, headers: Mapping[str, str], body: bytes) -> None:
        hosts = tuple(self.trusted_hosts.replace(",", " ").split()) if not self.production else ()
        judge = Judge(self.webhook_id, hosts=hosts, ca=self.trusted_ca if not self.production else "")
        judge.check(headers, body, now=timezone.now())

    def _ask_about(self, headers: Mapping[str, str], body: bytes) -> None:
        content = verification_body(headers, body, webhook_id=self.webhook_id)
        try:
            answer = self.api.post("/v1/notifications/verify-webhook-signature", content=content)
        except Refused as refused:
            raise Forged(f"PayPal does not check it: {refused.remark}") from refused
        if answer.data.get("verification_status") != "SUCCESS":
            raise Forged("PayPal does not know this message")


# --- what is sent ---------------------------------------------------------------------------------------------


def _order(charge: Charge) -> dict[str, Any]:
    """The body of a new order; the same for every repetition. Raises NotMoney."""
    # What PayPal is to keep; the customer reads on its page that later payments are taken from it.
    vault = {"store_in_vault": "ON_SUCCESS", "usage_type": "MERCHANT", "usage_pattern": "RECURRING_PREPAID"}
    kept: dict[str, Any] = {"attributes": {"vault": vault}} if charge.keep else {}
    return {
        "intent": "CAPTURE",
        "purchase_units": [
            {
                "reference_id": "default",
                "custom_id": str(charge.payment_id),
                "invoice_id": f"{charge.order_number}-{charge.number}",
                "description": charge.description[:127],
                "amount": to_wire(charge.amount),
            }
        ],
        "payment_source": {
            "paypal": {"vault_id": charge.saved["vault_id"]}
            if charge.saved
            else {
                **kept,
                "experience_context": {
                    "return_url": charge.return_url,
                    "cancel_url": charge.cancel_url,
                    "user_action": "PAY_NOW",
                    "shipping_preference": "NO_SHIPPING",
                    "landing_page": "LOGIN",
                    "locale": _LOCALES.get(charge.payer.language, "en-GB"),
                    # Cheques and other funding that takes days would leave the customer waiting.
                    "payment_method_preference": "IMMEDIATE_PAYMENT_REQUIRED",
                },
            }
        },
    }


# --- what is read ---------------------------------------------------------------------------------------------


def _link(links: Any, *kinds: str) -> str:
    found = {str(one.get("rel")): str(one.get("href", "")) for one in links or [] if isinstance(one, dict)}
    return next((found[kind] for kind in kinds if found.get(kind)), "")


def _first(rows: Any) -> Mapping[str, Any]:
    return rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else {}


def _money(written: Any) -> Money:
    try:
        return from_wire(written if isinstance(written, dict) else {})
    except NotMoney as error:
        raise GatewayError(f"PayPal names an amount that is none: {error}", unknown=True) from error


def _is_ours(charge: Charge, carries: Mapping[str, Any]) -> bool:
    return str(carries.get("custom_id") or charge.payment_id) == str(charge.payment_id)


def _fee(capture: Mapping[str, Any], currency: str) -> Money | None:
    fee = (capture.get("seller_receivable_breakdown") or {}).get("paypal_fee")
    return _money(fee) if fee and fee.get("currency_code") == currency else None


def _sum(refunds: list[Any], currency: str, states: set[str]) -> Money:
    counted = [_money(one.get("amount")) for one in refunds if one.get("status") in states]
    return Money.total((one for one in counted if one.currency == currency), currency)


def _held(charge: Charge, received: Money, reason: str, known: dict[str, Any]) -> Outcome:
    """A capture that PayPal holds: not ours yet, or not ours any more."""
    if reason == "CHARGEBACK" and charge.memo.get("paid"):
        return ChargedBack(amount=received, dispute=f"chargeback-{known['provider_id']}", **known)
    if reason == "BUYER_COMPLAINT" and charge.memo.get("paid"):
        return Paid(received=received, disputed=True, **known)
    # There is nothing left for the customer to do on PayPal's page.
    known["memo"] |= {"url": ""}
    if reason in issues.OPERATOR_MUST_ACT:
        return Pending(remark=f"PayPal holds the money until you act in your account: {reason}", **known)
    return Pending(remark=f"PayPal holds the money: {reason}" if reason else "", **known)


def _ended(dispute: Mapping[str, Any]) -> str:
    """How a dispute was decided; empty while it is not."""
    if dispute.get("status") != "RESOLVED":
        return ""
    return str((dispute.get("dispute_outcome") or {}).get("outcome_code") or "NONE")


def _given_back(refund: Mapping[str, Any]) -> RefundOutcome:
    reference, status = str(refund.get("id", "")), str(refund.get("status", ""))
    states = {"COMPLETED": "done", "PENDING": "pending", "FAILED": "failed", "CANCELLED": "failed"}
    if not reference or status not in states:
        raise GatewayError(f"PayPal says {status or 'nothing'} of a refund", unknown=True)
    remark = f"refund {reference}: {status}" if states[status] == "failed" else ""
    return RefundOutcome(state=states[status], provider_id=reference, remark=remark)


def _is_over(created: str, now: datetime | None) -> bool:
    """Whether an order's time has run out by PayPal's own clock; never when one of the two is not known."""
    try:
        return now is not None and now - datetime.fromisoformat(created) > WINDOW
    except (ValueError, TypeError):
        return False


def _is_address(url: str) -> bool:
    try:
        where = urlsplit(url)
    except ValueError:
        return False
    return bool(where.hostname) and (
        where.scheme == "https" or (where.scheme == "http" and where.hostname in {"localhost", "127.0.0.1", "::1"})
    )
