"""A plan's limits are for the whole stack and divided as the blueprint declares."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parcelle.domain.catalog.blueprints import BlueprintError, ServiceLimits
from parcelle.domain.provisioning.compose.file import ComposeFile, Dependency, Service
from parcelle.domain.provisioning.compose.limits import MEGABYTE, Share, shares

DATABASE, WEB = Service(image="db"), Service(image="web")


def test_without_a_plan_the_blueprint_decides_then_the_file_then_the_default() -> None:
    file = ComposeFile(
        services={"db": Service(image="db", memory=64 * MEGABYTE, cpus=0.25, pids=40), "web": WEB, "cache": WEB}
    )
    found = shares(file, {"web": ServiceLimits(memory_mb=100)}, {})
    assert found["db"] == Share(64 * MEGABYTE, 0.25, 40)
    assert found["web"] == Share(100 * MEGABYTE, 1.0, 200)
    assert found["cache"] == Share(512 * MEGABYTE, 1.0, 200)


def test_a_plan_is_divided_in_proportion() -> None:
    declared = {"db": ServiceLimits(memory_mb=300, cpus=0.5), "web": ServiceLimits(memory_mb=100, cpus=1.5)}
    file = ComposeFile(services={"db": DATABASE, "web": WEB})
    found = shares(file, declared, {"memory_mb": 2048, "cpus": 4, "pids": 1000})
    assert found["db"] == Share(1536 * MEGABYTE, 1.0, 500)
    assert found["web"] == Share(512 * MEGABYTE, 3.0, 500)


def test_what_runs_once_takes_nothing_from_what_lasts() -> None:
    waits = Service(image="web", depends_on={"migrate": Dependency(condition="service_completed_successfully")})
    file = ComposeFile(services={"migrate": Service(image="web"), "web": waits})
    declared = {"migrate": ServiceLimits(memory_mb=900), "web": ServiceLimits(memory_mb=100)}
    found = shares(file, declared, {"memory_mb": 400})
    assert found["web"].memory == 400 * MEGABYTE
    # All there is, at most.
    assert found["migrate"].memory == 400 * MEGABYTE


def test_a_plan_that_is_too_small_says_so() -> None:
    file = ComposeFile(services={f"s{i}": WEB for i in range(8)})
    with pytest.raises(BlueprintError, match=r"100 MB for the whole stack leave 12 MB.*more memory"):
        shares(file, {}, {"memory_mb": 100})


@given(
    wanted=st.lists(st.tuples(st.integers(16, 4096), st.floats(0.05, 8)), min_size=1, max_size=12),
    memory=st.integers(256 * 12, 65536),
    cpus=st.floats(1, 64),
)
def test_together_they_never_get_more_than_the_plan(wanted: list[tuple[int, float]], memory: int, cpus: float) -> None:
    declared = {f"s{i}": ServiceLimits(memory_mb=m, cpus=c) for i, (m, c) in enumerate(wanted)}
    file = ComposeFile(services=dict.fromkeys(declared, WEB))
    try:
        found = shares(file, declared, {"memory_mb": memory, "cpus": cpus})
    except BlueprintError:
        return
    assert sum(share.memory for share in found.values()) <= memory * MEGABYTE
    # Nobody gets less than a twentieth of a processor.
    assert sum(share.cpus for share in found.values() if share.cpus > 0.05) <= cpus + 1e-6
    assert all(share.memory % MEGABYTE == 0 and round(share.cpus, 2) == share.cpus for share in found.values())
