from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from parcelle.core.crypto import EncryptedField, EncryptedJSONField


class Message(models.Model):
    """One transactional message to one person; `key` makes sure that nobody gets the same one twice."""

    QUEUED, SENT, FAILED = "queued", "sent", "failed"
    STATES = [(QUEUED, _("Queued")), (SENT, _("Sent")), (FAILED, _("Failed"))]

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    key = models.CharField(max_length=150)
    kind = models.CharField(_("kind"), max_length=60)
    to = models.EmailField(_("to"))
    language = models.CharField(_("language"), max_length=5)
    # What the templates need; encrypted because a welcome mail carries a temporary password.
    context = EncryptedJSONField(default=dict)
    organization_id = models.UUIDField(null=True, blank=True)
    instance_id = models.UUIDField(null=True, blank=True)
    state = models.CharField(_("state"), max_length=10, choices=STATES, default=QUEUED)
    created_at = models.DateTimeField(_("created"))
    # When a worker may (again) try to send it; empty when that is over. Moved ahead while one is at it.
    due_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    sent_at = models.DateTimeField(_("sent"), null=True, blank=True)
    error = models.TextField(_("error"), blank=True)

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        ordering = ["-created_at"]
        # Not `unique=True`, which makes a second index for finding keys by their beginning.
        constraints = [models.UniqueConstraint(fields=["key"], name="message_key_once")]
        indexes = [
            models.Index(fields=["-created_at"], name="message_newest"),
            models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="message_due"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} → {self.to}"


class MailboxMail(models.Model):
    """A mail that the embedded system "sent": kept here, readable at `/mailbox`, never leaving the machine."""

    at = models.DateTimeField(auto_now_add=True)
    message_id = models.CharField(max_length=250)
    sender = models.CharField(max_length=320)
    to = models.CharField(max_length=1000)
    subject = models.CharField(max_length=500)
    raw = EncryptedField()

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["message_id"], name="mailbox_message_once")]

    def __str__(self) -> str:
        return f"{self.subject} → {self.to}"
