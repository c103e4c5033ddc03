"""The second look: nothing gets past it, whatever spelling it came from."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parcelle.domain.provisioning.compose.cli import Compose
from parcelle.domain.provisioning.compose.judgement import judge
from parcelle.domain.provisioning.compose.render import Rendered, render
from parcelle.domain.provisioning.compose.text import text_of
from parcelle.domain.provisioning.providers.base import Spec
from tests import needs
from tests.domain.provisioning.compose import stacks

Model = dict[str, Any]


@pytest.fixture
def spec(tmp_path: Path) -> Spec:
    return stacks.spec(stacks.blueprint(tmp_path))


@pytest.fixture
def model(spec: Spec) -> Model:
    """As compose itself normalises what we render."""
    needs.require("docker")
    return Compose().config(render(spec, publish="127.0.0.1"))


def test_what_we_render_is_judged_well(spec: Spec, model: Model) -> None:
    assert judge(model, spec, publish="127.0.0.1") == []


def _web(**changes: Any) -> Callable[[Model], Any]:
    return lambda model: model["services"]["web"].update(changes)


BIND = {"type": "bind", "source": "/etc", "target": "/host", "bind": {"create_host_path": True}}
CHANGES: list[tuple[Callable[[Model], Any], str]] = [
    (_web(privileged=True), "services.web.privileged"),
    (_web(network_mode="host"), "services.web.network_mode"),
    (_web(pid="host"), "services.web.pid"),
    (_web(devices=[{"source": "/dev/sda", "target": "/dev/sda"}]), "services.web.devices"),
    (_web(use_api_socket=True), "services.web.use_api_socket"),
    (_web(extra_hosts=["host.docker.internal=host-gateway"]), "services.web.extra_hosts"),
    (_web(secrets=[{"source": "x"}]), "services.web.secrets"),
    (_web(something_new="x"), "services.web.something_new"),
    (_web(cap_drop=None), "services.web.cap_drop"),
    (_web(cap_add=["SYS_ADMIN"]), "services.web.cap_add"),
    (_web(security_opt=["no-new-privileges:true", "seccomp:unconfined"]), "services.web.security_opt"),
    (_web(volumes=[BIND]), "services.web.volumes.0"),
    (_web(volumes=[{"type": "volume", "target": "/x"}]), "services.web.volumes.0"),
    (_web(ports=[{"target": 22, "published": "22"}]), "services.web.ports.0"),
    (_web(ports=[{"target": 8080, "published": "8081", "host_ip": "0.0.0.0"}]), "services.web.ports.0"),
    (_web(ports=[{"target": 8080}]), "services.web.ports.0"),
    (_web(networks={"elsewhere": None}), "services.web.networks.elsewhere"),
    (_web(networks=None), "services.web.networks.default"),
    (lambda model: model["services"]["db"]["networks"].update(front=None), "services.db.networks.front"),
    (_web(mem_limit=None), "services.web.mem_limit"),
    (_web(memswap_limit="-1"), "services.web.mem_limit"),
    (_web(pids_limit=-1), "services.web.pids_limit"),
    (_web(cpus=None), "services.web.cpus"),
    (_web(logging={"driver": "syslog"}), "services.web.logging"),
    (_web(healthcheck=None), "services.web.healthcheck"),
    (lambda model: model["services"]["web"]["labels"].pop("io.parcelle.instance"), "services.web.labels"),
    (lambda model: model["services"]["web"]["labels"].update({"com.docker.x": "1"}), "services.web.labels"),
    (lambda model: model["networks"]["back"].update(internal=False), "networks.back.internal"),
    (lambda model: model["networks"]["back"].update(name="other_back"), "networks.back.name"),
    (lambda model: model["networks"]["back"].update(external=True), "networks.back.external"),
    (lambda model: model["networks"]["front"].update(driver_opts={"a": "b"}), "networks.front.driver_opts"),
    (lambda model: model["networks"]["front"].pop("ipam"), "networks.front.ipam"),
    (lambda model: model["networks"].update(more={"name": "x"}), "networks.more.name"),
    (lambda model: model["volumes"]["data"].update(name="other_data"), "volumes.data.name"),
    (lambda model: model["volumes"]["data"].update(driver_opts={"o": "bind"}), "volumes.data.driver_opts"),
    (lambda model: model["volumes"]["data"].pop("labels"), "volumes.data.labels"),
    (lambda model: model.update(secrets={"x": {"file": "/etc/shadow"}}), "secrets"),
    (lambda model: model.update(name="other"), "name"),
]


@pytest.mark.parametrize(("change", "key"), CHANGES)
def test_whatever_is_added_is_found(spec: Spec, model: Model, change: Callable[[Model], Any], key: str) -> None:
    changed = copy.deepcopy(model)
    change(changed)
    found = judge(changed, spec, publish="127.0.0.1")
    assert any(problem.key.startswith(key) for problem in found), found


def test_a_mount_in_disguise_is_found_behind_compose(spec: Spec) -> None:
    """With its own spelling, through compose: a folder of the machine as a volume."""
    needs.require("docker")
    text = text_of(
        {
            "services": {"web": {"image": "app:1", "volumes": ["data:/data", "/etc:/host"]}},
            "volumes": {"data": {"driver_opts": {"type": "none", "o": "bind", "device": "/etc"}}},
        }
    )
    found = judge(Compose().config(Rendered(project=spec.name, text=text)), spec)
    keys = {problem.key for problem in found}
    assert {"volumes.data.driver_opts", "services.web.volumes.1", "services.web.cap_drop"} <= keys
