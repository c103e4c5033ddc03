"""What a role is too small for is refused in words; what is of others does not exist."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied

from parcelle.surfaces.current import Current


class RoleRefused(PermissionDenied):
    """Somebody belongs to the organization, but their role does not allow this."""

    def __init__(self, here: Current, action: str) -> None:
        super().__init__(action)
        self.here, self.action = here, action


def require(here: Current, action: str) -> None:
    """Raises RoleRefused."""
    if not here.may(action):
        raise RoleRefused(here, action)
