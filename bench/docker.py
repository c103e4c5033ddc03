"""Claims about instances as compose stacks on the Docker Engine of this machine.

- a creation without a pool: <= 1.15 x the same stack by bare `docker compose up --wait`, turn by turn in one run
- several creations at once: <= 1.15 x as many bare ones at once: no lock of ours makes them wait for each other
- a creation from the warm pool: p50 <= 1 s

A creation is measured from the call that registers the sign-up until its operation says "live"; the bare one from
the start of the program to its end. Both use the same finished file with other names, networks and ports.
Run: `.venv/bin/python bench/docker.py [turns]`; needs an engine, the compose plugin and the images of the tests, which
it makes if they are not there.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from harness import CHECKOUT, claim, free_port, percentile, running_system, summary
from provision import sign_up, wait_for_pool

# This very file would otherwise be what `import docker` finds.
sys.path[:] = [str(CHECKOUT), *(path for path in sys.path if Path(path).resolve() != CHECKOUT / "bench")]

TURNS = 10
TOGETHER = 4
WARM_TURNS = 10
RATIO, WARM_P50 = 1.15, 1.0
# Refs of the bare stacks that are still there.
_bare: list[uuid.UUID] = []
CONNECTION = {"namespace": f"bench{os.getpid()}"}
STACK = CHECKOUT / "tests" / "blueprints" / "stack"


def main(turns: int) -> bool:
    import docker

    from tests.docker import build

    client = docker.from_env(version="auto", timeout=600)
    for image in ("postgres", "web"):
        build.ensure(client, image)
    blueprints = Path(tempfile.mkdtemp(prefix="parcelle-bench-"))
    write_blueprints(blueprints)
    try:
        with running_system(PARCELLE_BLUEPRINTS=str(blueprints), PARCELLE_DEMO="0", PARCELLE_OPERATION_DEADLINE="900"):
            import django

            django.setup()
            from parcelle.core import context

            context.of_process(context.Platform.COMMANDS)
            try:
                return measure(turns)
            finally:
                remove_everything()
    finally:
        shutil.rmtree(blueprints)


def write_blueprints(folder: Path) -> None:
    """`stack` as the tests have it, with a template; `plain` is only what bare compose can do as well."""
    import yaml

    for name in ("stack", "plain"):
        shutil.copytree(STACK, folder / name)
    path = folder / "plain" / "blueprint.yaml"
    content = yaml.safe_load(path.read_text()) | {"name": "plain"}
    for key in ("personalise", "sign_in"):
        content.pop(key)
    for key in ("seed_volumes", "initialise", "adopt"):
        content["compose"].pop(key)
    path.write_text(yaml.safe_dump(content))


def measure(turns: int) -> bool:
    plain, _product = plan_of("plain")
    # The first one also pins the images.
    sign_up(plain)
    clear_away()
    bare, ours = [], []
    # Turn by turn, so that both meet the same machine.
    for _ in range(turns):
        bare.append(timed(by_hand))
        clear_away()
        ours.append(sign_up(plain))
        clear_away()
    print(f"bare compose     {summary(bare)}")
    print(f"pool empty       {summary(ours)}")
    bare_together, ours_together = [], []
    for _ in range(max(3, turns // 2)):
        bare_together.append(timed(lambda: together(by_hand)))
        clear_away()
        # Four that look again all the time would be what is measured.
        ours_together.append(timed(lambda: together(lambda: sign_up(plain, pause=0.25))))
        clear_away()
    print(f"bare, {TOGETHER} at once  {summary(bare_together)}")
    print(f"ours, {TOGETHER} at once  {summary(ours_together)}")
    seeded, product = plan_of("stack", pool_size=2)
    warm = []
    for _ in range(WARM_TURNS):
        wait_for_pool(product, 2)
        warm.append(sign_up(seeded))
    print(f"warm pool        {summary(warm)}")
    single = statistics.median(ours) / statistics.median(bare)
    several = statistics.median(ours_together) / statistics.median(bare_together)
    p50 = percentile(warm, 50)
    return all(
        [
            claim(f"pool empty: <= {RATIO} x bare compose (medians)", f"{single:.2f} x", single <= RATIO),
            claim(
                f"{TOGETHER} at once: <= {RATIO} x {TOGETHER} bare ones (medians)", f"{several:.2f} x", several <= RATIO
            ),
            claim(f"warm pool: p50 <= {WARM_P50} s", f"{p50:.2f} s", p50 <= WARM_P50),
        ]
    )


def plan_of(blueprint: str, *, pool_size: int = 0) -> tuple[Any, Any]:
    """(plan, product) that sells the blueprint on this machine's engine; its template is being built if it has one."""
    from parcelle.domain.catalog.models import Plan, Product
    from parcelle.domain.provisioning.models import Target

    Target.objects.get_or_create(name="engine", defaults={"provider": "docker", "connection": CONNECTION})
    product, _new = Product.objects.get_or_create(
        slug=blueprint,
        defaults={"name": blueprint, "blueprint": blueprint, "target_name": "engine", "pool_size": pool_size},
    )
    plan, _new = Plan.objects.get_or_create(product=product, slug="trial", defaults={"name": "Trial"})
    if pool_size:
        # The first sign-up waits for the template; from then on the keeper fills the pool.
        sign_up(plan)
    return plan, product


