"""The shapes of what is sold: plans, orders, payments, coupons. Amounts are whole minor units and a readable text."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from functools import cache
from typing import Annotated, Literal
from uuid import UUID

from babel import Locale
from django.conf import settings
from django.utils.translation import get_language
from ninja import Field
from pydantic import AfterValidator, ConfigDict, JsonValue, StringConstraints
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from parcelle.core.money import Money
from parcelle.domain.billing.errors import AddOnRefused
from parcelle.surfaces import refusals
from parcelle.surfaces.api.problems import Problem
from parcelle.surfaces.api.schemas import Camel, Email, PhoneNumber, one_line

Interval = Literal["month", "year"]
# The words of the API. They are promises to integrators.
CouponReason = Literal[
    "unknown", "not_yet", "over", "used_up", "used_by_you", "other_plan", "other_currency", "too_small"
]
OrderStatus = Literal["open", "paid", "fulfilled", "expired"]
PaymentStatus = Literal[
    "created",
    "submitted",
    "pending",
    "unknown",
    "parked",
    "paid",
    "paid_late",
    "declined",
    "expired",
    "abandoned",
    "partly_refunded",
    "refunded",
    "charged_back",
]


@cache
def _countries() -> frozenset[str]:
    no_country = {"EU", "EZ", "UN", "ZZ"}
    known = (str(code) for code in Locale("en").territories)
    return frozenset(code for code in known if len(code) == 2 and code not in no_country)


def _country(value: str) -> str:
    if value not in _countries():
        raise PydanticCustomError("country", "not a country")
    return value


Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$"), AfterValidator(_country)]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
CouponCode = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{3,40}$")]
Method = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{1,29}$")]


class Amount(Camel):
    """Money."""

    minor: int = Field(description="In the currency's smallest unit: 4900 is 49,00 € and 4900 FCFA.")
    currency: str = Field(description="ISO 4217.")
    text: str = Field(description="As people write it, in the language of the request.")

    @classmethod
    def of(cls, money: Money) -> Amount:
        language = (get_language() or settings.LANGUAGE_CODE)[:2]
        return cls(minor=money.minor, currency=money.currency, text=money.format(language))


# --- plans ----------------------------------------------------------------------------------------------


class Limit(Camel):
    """How much of something a plan includes."""

    metric: str
    name: str
    amount: int | None = Field(description="null when it is unlimited.")
    unlimited: bool


class Feature(Camel):
    """One line of the comparison of plans."""

    key: str
    name: str
    icon: str = Field(description="Name of a Tabler icon.")
    included: bool
    counted: bool = Field(description="Whether there is so much of it.")
    amount: int | None = Field(description="Of what is counted; null when it is unlimited, or not included.")
    unlimited: bool


class Resources(Camel):
    """What one instance may use; null leaves it to the application."""

    memory_mb: int | None
    cpus: float | None
    processes: int | None


class PlanPrice(Camel):
    """What a plan costs for one interval in one currency, without tax."""

    price_id: UUID = Field(description="What `createOrder` wants. It never changes: a new price has a new one.")
    interval: Interval
    amount: Amount
    saving_percent: int = Field(description="How much less a year costs than twelve months; 0 for a month.")


class AddOnPrice(Camel):
    """What one of an add-on costs for one interval in one currency, without tax."""

    interval: Interval
    amount: Amount
    adds: int = Field(description="How much each one adds to the plan's limit.")


class AddOn(Camel):
    """Something that is sold beside a plan, so many at a time, and raises one of its limits."""

    add_on_id: UUID = Field(description="What `createOrder` wants.")
    name: str
    metric: str = Field(description="Which of the plan's `limits` it raises.")
    most: int = Field(description="How many there may be.")
    prices: list[AddOnPrice] = Field(description="It can be had where there is one for the plan's own price.")


class Plan(Camel):
    """A plan on sale."""

    plan_id: UUID
    slug: str
    name: str
    summary: str
    product_slug: str
    product_name: str
    popular: bool
    on_request: bool = Field(description="Has no price: send people to `contactUrl`.")
    contact_url: str | None
    trial_days: int = Field(description="0: it cannot be tried for nothing.")
    retention_days: int = Field(description="How long data are kept after the end.")
    limits: list[Limit]
    resources: Resources
    prices: list[PlanPrice]
    add_ons: list[AddOn]


class PlanPage(Camel):
    """A part of the list, in the order in which plans are shown."""

    items: list[Plan]
    count: int = Field(description="How many there are in all.")
    limit: int
    offset: int
    next: str | None = Field(description="Address of the next part; null on the last one.")


class FeatureList(Camel):
    """Everything the plans of a product are compared by, as this plan has it."""

    plan_id: UUID
    items: list[Feature]


# --- orders ---------------------------------------------------------------------------------------------


class Customer(Camel):
    """Who buys, as it will stand on the invoice."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=False, extra="forbid")

    email: Email = Field(
        description="Becomes the owner and receives every mail.", json_schema_extra={"format": "email"}
    )
    first_name: Annotated[str, one_line(150)]
    last_name: Annotated[str, one_line(150)]
    company_name: Annotated[str, one_line(200, least=0)] | None = Field(
        None, description="Left out for a private person."
    )
    phone: PhoneNumber | None = Field(None, description="Needed for Mobile Money unless the payment brings one.")
    country: Country = Field(description="ISO 3166, two capitals. Decides on the tax and on the ways to pay.")
    address: Annotated[str, one_line(200)]
    postcode: Annotated[str, one_line(20, least=0)] | None = Field(None, description="Needed in France.")
    city: Annotated[str, one_line(100)]
    vat_number: Annotated[str, one_line(20, least=0)] | None = Field(
        None, description="Of a company in the European Union. Counts only once the tax administration confirmed it."
    )
    siren: Annotated[str, one_line(20, least=0)] | None = Field(
        None, description="Of a company in France, which needs it where the seller is in France too."
    )


