"""Portainer's own traps, met by the client and the provider on both generations of the server.

What every provider promises is tested in `test_providers.py`. Requests and answers of every test here are held to the
published documents of the version; see `tests/simulators`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import pytest
from django.utils.translation import override
from structlog.testing import capture_logs

from parcelle.domain.provisioning.errors import (
    CertificateChanged,
    CertificateUnknown,
    CredentialsRefused,
    EnvironmentUnknown,
    ProvisioningError,
    SettingsRefuse,
    TargetUnreachable,
    TryAgain,
    WrongAddress,
)
from parcelle.domain.provisioning.providers import portainer_api as api
from parcelle.domain.provisioning.providers.portainer import PortainerProvider
from parcelle.surfaces.backoffice.words import ANSWERS
from tests import loopback, needs
from tests.simulators.certificates import self_signed
from tests.simulators.portainer import Fault, Portainer, serving

needs.require("specs")
PASSWORD = "a long password"
BLOCKING, BACKGROUND = "2.33.1", "2.44.0"


@pytest.fixture(params=["2.19.4", BLOCKING, BACKGROUND])
def portainer(request: pytest.FixtureRequest) -> Iterator[Portainer]:
    """A server with one user and one environment that is of no use."""
    made = Portainer(request.param)
    made.add_user(password=PASSWORD)
    made.add_environment("cluster", type=7)
    with serving(made):
        yield made
    made.close()
    assert made.violations == []


@pytest.fixture(autouse=True)
def _nobody_is_signed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "_tokens", api._Tokens())


def connection(portainer: Portainer, **changes: Any) -> Mapping[str, Any]:
    given = {"url": portainer.url, "environment": 2, **changes}
    if "username" not in given and "api_key" not in given:
        given["api_key"] = portainer.add_key(portainer.users[1])
    return given


def signed_in(portainer: Portainer, **changes: Any) -> Mapping[str, Any]:
    return connection(portainer, username="admin", password=PASSWORD, **changes)


# --- who asks -----------------------------------------------------------------------------------------------


def test_a_key_or_a_sign_in_both_do(portainer: Portainer) -> None:
    for given in (connection(portainer), signed_in(portainer)):
        assert [found.name for found in api.environments(given)] == ["cluster"]
    for seen in portainer.seen:
        assert not {"X-Api-Key", "Authorization"} <= {name.title() for name in seen.headers}


def test_a_wrong_key_or_password_says_so(portainer: Portainer) -> None:
    with pytest.raises(CredentialsRefused, match="refuses the credentials"):
        api.environments(connection(portainer, api_key="ptr_wrong"))
    with pytest.raises(CredentialsRefused, match="refuses the credentials"):
        api.environments(connection(portainer, username="admin", password="wrong"))
    with pytest.raises(CredentialsRefused, match="neither an api_key nor a username"):
        api.environments({"url": portainer.url})


def test_a_wrong_password_is_not_tried_again_until_this_machine_is_banned(portainer: Portainer) -> None:
    for _attempt in range(30):
        with pytest.raises(CredentialsRefused):
            api.environments(connection(portainer, username="admin", password="wrong"))
    assert len(portainer.lines("POST /auth")) == 1
    # Another password is another try.
    assert api.environments(signed_in(portainer))


def test_one_sign_in_is_shared_by_everything_in_this_process(portainer: Portainer) -> None:
    given = signed_in(portainer)
    threads = [threading.Thread(target=api.environments, args=(given,)) for _number in range(15)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(portainer.lines("POST /auth")) == 1
    assert len(portainer.lines("GET /endpoints$")) == 15


def test_a_token_that_ended_early_is_renewed_once(portainer: Portainer) -> None:
    server = api.Portainer(signed_in(portainer))
    server.environments()
    portainer.tokens.clear()
    server.environments()
    assert len(portainer.lines("POST /auth")) == 2


def test_no_cookie_is_sent_back(portainer: Portainer) -> None:
    server = api.Portainer(signed_in(portainer))
    server.environments()
    with pytest.raises(api.Gone):
        server.start(api.Stack(id=9, name="x", type=2, environment=2, status=1, env={}))
    assert not any("Cookie" in seen.headers for seen in portainer.seen)


def test_being_banned_is_told_from_being_refused(portainer: Portainer) -> None:
    portainer.banned["127.0.0.1"] = portainer.now() + 100
    with pytest.raises(TargetUnreachable, match="use an API key"):
        api.environments(signed_in(portainer))
    assert api.environments(connection(portainer))


def test_a_revoked_key_is_refused_credentials_at_the_engine_too(portainer: Portainer) -> None:
    given = connection(portainer)
    server = api.Portainer(given)
    portainer.keys.clear()
    with pytest.raises(CredentialsRefused):
        server.docker(2, "GET", "/version")
    with pytest.raises(CredentialsRefused):
        PortainerProvider(given).check()


def test_secrets_of_the_connection_are_in_no_error_and_no_log(portainer: Portainer) -> None:
    with capture_logs() as logs:
        for path in ("/auth", "/endpoints"):
            portainer.faults.append(Fault(f" {path}", 502, after=False))
            with pytest.raises(ProvisioningError) as caught:
                api.environments(signed_in(portainer))
            assert PASSWORD not in caught.value.detail
    assert PASSWORD not in str(logs)


# --- where ----------------------------------------------------------------------------------------------------


def test_a_server_that_does_not_answer_says_what_to_do() -> None:
    with pytest.raises(TargetUnreachable, match="does not answer at http://127"):
        api.environments({"url": f"http://127.0.0.1:{loopback.free_port()}", "api_key": "ptr_x"})
    with pytest.raises(ProvisioningError, match="needs the url of Portainer"):
        api.environments({"url": "portainer", "api_key": "ptr_x"})


def test_something_else_that_answers_is_not_taken_for_it() -> None:
    answers: list[loopback.Answer] = [(200, {"hello": "world"}), (404, {"message": "no", "details": "No"}), (200, [1])]
    for answer in answers:
        with (
            loopback.answering(partial(_always, answer)) as server,
            pytest.raises(WrongAddress, match="is not Portainer"),
        ):
            api.environments({"url": server.url, "api_key": "ptr_x"})
    with loopback.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnope") as url, pytest.raises(WrongAddress):
        api.environments({"url": url, "api_key": "ptr_x"})
    # A gateway whose Portainer is away.
    away = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\n\r\nnope"
    with loopback.raw(away) as url, pytest.raises(TryAgain, match="answered 502"):
        api.environments({"url": url, "api_key": "ptr_x"})


def _always(answer: loopback.Answer, _seen: loopback.Seen) -> loopback.Answer:
    return answer


def test_an_old_server_is_refused_by_its_version() -> None:
    with (
        loopback.answering(lambda _seen: (200, {"Version": "2.16.2"})) as server,
        pytest.raises(ProvisioningError, match="too old"),
    ):
        api.environments({"url": server.url, "api_key": "ptr_x"})


@pytest.mark.parametrize(
    ("version", "has"),
    [
        ("2.19.4", set()),
        ("2.27.0", {"current_user"}),
        ("2.39.6", {"current_user"}),
        ("2.41.1", {"current_user", "background"}),
        ("2.45.0", {"current_user", "background", "security_opt"}),
    ],
)
def test_what_a_version_can_do_is_a_table(version: str, has: set[str]) -> None:
    found = api.Capabilities.of(version)
    assert {name for name in api.Capabilities.SINCE if getattr(found, name)} == has


def test_a_self_signed_certificate_is_refused_until_it_is_known() -> None:
    made = Portainer(BACKGROUND)
    made.add_user()
    with serving(made, tls=True):
        certificate, other = made.certificate, self_signed("127.0.0.1")
        assert certificate is not None
        with pytest.raises(CertificateUnknown) as caught:
            api.environments(connection(made))
        # A person can compare it with what the server shows.
        assert certificate.fingerprint.upper() == caught.value.detail.split(": ")[-1].strip(".").replace(":", "")
        with pytest.raises(CertificateUnknown):
            api.environments(connection(made, ca=other.pem))
        with pytest.raises(CertificateChanged, match=certificate.fingerprint[:2].upper()):
            api.environments(connection(made, fingerprint=other.fingerprint))
        # Not a byte of a request was sent, and no key with it.
        assert made.seen == []
        colons = ":".join(certificate.fingerprint[at : at + 2] for at in range(0, 64, 2)).upper()
        for right in ({"ca": certificate.pem}, {"fingerprint": certificate.fingerprint}, {"fingerprint": colons}):
            with capture_logs() as logs:
                assert api.environments(connection(made, **right)) == []
            assert logs == []
        with capture_logs() as logs:
            assert api.environments(connection(made, verify=False)) == []
        assert any("CERTIFICATE CHECKS ARE OFF" in entry["event"] for entry in logs)


def test_a_ca_that_is_none_says_so() -> None:
    with pytest.raises(ProvisioningError, match="CA bundle"):
        api.environments({"url": "https://127.0.0.1:1", "api_key": "ptr_x", "ca": "not a certificate"})


def test_an_unknown_environment_is_told_from_an_unusable_one(portainer: Portainer) -> None:
    with pytest.raises(EnvironmentUnknown, match="no such environment"):
        PortainerProvider(connection(portainer, environment=99)).check()
    with pytest.raises(EnvironmentUnknown, match="no Docker Engine"):
        PortainerProvider(connection(portainer)).check()
    portainer.environments[2].up = False
    with pytest.raises(TargetUnreachable, match="down"):
        PortainerProvider(connection(portainer)).check()


def test_an_engine_behind_portainer_that_is_gone_is_an_unreachable_target(portainer: Portainer) -> None:
    portainer.environments[2].up = False
    with pytest.raises(TargetUnreachable, match="does not reach the engine"):
        api.Portainer(connection(portainer)).docker(2, "GET", "/version")


def test_ports_answer_where_the_environment_says(portainer: Portainer) -> None:
    environment = portainer.environments[2]
    server = api.Portainer(connection(portainer))
    for public, engine, host in (
        ("apps.example.com", "tcp://10.0.0.5:2375", "apps.example.com"),
        ("apps.example.com:9443", "unix:///var/run/docker.sock", "apps.example.com"),
        ("", "tcp://10.0.0.5:2375", "10.0.0.5"),
        ("", "unix:///var/run/docker.sock", "127.0.0.1"),
    ):
        environment.public_url, environment.engine = public, engine
        assert server.environment(2).host == host


def test_keys_are_read_in_any_spelling_and_unknown_fields_are_passed_over(portainer: Portainer) -> None:
    portainer.odd_spelling = True
    (found,) = api.environments(connection(portainer))
    assert (found.name, found.kind, found.up, found.usable) == ("cluster", "kubernetes", True, False)


def test_an_answer_from_a_reverse_proxy_says_nothing_about_what_was_done(portainer: Portainer) -> None:
    server = api.Portainer(connection(portainer))
    for status in (502, 524):
        portainer.faults.append(Fault("/stacks/9/start", status))
        with pytest.raises(api.NoAnswer):
            server.start(api.Stack(id=9, name="x", type=2, environment=2, status=1, env={}))


@pytest.mark.parametrize(
    "error", [CredentialsRefused, CertificateUnknown, EnvironmentUnknown, SettingsRefuse, TargetUnreachable]
)
def test_the_operator_reads_it_in_french_and_in_english(error: type[ProvisioningError]) -> None:
    with override("en"):
        english = [str(sentence) for sentence in ANSWERS[error.code]]
    with override("fr"):
        french = [str(sentence) for sentence in ANSWERS[error.code]]
    assert all(sentence.endswith(".") for sentence in english + french)
    assert not set(english) & set(french)


# --- settings ---------------------------------------------------------------------------------------------------


def test_settings_that_would_refuse_a_hardened_stack_are_found_when_the_target_is_checked() -> None:
    needs.require("docker")
    made = Portainer(BACKGROUND)
    made.add_user()
    regular = made.add_user("deploy", admin=False)
    made.add_environment(
        security={"allowContainerCapabilitiesForRegularUsers": False, "allowSecurityOptForRegularUsers": False}
    )
    with serving(made):
        assert PortainerProvider(connection(made)).check().versions["portainer"] == BACKGROUND
        with pytest.raises(SettingsRefuse, match=r"container capabilities .*, security options"):
            PortainerProvider(connection(made, api_key=made.add_key(regular))).check()
        made.environments[2].security.clear()
        PortainerProvider(connection(made, api_key=made.add_key(regular))).check()
    assert made.violations == []


@pytest.mark.parametrize(
    ("switch", "text"),
    [
        ("allowStackManagementForRegularUsers", "services: {a: {image: x}}"),
        ("allowContainerCapabilitiesForRegularUsers", "services: {a: {image: x, cap_drop: [ALL]}}"),
        ("allowPrivilegedModeForRegularUsers", "services: {a: {image: x, privileged: true}}"),
    ],
)
def test_a_setting_that_refuses_is_no_passing_fault(switch: str, text: str) -> None:
    needs.require("docker")
    made = Portainer(BLOCKING)
    regular = made.add_user("deploy", admin=False)
    made.add_environment(security={switch: False})
    with serving(made):
        server = api.Portainer(connection(made, api_key=made.add_key(regular)))
        with pytest.raises(SettingsRefuse, match="security settings") as caught:
            server.create(server.environment(2), "refused", {"StackFileContent": text, "Env": []})
    assert not caught.value.retry
    assert made.stacks == {}


def test_time_outs_of_changes_outlast_a_slow_pull() -> None:
    assert api.WRITE_SECONDS >= 15 * 60