def timed(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def together(act: Callable[[], object]) -> None:
    """Does it TOGETHER times at once."""
    from django.db import connection

    def do(_number: int) -> None:
        try:
            act()
        finally:
            connection.close()

    with ThreadPoolExecutor(TOGETHER) as threads:
        list(threads.map(do, range(TOGETHER)))


def by_hand() -> None:
    """Bare `docker compose up --wait` of what the provider would start."""
    from parcelle.domain.catalog import blueprints
    from parcelle.domain.provisioning import specs
    from parcelle.domain.provisioning.compose.cli import _program
    from parcelle.domain.provisioning.compose.render import render
    from parcelle.domain.provisioning.providers.base import Spec
    from tests.docker import subnets

    blueprint = blueprints.load("plain")
    ref = uuid.uuid4()
    _bare.append(ref)
    spec = Spec(
        ref=ref,
        name=f"bare-{ref.hex[:8]}",
        blueprint=blueprint,
        variables={"slug": "bare", "url": ""},
        secrets=specs.new_secrets(blueprint),
        ports={"application": free_port()},
        subnets={"front": subnets.take(), "back": subnets.take()},
    )
    command = [*_program(), "--progress", "quiet", "-p", spec.name, "--project-directory", "/", "-f", "-"]
    subprocess.run(
        [*command, "up", "--detach", "--wait", "--pull", "never"],
        input=render(spec, publish="127.0.0.1").text.encode(),
        check=True,
        capture_output=True,
    )


def clear_away() -> None:
    """Takes what was made off the engine again, so that every turn finds it alike."""
    from parcelle.domain.provisioning import leases
    from parcelle.domain.provisioning.models import Instance
    from parcelle.domain.provisioning.providers.docker import DockerProvider

    provider = DockerProvider(CONNECTION)
    made = list(Instance.objects.filter(product__slug="plain", state="live").values_list("ref", flat=True))
    for ref in [*made, *_bare]:
        provider.destroy(ref)
        leases.release(ref)
    # To the rest of the system they are gone as well.
    Instance.objects.filter(ref__in=made).update(state="archived")
    _bare.clear()


def remove_everything() -> None:
    """Every stack and template that this run made."""
    from parcelle.domain.catalog import blueprints
    from parcelle.domain.catalog.models import Product
    from parcelle.domain.provisioning import states
    from parcelle.domain.provisioning.models import Instance, Operation
    from parcelle.domain.provisioning.providers.docker import DockerProvider

    provider = DockerProvider(CONNECTION)
    # Workers still fill the pool: what they have begun must end first.
    Product.objects.update(pool_size=0, enabled=False)
    give_up = time.monotonic() + 300
    while Operation.objects.filter(state__in=states.UNFINISHED).exists() and time.monotonic() < give_up:
        time.sleep(0.5)
    for ref in Instance.objects.values_list("ref", flat=True):
        provider.destroy(ref)
    for name in ("stack", "plain"):
        provider.discard_template(blueprints.load(name))


if __name__ == "__main__":
    sys.exit(not main(int(sys.argv[1]) if len(sys.argv) > 1 else TURNS))
