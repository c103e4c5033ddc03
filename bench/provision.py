"""Claims about the main job, on real Tryton: how long from a sent form to a customer who can sign in.

- warm pool: p50 <= 1 s, p95 <= 2 s
- pool empty: <= 1.3 x the bare steps by hand (clone, start, sign-in), measured in the same run, turn by turn
- own overhead of one operation (null provider): <= 100 ms

A sign-up is measured from the call that registers it until its operation says "live", which includes that the
customer's first user signed in through the application's own address.
Run: `.venv/bin/python bench/provision.py [sign-ups]`; builds the Tryton template first (about two minutes).
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

from harness import claim, percentile, running_system, summary

SIGN_UPS = 20
TEMPLATE_SECONDS = 900
POOL_SECONDS = 60
WARM_P50, WARM_P95, COLD_RATIO, OVERHEAD_SECONDS = 1.0, 2.0, 1.3, 0.1


def main(sign_ups: int) -> bool:
    with running_system() as (_address, home):
        import django

        django.setup()
        from parcelle.core import context

        context.of_process(context.Platform.COMMANDS)
        from parcelle.domain.catalog.models import Plan, Product

        product = Product.objects.get(slug="tryton")
        plan = Plan.objects.get(product=product, slug="essai")
        wait_for_pool(product, 2)
        sign_up(plan)
        warm = [warm_sign_up(product, plan) for _ in range(sign_ups)]
        print(f"warm pool    {summary(warm)}")

        Product.objects.filter(pk=product.pk).update(pool_size=0)
        product.refresh_from_db()
        empty_pool(product)
        bare, cold = [], []
        # Turn by turn, so that both meet the same machine.
        for _ in range(sign_ups):
            bare.append(by_hand(home))
            cold.append(sign_up(plan))
        print(f"bare steps   {summary(bare)}")
        print(f"pool empty   {summary(cold)}")
        overhead = null_operations(sign_ups)
        print(f"null         {summary(overhead)}")
        print_memory(home)
        ratio = statistics.median(cold) / statistics.median(bare)
        p50, p95 = percentile(warm, 50), percentile(warm, 95)
        return all(
            [
                claim(f"warm pool: p50 <= {WARM_P50} s", f"{p50:.2f} s", p50 <= WARM_P50),
                claim(f"warm pool: p95 <= {WARM_P95} s", f"{p95:.2f} s", p95 <= WARM_P95),
                claim(f"pool empty: <= {COLD_RATIO} x bare (medians)", f"{ratio:.2f} x", ratio <= COLD_RATIO),
                claim(
                    f"own overhead of one operation: <= {OVERHEAD_SECONDS * 1000:.0f} ms",
                    f"p50 {percentile(overhead, 50) * 1000:.0f} ms",
                    percentile(overhead, 50) <= OVERHEAD_SECONDS,
                ),
            ]
        )


def sign_up(plan: Any, *, pause: float = 0.01) -> float:
    """Seconds from the registration until the instance is live, looked at again after every `pause`."""
    from django.utils import timezone

    from parcelle.domain.provisioning.models import Operation
    from parcelle.journeys.signup import TrialRequest, start_trial

    key = uuid.uuid4().hex[:10]
    begun = time.perf_counter()
    started = start_trial(
        TrialRequest(
            submission=uuid.uuid4(),
            email=f"bench-{key}@example.com",
            first_name="Awa",
            last_name="Ndiaye",
            company=f"Banc {key}",
            phone="",
            plan_id=plan.pk,
            language="fr",
        ),
        now=timezone.now(),
    )
    while True:
        operation = Operation.objects.filter(instance_id=started.instance_id).order_by("-created_at")[0]
        if operation.state == "succeeded":
            return time.perf_counter() - begun
        if operation.state == "failed":
            raise SystemExit(f"a sign-up failed: {operation.error_detail}")
        time.sleep(pause)


def warm_sign_up(product: Any, plan: Any) -> float:
    wait_for_pool(product, 2)
    return sign_up(plan)


def wait_for_pool(product: Any, size: int) -> None:
    from parcelle.domain.provisioning.models import Instance

    give_up = time.monotonic() + TEMPLATE_SECONDS
    while Instance.objects.filter(product=product, state="standby").count() < size:
        if time.monotonic() > give_up:
            raise SystemExit("the warm pool was not filled")
        time.sleep(0.2)
    time.sleep(4)  # standbys finish warming up a few seconds after they answer


def empty_pool(product: Any) -> None:
    from django.utils import timezone

    from parcelle.domain.provisioning import pool
    from parcelle.domain.provisioning.models import Instance, Operation

    pool.keep(product, now=timezone.now())
    give_up = time.monotonic() + POOL_SECONDS
    unfinished = ("queued", "running", "waiting", "undoing")
    while (
        Instance.objects.filter(product=product, state="standby").exists()
        or Operation.objects.filter(state__in=unfinished).exists()
    ):
        if time.monotonic() > give_up:
            raise SystemExit("the warm pool was not drained")
        time.sleep(0.2)


def by_hand(home: Path) -> float:
    """What somebody would type: role, clone, hand over, start the server, wait for it, make it theirs, sign in.

    Uses the same template, the same build and the same HTTP calls, but none of the engine around them.
    """
    from harness import free_port
    from psycopg import sql

    from parcelle.core import crypto
    from parcelle.domain.catalog import blueprints
    from parcelle.domain.provisioning import application
    from parcelle.domain.provisioning.models import Template
    from parcelle.domain.provisioning.providers.process import ProcessProvider

    blueprint = blueprints.load("tryton")
    template = Template.objects.get(blueprint="tryton")
    provider = ProcessProvider.open({})
    name, password, port = f"hand_{uuid.uuid4().hex[:10]}", crypto.generate(16), free_port()
    folder = home / "hand" / name
    folder.mkdir(parents=True, mode=0o700)
    variables = {
        "build": str(home / "builds" / blueprint.version_key),
        "folder": str(folder),
        "host": "127.0.0.1",
        "port": str(port),
        "database": name,
        "database_user": name,
        "database_socket": provider.postgres.socket_folder,
        "database_port": provider.postgres.port,
        "slug": name.replace("_", "-"),
        "company": "Banc",
        "email": "hand@example.com",
        "first_name": "Awa",
        "last_name": "Ndiaye",
        "language": "fr",
        "secret_key": crypto.generate(32),
        "initial_password": crypto.generate(12),
        "template_password": template.secrets["template_password"],
        "database_password": password,
    }
    recipe = blueprint.process
    assert recipe is not None
    begun = time.perf_counter()
    role, template_role = sql.Identifier(name), sql.Identifier(f"template_{blueprint.version_key}")
    with provider.postgres.connect() as server:
        server.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(password)))
        server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(role, template_role))
        server.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(role))
        server.execute(sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}").format(role, role))
    with provider.postgres.connect(name) as inside:
        inside.execute(sql.SQL("GRANT ALL ON SCHEMA public TO {}").format(role))
        inside.execute(sql.SQL("REASSIGN OWNED BY {} TO {}").format(template_role, role))
    for target, source in recipe.files.items():
        (folder / target).write_text(str(blueprints.fill((blueprint.folder / source).read_text(), variables)))
        (folder / target).chmod(0o600)
    environment = {k: str(v) for k, v in blueprints.fill(recipe.environment, variables).items()}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(word) for word in blueprints.fill(recipe.run, variables)],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", **environment},
            stdout=log,
            stderr=log,
        )
    try:
        endpoint = f"http://127.0.0.1:{port}"
        application.wait_until_it_answers(endpoint, blueprint.probe, seconds=30)
        application.perform(endpoint, blueprint.personalise, variables)
        application.perform(endpoint, blueprint.sign_in, variables)
        return time.perf_counter() - begun
    finally:
        process.terminate()
        process.wait(20)
        provider.postgres.drop(name, role=name)


def null_operations(count: int) -> list[float]:
    from parcelle.domain.catalog.models import Plan, Product
    from parcelle.domain.provisioning.models import Target

    Target.objects.create(name="null", provider="null", capacity=100_000)
    product = Product.objects.create(slug="nothing", name="Nothing", blueprint="tryton", target_name="null")
    plan = Plan.objects.create(product=product, slug="trial", name="Trial")
    sign_up(plan)
    return [sign_up(plan) for _ in range(count)]


def print_memory(home: Path) -> None:
    """Proportional set size, megabytes: shared pages counted once over all their users."""
    import psutil

    names = {
        "parcelle.config.web": "web",
        "worker": "worker",
        "/tenants/": "tenant",
        "holding": "ingress",
        "postgres": "postgresql",
    }
    kinds: dict[str, list[float]] = {}
    for process in psutil.process_iter():
        try:
            line = " ".join(process.cmdline())
            if process.environ().get("PARCELLE_SUPERVISED_HOME") != str(home):
                continue
            size = process.memory_full_info().pss / 1e6
        except psutil.Error:
            continue
        kind = next((name for word, name in names.items() if word in line), None)
        if kind:
            kinds.setdefault(kind, []).append(size)
    for kind, sizes in sorted(kinds.items()):
        each = statistics.fmean(sizes)
        print(f"memory       {kind}: {len(sizes)} processes, {each:.0f} MB each, {sum(sizes):.0f} MB")


if __name__ == "__main__":
    sys.exit(not main(int(sys.argv[1]) if len(sys.argv) > 1 else SIGN_UPS))
