"""The words for what the domain stores as codes. An unknown code is shown as it is."""

from __future__ import annotations

import re
from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from parcelle.domain.billing import gateway_names

Words = Mapping[str, str | Promise]

KINDS: Words = {
    "create": _("Creation"),
    "suspend": _("Suspension"),
    "restrict": _("Made read-only"),
    "unrestrict": _("Read-only no more"),
    "resume": _("Resumption"),
    "archive": _("Archiving"),
    "prepare_standby": _("Preparing a standby"),
    "discard_standby": _("Discarding a standby"),
    "build_template": _("Building a template"),
    "sleep": _("Falling asleep"),
    "wake": _("Waking up"),
    "repair": _("Repair"),
    "restart": _("Start after a stop from outside"),
    "rest": _("Back to rest"),
    "clear": _("Clearing of leftovers"),
    "remove_unknown": _("Removal of something unknown"),
}

STEPS: Words = {
    "claim_standby": _("Take a standby from the pool"),
    "begin": _("Begin"),
    "reserve": _("Reserve ports"),
    "await_template": _("Wait for the template"),
    "create_database": _("Clone the database"),
    "start": _("Start the application"),
    "check_health": _("Wait until it answers"),
    "personalise": _("Make it the customer’s"),
    "check_sign_in": _("Prove that the customer can sign in"),
    "publish_route": _("Publish the address"),
    "install_packages": _("Install the packages"),
    "install_npm": _("Install the web client’s packages"),
    "build": _("Build the application"),
    "create_template_database": _("Create the template’s database"),
    "initialise": _("Initialise the application"),
    "check_template": _("Check the template"),
    "stop": _("Stop the application"),
    "restrict": _("Have the application refuse changes"),
    "unrestrict": _("Have the application take changes again"),
    "hold_route": _("Show the holding page"),
    "withdraw_page": _("Withdraw the holding page"),
    "dump": _("Keep a last copy of the data"),
    "destroy": _("Destroy what runs"),
    "release": _("Give back ports and address"),
    "pull_images": _("Fetch the images"),
    "pull_template": _("Fetch the template’s images"),
    "copy_template": _("Copy the template’s data"),
    "prepare_data": _("Make the data its own"),
    "keep_template": _("Keep the template"),
    "create_networks": _("Create the networks"),
    "start_services": _("Start the services"),
    "claim_name": _("Claim the stack’s name"),
    "deploy_stack": _("Deploy the stack"),
    "initialise_stack": _("Initialise the stack"),
    "sleep_route": _("Show the waiting page"),
    "drain": _("Let the last visitors finish"),
    "restore_state": _("Bring it into the state it should be in"),
    "look_again": _("Look at it again"),
    "recognise": _("Make sure that it is what was shown"),
    "undo_stack": _("Undo: destroy what was made"),
    "undo_sleep": _("Undo: start it again"),
    "undo_wake": _("Undo: back to sleep"),
    "undo_reservations": _("Undo: give back ports and address"),
}

REASONS: Words = {
    "trial_ended": _("The trial ended"),
    "unpaid": _("The renewal was not paid"),
    "cancelled": _("The subscription was cancelled"),
    "paused": _("The customer paused it"),
    "operator": _("An operator decided so"),
    "customer": _("The customer asked for it"),
    "retention_ended": _("The retention period ended"),
}

