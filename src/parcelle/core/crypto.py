"""Secrets: how they are made, and how they are kept.

Values are encrypted with MultiFernet (https://cryptography.io/en/latest/fernet/): the first key of the
`keyring` encrypts, every one of them decrypts, so that `parcelle secrets rotate` can move all rows to a new
key while the old one still reads.
"""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import models, transaction
from django.db.models import ExpressionWrapper, F

from parcelle.core import keyring

# No character that a shell, a URL, an .ini file or a person reading aloud could take for another.
ALPHABET = "".join(sorted(set(string.ascii_letters + string.digits) - set("0O1lI")))
# Bytes from here on are thrown away, or the first characters of the alphabet would come more often than the others.
_FAIR = 256 - 256 % len(ALPHABET)


def generate(length: int) -> str:
    """A random secret of `length` characters with at least one lower-case letter, capital and digit."""
    if length < 3:
        raise ValueError("a secret has at least 3 characters")
    while True:
        drawn = secrets.token_bytes(2 * length)
        value = "".join(ALPHABET[byte % len(ALPHABET)] for byte in drawn if byte < _FAIR)[:length]
        if len(value) < length:
            continue
        if any(c.islower() for c in value) and any(c.isupper() for c in value) and any(c.isdigit() for c in value):
            return value


class CannotDecrypt(Exception):
    """No configured key opens a stored secret: a key was removed before `parcelle secrets rotate` ran."""


@cache
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    if not keys:
        raise ImproperlyConfigured("PARCELLE_SECRET_KEYS is empty: set at least one Fernet key.")
    return MultiFernet([Fernet(key) for key in keys])


def _current() -> MultiFernet:
    return _fernet(keyring.keys())


def encrypt(plain: bytes) -> bytes:
    return _current().encrypt(plain)


def decrypt(token: bytes) -> bytes:
    try:
        return _current().decrypt(token)
    except InvalidToken:
        raise CannotDecrypt("A stored secret cannot be opened with the configured keys.") from None


if TYPE_CHECKING:
    _BinaryField = models.BinaryField[Any, Any]
else:
    _BinaryField = models.BinaryField


class EncryptedField(_BinaryField):
    """Bytes that are stored encrypted and read back plain."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["editable"] = False
        super().__init__(*args, **kwargs)

    def to_plain(self, value: Any) -> bytes:
        return bytes(value)

    def from_plain(self, plain: bytes) -> Any:
        return plain

    def get_prep_value(self, value: Any) -> Any:
        return None if value is None else encrypt(self.to_plain(value))

    def from_db_value(self, value: Any, _expression: Any, _connection: Any) -> Any:
        return None if value is None else self.from_plain(decrypt(bytes(value)))


class EncryptedJSONField(EncryptedField):
    """A JSON value that is stored encrypted."""

    def to_plain(self, value: Any) -> bytes:
        return json.dumps(value, separators=(",", ":")).encode()

    def from_plain(self, plain: bytes) -> Any:
        return json.loads(plain)


def encrypted_fields() -> Iterator[tuple[type[models.Model], EncryptedField]]:
    for model in apps.get_models():
        for field in model._meta.get_fields():
            if isinstance(field, EncryptedField):
                yield model, field


def rotate() -> int:
    """Encrypts every stored secret again with the first key; returns how many rows were rewritten.

    Works in batches, each in its own transaction, so it can be stopped and started again at any time.
    """
    rewritten = 0
    for model, field in encrypted_fields():
        last: Any = None
        while True:
            with transaction.atomic():
                rows = model._base_manager.select_for_update().order_by("pk")
                batch = list((rows.filter(pk__gt=last) if last is not None else rows)[:500])
                for row in batch:
                    row.save(update_fields=[field.name])
            if not batch:
                break
            rewritten += len(batch)
            last = batch[-1].pk
    return rewritten


def left_behind() -> int:
    """How many stored secrets the first key alone does not open."""
    first = _fernet(keyring.keys()[:1])
    count = 0
    for model, field in encrypted_fields():
        stored = ExpressionWrapper(F(field.name), output_field=models.BinaryField())
        rows = model._base_manager.filter(**{f"{field.name}__isnull": False}).annotate(stored=stored)
        for token in rows.values_list("stored", flat=True).iterator():
            try:
                first.decrypt(bytes(token))
            except InvalidToken:
                count += 1
    return count
