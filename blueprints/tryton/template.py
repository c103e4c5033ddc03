"""Fills the template database after its modules are activated, so that a first sign-in lands in a working company.

Identifiers that `personalise` in blueprint.yaml relies on are asserted here: a change fails the build, not a customer.
Run as: TRYTONPASSFILE=<file> python template.py <trytond.conf> <database>
"""

import datetime
import os
import sys
from decimal import Decimal
from pathlib import Path

from trytond import config

config.update_etc(sys.argv[1])

from trytond.pool import Pool
from trytond.transaction import Transaction

COMPANY = COMPANY_PARTY = 1
OWNER = EMPLOYEE_PARTY = 2

# Its own sign would have to be written differently for each of the ways in which this file reaches an instance.
DOLLAR = "\N{DOLLAR SIGN}"

CURRENCIES = [  # code, numeric code, symbol, decimals, English, French
    ("EUR", "978", "€", 2, "Euro", "Euro"),
    ("XAF", "950", "FCFA", 0, "Central African CFA franc", "Franc CFA (BEAC)"),
    ("XOF", "952", "F CFA", 0, "West African CFA franc", "Franc CFA (BCEAO)"),
    ("USD", "840", DOLLAR, 2, "US dollar", "Dollar des États-Unis"),
    ("GBP", "826", "£", 2, "Pound sterling", "Livre sterling"),
    ("CHF", "756", "CHF", 2, "Swiss franc", "Franc suisse"),
    ("CAD", "124", DOLLAR, 2, "Canadian dollar", "Dollar canadien"),
    ("MAD", "504", "DH", 2, "Moroccan dirham", "Dirham marocain"),
    ("TND", "788", "DT", 3, "Tunisian dinar", "Dinar tunisien"),
]
COUNTRIES = [  # alpha-2, alpha-3, numeric code, English, French
    ("FR", "FRA", "250", "France", "France"),
    ("BE", "BEL", "056", "Belgium", "Belgique"),
    ("CH", "CHE", "756", "Switzerland", "Suisse"),
    ("LU", "LUX", "442", "Luxembourg", "Luxembourg"),
    ("CA", "CAN", "124", "Canada", "Canada"),
    ("DE", "DEU", "276", "Germany", "Allemagne"),
    ("ES", "ESP", "724", "Spain", "Espagne"),
    ("IT", "ITA", "380", "Italy", "Italie"),
    ("GB", "GBR", "826", "United Kingdom", "Royaume-Uni"),
    ("US", "USA", "840", "United States", "États-Unis"),
    ("BJ", "BEN", "204", "Benin", "Bénin"),
    ("BF", "BFA", "854", "Burkina Faso", "Burkina Faso"),
    ("CM", "CMR", "120", "Cameroon", "Cameroun"),
    ("CF", "CAF", "140", "Central African Republic", "République centrafricaine"),
    ("TD", "TCD", "148", "Chad", "Tchad"),
    ("CG", "COG", "178", "Congo", "Congo"),
    (
        "CD",
        "COD",
        "180",
        "Congo (Democratic Republic)",
        "Congo (République démocratique)",
    ),
    ("CI", "CIV", "384", "Côte d’Ivoire", "Côte d’Ivoire"),
    ("GA", "GAB", "266", "Gabon", "Gabon"),
    ("GN", "GIN", "324", "Guinea", "Guinée"),
    ("GQ", "GNQ", "226", "Equatorial Guinea", "Guinée équatoriale"),
    ("MG", "MDG", "450", "Madagascar", "Madagascar"),
    ("ML", "MLI", "466", "Mali", "Mali"),
    ("MA", "MAR", "504", "Morocco", "Maroc"),
    ("NE", "NER", "562", "Niger", "Niger"),
    ("SN", "SEN", "686", "Senegal", "Sénégal"),
    ("TG", "TGO", "768", "Togo", "Togo"),
    ("TN", "TUN", "788", "Tunisia", "Tunisie"),
]


def fill(password):
    pool = Pool()
    wizards = pool.get("ir.module.config_wizard.item")
    wizards.write(wizards.search([]), {"state": "done"})
    languages = pool.get("ir.lang")
    languages.write(languages.search([("code", "=", "fr")]), {"date": "%d/%m/%Y"})

    currencies = create_translated(
        "currency.currency",
        [
            {
                "code": code,
                "numeric_code": numeric,
                "symbol": symbol,
                "digits": digits,
                "rounding": Decimal(1).scaleb(-digits),
                "name": english,
            }
            for code, numeric, symbol, digits, english, _ in CURRENCIES
        ],
        [row[-1] for row in CURRENCIES],
    )
    create_translated(
        "country.country",
        [
            {"code": code, "code3": code3, "code_numeric": numeric, "name": english}
            for code, code3, numeric, english, _ in COUNTRIES
        ],
        [row[-1] for row in COUNTRIES],
    )

    Party = pool.get("party.party")
    party, person = Party.create(
        [
            {"name": "Parcelle", "addresses": None},
            {"name": "Parcelle", "addresses": None},
        ]
    )
    (company,) = pool.get("company.company").create([{"party": party.id, "currency": currencies[0].id}])
    (employee,) = pool.get("company.employee").create(
        [
            {
                "party": person.id,
                "company": company.id,
                "start_date": datetime.date(2020, 1, 1),
            }
        ]
    )
    # Tryton does not let anyone rename its own `admin`, and `trytond-admin` needs to find it: the customer gets a user
    # of their own with the same groups, and `admin` stays behind, asleep and without a password.
    User = pool.get("res.user")
    (admin,) = User.search([("login", "=", "admin")])
    (owner,) = User.create(
        [
            {
                "login": "owner",
                "name": "Owner",
                "password": password,
                "groups": [("add", [group.id for group in admin.groups])],
                "companies": [("add", [company.id])],
                "company": company.id,
                "employees": [("add", [employee.id])],
                "employee": employee.id,
            }
        ]
    )
    User.write([admin], {"active": False, "password": None})

    found = (owner.id, company.id, party.id, person.id)
    if found != (OWNER, COMPANY, COMPANY_PARTY, EMPLOYEE_PARTY):
        raise SystemExit(f"The identifiers used in blueprint.yaml changed: {found}")


def create_translated(model, rows, french_names):
    """Creates the records in English, then names them in French."""
    Model = Pool().get(model)
    records = Model.create(rows)
    with Transaction().set_context(language="fr"):
        for record, name in zip(records, french_names, strict=True):
            Model.write([Model(record.id)], {"name": name})
    return records


if __name__ == "__main__":
    database = sys.argv[2]
    with Transaction().start(database, 0, readonly=True):
        Pool(database).init()
    with Transaction().start(database, 0, context={"language": "en"}) as transaction:
        fill(Path(os.environ["TRYTONPASSFILE"]).read_text().strip())
        transaction.commit()