ERRORS: Words = {
    "step_failed": _("A step failed"),
    "target_unreachable": _("Target unreachable"),
    "target_full": _("Target full"),
    "timeout": _("Took too long"),
    "template_failed": _("The template could not be built"),
    "disk_full": _("Disk of the target full"),
    "image_missing": _("Image not to be had"),
    "port_taken": _("Port used by another program"),
    "subnet_taken": _("Network overlaps with another one"),
    "route_refused": _("Address refused by the proxy"),
    "credentials_refused": _("Credentials refused by the target"),
    "certificate_unknown": _("Certificate of the target unknown"),
    "certificate_changed": _("Certificate of the target changed"),
    "wrong_address": _("Something else answers at the target’s address"),
    "no_swarm": _("No manager of a swarm"),
    "environment_unknown": _("Environment unknown to the target"),
    "settings_refuse": _("Forbidden by the target’s settings"),
    "update_rolled_back": _("Update taken back: the old version goes on"),
    "compose_refused": _("Compose file refused"),
    "name_in_use": _("Name in use on the target"),
    "cannot_be_saved": _("No copy of the data can be made"),
    "service_failed": _("A service does not start"),
    "nothing_to_do": _("There is nothing left to do"),
    "changed_meanwhile": _("It has changed in the meantime"),
}

# What a target answered, by the error's code: what is wrong, and what to do.
ANSWERS: Mapping[str, tuple[str | Promise, str | Promise]] = {
    "": (_("It cannot be worked with."), _("What it said stands below.")),
    "target_unreachable": (
        _("It does not answer."),
        _("Start it, or correct its address, the network and the firewall in between."),
    ),
    "credentials_refused": (
        _("It refuses the credentials."),
        _("Enter a valid API key, or the right user name and password; the old ones may have been revoked."),
    ),
    "certificate_unknown": (
        _("It shows a certificate that nobody vouches for."),
        _(
            "If it is self-signed on purpose, compare this fingerprint with the one on the server itself, then trust "
            "it; or enter the authority (CA) that issued it."
        ),
    ),
    "certificate_changed": (
        _("It shows another certificate than the one that was pinned."),
        _(
            "Either it got a new one, or somebody sits in between: trust it only if the server itself shows this "
            "fingerprint."
        ),
    ),
    "wrong_address": (
        _("Something else answers at this address."),
        _("Correct the address and the port: those that you type into a browser to see it."),
    ),
    "no_swarm": (
        _("It is no manager of a swarm."),
        _("Run “docker swarm init” on it, give the address of a manager, or add it as a Docker target."),
    ),
    "environment_unknown": (
        _("It has no such environment."),
        _("It may have been removed or given to others: choose one from the list."),
    ),
    "settings_refuse": (
        _("Its own settings do not allow what instances need."),
        _("Use an administrator’s key, or open the setting that is named below."),
    ),
    "target_full": (_("It is full."), _("Free some room, or give products another target.")),
    "disk_full": (_("Its disk is full."), _("Free some room on the machine before anything else is created there.")),
}


def answer(code: str) -> tuple[str | Promise, str | Promise]:
    """(what is wrong with a target, what to do) by the code of a ProvisioningError."""
    return ANSWERS.get(code, ANSWERS[""])


PROVIDERS: Words = {
    "docker": _("Docker"),
    "swarm": _("Docker Swarm"),
    "portainer": _("Portainer"),
    "process": _("Processes of this machine"),
    "null": _("Nothing"),
}

VERSIONS: Words = {
    "docker": "Docker",
    "portainer": "Portainer",
    "compose": "Docker Compose",
    "postgresql": "PostgreSQL",
    "supervisord": "Supervisor",
    "api": _("Versions of the API"),
    "disk": _("Free disk"),
    "nodes": _("Nodes"),
    "hardening": _("Hardening"),
}
# What providers write among the versions.
_VALUES: tuple[tuple[re.Pattern[str], str | Promise], ...] = (
    (re.compile(r"(?P<free>\d+) GB free"), _("%(free)s GB")),
    (re.compile(r"(?P<up>\d+) of (?P<all>\d+) up"), _("%(up)s of %(all)s answer")),
    (
        re.compile("no-new-privileges only where .*"),
        _("“no-new-privileges” only on nodes whose daemon.json says so"),
    ),
)

