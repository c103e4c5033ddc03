"""The HTML of a form's boxes. For each of them Django renders three templates, which took a third of the order form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.forms.renderers import DjangoTemplates
from django.http import HttpRequest
from django.utils.html import conditional_escape
from django.utils.safestring import SafeString, mark_safe

# All of them are the same `<input>`.
_KINDS = ("input", "text", "email", "hidden", "number", "password", "tel", "url", "checkbox")
_INPUTS = frozenset(f"django/forms/widgets/{kind}.html" for kind in _KINDS)


class Renderer(DjangoTemplates):
    """Django's own, but `<input>` is put together here, to the letter as its templates do."""

    def render(self, template_name: str, context: dict[str, Any], request: HttpRequest | None = None) -> SafeString:
        if template_name in _INPUTS:
            return _input(context["widget"])
        return mark_safe(super().render(template_name, context, request))  # noqa: S308 a template's output is escaped


def _input(widget: Mapping[str, Any]) -> SafeString:
    attributes = {"type": widget["type"], "name": widget["name"]}
    if widget["value"] is not None:
        attributes["value"] = str(widget["value"])
    written = [_attribute(*one) for one in attributes.items()]
    written += [_attribute(*one) for one in widget["attrs"].items() if one[1] is not False]
    return mark_safe(f"<input{''.join(written)}>")  # noqa: S308 each part is escaped


def _attribute(name: str, value: Any) -> str:
    return f" {conditional_escape(name)}" if value is True else f' {conditional_escape(name)}="{_escaped(value)}"'


def _escaped(value: Any) -> str:
    return conditional_escape(str(value))
