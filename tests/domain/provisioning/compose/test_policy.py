"""What a vendor's compose file may ask for: every refusal by name, with its place and what to do instead."""

from __future__ import annotations

import pytest

from parcelle.domain.provisioning.compose import policy
from parcelle.domain.provisioning.compose.reading import Grants, Problem
from tests.domain.provisioning.compose import stacks


def problems(text: str, **options: object) -> list[Problem]:
    return policy.look(stacks.dedent(text), **options).problems  # type: ignore[arg-type]


def in_service(lines: str) -> str:
    """A file with one sound service, and more about it from line 5 on."""
    body = "".join(f"    {line}\n" for line in stacks.dedent(lines).splitlines())
    return f'services:\n  web:\n    image: app:1\n    healthcheck: {{test: "true"}}\n{body}volumes: {{data: {{}}}}\n'


def at_top(lines: str) -> str:
    return in_service("init: true").replace("volumes: {data: {}}\n", "") + stacks.dedent(lines)


def test_a_usual_file_is_fine() -> None:
    found = policy.look(stacks.USUAL, files={"app.conf": "x"})
    assert found.problems == []
    assert list(found.file.services) == ["db", "migrate", "web"]
    assert found.file.one_shots == {"migrate"}
    assert found.file.contents == {"app.conf": "x", "database_password": "${database_password}"}


# contracts/docker.md, section 6: the groups of its table in order.
REFUSED_IN_A_SERVICE = [
    "privileged: true",
    "cap_add: [SYS_ADMIN]",
    "cap_add: [ALL]",
    "cap_add: [cap_net_admin]",
    "devices: [/dev/sda]",
    "device_cgroup_rules: ['c 1:3 mr']",
    "gpus: all",
    "security_opt: [seccomp:unconfined]",
    "security_opt: ['no-new-privileges:false']",
    "security_opt: [apparmor=unconfined]",
    "sysctls: {net.ipv4.ip_forward: 1}",
    "cgroup: host",
    "cgroup_parent: x",
    "runtime: runsc",
    "oom_kill_disable: true",
    "oom_score_adj: -1000",
    "credential_spec: {file: x}",
    "group_add: [docker]",
    "storage_opt: {size: 1G}",
    "use_api_socket: true",
    "provider: {type: x}",
    "post_start: [{command: [x], privileged: true}]",
    "pre_stop: [{command: [x]}]",
    "network_mode: host",
    "network_mode: container:other",
    "network_mode: none",
    "pid: host",
    "ipc: host",
    "uts: host",
    "userns_mode: host",
    "volumes: ['/etc:/host']",
    "volumes: ['./data:/data']",
    "volumes: ['../data:/data']",
    "volumes: ['~/data:/data']",
    "volumes: ['.:/data']",
    "volumes: ['C:\\data:/data']",
    "volumes: ['/var/run/docker.sock:/var/run/docker.sock:ro']",
    "volumes: [{type: bind, source: /etc, target: /host}]",
    "volumes: [{type: bind, source: data, target: /host}]",
    "volumes: [{type: npipe, source: x, target: /x}]",
    "volumes: [{type: cluster, source: data, target: /x}]",
    "volumes: [{type: image, source: data, target: /x}]",
    "volumes: [{type: volume, source: data, target: /x, bind: {propagation: shared}}]",
    "volumes: [{type: volume, source: data, target: /x, volume: {subpath: ../..}}]",
    "volumes: [/nameless]",
    "volumes: [{type: volume, target: /nameless}]",
    "volumes: [undeclared:/data]",
    "volumes: ['${slug}:/data']",
    "volumes_from: [container:other]",
    "ports: ['80:80']",
    "ports: [80]",
    "ports: [22:22]",
    "ports: ['127.0.0.1:80:80']",
    "ports: [{target: 80, published: '80'}]",
    "ports: ['${ports.database}:5432']",
    "container_name: web",
    "hostname: web",
    "domainname: example.com",
    "mac_address: '02:42:ac:11:65:43'",
    "links: [db]",
    "external_links: [other]",
    "labels: {com.docker.compose.project: other}",
    "labels: ['io.parcelle.instance=other']",
    "labels: {traefik.enable: 'true'}",
    "build: .",
    "extends: {service: other}",
    "env_file: .env",
    "label_file: labels",
    "profiles: [debug]",
    "develop: {watch: []}",
    "models: [x]",
    "scale: 2",
    "deploy: {replicas: 2}",
    "deploy: {mode: global}",
    "deploy: {resources: {reservations: {devices: [{capabilities: [gpu]}]}}}",
    "deploy: {resources: {limits: {devices: [x]}}}",
    "pull_policy: build",
    "logging: {driver: syslog, options: {syslog-address: 'tcp://10.0.0.1:514'}}",
    "extra_hosts: ['host.docker.internal:host-gateway']",
    "dns: 10.0.0.1",
    "networks: {default: {ipv4_address: 10.0.0.2}}",
    "networks: [elsewhere]",
    "annotations: {a: b}",
    "blkio_config: {weight: 300}",
    "cpuset: '0'",
    "isolation: process",
    "ulimits: {memlock: -1}",
    "shm_size: all",
    "nonsense: true",
    "tty: true",
]