DOMAIN_PROBLEMS: Words = {
    "no_record": _("Not found in the DNS"),
    "elsewhere": _("Leads somewhere else"),
    "no_proof": _("Proof missing"),
    "wrong_proof": _("Wrong proof"),
    "travelling": _("Not known everywhere yet"),
    "dns_silent": _("The DNS does not answer"),
    "held": _("Held by another customer"),
    "certificate": _("Does not answer securely"),
}

FACTS: Words = {
    "DomainAdded": _("Domain added"),
    "DomainBroken": _("Domain broken"),
    "DomainLive": _("Domain live"),
    "DomainRemoved": _("Domain removed"),
    "InstanceAsleep": _("Instance asleep"),
    "InstanceWoken": _("Instance woken"),
    "InvoiceFinalised": _("Invoice issued"),
    "InvoiceWaiting": _("Invoice waiting for missing data"),
    "DriftFound": _("Drift found"),
    "DriftGone": _("Drift gone"),
    "InstanceRepaired": _("Instance repaired"),
    "InstanceArchived": _("Instance archived"),
    "InstanceCreationFailed": _("Creation of an instance failed"),
    "InstanceReady": _("Instance live"),
    "InstanceRequested": _("Instance requested"),
    "InstanceReadOnly": _("Instance read-only, or no more"),
    "InstanceResumed": _("Instance resumed"),
    "InstanceSuspended": _("Instance suspended"),
    "MaintenanceBegan": _("Maintenance began"),
    "MaintenanceEnded": _("Maintenance ended"),
    "OperationFailed": _("Operation failed"),
    "OrganizationCreated": _("Organization created"),
    "OrganizationChanged": _("Details of an organization changed"),
    "OrganizationStateChanged": _("Organization suspended, or open again"),
    "PlatformScopeOpened": _("All organizations opened to somebody"),
    "MemberInvited": _("Member invited"),
    "InvitationRevoked": _("Invitation revoked"),
    "MemberJoined": _("Member joined"),
    "MemberRoleChanged": _("Role of a member changed"),
    "MemberRemoved": _("Member removed"),
    "MemberLeft": _("Member left"),
    "OwnershipTransferred": _("Ownership handed over"),
    "RetentionEnded": _("Retention period ended"),
    "SubscriptionEnded": _("Subscription ended"),
    "StandbyBroken": _("Standby broken"),
    "StandbyClaimed": _("Standby claimed"),
    "StandbyReady": _("Standby ready"),
    "TemplateBuildFailed": _("Building a template failed"),
    "TemplateReady": _("Template ready"),
    "OrderFulfilled": _("Order fulfilled"),
    "MethodRemoved": _("Saved way to pay removed"),
    "MethodSaved": _("Way to pay saved"),
    "PriceChangeDue": _("Change of price announced"),
    "PriceChangeAnnounced": _("Change of price decided"),
    "PriceChangeTakenBack": _("Change of price taken back"),
    "PriceStays": _("Customer told that their price stays"),
    "CreditPaidOut": _("Credit paid out"),
    "OrderLapsed": _("Order lapsed"),
    "OrderLeftOpen": _("Order left unpaid"),
    "OrderPaid": _("Order paid"),
    "OrderPlaced": _("Order placed"),
    "GatewayMessageRetried": _("Message of a payment service tried again"),
    "ParkedPaymentAccepted": _("Parked payment accepted"),
    "ParkedPaymentReturned": _("Parked payment given back"),
    "PaymentAbandoned": _("Payment given up"),
    "RefundRequested": _("Refund asked for"),
    "DebtAsked": _("Taken back payment asked for again"),
    "DebtSettled": _("Debt settled"),
    "ChargebackWon": _("Chargeback won"),
    "PaymentChargedBack": _("Payment charged back"),
    "PaymentDeclined": _("Payment declined"),
    "PaymentLeftDeclined": _("Declined payment left at that"),
    "PaymentDisputed": _("Payment contested"),
    "PaymentOutcomeUnknown": _("Outcome of a payment unknown"),
    "PaymentParked": _("Payment needs a human"),
    "PaymentReceived": _("Payment received"),
    "PaymentRefunded": _("Payment refunded"),
    "SubscriptionStarted": _("Subscription started"),
    "RenewalAsked": _("Renewal asked for"),
    "RenewalReminderDue": _("Renewal reminder due"),
    "RenewalTooLate": _("Renewal paid too late: kept as credit"),
    "SubscriptionRenewed": _("Subscription renewed"),
    "SubscriptionChanged": _("Plan changed"),
    "ChangeScheduled": _("Plan change scheduled"),
    "ChangeTakenBack": _("Plan change taken back"),
    "SubscriptionPastDue": _("Renewal overdue"),
    "SubscriptionReadOnly": _("Overdue: can only be read"),
    "SubscriptionSuspended": _("Subscription suspended"),
    "SubscriptionCancelled": _("Subscription cancelled"),
    "CancellationTakenBack": _("Cancellation taken back"),
    "SubscriptionResumed": _("Subscription resumed"),
    "StatementImported": _("Bank statement imported"),
    "StatementLineIgnored": _("Line of a bank statement put aside"),
    "TransferApproved": _("Transfer approved by a second person"),
    "TransferAsked": _("Transfer asked for"),
    "TransferConfirmed": _("Transfer confirmed"),
    "TransferGivenUp": _("Transfer given up"),
    "RefundCameBack": _("Refund came back"),
    "TransferRecalled": _("Transfer taken back by the bank"),
    "TransferLapsed": _("Transfer no longer expected"),
    "TransferPaidBack": _("Transfer paid back"),
    "TransferReceiptRejected": _("Receipt of a transfer rejected"),
    "TransferReceiptUploaded": _("Receipt of a transfer sent in"),
    "TransferShortfallAccepted": _("Bank charges on a transfer accepted"),
    "TransferSurplus": _("Surplus of a transfer"),
    "TransferTurnedDown": _("Transfer turned down by a second person"),
    "TrialEnded": _("Trial ended"),
    "TrialReminderDue": _("Trial reminder due"),
    "TrialStarted": _("Trial started"),
}