_CUSTOMER: dict[str, JsonValue] = {
    "email": "awa@diop.fr",
    "firstName": "Awa",
    "lastName": "Diop",
    "companyName": "Diop & Fils",
    "country": "FR",
    "address": "1 rue de la Paix",
    "postcode": "75002",
    "city": "Paris",
    "siren": "732829320",
}


class WantedAddOn(Camel):
    """So many of one add-on."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=False, extra="forbid")

    add_on_id: UUID
    quantity: int = Field(ge=1, le=100_000)


def quantities(wanted: Iterable[WantedAddOn]) -> dict[UUID, int]:
    return {one.add_on_id: one.quantity for one in wanted}


def add_on_problem(refused: AddOnRefused) -> Problem:
    detail = str(refusals.ADD_ONS[refused.code])
    return Problem("add-on-refused", detail, errors=[{"pointer": "#/addOns", "code": refused.code, "detail": detail}])


class OrderedAddOn(Camel):
    """What an order is for beside the plan."""

    add_on_id: UUID
    name: str
    quantity: int = Field(description="How many it adds; negative for what a change takes away.")
    amount: Amount = Field(description="What of the subtotal is for it.")


class CreateOrder(Camel):
    """One plan for its first interval."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=False,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "priceId": "3f0b9ad5-4f0e-4b6c-9a53-2b3c4d5e6f70",
                    "couponCode": "BIENVENUE",
                    "language": "fr",
                    "customer": _CUSTOMER,
                }
            ]
        },
    )

    price_id: UUID = Field(description="As `listPlans` shows it: what was seen is what is sold.")
    add_ons: list[WantedAddOn] = Field([], max_length=50, description="Of those that `listPlans` shows beside it.")
    coupon_code: CouponCode | None = None
    language: Literal["fr", "en"] | None = Field(
        None, description="Of the mails and the application; French if left out."
    )
    customer: Customer


class OrderSummary(Camel):
    """One order in a list."""

    order_id: UUID
    number: str
    status: OrderStatus = Field(
        description="`open`: waits for its payment. `paid`: the money is there, the space is being ordered. "
        "`fulfilled`: the customer has their subscription and instance. `expired`: nobody paid in time."
    )
    plan_id: UUID
    plan_name: str
    product_slug: str
    price_id: UUID
    interval: Interval
    subtotal: Amount
    discount: Amount
    tax: Amount
    total: Amount
    coupon_code: str | None
    email: str
    organization_id: UUID | None = Field(description="null until it is paid, unless the customer was known.")
    subscription_id: UUID | None
    instance_id: UUID | None = Field(description="Ask `getInstance` for its progress.")
    created_at: datetime
    expires_at: datetime
    paid_at: datetime | None
    fulfilled_at: datetime | None


class CustomerShown(Camel):
    """Who buys, as it was agreed."""

    email: str
    first_name: str
    last_name: str
    company_name: str
    phone: str
    country: str
    address: str
    postcode: str
    city: str
    vat_number: str
    siren: str


class PaymentMethod(Camel):
    """A way to pay that can take this order's currency from this customer's country."""

    method: str
    asks: list[str] = Field(description="Names of what `initiatePayment` needs besides, such as `phone`.")


class OrderPage(Camel):
    """A part of the list, newest first."""

    items: list[OrderSummary]
    count: int = Field(description="How many there are in all.")
    limit: int
    offset: int
    next: str | None = Field(description="Address of the next part; null on the last one.")


# --- payments -------------------------------------------------------------------------------------------


