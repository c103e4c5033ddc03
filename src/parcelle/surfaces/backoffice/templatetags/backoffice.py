"""Small helpers of the back office's templates."""

from __future__ import annotations

from django import template
from django.db.models import Model

from parcelle.surfaces.backoffice import words
from parcelle.surfaces.backoffice.values import page_of

register = template.Library()


@register.filter
def colour(state: str) -> str:
    """The colour that belongs to a state."""
    return words.COLOURS.get(state, "neutral")


@register.filter
def page(row: Model) -> str:
    """The address of the row's own page."""
    return page_of(row)


@register.filter
def unlocal(number: int) -> str:
    """A number for CSS, whatever the language."""
    return str(number)
