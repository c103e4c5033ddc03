"""What compose says when it does not succeed, as our errors. Texts as contracts/docker.md and real runs have them."""

from __future__ import annotations

import pytest

from parcelle.domain.provisioning.compose.answers import FileRefused, NameInUse, ServiceFailed, error_of, service_of
from parcelle.domain.provisioning.errors import (
    DiskFull,
    ImageMissing,
    PortTaken,
    ProvisioningError,
    SubnetTaken,
    TargetUnreachable,
    TryAgain,
)

PROJECT = "client-acme"
PROGRESS = (
    " Network client-acme_back  Creating\n Network client-acme_back  Created\n Container client-acme-db-1  Healthy\n"
)
DRIVER = (
    "Error response from daemon: driver failed programming external connectivity on endpoint client-acme-web-1 (ab12): "
)

TABLE: list[tuple[int, str, type[ProvisioningError], str]] = [
    (1, "dependency failed to start: container client-acme-db-1 is unhealthy", ServiceFailed, "'db' is not healthy"),
    (1, "container client-acme-web-1 is unhealthy", ServiceFailed, "'web'"),
    (1, 'service "migrate" didn\'t complete successfully: exit 7', ServiceFailed, "'migrate' ended with code 7"),
    (1, "container client-acme-job-1 exited (3)", ServiceFailed, "'job' ended with code 3"),
    (1, "application not healthy after 3s", TryAgain, "not healthy"),
    (
        1,
        (
            "Error response from daemon: failed to create task for container: OCI runtime create failed: exec: "
            '"nope": executable file not found in $PATH: unknown'
        ),
        FileRefused,
        "executable file not found",
    ),
    (1, "Error response from daemon: no such image: app:1: No such image: app:1", ImageMissing, "app:1"),
    (18, "Error response from daemon: manifest for app:9 not found: manifest unknown", ImageMissing, "app:9"),
    (
        18,
        "Error response from daemon: pull access denied for app, repository does not exist",
        ImageMissing,
        "app",
    ),
    (
        18,
        'Error response from daemon: Get "https://registry.example.net/v2/": dial tcp: lookup registry: no such host',
        TryAgain,
        "registry",
    ),
    (
        15,
        "validating /dev/stdin: services.m Additional property nonsense is not allowed",
        FileRefused,
        "nonsense is not allowed",
    ),
    (15, "dependency cycle detected: m -> n -> m", FileRefused, "cycle"),
    (
        1,
        (
            "failed to create network client-acme_front: Error response from daemon: Pool overlaps with other one on "
            "this address space"
        ),
        SubnetTaken,
        "front",
    ),
    (
        1,
        (
            "failed to create network client-acme_back: Error response from daemon: could not find an available, "
            "non-overlapping IPv4 address pool among the defaults to assign to the network"
        ),
        SubnetTaken,
        "back",
    ),
    (1, "no available IPv4 addresses on this network's address pools: client-acme_back (12ab)", FileRefused, "sixteen"),
    (1, "Error response from daemon: Address already in use", TryAgain, ""),
    (
        1,
        "Invalid address 10.0.0.2: It does not belong to any of this network's subnets",
        FileRefused,
        "other subnets",
    ),
    (1, DRIVER + "Bind for 127.0.0.1:18081 failed: port is already allocated", PortTaken, "18081"),
    (1, DRIVER + "listen tcp4 0.0.0.0:8080: bind: address already in use", PortTaken, "8080"),
    (
        1,
        "Error response from daemon: Ports are not available: exposing port TCP 127.0.0.1:8082 -> 0.0.0.0:0: listen",
        PortTaken,
        "8082",
    ),
    (
        1,
        'Error from daemon: Conflict. The container name "/client-acme-db-1" is already in use by container "1"',
        NameInUse,
        "client-acme-db-1",
    ),
    (
        1,
        'network client-acme_back was found but has incorrect label com.docker.compose.network set to ""',
        NameInUse,
        "client-acme_back",
    ),
    (
        1,
        "Cannot connect to the Docker daemon at unix:///nowhere. Is the docker daemon running?",
        TargetUnreachable,
        "start it",
    ),
    (
        1,
        (
            'error during connect: Get "http://docker.example.com/v1.45/containers/json": command [ssh -l x] has '
            "exited with exit status 255"
        ),
        TargetUnreachable,
        "address",
    ),
    (
        1,
        "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock",
        TargetUnreachable,
        "group docker",
    ),
    (
        1,
        "Error response from daemon: client version 1.41 is too old. Minimum supported API version is 1.44",
        TargetUnreachable,
        "1.44",
    ),
    (1, "Error response from daemon: write /var/lib/x: no space left on device", DiskFull, "full"),
    (1, "failed to register layer: disk quota exceeded", DiskFull, "full"),
    (130, "canceled", TryAgain, "interrupted"),
    (1, "something new", ProvisioningError, "something new"),
    (2, "", ProvisioningError, "code 2"),
]


@pytest.mark.parametrize(("code", "text", "kind", "words"), TABLE)
def test_every_answer_has_its_error(code: int, text: str, kind: type[ProvisioningError], words: str) -> None:
    error = error_of(code, PROGRESS + text + "\n", project=PROJECT)
    assert type(error) is kind
    assert words in error.detail
    assert "Healthy" not in error.detail


def test_what_is_taken_can_be_replaced() -> None:
    port = error_of(1, DRIVER + "Bind for 0.0.0.0:8081 failed: port is already allocated", project=PROJECT)
    assert isinstance(port, PortTaken) and port.port == 8081 and port.retry
    subnet = error_of(
        1, "failed to create network a-b_c_front: Error response from daemon: Pool overlaps", project="a-b_c"
    )
    assert isinstance(subnet, SubnetTaken) and subnet.purpose == "front" and subnet.retry


def test_success_is_no_error_unless_something_foreign_was_attached() -> None:
    assert error_of(0, PROGRESS, project=PROJECT) is None
    for text in (
        'volume "client-acme_data" already exists but was created for project "other" (expected "client-acme")',
        "a network client-acme_back already exists but was created for project other",
    ):
        error = error_of(0, f'time="2026" level=warning msg="{text}"', project=PROJECT)
        assert isinstance(error, NameInUse) and "client-acme_" in error.detail


@pytest.mark.parametrize("secret", ["s3cret-value", "pa$$word$", 'quo"te\nnext-line-of-it', "été-long-secret"])
def test_no_secret_leaves_however_it_is_spelled(secret: str) -> None:
    escaped = secret.replace("$", "$$")
    spelled = [secret, escaped, escaped.replace('"', '\\"').replace("\n", "\\n")]
    for text in spelled:
        error = error_of(15, f"services.web.environment.A must be a number: {text}", project=PROJECT, secrets=[secret])
        assert error is not None
        assert text not in error.detail and "s3cret" not in error.detail and "[redacted]" in error.detail


@pytest.mark.parametrize(
    ("container", "service"),
    [("client-acme-db-1", "db"), ("client-acme-my-db-12", "my-db"), ("client-acme_db_1", "db"), ("other", "other")],
)
def test_a_container_tells_its_service(container: str, service: str) -> None:
    assert service_of(container, PROJECT) == service
