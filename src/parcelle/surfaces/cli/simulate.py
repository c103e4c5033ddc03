"""`parcelle simulate <service>`: a payment service on this machine, to try the whole checkout without an account.

The real client code talks to it over HTTP. Its simulators live with the tests, so this works from a checkout only.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from django.conf import settings
from django.db import transaction
from rich.panel import Panel

import parcelle
from parcelle.domain.billing.models import GatewaySettings
from parcelle.surfaces.cli.output import console, fail

# name of the gateway -> what runs its simulator: (site, port) -> the gateway's settings and what to do next
SERVICES = {
    "mtn_momo": "tests.simulators.mtn_momo_server:by_hand",
    "paypal": "tests.simulators.paypal_server:by_hand",
    "stripe": "tests.simulators.stripe:by_hand",
}
# As `parcelle momo` calls it.
_SHORT = {"momo": "mtn_momo"}
ByHand = Callable[..., AbstractContextManager[tuple[Mapping[str, str], Sequence[str]]]]

# Where the settings of before are kept while a simulator stands in: a killed command must not lose them.
_BEFORE = "before_the_simulator"


def simulate(
    service: Annotated[str, typer.Argument(help=f"One of: {', '.join(sorted(SERVICES))}.")],
    port: Annotated[int, typer.Option(help="Where it listens; 0 takes a free port.", min=0, max=65535)] = 0,
) -> None:
    service = _SHORT.get(service, service)
    if service not in SERVICES:
        fail(f"There is no simulator of {service!r}. There is: {', '.join(sorted(SERVICES))}.")
    by_hand = _simulator(service)
    # Before anything is changed: whoever is impatient must find the settings as they were, too.
    stopped = _stop_asked()
    try:
        with by_hand(site=settings.PUBLIC_URL, port=port) as (values, steps), _in_its_place(service, values):
            _say(service, steps)
            _wait(stopped)
    except OSError as error:
        fail(f"The simulator cannot listen there: {error}.")
    console().print(f"The simulator has stopped. The settings of {service} are what they were before.")


def _simulator(service: str) -> ByHand:
    checkout = Path(parcelle.__file__).resolve().parents[2]
    if not (checkout / "tests" / "simulators").is_dir():
        fail("This works from a checkout of Parcelle only: the simulators are not part of what is installed.")
    if str(checkout) not in sys.path:
        sys.path.insert(0, str(checkout))
    module, _colon, name = SERVICES[service].partition(":")
    found: ByHand = getattr(import_module(module), name)
    return found


@contextmanager
def _in_its_place(service: str, values: Mapping[str, str]) -> Iterator[None]:
    """The simulator takes the place of the account that is set up; never that of one for real money."""
    with transaction.atomic():
        row, _new = GatewaySettings.objects.select_for_update().get_or_create(name=service)
        if row.production:
            fail(f"{service} takes real money here: no simulator takes its place. Use another installation.")
        before = row.values.get(_BEFORE) or json.dumps({"enabled": row.enabled, "values": dict(row.values)})
        row.values, row.enabled = {**values, _BEFORE: before}, True
        row.save(update_fields=["values", "enabled"])
    try:
        yield
    finally:
        was: dict[str, Any] = json.loads(before)
        # Attempts that were begun stay readable: without an account before, the simulator's values stay, switched off.
        left = was["values"] or dict(values)
        GatewaySettings.objects.filter(pk=row.pk).update(values=left, enabled=was["enabled"])


def _say(service: str, steps: Sequence[str]) -> None:
    lines = [f"{number}. {step}" for number, step in enumerate([*steps, "Ctrl-C stops it."], start=1)]
    console().print(Panel("\n".join(lines), title=f"Simulated {service}: no money moves", expand=False))


def _stop_asked() -> threading.Event:
    """Set as soon as somebody stops the command."""
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_arguments: stopped.set())
    return stopped


def _wait(stopped: threading.Event) -> None:
    stopped.wait()
