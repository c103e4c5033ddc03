"""Reads a vendor's compose file the way compose does, and remembers the line of everything in it.

PyYAML alone would not do: it follows YAML 1.1, where `on` is true and `22:22` is a number of seconds, takes the last of
two equal keys without a word, and forgets where things stood.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Self

import yaml

# Aliases may make a small file enormous.
_MOST_NODES: Final = 20_000
_MERGE: Final = "<<"
_TAG: Final = "tag:yaml.org,2002:"
_TAGS: Final = {_TAG + name for name in ("str", "int", "float", "bool", "null", "map", "seq", "timestamp", "value")}

_NULLS: Final = {"", "~", "null", "Null", "NULL"}
_BOOLEANS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_OTHER_NUMBER: Final = re.compile(
    r"[-+]?(?:0x[0-9a-fA-F_]+|0o?[0-7_]+|0b[01_]+|(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF))"
    r"|\.(?:nan|NaN|NAN)"
)

Path = tuple[str | int, ...]


class Number(float):
    """A number that is not written as a plain integer; `text` is how it stands in the file."""

    text: str

    def __new__(cls, text: str) -> Self:
        try:
            number = super().__new__(cls, text)
        except ValueError:
            number = super().__new__(cls, "nan")
        number.text = text
        return number


class Unreadable(Exception):
    """The text is not YAML as compose files may use it."""

    def __init__(self, line: int, sentence: str) -> None:
        super().__init__(sentence)
        self.line = line
        self.sentence = sentence


@dataclass
class Source:
    """A file's content as dicts, lists and scalars, and the line of every key and item by its path.

    Scalars are str, bool, int, None or Number.
    """

    content: Any
    lines: dict[Path, int] = field(default_factory=dict)

    def line(self, path: Path) -> int:
        """Where something stands, or what encloses it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def read(text: str) -> Source:
    """The one document in `text`. Raises Unreadable."""
    source = Source(None)
    try:
        node = yaml.SafeLoader(text).get_single_node()
        source.content = _Reader(source).value(node, ()) if node else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Unreadable(mark.line + 1 if mark else 1, f"this is not valid YAML: {error.problem or error}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise Unreadable(line, "there is a character that YAML does not allow: write it as an escape") from None
    except RecursionError:
        raise Unreadable(1, "the file is nested too deeply") from None
    return source


class _Reader:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.seen = 0
        self.open: set[int] = set()

    def value(self, node: yaml.Node, path: Path) -> Any:
        self._count(node)
        if node.tag not in _TAGS:
            raise Unreadable(_line(node), f"the tag {node.tag} is not allowed: write the value without it")
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        if id(node) in self.open:
            raise Unreadable(_line(node), "the anchor contains itself")
        self.open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self._item(inner, (*path, number)) for number, inner in enumerate(node.value)]
            return {key: self._item(inner, (*path, key), mark) for key, mark, inner in self._pairs(node)}
        finally:
            self.open.discard(id(node))

    def _count(self, node: yaml.Node) -> None:
        self.seen += 1
        if self.seen > _MOST_NODES:
            raise Unreadable(_line(node), "the file is too large once its anchors are followed")

    def _item(self, node: yaml.Node, path: Path, line: int | None = None) -> Any:
        self.source.lines[path] = line or _line(node)
        return self.value(node, path)

    def _pairs(self, node: yaml.Node) -> Iterator[tuple[str, int, yaml.Node]]:
        """Key, line and value of a mapping; what `<<` brings in comes last and never replaces."""
        own: dict[str, tuple[int, yaml.Node]] = {}
        merged: list[yaml.Node] = []
        for key_node, value in node.value:
            self._count(key_node)
            key = _key(key_node)
            if key == _MERGE and key_node.style is None:
                merged += _merged(value)
            elif key in own:
                raise Unreadable(_line(key_node), f"the key {key!r} stands here twice: remove one of them")
            else:
                own[key] = (_line(key_node), value)
        for other in merged:
            for key, line, value in self._pairs(other):
                own.setdefault(key, (line, value))
        for key, (line, value) in own.items():
            yield key, line, value


def _merged(value: yaml.Node) -> list[yaml.Node]:
    nodes = value.value if isinstance(value, yaml.SequenceNode) else [value]
    if not all(isinstance(node, yaml.MappingNode) for node in nodes):
        raise Unreadable(_line(value), "`<<` must be followed by an alias of a mapping")
    return list(nodes)


def _key(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise Unreadable(_line(node), "a key must be a plain text")
    return str(node.value)


def _scalar(node: yaml.ScalarNode) -> Any:
    text = str(node.value)
    if node.style is not None:
        return text
    if _OTHER_NUMBER.fullmatch(text) and not _INTEGER.fullmatch(text):
        return Number(text)
    if node.tag == f"{_TAG}str":
        return text
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    return int(text) if _INTEGER.fullmatch(text) else text


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
