"""What operators do with a customer's credit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.utils.translation import get_language, gettext_lazy, ngettext_lazy
from django.utils.translation import gettext as _

from parcelle.core.money import NotMoney, parse
from parcelle.domain.billing import credit
from parcelle.domain.billing.ledger import queries
from parcelle.domain.tenancy.models import Organization
from parcelle.surfaces.backoffice.changes import Forecast, RowForm, Verb
from parcelle.surfaces.backoffice.money_verbs import spoken


class PayOutForm(RowForm):
    """How much, and what the bank statement calls the transfer."""

    currency = forms.ChoiceField(label=gettext_lazy("Currency"), choices=())
    amount = forms.CharField(label=gettext_lazy("Amount"), max_length=30)
    reference = forms.CharField(
        label=gettext_lazy("Reference of the transfer"),
        help_text=gettext_lazy("As the bank statement has it. Each counts once for a customer."),
        max_length=100,
    )

    def __init__(self, row: Organization, data: Any = None) -> None:
        super().__init__(row, data)
        self.credit = {currency: left for currency, left in queries.credit(row.pk).items() if left.minor > 0}
        currency = self.fields["currency"]
        assert isinstance(currency, forms.ChoiceField)
        currency.choices = [(code, code) for code in sorted(self.credit)]
        if len(self.credit) == 1:
            currency.widget = forms.HiddenInput()
        currency.initial = next(iter(sorted(self.credit)), "")
        if currency.initial:
            self.fields["amount"].initial = spoken(self.credit[currency.initial])

    def clean_reference(self) -> str:
        return " ".join(self.cleaned_data["reference"].split())

    def clean(self) -> dict[str, Any]:
        said = super().clean() or self.cleaned_data
        left = self.credit.get(said.get("currency", ""))
        if left is None or "amount" not in said:
            return said
        try:
            amount = parse(said["amount"], left.currency, (get_language() or "fr").partition("-")[0])
        except NotMoney:
            self.add_error("amount", _("This is not an amount: write it like %(example)s.") % {"example": spoken(left)})
            return said
        if not 0 < amount.minor <= left.minor:
            self.add_error("amount", _("At most %(amount)s.") % {"amount": spoken(left)})
        said["money"] = amount
        return said


def _foresee(rows: Sequence[Organization]) -> list[Forecast]:
    found = [sorted((c, m) for c, m in queries.credit(row.pk).items() if m.minor > 0) for row in rows]
    return [
        Forecast(_("%(amount)s of credit.") % {"amount": ", ".join(spoken(money) for _code, money in one)})
        if one
        else Forecast(_("Nothing: this customer has no credit."), possible=False)
        for one in found
    ]


PAY_OUT = Verb(
    name="pay_out",
    label=gettext_lazy("Pay credit out"),
    icon="account_balance_wallet",
    meaning=gettext_lazy(
        "Only for credit that you have transferred to the customer yourself, or are about to: nothing leaves the bank "
        "by this, the books follow. The customer can no longer use it for what they owe. It cannot be undone."
    ),
    question=ngettext_lazy("Pay this customer’s credit out?", "Pay the credit of %(count)d customers out?", "count"),
    foresee=_foresee,
    do=lambda row, actor, now: credit.pay_out(
        row.pk, amount=row.given["money"], reference=row.given["reference"], actor=actor, now=now
    ),
    done=gettext_lazy("Done: the books say that it was paid out."),
    dangerous=True,
    form=PayOutForm,
)
