"""From a model to text that compose reads back exactly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

# The same bytes either way; libyaml's takes a fifth of the time.
_Base: Any = yaml.CSafeDumper if yaml.__with_libyaml__ else yaml.SafeDumper


class _Dumper(_Base):  # type: ignore[misc]
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _quoted(dumper: Any, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')


_Dumper.add_representer(str, _quoted)


def text_of(model: Mapping[str, Any]) -> str:
    """The model as YAML that compose reads back exactly: every text quoted, every `$` doubled."""
    return yaml.dump(doubled(model), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=2**31 - 1)


def doubled(value: Any) -> Any:
    """With every `$` as compose wants a literal one; keys are not interpolated."""
    if isinstance(value, Mapping):
        return {key: doubled(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [doubled(inner) for inner in value]
    return value.replace("$", "$$") if isinstance(value, str) else value