@pytest.mark.parametrize("line", REFUSED_IN_A_SERVICE)
def test_what_a_service_may_not_ask_for_is_refused_with_its_line(line: str) -> None:
    key = line.partition(":")[0]
    found = problems(in_service(f"working_dir: /srv/app\n{line}"))
    assert found, line
    assert found[0].line == 6
    assert found[0].key == f"services.web.{key}" or found[0].key.startswith(f"services.web.{key}.")
    # It says what to do, not only what is wrong.
    assert len(found[0].sentence) > 15
    assert str(found[0]).startswith(f"compose.yaml:6: services.web.{key}")


REFUSED_AT_THE_TOP = [
    ("volumes: {data: {driver_opts: {type: none, o: bind, device: /etc}}}", "volumes.data.driver_opts"),
    ("volumes: {data: {driver: nfs}}", "volumes.data.driver"),
    ("volumes: {data: {external: true}}", "volumes.data.external"),
    ("volumes: {data: {name: other_data}}", "volumes.data.name"),
    ("volumes: {data: {labels: {io.parcelle.managed: '1'}}}", "volumes.data.labels.io.parcelle.managed"),
    ("networks: {back: {external: true}}", "networks.back.external"),
    ("networks: {back: {name: other_back}}", "networks.back.name"),
    ("networks: {back: {driver: macvlan}}", "networks.back.driver"),
    ("networks: {back: {driver_opts: {parent: eth0}}}", "networks.back.driver_opts"),
    ("networks: {back: {attachable: true}}", "networks.back.attachable"),
    ("networks: {back: {ipam: {config: [{subnet: 10.0.0.0/8}]}}}", "networks.back.ipam"),
    ("networks: {back: {enable_ipv6: true}}", "networks.back.enable_ipv6"),
    ("configs: {shadow: {file: /etc/shadow}}", "configs.shadow.file"),
    ("secrets: {shadow: {file: /etc/shadow}}", "secrets.shadow.file"),
    ("secrets: {shadow: {external: true}}", "secrets.shadow.external"),
    ("secrets: {shadow: {environment: x, name: other}}", "secrets.shadow.name"),
    ("secrets: {shadow: {environment: x, driver: vault}}", "secrets.shadow.driver"),
    ("configs: {shadow: {content: x, template_driver: golang}}", "configs.shadow.template_driver"),
    ("secrets: {shadow: {}}", "secrets.shadow"),
    ("include: [other.yaml]", "include"),
    ("models: {x: {model: y}}", "models"),
    ("nonsense: 1", "nonsense"),
]


@pytest.mark.parametrize(("line", "key"), REFUSED_AT_THE_TOP)
def test_what_a_file_may_not_declare_is_refused_with_its_line(line: str, key: str) -> None:
    found = problems(at_top(line))
    assert [(problem.key, problem.line) for problem in found] == [(key, 6)]


def test_everything_wrong_is_said_at_once_in_the_order_of_the_lines() -> None:
    found = problems(in_service("privileged: true\ncontainer_name: x\nports: ['80:80', '81:81']"))
    assert [(problem.line, problem.key) for problem in found] == [
        (5, "services.web.privileged"),
        (6, "services.web.container_name"),
        (7, "services.web.ports.0"),
        (7, "services.web.ports.1"),
    ]


