"""The judge of the simulator and its clients can say no, in both directions and for every version."""

from __future__ import annotations

import pytest

from tests import needs
from tests.simulators import portainer_specs

needs.require("specs")
VERSIONS = ("2.19.4", "2.33.1", "2.44.0")
STACK = {"Id": 7, "Name": "client-acme", "Type": 2, "EndpointId": 2, "Env": [{"name": "A", "value": "b"}], "Status": 1}
CREATE = "/stacks/create/standalone/string"


@pytest.fixture(params=VERSIONS)
def specification(request: pytest.FixtureRequest) -> portainer_specs.Specification:
    return portainer_specs.load(request.param)


def test_what_the_product_sends_passes(specification: portainer_specs.Specification) -> None:
    body = {"Name": "client-acme", "StackFileContent": "services: {}", "Env": [{"name": "A", "value": "b"}]}
    assert specification.request("POST", CREATE, "endpointId=2", body) == []
    assert specification.response("POST", CREATE, 200, STACK | {"AdditionalFiles": None, "GitConfig": None}) == []
    assert specification.response("DELETE", "/stacks/7", 204, None) == []
    # Errors are in no document; their shape is.
    assert specification.response("POST", CREATE, 409, {"message": "taken", "details": "Taken"}) == []


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "fault"),
    [
        ("POST", CREATE, "", {"Name": "a", "StackFileContent": "b"}, "endpointId is missing"),
        ("POST", CREATE, "endpointId=two", {"Name": "a", "StackFileContent": "b"}, "endpointId is no number"),
        ("POST", CREATE, "endpointId=2&force=true", {"Name": "a", "StackFileContent": "b"}, "unknown parameter force"),
        ("POST", CREATE, "endpointId=2", {"Name": "a"}, "is a required property"),
        ("POST", CREATE, "endpointId=2", {"Name": 3, "StackFileContent": "b"}, "not of type"),
        ("POST", CREATE, "endpointId=2", {"Name": "a", "StackFileContent": "b", "Enw": []}, "Enw: unknown key"),
        ("POST", CREATE, "endpointId=2", None, "is a required property"),
        ("POST", "/stacks/7/start", "endpointId=2", {"now": True}, "takes no body"),
        ("DELETE", "/stacks/7", "endpointId=2&external=yes", None, "neither true nor false"),
        ("PATCH", "/stacks/7", "", None, "no operation of this version"),
    ],
)
def test_a_request_that_does_not_fit_is_named(
    specification: portainer_specs.Specification, method: str, path: str, query: str, body: object, fault: str
) -> None:
    assert any(fault in found for found in specification.request(method, path, query, body))


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (200, STACK | {"Id": "seven"}, "not of type"),
        (200, STACK | {"Fortune": "good"}, "unknown key"),
        (200, STACK | {"Env": [{"name": 1}]}, "not of type"),
        (201, STACK, "no such answer"),
        (404, {"message": "gone"}, "error shape"),
        (500, None, "error shape"),
    ],
)
def test_an_answer_that_does_not_fit_is_named(
    specification: portainer_specs.Specification, status: int, body: object, fault: str
) -> None:
    assert any(fault in found for found in specification.response("GET", "/stacks/7", status, body))


def test_versions_differ_where_the_documents_do() -> None:
    status = STACK | {"DeploymentStatus": [{"Status": 3, "Time": 1, "Message": ""}]}
    assert portainer_specs.load("2.31.2").response("GET", "/stacks/7", 200, status)
    assert portainer_specs.load("2.41.0").response("GET", "/stacks/7", 200, status) == []
    assert portainer_specs.load("2.44.0").response("GET", "/stacks/7", 200, STACK | {"Status": 9})
    volumes = ("DELETE", "/stacks/7", "endpointId=2&removeVolumes=true", None)
    assert portainer_specs.load("2.19.4").request(*volumes)
    assert portainer_specs.load("2.31.2").request(*volumes) == []


def test_the_engines_document_is_read_as_well() -> None:
    engine = portainer_specs.engine()
    assert engine.request("GET", "/containers/json", "all=true", None) == []
    assert engine.request("GET", "/containers/json", "every=true", None)
    assert engine.request("GET", "/containers/all", "", None)