GATEWAYS: Words = gateway_names.NAMES

# Why a payment is as it is, for the operator.
PAYMENT_REASONS: Words = {
    "declined": _("The service said no and gave no reason"),
    "refused_by_payer": _("Not approved by the customer"),
    "rejected_on_phone": _("Refused on the telephone"),
    "not_approved_in_time": _("Not approved on the telephone in time"),
    "not_enough_funds": _("Not enough money on the account"),
    "probably_not_enough_funds": _("The service failed, mostly for lack of money on the account"),
    "limit_reached": _("Over the account’s limit"),
    "no_account": _("This number, card or account cannot pay"),
    "no_wallet": _("No active wallet behind this number"),
    "wrong_number": _("Not a number whose wallet can pay here"),
    "wrong_operator": _("A number of another operator"),
    "seller_setup": _("Our own account is not set up for this: look at the remark"),
    "service_down": _("The service did not answer"),
    "blocked": _("Stopped by the service’s own checks"),
    "expired": _("Not finished in time"),
    "abandoned": _("Given up by a human"),
    "amount_differs": _("Another amount or currency came in than was asked for"),
    "other_reference": _("The service names another payment for this money"),
    "charged_back": _("Taken back by the bank before it was counted"),
    "dispute": _("Contested, and decided for the customer"),
    "reversal": _("Taken back by the service"),
    "accepted": _("Accepted by a human"),
    "returned": _("Given back by a human"),
}