def test_what_an_anchor_hides_is_found_where_it_stands() -> None:
    found = problems(
        """
        x-base: &base
          image: app:1
          privileged: true
          healthcheck: {test: "true"}
        services:
          web:
            <<: *base
            user: "1000"
          worker: *base
        """
    )
    assert [(problem.key, problem.line) for problem in found] == [
        ("services.web.privileged", 3),
        ("services.worker.privileged", 3),
    ]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("services: [", 1, "YAML"),
        ("services:\n  web: {image: a}\n  web: {image: b}\n", 3, "twice"),
        ("services: !reset {}\n", 1, "tag"),
        ("a: &a [*a]\n", 1, "itself"),
        ("services:\n  web: *nobody\n", 2, "alias"),
        ("a: 1\n---\nb: 2\n", 2, "document"),
        ("services: {a: \x07}\n", 1, "character"),
    ],
)
def test_what_is_not_yaml_is_one_problem_with_its_line(text: str, line: int, words: str) -> None:
    (found,) = problems(text)
    assert found.line == line and words in found.sentence


def test_a_file_that_grows_without_end_is_refused() -> None:
    lines = ["a0: &a0 [x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9))]
    (found,) = problems("\n".join(lines))
    assert "too large" in found.sentence


# --- what must be there -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("services: {}", "services", "at least one"),
        ("{}", "services", "at least one"),
        ("[]", "", "keys"),
        ("services: {web: {image: a}}", "services.web", "healthcheck"),
        ("services: {web: {image: a, healthcheck: {disable: true}}}", "services.web.healthcheck.disable", "live"),
        ("services: {web: {image: a, healthcheck: {test: [NONE]}}}", "services.web.healthcheck.test", "CMD"),
        ("services: {web: {image: a, healthcheck: {interval: 5s}}}", "services.web.healthcheck", "test"),
        (
            "services: {web: {image: a, healthcheck: {test: t, interval: 5}}}",
            "services.web.healthcheck.interval",
            "unit",
        ),
        ("services: {web: {healthcheck: {test: t}}}", "services.web", "image"),
        ("services: {'a b': {image: a, healthcheck: {test: t}}}", "services.a b", "name"),
        ("services: {web: {image: a, restart: 'no'}}", "services.web.restart", "service_completed_successfully"),
        ("services: {web: {image: a, restart: no}}", "services.web.restart", "service_completed_successfully"),
        (
            "services: {web: {image: a, healthcheck: {test: t}, depends_on: [db]}}",
            "services.web.depends_on.db",
            "no service",
        ),
        (
            (
                "services: {a: {image: a, healthcheck: {test: t}, depends_on: [b]},"
                " b: {image: b, healthcheck: {test: t}, depends_on: [a]}}"
            ),
            "services.a.depends_on",
            "a -> b -> a",
        ),
    ],
)
def test_what_is_missing_is_said(text: str, key: str, words: str) -> None:
    found = problems(text)
    assert [problem.key for problem in found] == [key]
    assert words in found[0].sentence


def test_thirteen_services_do_not_fit_into_a_network() -> None:
    services = "\n".join(f'  s{i}: {{image: a, healthcheck: {{test: "true"}}}}' for i in range(13))
    assert [problem.key for problem in problems(f"services:\n{services}\n")] == ["services"]


# --- placeholders -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("${DB_PASSWORD}", "${db_password}"),
        ("$HOME", "${home}"),
        ("${HOME:-/root}", "'/root'"),
        ("${A:?missing}", "${a}"),
        ("${", "$$"),
        ("a$", "$$"),
        ("${base64:$x}", "$"),
        ("${base64:${X}}", "$"),
    ],
)
def test_what_compose_would_take_from_a_shell_is_refused(value: str, words: str) -> None:
    (found,) = problems(in_service(f"environment:\n  A: '{value}'"))
    assert (found.key, found.line) == ("services.web.environment.A", 6)
    assert words in found.sentence


def test_a_placeholder_that_nobody_fills_in_is_named() -> None:
    text = in_service('environment: {A: "${slug} ${databse_password} $${nothing}"}')
    (found,) = problems(text, known={"slug", "database_password"})
    assert "${databse_password}" in found.sentence and "secrets" in found.sentence
    assert problems(text) == []


@pytest.mark.parametrize("value", ["1.10", "010", "0x1F", "1e3", ".5", "~", ""])
def test_values_with_two_readings_must_be_quoted(value: str) -> None:
    (found,) = problems(in_service(f"environment:\n  A: {value}"))
    assert found.line == 6
    assert problems(in_service(f"environment:\n  A: '{value}'")) == []


