from __future__ import annotations

from decimal import Decimal

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from parcelle.domain.billing import taxes


class Seller(models.Model):
    """The vendor as invoices name them; one row."""

    name = models.CharField(_("name"), max_length=200, blank=True)
    legal_form = models.CharField(_("legal form"), max_length=60, blank=True)
    share_capital = models.CharField(_("share capital"), max_length=60, blank=True)
    address = models.CharField(_("address"), max_length=200, blank=True)
    postcode = models.CharField(_("postcode"), max_length=20, blank=True)
    city = models.CharField(_("city"), max_length=100, blank=True)
    country = models.CharField(_("country"), max_length=2, default="FR", validators=[RegexValidator(r"^[A-Z]{2}$")])
    siren = models.CharField(_("SIREN"), max_length=9, blank=True)
    register = models.CharField(_("trade register and town"), max_length=100, blank=True)
    vat_number = models.CharField(_("VAT number"), max_length=20, blank=True)
    email = models.EmailField(_("e-mail"), blank=True)
    phone = models.CharField(_("telephone"), max_length=40, blank=True)
    vat_rate = models.DecimalField(
        _("VAT rate in percent"),
        max_digits=4,
        decimal_places=2,
        default=Decimal(20),
        validators=[MinValueValidator(0), MaxValueValidator(100)],
    )
    vat_exempt = models.BooleanField(
        _("exempt from VAT"), default=False, help_text=_("Franchise en base, art. 293 B of the French tax code.")
    )

    vat_on_debits = models.BooleanField(
        _("VAT on debits"),
        default=False,
        help_text=_("Only if you opted for it: your invoices say so, and a wrong mention is fined."),
    )
    one_stop_shop = models.BooleanField(
        _("one-stop shop (OSS)"),
        default=False,
        help_text=_("You sell to consumers of other EU countries above the threshold: they pay their country’s VAT."),
    )
    iban = models.CharField(
        _("IBAN"), max_length=34, blank=True, help_text=_("Printed on invoices that wait for a transfer.")
    )
    bic = models.CharField(_("BIC"), max_length=11, blank=True)

    class Meta:
        verbose_name = _("seller")
        verbose_name_plural = _("seller")
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="one_seller")]

    def __str__(self) -> str:
        return self.name

    def for_taxes(self) -> taxes.Seller:
        return taxes.Seller(
            country=self.country, rate=self.vat_rate, exempt=self.vat_exempt, one_stop_shop=self.one_stop_shop
        )
