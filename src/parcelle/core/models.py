from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from parcelle.core.crypto import EncryptedJSONField


class Fact(models.Model):
    """Something that happened, recorded once, in the transaction that made it happen.

    The table is the audit log, the customer's timeline and the feed of outgoing webhooks. Rows are never
    changed. `data` holds the fields of the event; secrets never belong there.
    """

    name = models.CharField(max_length=80)
    at = models.DateTimeField(default=timezone.now)
    actor = models.CharField(max_length=80, default="system")
    organization_id = models.UUIDField(null=True, blank=True)
    instance_id = models.UUIDField(null=True, blank=True)
    operation_id = models.UUIDField(null=True, blank=True)
    data = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("fact")
        verbose_name_plural = _("facts")
        indexes = [
            models.Index(
                fields=["organization_id", "-id"],
                condition=models.Q(organization_id__isnull=False),
                name="fact_of_organization",
            ),
            models.Index(
                fields=["instance_id", "-id"], condition=models.Q(instance_id__isnull=False), name="fact_of_instance"
            ),
            models.Index(fields=["name", "-id"], name="fact_by_name"),
            models.Index(fields=["at"], name="fact_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.name} #{self.pk}"


class Reaction(models.Model):
    """One function that has still to be called for one fact; gone when it was. See `events.record`."""

    fact = models.ForeignKey(Fact, on_delete=models.CASCADE, related_name="+", db_constraint=False, db_index=False)
    function = models.CharField(max_length=200)
    # Until when the worker that took it is believed to be alive.
    taken_until = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.function


class RateCounter(models.Model):
    """How often something was done in one window of time; see `ratelimit`."""

    key = models.CharField(max_length=200, primary_key=True)
    window_ends_at = models.DateTimeField()
    count = models.PositiveIntegerField(default=1)

    def __str__(self) -> str:
        return self.key


class KeptAnswer(models.Model):
    """A request that came with an idempotency key, and its answer once there is one; see `idempotency`."""

    # Whose key it is: two callers may use the same text.
    scope = models.UUIDField()
    key = models.CharField(max_length=255)
    digest = models.CharField(max_length=64)
    # Until when the one who answers it is believed to be at it.
    taken_until = models.DateTimeField()
    answer = EncryptedJSONField(null=True)
    expires_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["scope", "key"], name="idempotency_key_once")]
        indexes = [models.Index(fields=["expires_at"], name="kept_answer_expires")]

    def __str__(self) -> str:
        return self.key
