from __future__ import annotations

import hashlib
import secrets
import uuid
from datetime import datetime
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser, BaseUserManager
from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _

from parcelle.core.rows import insert_unless_taken


class UserManager(BaseUserManager["User"]):
    use_in_migrations = True

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        """A user who signs in by e-mail; without `password` they must choose one or use a mailed code."""
        user = self._new(email, password, **fields)
        user.save(using=self._db)
        return user

    def create_unless_known(self, email: str, **fields: Any) -> User | None:
        """The same without a password; None, and nothing stored, for an address that somebody has."""
        user = self._new(email, None, **fields)
        return user if insert_unless_taken(user) else None

    def _new(self, email: str, password: str | None, **fields: Any) -> User:
        user = self.model(email=normalise_email(email), **fields)
        if password is None:
            user.set_unusable_password()
        else:
            user.set_password(password)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email__iexact=username)


def normalise_email(email: str) -> str:
    """The form under which an address is stored and compared: trimmed and lower case."""
    return email.strip().lower()


class User(AbstractUser):
    """A person who can sign in: a customer's member or one of the vendor's operators (`is_staff`)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    username = None  # type: ignore[assignment]
    email = models.EmailField(_("e-mail address"), unique=True, max_length=254)
    first_name = models.CharField(_("first name"), max_length=150, blank=True)
    last_name = models.CharField(_("last name"), max_length=150, blank=True)
    phone = models.CharField(_("telephone"), max_length=40, blank=True)
    language = models.CharField(_("language"), max_length=5, default="fr")

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects = UserManager()  # type: ignore[misc,assignment]

    class Meta:
        verbose_name = _("user")
        verbose_name_plural = _("users")
        indexes = [models.Index(fields=["-date_joined"], name="user_newest")]
        constraints = [models.UniqueConstraint(Lower("email"), name="user_email_once_in_any_case")]

    def __str__(self) -> str:
        return self.email


class ApiToken(models.Model):
    """A key for programs. Only its SHA-256 is stored; the token itself is shown once."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_tokens", verbose_name=_("user"))
    name = models.CharField(_("name"), max_length=80)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    hint = models.CharField(_("ends with"), max_length=6, editable=False)
    created_at = models.DateTimeField(_("created"))
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True)

    class Meta:
        verbose_name = _("API token")
        verbose_name_plural = _("API tokens")

    def __str__(self) -> str:
        return f"{self.name} …{self.hint}"

    @classmethod
    def issue(cls, *, user: User, name: str, now: datetime, expires_at: datetime | None = None) -> tuple[ApiToken, str]:
        """Stores a new token and returns it with its only readable form, `parcelle_…`."""
        plain = f"parcelle_{secrets.token_urlsafe(32)}"
        token = cls.objects.create(
            user=user, name=name, digest=cls.digest_of(plain), hint=plain[-6:], created_at=now, expires_at=expires_at
        )
        return token, plain

    @staticmethod
    def digest_of(plain: str) -> str:
        # The token carries 256 random bits: a slow password hash would add nothing but time.
        return hashlib.sha256(plain.encode()).hexdigest()

    @classmethod
    def authenticate(cls, plain: str, *, now: datetime) -> ApiToken | None:
        """The valid token with this text, with `last_used_at` noted; None when it is unknown, expired or revoked."""
        token = cls.objects.select_related("user").filter(digest=cls.digest_of(plain), revoked_at=None).first()
        if token is None or not token.user.is_active or (token.expires_at and token.expires_at <= now):
            return None
        if token.last_used_at is None or (now - token.last_used_at).total_seconds() > 60:
            cls.objects.filter(pk=token.pk).update(last_used_at=now)
        return token

    def revoke(self, *, now: datetime) -> None:
        """Refuses the token from `now` on; an earlier moment stays."""
        ApiToken.objects.filter(pk=self.pk, revoked_at=None).update(revoked_at=now)
