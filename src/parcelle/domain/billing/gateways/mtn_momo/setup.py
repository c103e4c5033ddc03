"""What an operator sets up for MTN, and what is wrong with it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import urlsplit
from uuid import UUID

from django.utils.translation import gettext_noop as _

from parcelle.domain.billing.gateways.base import GatewayError, Setting
from parcelle.domain.billing.gateways.mtn_momo import markets
from parcelle.domain.billing.gateways.mtn_momo.client import Client, NotAdmitted
from parcelle.domain.billing.sentences import Sentence

SETTINGS = (
    Setting(name="environment", kind="choice", choices=tuple(markets.MARKETS), default="sandbox"),
    Setting(name="subscription_key", kind="secret"),
    Setting(name="api_user"),
    Setting(name="api_key", kind="secret"),
    # Only where MTN's table does not tell: ask MTN which currency this market takes.
    Setting(name="currency", required=False),
    # The host MTN was told to send callbacks to; without one we only ask.
    Setting(name="callback_host", required=False),
    # Refunds are another product. Its API user is that of Collection unless another one is given.
    Setting(name="disbursement_subscription_key", kind="secret", required=False),
    Setting(name="disbursement_api_user", required=False),
    Setting(name="disbursement_api_key", kind="secret", required=False),
    # What payers dial to see what waits for them, where MTN's menu is not the usual one.
    Setting(name="dial", required=False),
    # Another server in MTN's place, such as the simulator's.
    Setting(name="base_url", kind="url", required=False),
)


class Setup:
    """An operator's values, read."""

    def __init__(self, values: Mapping[str, str], *, production: bool) -> None:
        given = {name: value.strip() for name, value in values.items()}
        self._given = given
        self.production = production
        self.market = markets.MARKETS.get(given.get("environment") or "sandbox", markets.NOWHERE)
        self.currency = self.market.currency or given.get("currency", "").upper()
        self.dial = given.get("dial") or self.market.dial
        self.callback_host = given.get("callback_host", "").lower()
        self.url = (given.get("base_url") or self.market.url).rstrip("/")
        self.collection = self._client("collection", "")
        self.disbursement = self._client("disbursement", "disbursement_")

    def _client(self, product: str, prefix: str) -> Client:
        def value(name: str) -> str:
            return self._given.get(f"{prefix}{name}") or self._given.get(name, "")

        return Client(
            product=product,
            url=self.url,
            environment=self.market.name,
            subscription_key=self._given.get(f"{prefix}subscription_key", ""),
            api_user=value("api_user"),
            api_key=value("api_key"),
        )

    @property
    def refunds(self) -> bool:
        return bool(self.disbursement.subscription_key)

    def problems(self) -> list[str]:
        """One sentence each; MTN is only asked when nothing else is wrong."""
        return [*self.incoherent(), *self._incomplete()] or self._not_admitted()

    def incoherent(self) -> list[str]:
        """Sandbox and real money are other hosts, keys and currencies; half of each is neither."""
        if self.market is markets.NOWHERE:
            name = self._given["environment"]
            return [Sentence(_("%(name)s is no target environment of MTN."), name=name)]
        found: list[str] = []
        elsewhere = not markets.belongs_to_mtn(self.url)
        if self.production and self.market.sandbox:
            found.append(Sentence(_("The sandbox takes no real money: choose the target environment of your country.")))
        if self.production and not self.url.startswith("https://"):
            found.append(Sentence(_("Real money needs https in base_url, or no base_url at all.")))
        if not self.production and not self.market.sandbox and not elsewhere:
            found.append(
                Sentence(
                    _("%(name)s takes real money: switch “real money” on, or use the sandbox."), name=self.market.name
                )
            )
        if self.market.currency and self._given.get("currency", "").upper() not in {"", self.market.currency}:
            found.append(
                Sentence(
                    _("%(name)s takes %(currency)s only: leave currency empty."),
                    name=self.market.name,
                    currency=self.market.currency,
                )
            )
        if not elsewhere and self.url != self.market.url:
            found.append(
                Sentence(
                    _("%(name)s is not served by %(url)s: leave base_url empty."), name=self.market.name, url=self.url
                )
            )
        return found

    def _incomplete(self) -> list[str]:
        found: list[str] = [
            Sentence(_("%(name)s is missing."), name=setting.name)
            for setting in SETTINGS
            if setting.required and not setting.default and not self._given.get(setting.name)
        ]
        if self.market.name and not self.currency:
            found.append(
                Sentence(_("Ask MTN which currency %(name)s takes, and set it as currency."), name=self.market.name)
            )
        user = self._given.get("api_user", "")
        if user and not _is_uuid4(user):
            found.append(Sentence(_("api_user is no UUID of version 4: make one with `parcelle momo apiuser`.")))
        if "/" in self.callback_host or ":" in self.callback_host:
            found.append(Sentence(_("callback_host is a host name alone, such as example.com.")))
        return found

    def _not_admitted(self) -> list[str]:
        found: list[str] = []
        for client in (self.collection, *([self.disbursement] if self.refunds else [])):
            try:
                client.sign_in()
            except NotAdmitted as refused:
                found.append(Sentence(_("MTN does not admit us: %(detail)s."), detail=refused.detail))
            except GatewayError as error:
                found.append(Sentence(_("MTN does not answer: %(detail)s."), detail=error.detail))
        return found

    # --- callbacks ------------------------------------------------------------------------------------------

    def callback_url(self, webhook_url: str) -> str:
        """Where MTN may call us: only the host it was told, else it refuses the whole request; real money by https."""
        where = urlsplit(webhook_url)
        if not self.callback_host or where.hostname != self.callback_host:
            return ""
        if self.production and where.scheme != "https":
            return ""
        return f"{webhook_url}/{self.secret_path}"

    @property
    def secret_path(self) -> str:
        """Keeps noise away; it proves nothing, as no callback does."""
        return hmac.new(self.collection.api_key.encode(), b"callback", hashlib.sha256).hexdigest()[:32]


def _is_uuid4(text: str) -> bool:
    try:
        return UUID(text).version == 4
    except ValueError:
        return False
