"""Setting MTN's sandbox up: an API user of our own, stored where the gateway finds it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid4

from django.db import transaction

from parcelle.domain.billing.gateways.base import GatewayError
from parcelle.domain.billing.gateways.mtn_momo import apiuser, markets
from parcelle.domain.billing.gateways.mtn_momo.client import NotAdmitted
from parcelle.domain.billing.gateways.mtn_momo.gateway import MtnMomoGateway
from parcelle.domain.billing.models import GatewaySettings

PRODUCTS = ("collection", "disbursement")
_ATTEMPTS = 3


class SetupRefused(Exception):
    """`code`: real_money, no_subscription_key, not_admitted or no_answer; `detail` is MTN's, without secrets."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail


@dataclass(frozen=True, kw_only=True)
class Made:
    """What was stored, and what is still wrong with the settings."""

    product: str
    api_user: UUID
    callback_host: str
    offered: bool
    problems: tuple[str, ...]


def make_api_user(
    *, product: str, callback_host: str, subscription_key: str = "", base_url: str = "", offer: bool | None = None
) -> Made:
    """Makes an API user in the sandbox and stores it with its key and the subscription key. Raises SetupRefused.

    An empty `subscription_key` or `base_url` is the stored one. What was set up before is replaced. `offer` says
    whether customers are offered MTN from now on; None leaves that as it is.
    """
    prefix = "" if product == "collection" else "disbursement_"
    stored = GatewaySettings.objects.filter(name=MtnMomoGateway.name).first()
    values = dict(stored.values) if stored else {}
    url = (base_url or values.get("base_url") or markets.SANDBOX_URL).rstrip("/")
    if (stored and stored.production) or url == markets.PRODUCTION_URL:
        raise SetupRefused("real_money")
    key = subscription_key or values.get(f"{prefix}subscription_key", "")
    if not key:
        raise SetupRefused("no_subscription_key")
    name = uuid4()
    api_key = _made(name, callback_host=callback_host, url=url, subscription_key=key)
    changed = {
        f"{prefix}subscription_key": key,
        f"{prefix}api_user": str(name),
        f"{prefix}api_key": api_key,
        "callback_host": callback_host,
        **({"base_url": url} if base_url else {}),
        **({"environment": "sandbox"} if url == markets.SANDBOX_URL else {}),
    }
    return _store(product, name, changed, offer=offer)


def _made(name: UUID, *, callback_host: str, url: str, subscription_key: str) -> str:
    """The key of the API user; an answer that gets lost is asked for again, as the name makes that safe."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return apiuser.make(name, callback_host=callback_host, url=url, subscription_key=subscription_key)
        except NotAdmitted as refused:
            raise SetupRefused("not_admitted", refused.detail) from refused
        except GatewayError as error:
            if attempt == _ATTEMPTS or not error.unknown:
                raise SetupRefused("no_answer", error.detail) from error
    raise AssertionError


@transaction.atomic
def _save(changed: dict[str, str], offer: bool | None) -> GatewaySettings:
    GatewaySettings.objects.get_or_create(name=MtnMomoGateway.name)
    row = GatewaySettings.objects.select_for_update().get(name=MtnMomoGateway.name)
    row.values = {"environment": "sandbox", **row.values, **changed}
    row.enabled = row.enabled if offer is None else offer
    row.save(update_fields=["values", "enabled"])
    return row


def _store(product: str, name: UUID, changed: dict[str, str], *, offer: bool | None) -> Made:
    row = _save(changed, offer)
    return Made(
        product=product,
        api_user=name,
        callback_host=changed["callback_host"],
        offered=row.enabled,
        problems=tuple(MtnMomoGateway.open(row.values, row.production).problems()),
    )
