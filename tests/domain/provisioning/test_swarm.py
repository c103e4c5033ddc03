"""Compose to Swarm, and tasks to a state: what is decided without asking an engine."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from parcelle.domain.provisioning.compose import labels
from parcelle.domain.provisioning.compose.answers import FileRefused
from parcelle.domain.provisioning.compose.swarm import (
    Place,
    Stack,
    nanoseconds,
    one_off,
    published,
    stack_name,
    translate,
)
from parcelle.domain.provisioning.errors import SubnetTaken
from parcelle.domain.provisioning.providers import swarm_inside
from parcelle.domain.provisioning.providers.base import Observation, Status
from parcelle.domain.provisioning.providers.swarm_state import Node, Record, Running, Seen, Task, observation, suits
from tests import needs

REF = uuid.UUID("7f3a0000-0000-4000-8000-000000000001")
MODEL: dict[str, Any] = {
    "name": "client-acme",
    "services": {
        "db": {
            "image": "example.com/postgres:17",
            "environment": {"POSTGRES_PASSWORD_FILE": "/run/secrets/password", "PRICE": "5$$"},
            "volumes": [{"type": "volume", "source": "data", "target": "/var/lib/postgresql/data"}],
            "tmpfs": ["/run:mode=755,size=16m", "/tmp:uid=5,size=64m"],
            "shm_size": "128m",
            "secrets": [
                {"source": "password", "target": "/run/secrets/password", "uid": "0", "gid": "0", "mode": "0440"}
            ],
            "networks": {"back": {"aliases": ["database"]}},
            "healthcheck": {"test": ["CMD", "pg_isready"], "interval": "1m30s", "timeout": "500ms", "retries": 3},
            "cap_drop": ["ALL"],
            "cap_add": ["SETUID", "CHOWN"],
            "security_opt": ["no-new-privileges:true"],
            "read_only": True,
            "init": True,
            "mem_limit": "268435456",
            "memswap_limit": "268435456",
            "cpus": 0.5,
            "pids_limit": 200,
            "ulimits": {"nofile": {"soft": 4096, "hard": 8192}},
            "logging": {"driver": "json-file", "options": {"max-size": "10m"}},
            "restart": "unless-stopped",
            "stop_grace_period": "30s",
            "privileged": False,
            "command": None,
        },
        "migrate": {
            "image": "example.com/app:1",
            "command": ["migrate"],
            "restart": "no",
            "depends_on": {"db": {"condition": "service_healthy", "required": True}},
            "networks": {"back": {}},
        },
        "web": {
            "image": "example.com/app:1",
            "entrypoint": ["/start"],
            "platform": "linux/amd64",
            "depends_on": {
                "db": {"condition": "service_healthy", "required": True},
                "migrate": {"condition": "service_completed_successfully", "required": True},
            },
            "networks": {"back": {}, "front": {"ipv4_address": "10.201.4.2"}},
            "restart": "on-failure:5",
        },
    },
    "networks": {
        "back": {"internal": True, "ipam": {"config": [{"subnet": "10.201.4.16/28"}]}},
        "front": {"internal": False, "ipam": {"config": [{"subnet": "10.201.4.0/28"}]}},
    },
    "volumes": {"data": {}},
    "secrets": {"password": {"name": "client-acme_password"}},
}


def with_key(**keys: Any) -> dict[str, Any]:
    """The model with more keys on the service `web`."""
    return {**MODEL, "services": {**MODEL["services"], "web": {**MODEL["services"]["web"], **keys}}}


def translated(model: Mapping[str, Any] = MODEL, **changes: Any) -> Stack:
    known: dict[str, Any] = {
        "ref": REF,
        "name": "client-acme",
        "place": Place(constraints=("node.labels.region==fr",), home="n1"),
        "web": ("web", 8080, 8100),
        "secrets": {"password": "open sesame"},
        "configs": {},
        "api": (1, 51),
    }
    return translate(model, **(known | changes))


def body(stack: Stack, key: str) -> dict[str, Any]:
    found = stack.service(key)
    assert found is not None
    return found.body


def container(stack: Stack, key: str) -> dict[str, Any]:
    return dict(body(stack, key)["TaskTemplate"]["ContainerSpec"])


# --- compose to Swarm ---------------------------------------------------------------------------------------


def test_a_service_keeps_what_makes_it_safe() -> None:
    stack = translated()
    db, task = container(stack, "db"), body(stack, "db")["TaskTemplate"]
    assert db["CapabilityDrop"] == ["ALL"] and db["CapabilityAdd"] == ["CHOWN", "SETUID"]
    assert db["ReadOnly"] is True and db["Init"] is True
    assert db["Privileges"] == {"NoNewPrivileges": True}
    assert task["Resources"]["Limits"] == {"MemoryBytes": 268435456, "NanoCPUs": 500_000_000, "Pids": 200}
    assert db["Ulimits"] == [{"Name": "nofile", "Soft": 4096, "Hard": 8192}]
    assert task["LogDriver"] == {"Name": "json-file", "Options": {"max-size": "10m"}}
    assert db["StopGracePeriod"] == 30 * 10**9
    assert db["Healthcheck"] == {
        "Test": ["CMD", "pg_isready"],
        "Interval": 90 * 10**9,
        "Timeout": 5 * 10**8,
        "Retries": 3,
    }
    assert "PRICE=5$" in db["Env"]


def test_folders_in_memory_become_mounts_however_they_are_spelled() -> None:
    mounts = {mount["Target"]: mount for mount in container(translated(), "db")["Mounts"]}
    assert mounts["/run"]["TmpfsOptions"] == {"SizeBytes": 16 << 20, "Mode": 0o755}
    assert mounts["/tmp"]["TmpfsOptions"] == {"SizeBytes": 64 << 20, "Mode": 0o1777}
    assert mounts["/dev/shm"]["TmpfsOptions"] == {"SizeBytes": 128 << 20}
    long = with_key(volumes=[{"type": "tmpfs", "target": "/cache", "tmpfs": {"size": 4096}}])
    assert container(translated(long), "web")["Mounts"] == [
        {"Type": "tmpfs", "Target": "/cache", "TmpfsOptions": {"SizeBytes": 4096}}
    ]


def test_what_has_volumes_stays_with_them_and_takes_turns() -> None:
    stack = translated()
    assert body(stack, "db")["TaskTemplate"]["Placement"]["Constraints"] == ["node.labels.region==fr", "node.id==n1"]
    assert body(stack, "db")["UpdateConfig"]["Order"] == "stop-first"
    assert body(stack, "web")["TaskTemplate"]["Placement"] == {
        "Constraints": ["node.labels.region==fr"],
        "Platforms": [{"OS": "linux", "Architecture": "x86_64"}],
    }
    assert body(stack, "web")["UpdateConfig"]["Order"] == "start-first"
    assert {body(stack, key)["UpdateConfig"]["FailureAction"] for key in ("db", "web")} == {"rollback"}
    assert stack.volumes == ("client-acme_data",)


def test_services_are_reached_without_virtual_addresses() -> None:
    stack = translated()
    assert body(stack, "web")["EndpointSpec"] == {
        "Mode": "dnsrr",
        "Ports": [{"Protocol": "tcp", "TargetPort": 8080, "PublishedPort": 8100, "PublishMode": "host"}],
    }
    assert body(stack, "db")["EndpointSpec"] == {"Mode": "dnsrr", "Ports": []}
    assert body(stack, "db")["TaskTemplate"]["Networks"] == [
        {"Target": "client-acme_back", "Aliases": ["db", "database"]}
    ]
    other = published(body(stack, "web"), 8200, inside=8080)
    assert other["EndpointSpec"]["Ports"][0]["PublishedPort"] == 8200
    assert [(network.name, network.internal, network.subnet) for network in stack.networks] == [
        ("client-acme_back", True, "10.201.4.16/28"),
        ("client-acme_front", False, "10.201.4.0/28"),
    ]


def test_what_others_wait_for_is_a_job_and_starts_before_them() -> None:
    stack = translated()
    migrate = body(stack, "migrate")
    assert migrate["Mode"] == {"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 1}}
    assert migrate["TaskTemplate"]["RestartPolicy"] == {"Condition": "none"}
    assert migrate["TaskTemplate"]["ContainerSpec"]["Healthcheck"] == {"Test": ["NONE"]}
    # Nobody should be sent to it.
    assert migrate["TaskTemplate"]["Networks"] == [{"Target": "client-acme_back", "Aliases": []}]
    assert [[service.key for service in wave] for wave in stack.waves] == [["db"], ["migrate"], ["web"]]
    assert stack.closure(["migrate"]) == {"db", "migrate"}
    assert body(stack, "web")["TaskTemplate"]["RestartPolicy"]["Condition"] == "on-failure"
    assert body(stack, "web")["TaskTemplate"]["RestartPolicy"]["MaxAttempts"] == 5


def test_a_secret_is_the_swarms_and_named_by_what_it_holds() -> None:
    stack, same, other = translated(), translated(), translated(secrets={"password": "changed"})
    strangers = translated(ref=uuid.uuid4())
    (secret,) = stack.secrets
    assert secret.data == b"open sesame" and "open sesame" not in repr(stack)
    names = [made.secrets[0].name for made in (same, other, strangers)]
    assert names[0] == secret.name and len({secret.name, *names}) == 3
    (given,) = container(stack.identified({secret.name: "s1"}, {}), "db")["Secrets"]
    assert given == {
        "SecretID": "s1",
        "SecretName": secret.name,
        "File": {"Name": "/run/secrets/password", "UID": "0", "GID": "0", "Mode": 0o440},
    }
    with pytest.raises(FileRefused, match="secret 'password' has no content"):
        translated(secrets={})


def test_the_revision_changes_with_the_service_and_with_nothing_else() -> None:
    def revision(stack: Stack, key: str) -> str:
        return str(body(stack, key)["Labels"][labels.REVISION])

    first, again = translated(), translated()
    changed = translated(with_key(image="example.com/app:2"))
    assert revision(first, "web") == revision(again, "web") != revision(changed, "web")
    assert revision(first, "db") == revision(changed, "db")
    assert revision(first, "db") != revision(translated(secrets={"password": "new"}), "db")
    assert container(first, "web")["Labels"][labels.REVISION] == revision(first, "web")


@pytest.mark.parametrize(
    "keys",
    [
        {"container_name": "web"},
        {"privileged": True},
        {"devices": [{"source": "/dev/sda", "target": "/dev/sda"}]},
        {"network_mode": "host"},
        {"pid": "host"},
        {"security_opt": ["seccomp=unconfined"]},
        {"userns_mode": "host"},
        {"volumes": [{"type": "bind", "source": "/etc", "target": "/etc"}]},
        {"tmpfs": ["/run:exec"]},
        {"mem_limit": "64m", "memswap_limit": "128m"},
        {"mem_swappiness": 0},
        {"extra_hosts": ["a=1.2.3.4"]},
        {"links": ["db"]},
        {"sysctls": {"net.core.somaxconn": "1"}},
        {"restart": "sometimes"},
        {"mem_limit": "plenty"},
        {"stop_grace_period": "soon"},
        {"x-unknown-to-all": 1, "brand_new_key": True},
    ],
    ids=lambda keys: next(reversed(keys)),
)
def test_what_swarm_would_drop_without_a_word_is_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(FileRefused) as refused:
        translated(with_key(**keys))
    named = next(reversed(keys))
    if named not in {"volumes", "stop_grace_period", "mem_limit"}:
        assert "service web" in refused.value.detail and named in refused.value.detail


def test_an_old_engine_cannot_forbid_new_privileges_and_it_is_told() -> None:
    old = translated(api=(1, 41))
    assert "Privileges" not in container(old, "db")
    assert any("no-new-privileges" in text for text in old.weaker)
    assert not any("no-new-privileges" in text for text in translated().weaker)


def test_names_fit_what_the_engine_allows() -> None:
    long = stack_name("client-" + "a" * 50, REF)
    assert len(long) <= 40 and long.endswith(REF.hex[:8])
    assert stack_name("client-acme", REF) == "client-acme"
    with pytest.raises(FileRefused, match="too long"):
        translated({**MODEL, "services": {"w" * 41: {"image": "a"}}}, name=long)


def test_a_one_off_command_has_what_the_service_has_but_its_name() -> None:
    job = one_off(body(translated(), "db"), name="client-acme_run-1", command=["true"], node="n2", user="5")
    inside = job["TaskTemplate"]["ContainerSpec"]
    assert inside["Command"] == ["true"] and inside["User"] == "5" and "Args" not in inside
    assert inside["Mounts"] == container(translated(), "db")["Mounts"]
    assert job["TaskTemplate"]["Placement"] == {"Constraints": ["node.id==n2"]}
    assert job["TaskTemplate"]["Networks"] == [{"Target": "client-acme_back"}]
    assert labels.SWARM_SERVICE not in job["Labels"] and job["Labels"][labels.INSTANCE] == str(REF)


def test_durations() -> None:
    assert [nanoseconds(text) for text in ("1h", "1m30s", "1.5s", "200ms", "0s", "0")] == [
        3600 * 10**9, 90 * 10**9, 1_500_000_000, 200_000_000, 0, 0,
    ]  # fmt: skip


@pytest.mark.parametrize("version", ["1.41", "1.51"])
def test_what_is_sent_has_the_published_shape(version: str) -> None:
    needs.require("specs")
    known = yaml.safe_load((needs.specs() / f"docker-engine-api-v{version}-swagger2.yaml").read_text())["definitions"]
    major, _, minor = version.partition(".")
    stack = translated(api=(int(major), int(minor)))
    for service in stack.identified({stack.secrets[0].name: "s1"}, {}).services:
        _expect(service.body, known["ServiceSpec"], known, service.key)
    db = body(stack, "db")
    _expect(one_off(db, name="x", command=["true"]), known["ServiceSpec"], known, "one-off")


KINDS: Mapping[str, Any] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
}


def _expect(value: Any, schema: Mapping[str, Any], known: Mapping[str, Any], where: str) -> None:
    """The engine ignores what it does not know: a name that the specification has not is a mistake."""
    if "$ref" in schema:
        schema = known[schema["$ref"].rpartition("/")[2]]
    for part in schema.get("allOf", []):
        schema = {**known[part["$ref"].rpartition("/")[2]], **schema} if "$ref" in part else {**schema, **part}
    assert isinstance(value, KINDS[schema.get("type", "object")]), where
    assert "enum" not in schema or value in schema["enum"], where
    if isinstance(value, list):
        for item in value:
            _expect(item, schema["items"], known, where)
    # A map of names to texts has no properties.
    if isinstance(value, dict) and schema.get("properties"):
        properties = {name.lower(): inner for name, inner in schema["properties"].items()}
        for name, inner in value.items():
            assert name.lower() in properties, f"{where}.{name}"
            _expect(inner, properties[name.lower()], known, f"{where}.{name}")


# --- tasks to a state ---------------------------------------------------------------------------------------


def node(name: str, state: str = "ready", availability: str = "active", **own: str) -> Node:
    return Node(
        id=name, hostname=f"host-{name}", state=state, availability=availability, role="worker", address="10.0.0.1",
        version="28", labels=own,
    )  # fmt: skip


UP = {"n1": node("n1"), "n2": node("n2")}
N1_DOWN = {"n1": node("n1", state="down"), "n2": node("n2")}
RECORD = Record(stack="client-acme", service="web", port=8080, home="n1", waves=(("db",), ("migrate",), ("web",)))
_clock = iter(range(10**6))


def task(state: str, *, desired: str = "running", error: str = "", on: str = "n1") -> Task:
    moment = f"{next(_clock):06}"
    return Task(
        id=moment, created_at=moment, state=state, desired=desired, error=error, revision="r", node_id=on, container="c"
    )


def service(key: str, *tasks: Task, replicas: int = 1, update: str = "", job: bool = False) -> Running:
    constraints = ["node.id==n1"] if key == "db" else []
    spec = {
        "Name": f"client-acme_{key}",
        "Labels": {labels.SWARM_SERVICE: key, labels.REVISION: "r", labels.SWARM_STACK: "client-acme"},
        "TaskTemplate": {"Placement": {"Constraints": constraints}},
        "Mode": {"ReplicatedJob": {}} if job else {"Replicated": {"Replicas": replicas}},
    }
    return Running(id=key, version=1, spec=spec, update=update, tasks=tasks)


def seen(**services: Running) -> Seen:
    whole = {
        "db": service("db", task("running")),
        "migrate": service("migrate", task("complete", desired="complete"), job=True),
        "web": service("web", task("running", on="n2")),
    }
    return Seen(ref=REF, record=RECORD, services=tuple((whole | services).values()))


NO_NODE = "no suitable node (scheduling constraints not satisfied on 2 nodes)"
BROKEN = "task: non-zero exit (1)"


@pytest.mark.parametrize(
    ("what", "nodes", "status", "detail"),
    [
        (seen(), UP, Status.RUNNING, ""),
        (Seen(ref=REF), UP, Status.ABSENT, ""),
        (Seen(ref=REF, networks={"client-acme_back": "1"}), UP, Status.CREATING, "without services"),
        (Seen(ref=REF, record=RECORD, records={"r": "1"}), UP, Status.CREATING, "without services"),
        (seen(web=service("", task("running"))), UP, Status.CREATING, "without web"),
        (seen(web=service("web", task("preparing"))), UP, Status.CREATING, "web preparing"),
        (seen(web=service("web")), UP, Status.CREATING, "web not scheduled yet"),
        (seen(web=service("web", task("pending"))), UP, Status.CREATING, "web pending"),
        (
            seen(web=service("web", task("pending", error=NO_NODE, on=""))),
            UP,
            Status.FAILED,
            f"web finds no node: {NO_NODE}",
        ),
        (
            seen(web=service("web", task("rejected", desired="shutdown", error="No such image: a:1"), task("new"))),
            UP,
            Status.FAILED,
            "web cannot start: No such image: a:1",
        ),
        (seen(web=service("web", task("failed", error=BROKEN), task("starting"))), UP, Status.CREATING, "web starting"),
        (
            seen(web=service("web", *(task("failed", error=BROKEN) for _ in range(3)), task("ready"))),
            UP,
            Status.FAILED,
            f"web keeps ending: {BROKEN}",
        ),
        (
            seen(web=service("web", *(task("complete", desired="shutdown") for _ in range(3)), task("ready"))),
            UP,
            Status.FAILED,
            "web keeps ending: it ended without an error, or was ended because its health check failed",
        ),
        # Ended badly before, but not since it was last fine.
        (
            seen(
                web=service(
                    "web", *(task("failed", error=BROKEN) for _ in range(3)), task("shutdown"), task("starting")
                )
            ),
            UP,
            Status.CREATING,
            "web starting",
        ),
        (seen(), N1_DOWN, Status.FAILED, "db cannot run: its data is on node host-n1, which is down"),
        (seen(), {"n2": UP["n2"]}, Status.FAILED, "db cannot run: its data is on a node that has left the swarm"),
        (
            seen(web=service("web", task("running"), task("running", on="n2"), update="updating")),
            UP,
            Status.RUNNING,
            "web is being updated",
        ),
        (
            seen(web=service("web", task("running"), task("failed", error=BROKEN), update="rollback_completed")),
            UP,
            Status.RUNNING,
            f"the last update of web was rolled back: {BROKEN}",
        ),
        (
            seen(
                db=service("db", task("shutdown", desired="shutdown"), replicas=0),
                web=service("web", task("shutdown", desired="shutdown"), replicas=0),
            ),
            UP,
            Status.STOPPED,
            "",
        ),
        (seen(web=service("web", replicas=0)), UP, Status.FAILED, "web stopped while the others run"),
        # The version of before serves on.
        (
            seen(migrate=service("migrate", task("failed", error=BROKEN), job=True)),
            UP,
            Status.RUNNING,
            f"migrate ended badly: {BROKEN}",
        ),
        (
            seen(migrate=service("migrate", task("failed", error=BROKEN), job=True), web=service("", task("running"))),
            UP,
            Status.FAILED,
            f"migrate ended badly: {BROKEN}",
        ),
        (
            seen(migrate=service("migrate", task("running", desired="complete"), job=True)),
            UP,
            Status.CREATING,
            "migrate running",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_stack_is_observed(what: Seen, nodes: Mapping[str, Node], status: Status, detail: str) -> None:
    assert observation(what, nodes) == Observation(status, detail)


def test_a_node_suits_as_the_scheduler_would_say() -> None:
    french = node("n1", region="fr")
    assert suits(french, ["node.labels.region==fr", "node.role!=manager"])
    assert not suits(french, ["node.labels.region == de"])
    assert not suits(french, ["node.labels.region!=fr"])
    assert not suits(node("n1"), ["node.labels.region==fr"])
    assert suits(french, ["node.id==n1", "node.hostname==host-n1"])
    assert not suits(node("n1", state="down"), [])
    assert not suits(node("n1", availability="drain"), [])


class Overlapping:
    """A cluster on whose node a job's network finds its addresses taken."""

    def __init__(self) -> None:
        self.left = 0

    def create(self, body: Any) -> Running:
        self.left += 1
        error = "Pool overlaps with other one on this address space"
        return Running(id="job", version=1, spec=body, tasks=(task("rejected", error=error),))

    def service(self, _key: str) -> Running | None:
        return self.create(BODY) if self.left else None

    def logs(self, _job: Running, *, lines: int) -> str:
        return ""

    def remove_services(self, _services: object) -> None:
        self.left = 0


BODY: dict[str, Any] = {
    "Name": "client-acme_web",
    "Labels": {labels.INSTANCE: str(REF), labels.MANAGED: "1", labels.SWARM_STACK: "client-acme"},
    "TaskTemplate": {
        "ContainerSpec": {},
        "Networks": [{"Target": "client-acme_back"}, {"Target": "client-acme_front"}],
    },
}


def test_a_network_that_a_node_refuses_to_a_job_is_named_so_that_another_one_is_leased() -> None:
    cluster: Any = Overlapping()
    with pytest.raises(SubnetTaken) as taken:
        swarm_inside.run_beside(cluster, BODY, ["true"], timeout=5)
    assert taken.value.purpose == "front"
    assert cluster.left == 0
