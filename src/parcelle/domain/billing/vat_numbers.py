"""VAT numbers and SIREN: well formed by their check digits, and known to the tax administrations by VIES."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import structlog
from django.conf import settings
from django.utils import timezone
from stdnum.eu import vat
from stdnum.exceptions import ValidationError
from stdnum.fr import siren as sirens

from parcelle.core import http
from parcelle.domain.billing.models import BillingDetails, VatCheck
from parcelle.domain.billing.taxes import EU

logger = structlog.get_logger(__name__)

# Greece writes its numbers with another code than its country's.
_PREFIXES = {"GR": "EL"}
VIES_SECONDS = 4


class NotWellFormed(ValueError):
    """The number cannot be right: its country, length or check digits do not fit."""


def tidy(number: str, country: str) -> str:
    """The number with its country's prefix, without spaces and dots. Raises NotWellFormed."""
    prefix = _PREFIXES.get(country, country)
    if country not in EU:
        raise NotWellFormed("a VAT number belongs to a country of the European Union")
    bare = "".join(character for character in number.upper() if character.isalnum())
    try:
        checked = str(vat.validate(bare if bare.startswith(prefix) else prefix + bare))
    except ValidationError as error:
        raise NotWellFormed(type(error).__name__) from None
    if not checked.startswith(prefix):
        raise NotWellFormed("the number is of another country")
    return checked


def tidy_siren(number: str) -> str:
    """Nine digits; a SIRET is shortened to the SIREN it begins with. Raises NotWellFormed."""
    digits = "".join(character for character in number if character.isdigit())
    try:
        return str(sirens.validate(digits[:9] if len(digits) == 14 else digits))
    except ValidationError as error:
        raise NotWellFormed(type(error).__name__) from None


def is_registered(number: str) -> bool | None:
    """What VIES says of a well-formed number, kept with its time as the proof; None when it cannot be asked, which
    counts as "not confirmed".
    """
    if not settings.VIES_URL:
        return None
    answer = _ask_vies(number)
    valid = answer.get("valid")
    found = valid if isinstance(valid, bool) else None
    kept = {name: answer[name] for name in _KEPT if name in answer}
    VatCheck.objects.create(number=number, valid=found, answer=kept, at=timezone.now())
    return found


def ask_again(*, country: str, now: datetime) -> int:
    """Asks once more about customers' numbers that nobody could check when they were typed; how many are known by now.

    Until then their customers pay VAT. No transaction may be open.
    """
    if not settings.VIES_URL:
        return 0
    unknown = BillingDetails.objects.filter(business=True, vat_number_valid=None).exclude(vat_number="")
    known = 0
    for pk, number in list(unknown.exclude(country=country).values_list("pk", "vat_number")):
        valid = is_registered(number)
        # Not what somebody typed in the meantime.
        row = BillingDetails.objects.filter(pk=pk, vat_number=number)
        known += row.update(vat_number_valid=valid, updated_at=now) if valid is not None else 0
    return known


# The rest of an answer is of no use later; the name and address prove that it was about this customer.
_KEPT = ("valid", "requestDate", "requestIdentifier", "name", "address", "userError", "failed")


def _ask_vies(number: str) -> dict[str, Any]:
    body = {"countryCode": number[:2], "vatNumber": number[2:]}
    try:
        response = http.request("POST", settings.VIES_URL, json=body, timeout=VIES_SECONDS)
        answer = response.json() if response.status_code == 200 else {"failed": f"HTTP {response.status_code}"}
    except (http.OutsideError, ValueError) as error:
        logger.warning("VIES did not answer", reason=type(error).__name__)
        return {"failed": type(error).__name__}
    return answer if isinstance(answer, dict) else {"failed": "not an object"}
