"""The simulated Portainer has the ugly parts of the real one: without them, tests against it would prove nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests import needs
from tests.simulators.portainer import BANNED_SECONDS, Fault, Portainer, serving

needs.require("specs")
PASSWORD = "a long password"


@pytest.fixture(params=["2.19.4", "2.33.1", "2.44.0"])
def portainer(request: pytest.FixtureRequest) -> Iterator[Portainer]:
    made = Portainer(request.param)
    made.add_user(password=PASSWORD)
    made.add_environment("paper", type=7, up=False)
    with serving(made):
        yield made
    made.close()


def ask(portainer: Portainer, line: str, body: Any = None, **headers: str) -> httpx.Response:
    method, path = line.split(" ")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.request(method, f"{portainer.url}/api{path}", json=body, headers=named, trust_env=False)


def token(portainer: Portainer) -> str:
    answer = ask(portainer, "POST /auth", {"Username": "admin", "Password": PASSWORD})
    return str(answer.json()["jwt"])


def test_the_version_is_public_and_everything_else_is_not(portainer: Portainer) -> None:
    assert ask(portainer, "GET /system/status").json()["Version"] == portainer.version
    assert ask(portainer, "GET /status").json()["Version"] == portainer.version
    missing = ask(portainer, "GET /stacks")
    assert (missing.status_code, missing.json()["message"]) == (401, "A valid authorization token is missing")
    wrong = ask(portainer, "GET /stacks", X_API_KEY="ptr_wrong")
    assert (wrong.status_code, wrong.json()) == (401, {"message": "Invalid JWT token", "details": "Unauthorized"})
    assert portainer.violations == []


def test_wrong_credentials_are_422_and_not_401(portainer: Portainer) -> None:
    answer = ask(portainer, "POST /auth", {"username": "admin", "password": "wrong"})
    assert (answer.status_code, answer.json()) == (422, {"message": "Invalid credentials", "details": "Unauthorized"})


def test_a_key_and_a_token_together_are_refused(portainer: Portainer) -> None:
    key = portainer.add_key(portainer.users[1])
    both = ask(portainer, "GET /stacks", X_API_KEY=key, Authorization=f"Bearer {token(portainer)}")
    assert both.status_code == 403
    assert ask(portainer, "GET /stacks", X_API_KEY=key).json() == []


def test_a_client_that_keeps_cookies_may_not_write(portainer: Portainer) -> None:
    with httpx.Client(base_url=f"{portainer.url}/api", trust_env=False) as jar:
        signed = jar.post("/auth", json={"Username": "admin", "Password": PASSWORD})
        bearer = {"Authorization": f"Bearer {signed.json()['jwt']}"}
        assert jar.get("/stacks", headers=bearer).status_code == 200
        assert jar.post("/stacks/9/stop?endpointId=2", headers=bearer).status_code == 403
        echoed = jar.post("/stacks/9/stop?endpointId=2", headers={**bearer, "X-CSRF-Token": "x"})
        assert echoed.status_code == 404
    assert ask(portainer, "POST /stacks/9/stop?endpointId=2", **bearer).status_code == 404


def test_an_address_that_signs_in_too_often_is_banned_for_an_hour(portainer: Portainer) -> None:
    now = [1000.0]
    portainer.now = lambda: now[0]
    for _attempt in range(10):
        token(portainer)
    now[0] += 1.5
    for _attempt in range(10):
        token(portainer)
    assert ask(portainer, "POST /auth", {"Username": "admin", "Password": PASSWORD}).status_code == 403
    now[0] += BANNED_SECONDS - 10
    refused = ask(portainer, "POST /auth", {"Username": "admin", "Password": PASSWORD})
    assert refused.json() == {"message": "Access denied", "details": "Access denied to resource"}
    # Nothing else is limited.
    assert ask(portainer, "GET /status").status_code == 200
    now[0] += 20
    assert token(portainer)


def test_a_key_is_made_by_a_token_with_the_password_and_never_by_a_key(portainer: Portainer) -> None:
    body = {"Password": PASSWORD, "Description": "parcelle"}
    made = ask(portainer, "POST /users/1/tokens", body, Authorization=f"Bearer {token(portainer)}")
    raw = made.json()["rawAPIKey"]
    assert ask(portainer, "GET /stacks", X_API_KEY=raw).status_code == 200
    assert ask(portainer, "POST /users/1/tokens", body, X_API_KEY=raw).status_code == 403
    # The oldest document does not know the password yet.
    assert bool(portainer.violations) == (portainer.version == "2.19.4")


@pytest.mark.parametrize(
    ("path", "body", "details"),
    [
        ("standalone/string", {"StackFileContent": "x"}, "Invalid stack name"),
        ("standalone/string", {"Name": "a", "StackFileContent": ""}, "Invalid stack file content"),
        ("swarm/string", {"Name": "a", "StackFileContent": "x", "SwarmID": ""}, "Invalid Swarm ID"),
        ("standalone/repository", {"Name": "a", "RepositoryURL": "nowhere"}, "Invalid repository URL"),
        (
            "standalone/repository",
            {"Name": "a", "RepositoryURL": "https://git.example.com/a.git", "RepositoryAuthentication": True},
            "Invalid repository credentials",
        ),
    ],
)
def test_a_creation_that_lacks_something_is_refused_in_words(
    portainer: Portainer, path: str, body: Any, details: str
) -> None:
    key = portainer.add_key(portainer.users[1])
    answer = ask(portainer, f"POST /stacks/create/{path}?endpointId=2", body, X_API_KEY=key)
    assert (answer.status_code, answer.json()["message"]) == (400, "Invalid request payload")
    assert answer.json()["details"].startswith(details)
    assert portainer.stacks == {}


def test_an_unknown_environment_or_stack_is_404_and_a_missing_environment_is_zero(portainer: Portainer) -> None:
    key = portainer.add_key(portainer.users[1])
    assert "environment" in ask(portainer, "GET /endpoints/99", X_API_KEY=key).json()["message"]
    assert "find a stack" in ask(portainer, "GET /stacks/99", X_API_KEY=key).json()["message"]
    body = {"Name": "a", "StackFileContent": "services: {}"}
    assert ask(portainer, "POST /stacks/create/standalone/string", body, X_API_KEY=key).status_code == 404
    assert any("endpointId is missing" in fault for fault in portainer.violations)


def test_what_breaks_on_the_way_breaks_before_or_after_the_effect(portainer: Portainer) -> None:
    for after in (False, True):
        portainer.faults.append(Fault("POST /auth$", 524, after=after))
        answer = ask(portainer, "POST /auth", {"Username": "admin", "Password": PASSWORD})
        assert (answer.status_code, answer.headers["Content-Type"]) == (524, "text/html")
        assert len(portainer.tokens) == int(after)
    portainer.faults.append(Fault("POST /auth$"))
    with pytest.raises(httpx.RemoteProtocolError):
        token(portainer)


def test_every_answer_is_held_to_the_document(portainer: Portainer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portainer, "get_status", lambda _seen: {"Version": 2})
    ask(portainer, "GET /system/status")
    assert any("Version" in fault for fault in portainer.violations)
