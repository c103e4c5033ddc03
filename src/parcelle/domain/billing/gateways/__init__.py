"""The registry: one file and one line per gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from django.db.models import QuerySet

from parcelle.core.compiled import Compiled, Given
from parcelle.core.crypto import CannotDecrypt
from parcelle.core.later import later
from parcelle.core.rows import readable
from parcelle.domain.billing.errors import GatewayUnusable
from parcelle.domain.billing.gateways.base import Gateway, Setting
from parcelle.domain.billing.models import GatewaySettings

_HERE = "parcelle.domain.billing.gateways"
# name -> how to open it from an operator's values and whether they are for real money; loaded when first opened
GATEWAYS: dict[str, Callable[[Mapping[str, str], bool], Gateway]] = {
    "bank_transfer": later(f"{_HERE}.bank_transfer:BankTransferGateway.open"),
    "fake": later(f"{_HERE}.fake:FakeGateway.open"),
    "mtn_momo": later(f"{_HERE}.mtn_momo.gateway:MtnMomoGateway.open"),
    "paypal": later(f"{_HERE}.paypal:PayPal.open"),
    "stripe": later(f"{_HERE}.stripe:StripeGateway.open"),
}


def open_gateway(name: str) -> Gateway:
    """The gateway as it is set up now. Raises GatewayUnusable when it was never set up."""
    found = _named.first(name=name)
    if found is None or name not in GATEWAYS:
        raise GatewayUnusable(name)
    return GATEWAYS[name](found.values, found.production)


_named = Compiled(lambda: GatewaySettings.objects.filter(name=Given("name")))
_enabled = Compiled(lambda: GatewaySettings.objects.filter(enabled=True))


def open_gateways(names: Iterable[str]) -> dict[str, Gateway]:
    """Those of them that were set up, as they are now, with one query."""
    known = GatewaySettings.objects.filter(name__in=set(names))
    return _opened(lambda: list(known), known)


def _opened(read: Callable[[], list[GatewaySettings]], known: QuerySet[GatewaySettings]) -> dict[str, Gateway]:
    """What `read` finds; should one of it be unreadable, the others of `known`."""
    try:
        found = read()
    except CannotDecrypt:
        keys = known.values_list("pk", flat=True)
        found = readable(lambda some: known.filter(pk__in=some), keys, of="gateway settings")
    return {one.name: GATEWAYS[one.name](one.values, one.production) for one in found if one.name in GATEWAYS}


def open_offered() -> dict[str, Gateway]:
    """Those that are switched on, in the operator's order, with one query."""
    return _opened(_enabled, GatewaySettings.objects.filter(enabled=True))


def problems() -> dict[str, list[str]]:
    """What is wrong with each way to pay that is switched on, one sentence each; asks the services."""
    names = GatewaySettings.objects.filter(enabled=True).values_list("name", flat=True)
    return {name: problems_of(name) for name in names if name in GATEWAYS}


def problems_of(name: str) -> list[str]:
    return open_gateway(name).problems()


def settings_of(name: str) -> tuple[Setting, ...]:
    """What an operator has to say about a way to pay; nothing about one that is not known."""
    return GATEWAYS[name]({}, False).settings if name in GATEWAYS else ()


def make_known() -> None:
    """A row, switched off, for every way to pay that was never set up."""
    present = set(GatewaySettings.objects.values_list("name", flat=True))
    missing = [GatewaySettings(name=name) for name in GATEWAYS if name not in present]
    GatewaySettings.objects.bulk_create(missing, ignore_conflicts=True)


def secret_of(name: str) -> str:
    """The secret a gateway signs with, for the test payment, which has both sides in one house."""
    return str(GatewaySettings.objects.get(name=name).values["secret"])
