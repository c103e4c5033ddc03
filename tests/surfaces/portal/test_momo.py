"""MTN Mobile Money on the payment page: the number, the wait, and what became of it, in both languages."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from django.test import Client

from parcelle.domain.billing.models import Order, Payment
from tests import needs
from tests.domain.billing.mobile_money import look, open_for
from tests.simulators import mtn_momo_server
from tests.simulators.mtn_momo import Fault, Momo
from tests.surfaces.portal.test_selling import SAID, text

needs.require("specs")
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("test_blueprints")]
ENGLISH = {"Accept-Language": "en"}


@pytest.fixture
def momo() -> Iterator[Momo]:
    with mtn_momo_server.judged(environment="mtncameroon", callbacks="never") as running:
        yield running
        assert running.violations == []


@pytest.fixture
def placed(momo: Momo, client: Client) -> Order:
    price = open_for(momo).price
    said = {**SAID, "country": "CM", "phone": "+237671234567", "price": str(price.pk), "submission": str(uuid.uuid4())}
    response = client.post("/register", said)
    return Order.objects.get(pk=response["Location"].rsplit("/", 1)[-1])


def pay(client: Client, placed: Order, phone: str = "6 71 23 45 67") -> str:
    """The page after the button was pressed."""
    client.post(f"/orders/{placed.pk}/pay", {"gateway": "mtn_momo", "phone": phone})
    return text(client.get(f"/orders/{placed.pk}"))


def test_the_number_is_asked_for_with_an_example_of_the_country(client: Client, placed: Order) -> None:
    page = client.get(f"/orders/{placed.pk}")
    assert "par exemple +237 6 71 23 45 67" in text(page)
    assert 'value="+237671234567"' in page.content.decode()
    assert 'aria-describedby="id_phone_help"' in page.content.decode()


def test_the_page_says_what_to_do_on_the_telephone(client: Client, momo: Momo, placed: Order) -> None:
    page = pay(client, placed)
    assert "Validez le paiement sur votre téléphone" in page
    assert "une demande de 32 000 FCFA au +237 6 71 23 45 67" in page.replace("\u202f", " ").replace("\xa0", " ")
    assert "Composez le *126#" in page
    assert "cinq minutes" in page
    english = text(client.get(f"/orders/{placed.pk}", headers=ENGLISH))
    assert "Approve the payment on your telephone" in english and "Dial *126#" in english
    # Nothing can be taken back from a telephone that rings.
    assert "Payer autrement" not in page


def test_where_the_menu_is_unknown_no_code_is_made_up(client: Client, momo: Momo, placed: Order) -> None:
    pay(client, placed)
    Payment.objects.update(memo={})
    page = text(client.get(f"/orders/{placed.pk}"))
    assert "Ouvrez le menu MTN Mobile Money" in page and "Composez" not in page


@pytest.mark.parametrize(
    ("phone", "sentence"),
    [
        ("+33 6 12 34 56 78", "Ce numéro ne peut pas payer ici par Mobile Money"),
        ("12", "numéro de téléphone n’est pas complet"),
    ],
)
def test_a_number_that_cannot_pay_is_told_and_asked_for_again(
    client: Client, momo: Momo, placed: Order, phone: str, sentence: str
) -> None:
    response = client.post(f"/orders/{placed.pk}/pay", {"gateway": "mtn_momo", "phone": phone})
    page = text(response if response.status_code == 422 else client.get(f"/orders/{placed.pk}"))
    assert sentence in page
    assert "Comment souhaitez-vous payer" in page
    if response.status_code == 422:
        html = response.content.decode()
        assert 'aria-describedby="id_phone_error id_phone_help" aria-invalid="true"' in html
        assert 'class="form-control is-invalid" id="id_phone"' in html
    assert momo.pushes == {}


@pytest.mark.parametrize(
    ("reason", "french", "english"),
    [
        ("APPROVAL_REJECTED", "Le paiement a été refusé sur le téléphone", "was refused on the telephone"),
        ("EXPIRED", "n’a pas été validé à temps", "not approved on the telephone in time"),
        ("NOT_ENOUGH_FUNDS", "Il n’y a pas assez d’argent", "not enough money"),
        ("INTERNAL_PROCESSING_ERROR", "le plus souvent parce que le solde est insuffisant", "balance is too low"),
        ("PAYER_NOT_FOUND", "Aucun compte Mobile Money actif", "no active Mobile Money account"),
        ("PAYEE_NOT_ALLOWED_TO_RECEIVE", "par notre faute", "it is our fault"),
    ],
)
def test_a_no_is_explained_and_leaves_every_way_open(
    client: Client, momo: Momo, placed: Order, reason: str, french: str, english: str
) -> None:
    pay(client, placed)
    momo.refuse(Payment.objects.get().key, code=reason)
    look(Payment.objects.get())
    page = text(client.get(f"/orders/{placed.pk}"))
    assert french in page and "Comment souhaitez-vous payer" in page
    assert english in text(client.get(f"/orders/{placed.pk}", headers=ENGLISH))
    assert "Validez le paiement" in pay(client, placed)


def test_an_unknown_outcome_says_that_a_request_may_still_ring(client: Client, momo: Momo, placed: Order) -> None:
    momo.faults = [Fault("POST /collection/v1_0/requesttopay", "lost")]
    page = pay(client, placed)
    assert "Merci de ne pas payer une seconde fois" in page
    assert "Si une demande de paiement s’affiche sur votre téléphone" in page


def test_the_live_fragment_follows_the_approval(client: Client, momo: Momo, placed: Order) -> None:
    pay(client, placed)
    momo.approve(Payment.objects.get().key)
    look(Payment.objects.get())
    assert "Merci, votre paiement est arrivé" in text(client.get(f"/orders/{placed.pk}/progress"))
