"""What the rest of the house may know of payment services: which there are, how they are set up, what they answered.

Only billing talks to them; who else needs a word about them gets it here.
"""

from __future__ import annotations

from parcelle.domain.billing import gateways
from parcelle.domain.billing.gateways import make_known, problems, problems_of, settings_of
from parcelle.domain.billing.gateways.base import Instructions, Outcome, Redirect, Setting


def gives_back(name: str) -> bool:
    """Whether money that came in this way can be given back the same way."""
    return name in gateways.GATEWAYS and gateways.open_gateway(name).abilities.refunds


__all__ = [
    "Instructions",
    "Outcome",
    "Redirect",
    "Setting",
    "gives_back",
    "make_known",
    "problems",
    "problems_of",
    "settings_of",
]
