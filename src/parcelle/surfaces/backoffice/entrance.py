"""The door of the back office."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from allauth.account.adapter import get_adapter
from django.conf import settings
from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from parcelle.core import ratelimit

if TYPE_CHECKING:
    AuthenticationForm = AdminAuthenticationForm
else:
    from unfold.forms import AuthenticationForm

TRIES, WINDOW = 10, timedelta(minutes=10)


class SignInForm(AuthenticationForm):
    """The operators' sign-in: so many tries per person and network address."""

    def clean(self) -> dict[str, Any]:
        email = str(self.cleaned_data.get("username", "")).strip().lower()
        if settings.RATE_LIMITS and email and self.request is not None:
            # With the address, so that nobody can lock an operator out from elsewhere.
            key = f"operator:{get_adapter().get_client_ip(self.request)}:{email}"
            wait = ratelimit.hit(key, limit=TRIES, window=WINDOW, now=timezone.now())
            if wait is not None:
                raise ValidationError(_("Too many attempts. Try again in ten minutes."), code="too_many")
        return super().clean()