@pytest.mark.parametrize(
    ("value", "seen"), [("on", "on"), ("yes", "yes"), ("true", "true"), ("12", "12"), ("22:22", "22:22")]
)
def test_plain_scalars_mean_what_compose_takes_them_for(value: str, seen: str) -> None:
    found = policy.look(in_service(f"environment:\n  A: {value}"))
    assert found.problems == []
    assert found.file.services["web"].environment == {"A": seen}


@pytest.mark.parametrize(
    "command", ["app && touch x", "app; x", "app | tee x", "app > x", "app `x`", "app 'x", "a\\ b"]
)
def test_a_command_that_compose_would_cut_off_is_refused(command: str) -> None:
    quoted = command.replace("'", "''")
    assert [problem.key for problem in problems(in_service(f"command: '{quoted}'"))] == ["services.web.command"]


# --- files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mount", "words"),
    [
        ("{source: app.conf}", "a folder of its own"),
        ("app.conf", "a folder of its own"),
        ("{source: app.conf, target: /etc/app.conf}", "/etc/parcelle/app.conf"),
        ("{source: app.conf, target: etc/../../x}", "absolute path"),
        ("{source: other, target: /etc/app/other}", "compose.files"),
        ("{source: app.conf, target: /data/app.conf}", "something else is mounted"),
        ("{source: app.conf, target: /etc/app/x, mode: 440}", '"0440"'),
        ("{source: app.conf, target: /etc/app/x, uid: root}", "whole number"),
    ],
)
def test_a_file_needs_a_folder_of_its_own(mount: str, words: str) -> None:
    found = problems(in_service(f"volumes: [data:/data]\nconfigs: [{mount}]"), files={"app.conf": "x"})
    assert any(words in problem.sentence for problem in found), found


def test_permissions_are_read_as_they_look() -> None:
    text = in_service(
        """
        configs:
          - {source: app.conf, target: /etc/a/x, mode: 0440}
          - {source: app.conf, target: /etc/a/y, mode: "0o400"}
          - {source: app.conf, target: /etc/a/z}
        """
    )
    found = policy.look(text, files={"app.conf": "x"})
    assert not found.problems
    assert [mount.mode for mount in found.file.services["web"].files] == [0o440, 0o400, 0o444]


# --- what is granted and what is harmless ------------------------------------------------------------------


@pytest.mark.parametrize("port", ["'${ports.database}:5432'", "{target: 5432, published: '${ports.database}'}"])
def test_a_host_port_can_be_granted(port: str) -> None:
    text = in_service(f"ports: [{port}]")
    found = policy.look(text, grants=Grants(ports=frozenset({"database"})))
    assert found.problems == []
    assert [(of.purpose, of.target, of.protocol) for of in found.file.services["web"].ports] == [
        ("database", 5432, "tcp")
    ]
    assert "granted" in problems(text)[0].sentence


def test_what_changes_nothing_passes() -> None:
    text = (
        in_service(
            """
        cap_drop: [ALL]
        cap_add: [CAP_CHOWN, setuid]
        security_opt: ["no-new-privileges:true"]
        privileged: false
        expose: ["8080"]
        pull_policy: missing
        scale: 1
        deploy: {replicas: 1, resources: {limits: {memory: 512M, cpus: "0.5", pids: 100}}}
        x-note: anything
        labels: [team=web]
        networks: [default, inner]
        tmpfs: /cache
        ulimits: {nofile: 65536}
        stop_grace_period: 1m30s
        volumes: [data:/a:ro, {type: tmpfs, target: /b, tmpfs: {size: 1m, mode: 0700}}]
        """
        )
        + "networks: {inner: {internal: true}}\nversion: '3.8'\nname: shop\n"
    )
    found = policy.look(text)
    assert found.problems == []
    web = found.file.services["web"]
    assert web.cap_add == ("CHOWN", "SETUID")
    assert (web.memory, web.cpus, web.pids) == (512 * 1024**2, 0.5, 100)
    assert web.tmpfs == {"/b": "mode=700,size=1048576", "/cache": "size=64m"}
    assert web.nofile == (65536, 65536)
    assert web.volumes[0].read_only