MONEY_REFUSED: Words = {
    "too_much": _("More than is left of what came in."),
    "not_paid": _("Nothing came in, or it was given back already."),
    "not_enough": _("The customer has less credit than that."),
    "known": _("This reference was used before for this customer: it is booked already."),
    "counts": _("It counts for somebody already: announce another price instead."),
    "announced": _("Another change of this price is announced already: take that back first."),
    "overdue": _("A period is due and not paid: nothing can be changed before."),
    "same": _("Nothing changes: that is what they have already."),
    "scheduled": _("Another interval is noted for the end of the period: add-ons can be changed after that."),
    "paid_ahead": _("What was chosen for the next period is paid: it can be changed once that has begun."),
    "not_active": _("Nothing is paid that could be changed."),
    "too_many": _("That is not between none and the most that is sold."),
    "not_on_sale": _("This add-on is not sold with this plan."),
    "not_with_plan": _("This add-on is not sold with the plan that follows."),
    "nothing_held": _("No money is held for this payment."),
    "other_currency": _("It came in another currency: it can be the customer’s credit, or be given back by hand."),
}

MESSAGES: Words = {
    "renewal_due": _("Invitation to pay the next period"),
    "renewal_automatic": _("Announcement of an automatic payment"),
    "renewal_too_late": _("Payment that came too late"),
    "price_changing": _("Announcement of another price"),
    "price_stays": _("Another price does not come"),
    "charge_declined": _("Automatic payment declined"),
    "renewal_overdue": _("Reminder of an overdue renewal"),
    "subscription_renewed": _("Subscription renewed"),
    "subscription_suspended": _("Subscription suspended"),
    "subscription_read_only": _("Subscription read-only"),
    "subscription_cancelled": _("Subscription ended"),
    "subscription_ending": _("Cancellation confirmed"),
    "plan_changed": _("Plan changed"),
    "plan_change_scheduled": _("Plan change scheduled"),
    "charged_back": _("Payment taken back by the bank"),
    "debt_settled": _("Debt settled"),
    "add_ons_changed": _("Add-ons changed"),
    "add_ons_scheduled": _("Change of add-ons scheduled"),
    "billing_details": _("Missing billing details"),
    "invoice": _("Invoice"),
    "credit_note": _("Credit note"),
    "welcome": _("Welcome"),
    "team_invitation": _("Invitation to an organization"),
    "team_news": _("Change of members"),
    "creation_failed": _("Creation failed"),
    "trial_reminder": _("Trial reminder"),
    "trial_suspended": _("Trial suspended"),
    "instance_archived": _("Instance archived"),
    "transfer_asked": _("How to make a transfer"),
    "transfer_partial": _("Part of a transfer arrived"),
    "receipt_rejected": _("Receipt turned down"),
    "order_open": _("Reminder of an unpaid order"),
    "payment_declined": _("Declined payment"),
    "domain_live": _("Domain live"),
    "domain_broken": _("Domain broken"),
    "domain_released": _("Domain released"),
    "enquiry": _("Enquiry"),
    "order_paid": _("Order paid"),
    "delivery_delayed": _("Delivery delayed"),
    "delivery_by_hand": _("Delivery by hand"),
    "payment_setup": _("Way to pay not set up"),
}

INVITATIONS: Words = {
    "open": pgettext_lazy("an invitation", "Open"),
    "used": pgettext_lazy("an invitation", "Accepted"),
    "revoked": pgettext_lazy("an invitation", "Revoked"),
    "expired": pgettext_lazy("an invitation", "Expired"),
}

ACTORS: Words = {"system": _("Parcelle"), "visitor": _("Visitor")}

LANGUAGES: Words = {"fr": _("French"), "en": _("English")}

JOB_STATES: Words = {
    "todo": _("Waiting"),
    "doing": _("Running"),
    "succeeded": _("Succeeded"),
    "failed": _("Failed"),
    "cancelled": _("Called off"),
    "aborting": _("Being stopped"),
    "aborted": _("Stopped"),
}

JOB_EVENTS: Words = {
    "deferred": _("Put into the queue"),
    "started": _("Started"),
    "deferred_for_retry": _("Put back to be tried again"),
    "failed": pgettext_lazy("a job", "Given up"),
    "succeeded": _("Succeeded"),
    "cancelled": _("Called off"),
    "abort_requested": _("Asked to stop"),
    "aborted": _("Stopped"),
    "scheduled": _("Scheduled"),
    "retried": _("Tried again"),
}