class InitiatePayment(Camel):
    """One attempt on one way to pay."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=False,
        extra="forbid",
        json_schema_extra={"examples": [{"method": "paypal"}, {"method": "mtn_momo", "phone": "+237 6 71 23 45 67"}]},
    )

    method: Method = Field(description="One of the order's `methods`.")
    phone: PhoneNumber | None = Field(
        None, description="The number to be charged, for methods that ask for it; the customer's own if left out."
    )


class Line(Camel):
    """One thing the customer has to know."""

    name: str
    text: str


class NextStep(Camel):
    """What the customer does now."""

    kind: Literal["redirect", "instructions", "wait"] = Field(
        description="`redirect`: open `url`. `instructions`: do what `lines` say. "
        "`wait`: approve it on the telephone, or be patient; ask `verifyPayment` how it stands."
    )
    url: str | None = None
    lines: list[Line] = []


class PaymentSummary(Camel):
    """One attempt to pay an order."""

    payment_id: UUID
    number: str
    order_id: UUID
    order_number: str
    method: str
    status: PaymentStatus = Field(
        description="`submitted`, `pending` and `unknown`: money may be on its way, and no other attempt can begin. "
        "`parked`: money moved, but not as asked, and we look at it by hand. `paid_late`: it came after all; what "
        "the order no longer needs is the customer's credit."
    )
    amount: Amount
    received: Amount | None
    refunded: Amount
    reason: str | None = Field(description="A word for programs: why it was declined or parked.")
    message: str | None = Field(description="The same for people, in the language of the request.")
    provider_reference: str | None = Field(description="The payment service's own name of it.")
    created_at: datetime
    submitted_at: datetime | None
    settled_at: datetime | None


class PaymentDetails(PaymentSummary):
    """One attempt, and how it goes on."""

    next: NextStep | None = Field(None, description="null once it is settled.")


class PaymentPage(Camel):
    """A part of the list, newest first."""

    items: list[PaymentSummary]
    count: int = Field(description="How many there are in all.")
    limit: int
    offset: int
    next: str | None = Field(description="Address of the next part; null on the last one.")


class OrderDetails(OrderSummary):
    """One order, with how it can be paid and its newest attempt."""

    add_ons: list[OrderedAddOn]
    customer: CustomerShown
    tax_rate: str = Field(description="In percent.")
    tax_note: str | None = Field(description="Why there is no tax on it, in the language of the request.")
    methods: list[PaymentMethod] = Field(description="Empty once nothing is to be paid any more.")
    payment: PaymentDetails | None


class VerifyBankTransfer(Camel):
    """What stands on the bank statement."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=False,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"amountMinor": 5292, "currency": "EUR", "valueDate": "2026-03-03", "bankReference": "BQ-20260303-0042"}
            ]
        },
    )

    amount_minor: int = Field(ge=1, le=10**15, description="What arrived, in the currency's smallest unit.")
    currency: Currency = Field(description="ISO 4217.")
    value_date: date
    bank_reference: Annotated[str, one_line(140)] = Field(
        description="The bank's own name of the movement: the same again is the same confirmation."
    )


TransferStatus = Literal[
    "awaiting",
    "uploaded",
    "review",
    "partial",
    "second",
    "confirmed",
    "parked",
    "refused",
    "lapsed",
    "late",
    "recalled",
]


class BankTransfer(Camel):
    """A transfer, and the payment it is for."""

    reference: str = Field(description="What the customer was asked to write.")
    status: TransferStatus = Field(
        description="`confirmed`: all of it is there. `partial`: the rest is awaited. `second`: somebody else has to "
        "confirm it as well. `parked`: it came in another currency. `late`: it came after the order had lapsed."
    )
    expected: Amount
    received: Amount
    missing: Amount
    payment: PaymentDetails


# --- coupons --------------------------------------------------------------------------------------------


class ValidateCoupon(Camel):
    """A code, and what it would be used for."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=False,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"code": "BIENVENUE", "priceId": "3f0b9ad5-4f0e-4b6c-9a53-2b3c4d5e6f70", "email": "awa@diop.fr"}
            ]
        },
    )

    code: CouponCode
    price_id: UUID
    add_ons: list[WantedAddOn] = Field([], max_length=50, description="What the order would have beside the plan.")
    email: Email | None = Field(
        None,
        description="The customer, since a code may be for so many uses each.",
        json_schema_extra={"format": "email"},
    )
    country: Country = Field("FR", description="Decides on the tax.")


class CouponAnswer(Camel):
    """Whether it can be used now, and what the sale comes to: with it when it is valid, otherwise without."""

    valid: bool
    reason: CouponReason | None = Field(description="Why it is not valid.")
    message: str | None = Field(description="The same for people, in the language of the request.")
    payments: int | None = Field(
        description="How many payments it counts for; null for all of them, or when it is not valid."
    )
    subtotal: Amount
    discount: Amount
    tax: Amount
    total: Amount
