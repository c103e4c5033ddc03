"""What falls away and comes back while `parcelle up` runs: the worker, PostgreSQL, everything. Nobody helps."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import psycopg
import pytest
from psycopg.rows import dict_row

from parcelle.config import embedded
from parcelle.domain.provisioning.providers.supervisord import Supervisord
from tests import blueprints
from tests.installation import Installation

pytestmark = [pytest.mark.crash, pytest.mark.slow]
CHECKOUT = Path(__file__).parents[2]
# The rows of all organizations, as a worker sees them.
_WHOLE = "-c parcelle.platform=commands"


class Sold(Installation):
    """An installation that sells `slow`, whose application takes seconds to start: time for something to happen."""

    def sign_up(self, product: str = "slow") -> dict[str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "tests.crash.visitor", product],
            env=self.environment,
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answer: dict[str, str] = json.loads(done.stdout)
        return answer

    def rows(self, query: str, *parameters: object) -> list[dict[str, Any]]:
        address = self.secrets()["DATABASE_URL"]
        with psycopg.connect(address, row_factory=dict_row, options=_WHOLE) as connection:
            return connection.execute(query.encode(), parameters).fetchall()

    def execute(self, statement: str, *parameters: object) -> None:
        with psycopg.connect(self.secrets()["DATABASE_URL"], autocommit=True, options=_WHOLE) as connection:
            connection.execute(statement.encode(), parameters)

    def creation(self, customer: dict[str, str]) -> dict[str, Any]:
        query = "SELECT * FROM provisioning_operation WHERE instance_id = %s AND kind = 'create'"
        return self.rows(query, customer["instance"])[0]

    def is_starting(self, customer: dict[str, str]) -> bool:
        """Whether its creation waits for the application to answer."""
        query = (
            "SELECT 1 FROM provisioning_step WHERE operation_id = %s AND name = 'check_health' AND state = 'running'"
        )
        return bool(self.rows(query, self.creation(customer)["id"]))

    def supervisor(self) -> Supervisord:
        return Supervisord(str(embedded.supervisor_socket(self.home)), self.home.tenants)

    def pid(self, program: str) -> int:
        with self.supervisor()._api() as api:
            return int(api.getProcessInfo(program)["pid"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sold]:
    folder = tmp_path_factory.mktemp("outages")
    blueprints.write_all(folder / "blueprints")
    running = Sold(
        folder / "var",
        PARCELLE_BLUEPRINTS=str(folder / "blueprints"),
        PARCELLE_FIRST_APPLICATION_PORT="24000",
        PARCELLE_OPERATION_LEASE="2",
    )
    try:
        running.up()
        running.wait_for_panel()
        yield running
    finally:
        running.remove()


def _until(condition: Callable[[], object], seconds: float) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, f"not within {seconds} s"
        time.sleep(0.1)


def _assert_served(site: Sold, customer: dict[str, str]) -> None:
    """The operation succeeded, the customer has one mail and gets in with what it says; one process runs."""
    _until(lambda: site.creation(customer)["finished_at"], 90)
    operation = site.creation(customer)
    steps = "SELECT name, state, attempt, error FROM provisioning_step WHERE operation_id = %s ORDER BY position"
    assert operation["state"] == "succeeded", site.rows(steps, operation["id"])
    mails = 'SELECT * FROM notifications_mailboxmail WHERE "to" = %s'
    _until(lambda: site.rows(mails, customer["email"]), 30)
    assert len(site.rows(mails, customer["email"])) == 1
    (instance,) = site.rows("SELECT slug, url, ref FROM provisioning_instance WHERE id = %s", customer["instance"])
    assert _signs_in(instance, customer)
    folder = f"{site.home.path}/tenants/{UUID(str(instance['ref'])).hex[:16]}/"
    running = [p for p in psutil.process_iter(["cmdline"]) if any(folder in word for word in p.info["cmdline"] or ())]
    assert len(running) == 1


def _signs_in(instance: dict[str, Any], customer: dict[str, str]) -> bool:
    asked = json.dumps({"login": instance["slug"], "password": customer["password"]}).encode()
    try:
        with urllib.request.urlopen(f"{instance['url']}/sign-in", data=asked, timeout=5) as response:
            return bool(json.load(response)["session"])
    except OSError:
        return False


def test_another_worker_takes_over_by_itself(site: Sold) -> None:
    customer = site.sign_up()
    _until(lambda: site.is_starting(customer), 60)
    first = site.creation(customer)["worker"]
    os.kill(site.pid("worker:worker_0"), signal.SIGKILL)
    _assert_served(site, customer)
    assert site.creation(customer)["worker"] != first


def test_a_worker_that_died_while_sweeping_is_swept_up_after(site: Sold) -> None:
    customer = site.sign_up()
    _until(lambda: site.is_starting(customer), 60)
    os.kill(site.pid("worker:worker_0"), signal.SIGKILL)
    # As it would be left, with the lock of its name if it takes one.
    site.execute(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, lock, status, args, attempts)"
        " VALUES ('schedule', 'schedule.sweep', 'schedule.sweep', 'doing', '{\"timestamp\": 0}', 1)"
    )
    _assert_served(site, customer)


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_postgresql_goes_away_and_comes_back(site: Sold, how: str) -> None:
    customer = site.sign_up()
    _until(lambda: site.is_starting(customer), 60)
    if how == "stopped":
        with site.supervisor()._api() as api:
            api.stopProcess("postgres")
            time.sleep(5)
            api.startProcess("postgres")
    else:
        # supervisord starts it again, and it recovers.
        os.kill(site.pid("postgres"), signal.SIGKILL)
    _until(lambda: _answers(site), 60)
    _assert_served(site, customer)


def _answers(site: Sold) -> bool:
    try:
        return bool(site.rows("SELECT true"))
    except psycopg.OperationalError:
        return False


def test_the_next_start_brings_instances_and_standbys_back(site: Sold) -> None:
    customer = site.sign_up()
    _assert_served(site, customer)
    (instance,) = site.rows("SELECT slug, url, ref FROM provisioning_instance WHERE id = %s", customer["instance"])
    site.execute("UPDATE catalog_product SET pool_size = 2 WHERE slug = 'slow'")
    site.execute(
        "SELECT procrastinate_defer_jobs_v1(ARRAY[ROW('pool', 'provisioning.keep_pool', 0, NULL, NULL,"
        " jsonb_build_object('product_id', id), NULL)::procrastinate_job_to_defer_v1])"
        " FROM catalog_product WHERE slug = 'slow'"
    )
    standbys = "SELECT ref FROM provisioning_instance WHERE state = 'standby' ORDER BY ref"
    _until(lambda: len(site.rows(standbys)) == 2, 60)
    before = site.rows(standbys)

    site.stop()
    assert not _signs_in(instance, customer)
    site.up()
    site.wait_for_panel()
    _until(lambda: _signs_in(instance, customer), 60)
    # The keeper looks while they are still starting, and leaves them alone.
    looked = (
        "SELECT 1 FROM procrastinate_jobs WHERE task_name = 'provisioning.keep_pool' AND status IN ('todo', 'doing')"
    )
    _until(lambda: not site.rows(looked), 60)
    assert site.rows(standbys) == before
