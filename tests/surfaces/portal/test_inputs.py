"""The boxes of forms are the ones that Django's own templates would make."""

from __future__ import annotations

from typing import Any

import pytest
from django import forms
from django.forms.renderers import DjangoTemplates, get_default_renderer
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy

from parcelle.surfaces.portal.inputs import Renderer

HOSTILE = "\"><script>alert('x')</script>&amp;"


@pytest.mark.parametrize(
    "widget",
    [
        forms.TextInput,
        forms.EmailInput,
        forms.HiddenInput,
        forms.NumberInput,
        forms.PasswordInput,
        forms.URLInput,
        forms.CheckboxInput,
        forms.Textarea,
        forms.DateInput,
        forms.FileInput,
    ],
)
@pytest.mark.parametrize("value", [None, "", 0, 12.5, True, HOSTILE, mark_safe("<b>kept</b>"), gettext_lazy("Country")])
def test_every_box_is_what_django_makes_of_it(widget: type[forms.Widget], value: Any) -> None:
    attrs = {
        "class": "form-control is-invalid",
        "required": True,
        "disabled": False,
        "data-number": 1234567,
        "data-none": None,
        "title": gettext_lazy("Telephone"),
        "placeholder": HOSTILE,
        'odd"name': mark_safe("&copy;"),
    }
    box = widget(attrs=attrs)
    ours = box.render("field<", value, renderer=Renderer())
    assert ours == box.render("field<", value, renderer=DjangoTemplates())
    assert "<script>" not in ours


def test_it_is_the_renderer_of_all_forms() -> None:
    assert isinstance(get_default_renderer(), Renderer)
