from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from parcelle.core.crypto import EncryptedJSONField
from parcelle.domain.billing.gateway_names import name_of
from parcelle.domain.billing.models.payments import Payment
from parcelle.domain.tenancy.models import Organization


class SavedMethod(models.Model):
    """A way to pay that a customer agreed to have renewals taken from; one of each customer at a time.

    `reference` is what the payment service calls it. `payment` is the one with which the customer agreed; the
    organization is not known yet while its first order is not fulfilled.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(
        Organization,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="saved_methods",
        verbose_name=_("customer"),
    )
    payment = models.OneToOneField(Payment, on_delete=models.PROTECT, related_name="saved", verbose_name=_("payment"))
    gateway = models.CharField(_("method"), max_length=30)
    reference = EncryptedJSONField(default=dict)
    # As its owner knows it, such as the last digits of a card.
    label = models.CharField(_("name"), max_length=120)
    agreed_at = models.DateTimeField(_("agreed"))
    removed_at = models.DateTimeField(_("removed"), null=True, blank=True)

    class Meta:
        verbose_name = _("saved way to pay")
        verbose_name_plural = _("saved ways to pay")
        ordering = ["-agreed_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["organization"], condition=Q(removed_at=None), name="one_saved_method_per_customer"
            )
        ]

    def __str__(self) -> str:
        return f"{name_of(self.gateway)} {self.label}"
