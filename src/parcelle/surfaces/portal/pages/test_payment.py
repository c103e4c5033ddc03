"""`/test-payment/<id>`: the pages of the test payment service, where the customer clicks what should happen."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from parcelle.core.money import Money
from parcelle.domain.billing import test_payments
from parcelle.domain.billing.models import FakeCharge

# How long an approval takes that is to arrive late.
LATE = timedelta(seconds=20)
ANSWERS = {
    "approve": (FakeCharge.APPROVED, ""),
    "approve_late": (FakeCharge.APPROVED, ""),
    "decline": (FakeCharge.DECLINED, "declined"),
    "no_funds": (FakeCharge.DECLINED, "not_enough_funds"),
    "cancel": (FakeCharge.CANCELLED, ""),
}


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def test_payment(request: HttpRequest, charge_id: UUID) -> HttpResponse:
    charge = FakeCharge.objects.filter(pk=charge_id).first()
    if charge is None:
        raise Http404
    answer = request.POST.get("answer", "")
    if request.method == "POST" and answer in ANSWERS:
        state, code = ANSWERS[answer]
        late = timezone.now() + LATE if answer == "approve_late" else None
        messages = {"once": 1, "twice": 2, "never": 0}.get(request.POST.get("messages", "once"), 1)
        test_payments.answer(charge_id, state, code=code, counts_from=late, messages=messages)
        if request.POST.get("comes_back") == "no":
            return redirect("test_payment", charge_id=charge_id)
        return redirect(charge.cancel_url if answer == "cancel" else charge.return_url)
    amount = Money(charge.amount_minor, charge.currency)
    return render(request, "portal/test_payment.html", {"charge": charge, "amount": amount})
