"""The front door of the instances as the environment asks for it, and the Caddy that `parcelle up` runs for it."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from parcelle.config import environment
from parcelle.config.embedded import Home, Refusal

# What is not on the Internet gets certificates of Caddy's own authority.
_PRIVATE = frozenset({"localhost", "test", "internal", "local"})


@dataclass(frozen=True)
class FrontDoor:
    """`ingress` is port, caddy or traefik; `tls` is internal or acme."""

    ingress: str
    apps_domain: str
    tls: str
    bind: str
    http_port: int
    https_port: int


def front_door() -> FrontDoor:
    domain = (environment.read("PARCELLE_APPS_DOMAIN") or "apps.localhost").lower().strip(".")
    by_domain = "internal" if domain.rpartition(".")[2] in _PRIVATE else "acme"
    tls = environment.read("PARCELLE_EDGE_TLS") or by_domain
    private = tls == "internal"
    return FrontDoor(
        ingress=environment.read("PARCELLE_INGRESS") or "port",
        apps_domain=domain,
        tls=tls,
        bind=environment.read("PARCELLE_EDGE_BIND") or ("127.0.0.1" if private else ""),
        http_port=environment.number("PARCELLE_EDGE_HTTP_PORT", 8880 if private else 80),
        https_port=environment.number("PARCELLE_EDGE_HTTPS_PORT", 8443 if private else 443),
    )


# --- the Caddy that is ours to run ------------------------------------------------------------------------------


def admin_address(home: Home) -> str:
    return f"unix/{home.run / 'caddy.sock'}"


def runs_here(home: Home) -> bool:
    """Whether `parcelle up` starts Caddy itself: asked for, and no other one was named."""
    named = os.environ.get("PARCELLE_CADDY_ADMIN", "")
    return front_door().ingress == "caddy" and named in {"", admin_address(home)}


def folder(home: Home) -> Path:
    return home.path / "caddy"


def prepare(home: Home) -> None:
    """Writes what Caddy starts from. Raises Refusal when there is no Caddy.

    It resumes what it had before; only its admin address is certain, the rest is pushed by a worker.
    """
    if not shutil.which("caddy"):
        raise Refusal(
            "PARCELLE_INGRESS=caddy needs the program caddy, and none is installed: install it (Debian and Ubuntu: "
            "apt install caddy), or name one that runs with PARCELLE_CADDY_ADMIN, or start without PARCELLE_INGRESS."
        )
    os.environ["PARCELLE_CADDY_ADMIN"] = admin_address(home)
    folder(home).mkdir(exist_ok=True, mode=0o700)
    start = {"admin": {"listen": admin_address(home)}, "storage": storage(home)}
    (folder(home) / "start.json").write_text(json.dumps(start))
    saved = folder(home) / "config" / "caddy" / "autosave.json"
    with suppress(FileNotFoundError, ValueError):
        if {**json.loads(saved.read_text()), **start} != json.loads(saved.read_text()):
            # Of another place: it would listen where nobody looks for it.
            saved.unlink()


def storage(home: Home) -> dict[str, str]:
    return {"module": "file_system", "root": str(folder(home) / "data")}


def command(home: Home) -> list[str]:
    return [shutil.which("caddy") or "caddy", "run", "--resume", "--config", str(folder(home) / "start.json")]


def program_environment(home: Home) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(folder(home) / "config"), "XDG_DATA_HOME": str(folder(home) / "data")}
