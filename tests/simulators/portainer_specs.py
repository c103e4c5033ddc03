"""Holds requests and answers to the published Portainer specification of one version, in both directions.

The documents are stricter in spelling than the product, which decodes keys without regard to case, and laxer in
everything else: they allow unknown keys everywhere. Here a key must be known, in any spelling; `null` counts as
absent, as it does for the product's own decoder; an answer that the document does not list must at least be an
error in Portainer's error shape.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

import jsonschema_rs
import yaml

from tests import needs

# What the publisher's generator got wrong: schema -> fields that are not required in the product.
_NOT_REQUIRED = {"auth.authenticatePayload": {"apiKey"}}
_FILES = (
    ((2, 25), "portainer-2.19.4-swagger2.yaml"),
    ((2, 40), "portainer-2.31.2-swagger2.yaml"),
    ((99,), "portainer-2.44.0-openapi3.yaml"),
)


class _Loader(yaml.CSafeLoader):
    """The C parser, because the newest document is a megabyte; dates in examples stay the texts they are in JSON."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    pattern: re.Pattern[str]
    content: Mapping[str, Any]


class Specification:
    """One published document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.operations = [
            Operation(method.upper(), path, re.compile(re.sub(r"\{[^}]*\}", "[^/]+", path) + "$"), content)
            # A literal path before one with a placeholder.
            for path, methods in sorted(document["paths"].items(), key=lambda item: item[0].count("{"))
            for method, content in methods.items()
        ]
        self._validators: dict[str, Any] = {}

    def request(self, method: str, path: str, query: str, body: Any) -> list[str]:
        """What is wrong with a request; `path` without `/api`."""
        operation = self._operation(method, path)
        if operation is None:
            return [f"{method} {path} is no operation of this version"]
        place = f"{method} {operation.path}"
        parameters = [self._followed(parameter) for parameter in operation.content.get("parameters", ())]
        faults = [f"{place}: {fault}" for fault in _query_faults(parameters, dict(parse_qsl(query)))]
        schema, required = self._body_schema(operation.content, parameters)
        if schema is None and body is not None:
            faults.append(f"{place}: takes no body")
        if schema is not None and (body is not None or (required and schema.get("type") != "string")):
            faults += [f"{place}: body {fault}" for fault in self._faults(schema, {} if body is None else body)]
        return faults

    def response(self, method: str, path: str, status: int, body: Any) -> list[str]:
        """What is wrong with an answer; `body` is None when there is none."""
        operation = self._operation(method, path)
        if operation is None:
            return []
        place = f"{method} {operation.path} -> {status}"
        declared = operation.content["responses"].get(str(status))
        if status >= 400:
            shaped = isinstance(body, dict) and set(body) == {"message", "details"}
            return [] if shaped else [f"{place}: is not in Portainer's error shape"]
        if declared is None:
            return [f"{place}: no such answer in this version"]
        schema = self._answer_schema(self._followed(declared))
        if schema is None:
            return []
        return [f"{place}: answer {fault}" for fault in self._faults(schema, body)]

    def zero(self, name: str) -> Any:
        """What the product writes for a value nobody has set: every field that is always there, empty."""
        return self._zero(next(schema for key, schema in self._schemas().items() if key.endswith(name)))

    # --- inside -----------------------------------------------------------------------------------------

    def _schemas(self) -> dict[str, Any]:
        found: dict[str, Any] = self.document.get("definitions") or self.document["components"]["schemas"]
        return found

    def _operation(self, method: str, path: str) -> Operation | None:
        return next((one for one in self.operations if one.method == method and one.pattern.match(path)), None)

    def _followed(self, node: Any) -> Any:
        while isinstance(node, dict) and "$ref" in node:
            target: Any = self.document
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            node = target
        return node

    def _body_schema(self, operation: Mapping[str, Any], parameters: list[Any]) -> tuple[Any, bool]:
        for parameter in parameters:
            if parameter.get("in") == "body":
                return parameter["schema"], bool(parameter.get("required"))
        body = self._followed(operation.get("requestBody") or {})
        content = body.get("content", {})
        return (content["application/json"]["schema"], bool(body.get("required"))) if content else (None, False)

    @staticmethod
    def _answer_schema(answer: Mapping[str, Any]) -> Any:
        if "content" in answer:
            return next(iter(answer["content"].values())).get("schema")
        return answer.get("schema")

    def _faults(self, schema: Any, value: Any) -> list[str]:
        faults: list[str] = []
        spelled = self._spelled(schema, value, "", faults)
        return faults + [f"{'.'.join(map(str, e.instance_path))}: {e.message}" for e in self._errors(schema, spelled)]

    def _errors(self, schema: Any, value: Any) -> Iterator[Any]:
        key = json.dumps(schema, sort_keys=True)
        if key not in self._validators:
            roots: dict[str, Any] = {
                name: self.document[name] for name in ("definitions", "components") if name in self.document
            }
            self._validators[key] = jsonschema_rs.Draft4Validator({"allOf": [schema], **roots})
        return iter(self._validators[key].iter_errors(value))

    def _spelled(self, schema: Any, value: Any, place: str, faults: list[str]) -> Any:
        """`value` with its keys as the document spells them; an unknown one is a fault."""
        if isinstance(value, list):
            items = self._merged(schema).get("items", {})
            return [self._spelled(items, one, f"{place}[]", faults) for one in value]
        if not isinstance(value, dict):
            return value
        merged = self._merged(schema)
        known = {name.lower(): name for name in merged.get("properties", {})}
        if not known:
            return value
        spelled = {}
        for key, inner in value.items():
            name = known.get(key.lower())
            if name is None:
                faults.append(f"{place}.{key}: unknown key".lstrip("."))
            elif inner is not None:
                spelled[name] = self._spelled(merged["properties"][name], inner, f"{place}.{key}", faults)
        return spelled

    def _merged(self, schema: Any) -> dict[str, Any]:
        schema = self._followed(schema)
        for part in schema.get("allOf", ()):
            schema = {**self._merged(part), **schema}
        return dict(schema)

    def _zero(self, schema: Any) -> Any:
        merged = self._merged(schema)
        if merged.get("type") == "object" or "properties" in merged:
            return {name: self._zero(merged["properties"][name]) for name in merged.get("required", ())}
        kinds = {"string": "", "integer": 0, "number": 0, "boolean": False, "array": []}
        return merged["enum"][0] if "enum" in merged else kinds[merged["type"]]


def _query_faults(parameters: list[Any], given: dict[str, str]) -> Iterator[str]:
    known = {one["name"]: one for one in parameters if one["in"] == "query"}
    for name in given.keys() - known.keys():
        yield f"unknown parameter {name}"
    for name, parameter in known.items():
        kind = (parameter.get("schema") or parameter).get("type")
        if name not in given:
            if parameter.get("required"):
                yield f"parameter {name} is missing"
        elif kind == "integer" and not given[name].isdigit():
            yield f"parameter {name} is no number"
        elif kind == "boolean" and given[name] not in {"true", "false"}:
            yield f"parameter {name} is neither true nor false"


@cache
def load(version: str) -> Specification:
    """The published document nearest to `version`."""
    numbers = tuple(int(part) for part in version.split(".")[:2])
    file = next(name for until, name in _FILES if numbers < until)
    document = yaml.load((needs.specs() / file).read_text(), _Loader)
    _repair(document)
    return Specification(document)


@cache
def engine() -> Specification:
    """The Docker Engine's own document, for what is passed on to it."""
    file = needs.specs() / "docker-engine-api-v1.41-swagger2.yaml"
    return Specification(yaml.load(file.read_text(), _Loader))


def _repair(document: dict[str, Any]) -> None:
    schemas = document.get("definitions") or document["components"]["schemas"]
    for name, fields in _NOT_REQUIRED.items():
        schemas[name]["required"] = [field for field in schemas[name]["required"] if field not in fields]
    _unique_enums(document)


def _unique_enums(node: Any) -> None:
    """One document lists a value twice, which no validator accepts."""
    if isinstance(node, dict):
        if isinstance(node.get("enum"), list):
            node["enum"] = list(dict.fromkeys(node["enum"]))
        node = list(node.values())
    if isinstance(node, list):
        for inner in node:
            _unique_enums(inner)
