"""What the benchmarks share: an embedded system of their own, and how a claim is printed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

# What the claims are about; a machine that has more lends two.
CORES = 2
CHECKOUT = Path(__file__).resolve().parents[1]
START_SECONDS = 120


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running_system(home: Path | None = None, **settings: str) -> Iterator[tuple[str, Path]]:
    """`parcelle up` in a home of its own; yields (address, home) and stops it again.

    This process can use Django afterwards: its environment points at that home. `PARCELLE_BENCH_HOME` names a
    home to keep and use again, which saves building a template each time.
    """
    if hasattr(os, "sched_setaffinity"):
        # Everything that is started from here on is held to them as well.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    if kept := os.environ.get("PARCELLE_BENCH_HOME"):
        home = home or Path(kept)
        home.mkdir(parents=True, exist_ok=True)
    own = home is None
    home = home or Path(tempfile.mkdtemp(prefix="parcelle-bench-"))
    port = free_port()
    environment = {
        "PARCELLE_HOME": str(home),
        "PARCELLE_PORT": str(port),
        "PARCELLE_FIRST_APPLICATION_PORT": "18080",
        "PARCELLE_LOG_LEVEL": "WARNING",
        **settings,
    }
    os.environ.update(environment, DJANGO_SETTINGS_MODULE="parcelle.config.settings")
    log = (home / "up.log").open("w")
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("parcelle")), "up"], stdout=log, stderr=log, env=os.environ.copy()
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/healthz", process, home)
        yield f"http://127.0.0.1:{port}", home
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
        log.close()
        if own:
            shutil.rmtree(home, ignore_errors=True)


def wait_for(address: str, process: subprocess.Popen[bytes], home: Path) -> None:
    give_up = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up:
        if process.poll() is not None:
            raise SystemExit(f"parcelle up ended:\n{(home / 'up.log').read_text()}")
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=2) as answer:
            if answer.status == 200:
                return
        time.sleep(0.02)
    raise SystemExit(f"{address} did not answer within {START_SECONDS} s")


def cpu_seconds(home: Path) -> dict[str, float]:
    """Processor seconds used so far by each kind of process of this home, and by this one."""
    import psutil

    used: dict[str, float] = {}

    def add(kind: str, process: psutil.Process) -> None:
        # Children that have ended count as well: a connection of the database is a process.
        times = process.cpu_times()
        spent = times.user + times.system + times.children_user + times.children_system
        used[kind] = used.get(kind, 0.0) + spent

    add("clients", psutil.Process())
    names = {"postgres -D": "database", "parcelle.config.web": "web", "program worker": "workers"}
    for process in psutil.process_iter():
        try:
            if process.environ().get("PARCELLE_SUPERVISED_HOME") != str(home):
                continue
            line = " ".join(process.cmdline())
            kind = next((name for word, name in names.items() if word in line), "other")
            add(kind, process)
            if kind == "database":
                for connection in process.children():
                    add(kind, connection)
        except psutil.Error:
            continue
    return used


def processor_time(before: dict[str, float], after: dict[str, float], units: int, unit: str) -> str:
    """What one unit of work costs in each kind of process: the figure that other programs do not change."""
    spent = {kind: 1000 * (after[kind] - before.get(kind, 0.0)) / units for kind in after}
    kinds = ", ".join(f"{kind} {ms:.2f} ms" for kind, ms in sorted(spent.items()))
    return f"processor time per {unit}: {sum(spent.values()):.2f} ms ({kinds})"


def percentile(values: Sequence[float], percent: float) -> float:
    """Linear interpolation between the two nearest; `percent` from 0 to 100."""
    ordered = sorted(values)
    position = (len(ordered) - 1) * percent / 100
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


def summary(values: Sequence[float]) -> str:
    return (
        f"p50 {percentile(values, 50):.3f} s, p95 {percentile(values, 95):.3f} s, "
        f"mean {statistics.fmean(values):.3f} s, n={len(values)}"
    )


def claim(text: str, figure: str, met: bool) -> bool:
    """Prints one claim with its figure and whether it is met."""
    print(f"{'met    ' if met else 'NOT MET'} | {text} | {figure}", flush=True)
    return met
