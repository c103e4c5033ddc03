"""The images the tests need, made on this machine: a Debian root tree, then apt and pip in containers of it.

Each folder of `images/` is a Dockerfile with what it copies; `docker build` itself cannot be used because it can lend a
build the machine's own package sources only by writing them into a layer. Understood are FROM (another of our images),
COPY, RUN, ENV for the commands that follow, and what `docker commit` understands.

An image carries the hash of everything it is made of and is made again when that changes. By hand:
`python -m tests.docker.build [--list | name…]`.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import docker.errors
from docker.models.containers import Container
from docker.types import Mount

from tests.docker import debian
from tests.docker.machine import Lent

FOLDER = Path(__file__).parent / "images"
CHECKOUT = Path(__file__).resolve().parents[2]
BASE = "base"
HASH = "parcelle-test.inputs"
COMMITTED = ("CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "USER", "VOLUME", "WORKDIR")


class BuildFailed(Exception):
    """An image could not be made; the text holds the end of what the failing command wrote."""


def names() -> list[str]:
    return [BASE, *sorted(path.parent.name for path in FOLDER.glob("*/Dockerfile"))]


def tag(name: str) -> str:
    return f"parcelle-test/{name}:1"


def ensure(client: docker.DockerClient, name: str) -> str:
    """The tag of the image `name`, made now unless the engine has it. Safe to call from several processes.

    Raises BuildFailed; debian.NoDebian when this machine cannot make images at all.
    """
    if not _is_current(client, name):
        with _one_at_a_time():
            _make(client, name)
    return tag(name)


def inputs(name: str) -> str:
    """The hash of everything the image is made of, its parents included."""
    digest = hashlib.sha256()
    if name == BASE:
        for part in (debian.SUITE, *debian.PACKAGES, *debian.TRACES, debian.DPKG):
            digest.update(f"{part}\0".encode())
        return digest.hexdigest()
    digest.update(inputs(_parent(name)).encode())
    files = [file for source, _ in _copies(name) for file in _files(source)]
    for file in sorted({FOLDER / name / "Dockerfile", *files}):
        digest.update(f"{file.relative_to(CHECKOUT)}\0{file.stat().st_mode & 0o111}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def _instructions(name: str) -> list[tuple[str, str]]:
    text = (FOLDER / name / "Dockerfile").read_text()
    lines = re.sub(r"\\\n\s*", " ", re.sub(r"(?m)^\s*#.*\n", "", text)).splitlines()
    return [(word, rest) for word, rest in (line.split(maxsplit=1) for line in lines if line.strip())]


def _parent(name: str) -> str:
    word, rest = _instructions(name)[0]
    match = re.fullmatch(r"parcelle-test/(\w+):1", rest)
    if word != "FROM" or not match:
        raise BuildFailed(f"{name}/Dockerfile must start with FROM one of our images")
    return match[1]


def _copies(name: str) -> list[tuple[Path, str]]:
    """(file or folder of the checkout, destination) of every COPY. `//` in front of a source means the checkout."""
    pairs = []
    for word, rest in _instructions(name):
        if word == "COPY":
            *places, destination = rest.split()
            for place in places:
                source = CHECKOUT / place[2:] if place.startswith("//") else FOLDER / name / place
                pairs.append((source, destination))
    return pairs


def _files(source: Path) -> list[Path]:
    found = [source] if source.is_file() else [path for path in source.rglob("*") if path.is_file()]
    return [path for path in found if "__pycache__" not in path.parts]


def _is_current(client: docker.DockerClient, name: str) -> bool:
    try:
        return bool(client.images.get(tag(name)).labels.get(HASH) == inputs(name))
    except docker.errors.ImageNotFound:
        return False


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    with (Path(tempfile.gettempdir()) / "parcelle-test-images.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(client: docker.DockerClient, name: str) -> None:
    if _is_current(client, name):
        return  # by whoever held the lock before us
    before = client.images.list(tag(name))
    if name == BASE:
        _make_base()
    else:
        _make(client, _parent(name))
        _make_from_parent(client, name)
    for image in before:
        # What is still used stays, without a name.
        try:
            client.images.remove(str(image.id))
        except docker.errors.APIError:
            continue


def _make_base() -> None:
    work = Path(tempfile.mkdtemp(prefix="parcelle-root-"))
    try:
        debian.root_tree(work / "root")
        archive = debian.archive(work / "root")
        changes = [f"LABEL {HASH}={inputs(BASE)}", 'CMD ["bash"]', "ENV LANG=C.UTF-8"]
        done = subprocess.run(
            ["docker", "import", *(f"--change={change}" for change in changes), "-", tag(BASE)],
            stdin=archive.stdout,
            capture_output=True,
            text=True,
            check=False,
        )
        if archive.wait() or done.returncode:
            raise BuildFailed(f"docker import: {done.stderr}")
    finally:
        debian.remove_tree(work)


def _make_from_parent(client: docker.DockerClient, name: str) -> None:
    with tempfile.TemporaryDirectory(prefix="parcelle-build-") as folder:
        _make_with(client, name, Lent(Path(folder)))


def _make_with(client: docker.DockerClient, name: str, lent: Lent) -> None:
    # No label: an image inherits those of the container it is committed from. The host's network, because a proxy or
    # a mirror may be known to the host alone.
    container = client.containers.create(
        tag(_parent(name)),
        name=f"parcelle-test-build-{name}-{time.time_ns()}",
        entrypoint=["sleep"],
        command=["infinity"],
        user="root",
        # The only one of these that older engines take from the container and not from the commit.
        stop_signal=dict(_instructions(name)).get("STOPSIGNAL", "SIGTERM"),
        network_mode="host",
        tmpfs={"/tmp": "exec,mode=1777"},
        # Not `volumes`: those would be declared by the image, too.
        mounts=[Mount(inside, outside, type="bind", read_only=True) for outside, inside in lent.mounts.items()],
        healthcheck={"test": ["NONE"]},
        init=True,
    )
    try:
        container.start()
        _run(container, name, lent.prepare, {})
        changes = _follow(container, name, lent)
        repository, version = tag(name).split(":")
        container.commit(repository, version, changes="\n".join(changes))
    finally:
        container.remove(force=True, v=True)


def _follow(container: Container, name: str, lent: Lent) -> list[str]:
    """Does what the Dockerfile says; returns what is left for the commit."""
    changes = [f"LABEL {HASH}={inputs(name)}", "ENTRYPOINT []", 'CMD ["bash"]', "HEALTHCHECK NONE", "USER root"]
    copies = iter(_copies(name))
    environment = dict(lent.environment)
    for word, rest in _instructions(name)[1:]:
        if word == "COPY":
            for _ in rest.split()[1:]:
                _copy(container, *next(copies))
        elif word == "RUN":
            _run(container, name, rest, environment)
        elif word == "STOPSIGNAL":
            continue
        elif word in COMMITTED:
            if word == "ENV":
                environment |= {
                    variable: value for variable, _, value in (pair.partition("=") for pair in rest.split())
                }
            changes.append(f"{word} {rest}")
        else:
            raise BuildFailed(f"{name}/Dockerfile: {word} is not understood")
    return changes


def _copy(container: Container, source: Path, destination: str) -> None:
    """A file keeps its execute permission and belongs to root; `destination` ends in / when it is a folder."""
    target = Path(destination) / source.name if destination.endswith("/") and source.is_file() else Path(destination)

    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        info.uid = info.gid = 0
        info.uname = info.gname = "root"
        info.mode = 0o755 if info.isdir() or info.mode & 0o100 else 0o644
        return None if "__pycache__" in info.name else info

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for folder in reversed(target.relative_to("/").parents[:-1]):
            missing = container.exec_run(["test", "-d", f"/{folder}"]).exit_code
            if missing:
                info = tarfile.TarInfo(str(folder))
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(info)
        tar.add(source, arcname=str(target.relative_to("/")), filter=plain)
    container.put_archive("/", packed.getvalue())


def _run(container: Container, name: str, command: str, environment: dict[str, str]) -> None:
    result: Any = container.exec_run(["sh", "-euc", command], environment=environment, user="root")
    if result.exit_code:
        output = result.output.decode(errors="replace")[-3000:]
        raise BuildFailed(f"{name}: exit {result.exit_code} from: {command[:300]}\n{output}")


def main() -> None:
    client = docker.from_env(version="auto")
    wanted = sys.argv[1:] or names()
    for name in names() if wanted == ["--list"] else wanted:
        if wanted == ["--list"]:
            print(tag(name), "current" if _is_current(client, name) else "not made")
            continue
        started = time.monotonic()
        print(ensure(client, name), f"{time.monotonic() - started:.1f} s", flush=True)


if __name__ == "__main__":
    main()
