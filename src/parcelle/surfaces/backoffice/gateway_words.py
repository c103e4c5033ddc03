"""What the settings of ways to pay are called, and what to enter."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from parcelle.surfaces.backoffice.words import Words

LABELS: Words = {
    "secret": _("Secret"),
    "secret_key": _("Secret key"),
    "webhook_secrets": _("Secrets of the webhook"),
    "api_url": _("Address of the interface"),
    "base_url": _("Address of the interface"),
    "client_id": _("Client ID"),
    "client_secret": _("Client secret"),
    "webhook_id": _("Webhook ID"),
    "vault": _("Keep wallets for renewals"),
    "verification": _("How messages are verified"),
    "trusted_hosts": _("Other hosts of certificates"),
    "trusted_ca": _("Other authority (CA)"),
    "environment": _("Environment"),
    "subscription_key": _("Subscription key"),
    "api_user": _("API user"),
    "api_key": _("API key"),
    "currency": _("Currency"),
    "callback_host": _("Host of callbacks"),
    "disbursement_subscription_key": _("Subscription key of Disbursement"),
    "disbursement_api_user": _("API user of Disbursement"),
    "disbursement_api_key": _("API key of Disbursement"),
    "dial": _("Code to dial"),
    "holder": _("Holder of the account"),
    "iban": _("IBAN"),
    "bic": _("BIC"),
    "bank": _("Bank"),
    "other_accounts": _("Accounts in other currencies"),
    "days": _("Days to pay"),
    "second_person_from": _("Second person from"),
    "tolerance": _("Tolerance"),
    "automatic": _("Confirm exact matches by itself"),
}

HELP: Words = {
    "client_id": _("Of the REST application in PayPal’s developer pages: sandbox and live have different ones."),
    "webhook_id": _("PayPal shows it once the webhook is made with this address: /webhooks/paypal."),
    "verification": _(
        "Offline checks PayPal’s signature here. Online asks PayPal about every message; choose it if PayPal "
        "changes its certificates."
    ),
    "base_url": _("Empty for the service itself. Only for a simulator."),
    "api_url": _("The service’s own address. Another one is only for a simulator."),
    "trusted_hosts": _("Only for a simulator."),
    "trusted_ca": _("PEM text. Only for a simulator."),
    "other_accounts": _("For example: XAF CM21 1000 2000 3002 7797 6315 008 AFRICMCX; one after the other."),
    "second_person_from": _("For example: EUR 5000; XAF 3000000. Above, two people must confirm."),
    "tolerance": _("For example: EUR 5; XAF 2000. What may be missing as charges of the banks."),
}

CHOICES: Words = {
    "offline": _("Offline, by the signature"),
    "online": _("Online, by asking PayPal"),
    "sandbox": _("Sandbox"),
    "yes": _("Yes"),
    "on": _("Yes"),
    "off": _("No"),
    "no": _("No"),
}
