"""`parcelle simulate`: stands in while it runs, and leaves everything as it was."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

import parcelle
from parcelle.domain.billing import gateways
from parcelle.domain.billing.models import GatewaySettings
from parcelle.surfaces.cli import simulate
from tests.surfaces.cli import typing_it

pytestmark = pytest.mark.django_db


@pytest.fixture
def during(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Does something while the simulator runs, in place of waiting for Ctrl-C."""
    return lambda act: monkeypatch.setattr(simulate, "_wait", lambda _stopped: act())


def row() -> GatewaySettings:
    return GatewaySettings.objects.get(name="paypal")


@pytest.mark.parametrize("service", sorted(simulate.SERVICES))
def test_the_real_client_finds_nothing_wrong_while_it_runs(
    service: str, during: Callable[[Callable[[], None]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    found: list[list[str]] = []
    during(lambda: found.append(gateways.open_gateway(service).problems()))
    simulate.simulate(service, port=0)
    assert found == [[]]
    assert "/pricing" in capsys.readouterr().out
    assert not GatewaySettings.objects.get(name=service).enabled


def test_the_settings_of_before_come_back(during: Callable[[Callable[[], None]], None]) -> None:
    before = {"client_id": "mine", "client_secret": "secret", "webhook_id": "W"}
    GatewaySettings.objects.create(name="paypal", enabled=True, values=before)
    during(lambda: None if row().values["client_id"] != "mine" else pytest.fail("nothing stands in"))
    simulate.simulate("paypal", port=0)
    assert (row().enabled, row().values) == (True, before)


def test_they_come_back_also_after_it_was_killed(during: Callable[[Callable[[], None]], None]) -> None:
    GatewaySettings.objects.create(name="paypal", values={"client_id": "mine"})
    left: list[dict[str, str]] = []
    during(lambda: left.append(row().values))
    simulate.simulate("paypal", port=0)
    # As a killed one leaves them.
    GatewaySettings.objects.update(values=left[0], enabled=True)
    simulate.simulate("paypal", port=0)
    assert (row().enabled, row().values) == (False, {"client_id": "mine"})


def test_real_money_is_left_alone(
    during: Callable[[Callable[[], None]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    GatewaySettings.objects.create(name="paypal", enabled=True, production=True, values={"client_id": "mine"})
    during(lambda: pytest.fail("it stands in"))
    with pytest.raises(typer.Exit):
        simulate.simulate("paypal", port=0)
    assert "real money" in capsys.readouterr().err
    assert row().values == {"client_id": "mine"}


def test_mobile_money_goes_by_its_short_name_too(during: Callable[[Callable[[], None]], None]) -> None:
    found: list[bool] = []
    during(lambda: found.append(GatewaySettings.objects.get(name="mtn_momo").enabled))
    simulate.simulate("momo", port=0)
    assert found == [True]


def test_they_stand_where_only_what_parcelle_needs_to_run_is_installed() -> None:
    modules = [where.partition(":")[0] for where in simulate.SERVICES.values()]
    absent = "import sys; sys.modules.update(pytest=None, openapi_core=None)"
    done = subprocess.run(
        [sys.executable, "-c", f"{absent}; import {', '.join(modules)}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_what_there_is_no_simulator_of() -> None:
    done = typing_it.run("simulate", "gold")
    assert done.code == 1
    assert "no simulator of 'gold'" in done.err


def test_outside_of_a_checkout_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(parcelle, "__file__", str(tmp_path / "a" / "b" / "c.py"))
    with pytest.raises(typer.Exit):
        simulate.simulate("paypal", port=0)


@pytest.mark.django_db(transaction=True)
def test_ctrl_c_stops_it() -> None:
    running = subprocess.Popen(
        [sys.executable, "-m", "parcelle.config.program", "simulate", "paypal"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert running.stdout
    for line in running.stdout:
        if line.startswith("╰"):
            break
    assert row().enabled
    running.send_signal(signal.SIGINT)
    rest = running.stdout.read()
    assert running.wait(30) == 0
    assert "has stopped" in rest
    assert not row().enabled
