"""API users of MTN's sandbox, which are made by calls; in production MTN's partner portal makes them."""

from __future__ import annotations

from uuid import UUID

from parcelle.core import http
from parcelle.domain.billing.gateways.base import GatewayError
from parcelle.domain.billing.gateways.mtn_momo.client import Answer, NotAdmitted, read


def make(name: UUID, *, callback_host: str, url: str, subscription_key: str) -> str:
    """Makes the API user `name`, a UUID of version 4, and returns its key. Raises GatewayError and NotAdmitted.

    The same name again is the same user with another key.
    """

    def post(path: str, body: dict[str, str] | None = None) -> Answer:
        headers = {"Ocp-Apim-Subscription-Key": subscription_key, "X-Reference-Id": str(name)}
        try:
            answer = read(http.request("POST", f"{url}{path}", headers=headers, json=body))
        except http.OutsideError as error:
            raise GatewayError(str(error), unknown=error.unknown) from error
        if answer.status in {401, 403}:
            raise NotAdmitted("MTN refused the subscription key")
        return answer

    made = post("/v1_0/apiuser", {"providerCallbackHost": callback_host})
    # 409: an earlier answer got lost.
    if made.status not in {201, 409}:
        raise GatewayError(f"no API user: {made}", unknown=False)
    keyed = post(f"/v1_0/apiuser/{name}/apikey")
    if keyed.status != 201 or not isinstance(keyed.body, dict) or not keyed.body.get("apiKey"):
        raise GatewayError(f"no API key: {keyed}", unknown=False)
    return str(keyed.body["apiKey"])