# What unfold calls the colours of a badge, by state of anything that has states.
COLOURS = {
    **dict.fromkeys(("live", "active", "succeeded", "ready", "sent"), "success"),
    **dict.fromkeys(("paid", "paid_late", "fulfilled", "done", "issued"), "success"),
    **dict.fromkeys(("open", "submitted", "received"), "info"),
    **dict.fromkeys(("parked", "charged_back"), "danger"),
    **dict.fromkeys(("standby", "trialing", "requested", "provisioning", "building"), "info"),
    **dict.fromkeys(("queued", "running", "waiting", "doing", "todo"), "info"),
    **dict.fromkeys(("suspended", "past_due", "undoing", "expired", "part_paid"), "warning"),
    **dict.fromkeys(("pending", "dns_ok", "cert_issuing"), "info"),
    **dict.fromkeys(("uploaded", "review", "second", "partial", "awaiting"), "info"),
    **dict.fromkeys(("confirmed", "counted", "matched"), "success"),
    **dict.fromkeys(("parked", "late", "lapsed", "turned_down", "recalled", "came_back"), "warning"),
    **dict.fromkeys(("failed", "missing", "broken", "refused", "overdue"), "danger"),
    **dict.fromkeys(("unknown", "stopped", "half_made", "awake", "leased"), "warning"),
}


def word(words: Words, code: str) -> str:
    return str(words.get(code, code))


# What an invoice is to its customer.
STANDINGS: Words = {
    "waiting": _("Draft"),
    "open": _("To be paid"),
    "part_paid": _("Partly paid"),
    "paid": pgettext_lazy("an invoice", "Paid"),
    "overdue": _("Overdue"),
    "credited": _("Credited"),
    "issued": _("Issued"),
}

# Why an invoice cannot be issued yet.
INVOICE_PROBLEMS: Words = {
    "seller_name": _("Your company’s name"),
    "seller_address": _("Your address"),
    "seller_postcode": _("Your postcode"),
    "seller_city": _("Your town"),
    "seller_email": _("Your e-mail address"),
    "seller_legal_form": _("Your legal form, such as SAS, SARL or EI"),
    "seller_share_capital": _("Your share capital, such as 10 000 €"),
    "seller_register": _("Your trade register and its town, such as RCS Nantes 732 829 320"),
    "seller_siren": _("Your SIREN: nine digits that fit together"),
    "seller_vat_number": _("Your VAT number, as it is registered"),
    "seller_iban": _("Your IBAN: the one that is there cannot be right"),
    "buyer_name": _("The customer’s name"),
    "buyer_address": _("The customer’s address"),
    "buyer_postcode": _("The customer’s postcode"),
    "buyer_city": _("The customer’s town"),
    "buyer_email": _("The customer’s e-mail address"),
    "buyer_siren": _("The customer’s SIREN: nine digits that fit together"),
    "buyer_vat_number": _("The customer’s VAT number: it is missing, or does not fit the country"),
    "buyer_country": _("The customer’s country is another one than the one VAT was decided for"),
    "document_amount": _("Nothing above zero to invoice"),
    "document_price": _("A line without a price"),
    "document_rate": _("The exchange rate of its currency to the euro"),
    "document_tax": _("VAT that does not fit its lines"),
    "document_waits": _("The number of the invoice that it corrects"),
    "document_libraries": _("Pango, with which PDF files are made: `parcelle check` says how to install it"),
    "document_rule": _("A rule of electronic invoices is not kept"),
}


def version(text: str) -> str:
    """What stands behind a name of `VERSIONS`, in the reader's language where it is more than a number."""
    for pattern, sentence in _VALUES:
        if found := pattern.fullmatch(text):
            return str(sentence) % found.groupdict()
    return text
