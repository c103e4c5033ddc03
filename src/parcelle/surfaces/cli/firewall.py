"""`parcelle firewall`: the rules that keep instances away from what is not theirs."""

from __future__ import annotations

import sys

from django.conf import settings

from parcelle.domain.provisioning.compose import firewall as rules


def firewall() -> None:
    """Print a script for the machine of a Docker Engine; run there as root, it closes private networks to instances."""
    sys.stdout.write(rules.script(settings.SUBNET_POOL))
