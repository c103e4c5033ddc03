from __future__ import annotations

from django.conf import settings
from django.urls import URLPattern, path
from django.views.generic import RedirectView

from parcelle.surfaces.portal.pages import (
    billing,
    contact,
    dashboard,
    deployment,
    domains,
    landing,
    mailbox,
    orders,
    organizations,
    pricing,
    receipts,
    register,
    subscription,
    team,
    terms,
    test_payment,
    trial,
)

urlpatterns: list[URLPattern] = [
    path("", landing.landing, name="landing"),
    path("preparing", landing.preparation, name="preparing"),
    path("pricing", pricing.pricing, name="pricing"),
    path("register", register.register, name="register"),
    path("register/summary", register.summary, name="register_summary"),
    path("orders/<uuid:order_id>", orders.order, name="order"),
    path("orders/<uuid:order_id>/pay", orders.pay, name="order_pay"),
    path("orders/<uuid:order_id>/change", orders.change, name="order_change"),
    path("orders/<uuid:order_id>/return/<uuid:payment_id>", orders.returned, name="order_return"),
    path("orders/<uuid:order_id>/events", orders.events, name="order_events"),
    path("orders/<uuid:order_id>/progress", orders.fragment, name="order_progress"),
    path("orders/<uuid:order_id>/receipt", receipts.upload, name="order_receipt_upload"),
    path("orders/<uuid:order_id>/receipts/<uuid:receipt_id>", receipts.receipt, name="order_receipt"),
    path("orders/<uuid:order_id>/other-way", receipts.other_way, name="order_other_way"),
    path("orders/resume/<str:token>", orders.resume, name="order_resume"),
    path("test-payment/<uuid:charge_id>", test_payment.test_payment, name="test_payment"),
    path("contact", contact.contact, name="contact"),
    path("cgv", terms.terms, name="terms"),
    path("trial", trial.trial, name="trial"),
    path("trial/puzzle", trial.puzzle, name="trial_puzzle"),
    path("deployments/<uuid:instance_id>", deployment.deployment, name="deployment"),
    path("deployments/<uuid:instance_id>/events", deployment.events, name="deployment_events"),
    path("deployments/<uuid:instance_id>/progress", deployment.fragment, name="deployment_progress"),
    path("deployments/<uuid:instance_id>/retry", deployment.retry, name="deployment_retry"),
    path("organization", organizations.choose, name="organization_choose"),
    path("team", team.team, name="team"),
    path("dashboard", dashboard.dashboard, name="dashboard"),
    path("subscriptions/<uuid:subscription_id>", subscription.subscription, name="subscription"),
    path("subscriptions/<uuid:subscription_id>/<slug:verb>", subscription.act, name="subscription_act"),
    path("billing", billing.billing, name="billing"),
    path("billing/statement/<slug:slug>/<slug:currency>", billing.statement, name="billing_statement"),
    path("billing/methods/<slug:slug>/remove", billing.remove_method, name="billing_method_remove"),
    path("billing/details/<slug:slug>", billing.details, name="billing_details"),
    path("billing/<uuid:invoice_id>/<slug:form>", billing.document, name="billing_document"),
    path("instances/<uuid:instance_id>/domains", domains.instance_domains, name="instance_domains"),
    path("instances/<uuid:instance_id>/domains/list", domains.domains_list, name="domains_list"),
    path("instances/<uuid:instance_id>/domains/<uuid:domain_id>/check", domains.check_domain, name="check_domain"),
    path("instances/<uuid:instance_id>/domains/<uuid:domain_id>/remove", domains.remove_domain, name="remove_domain"),
    path("accounts/signup/", RedirectView.as_view(pattern_name="trial", query_string=True)),
]

if settings.MAILBOX_PAGE:
    urlpatterns += [
        path("mailbox", mailbox.mailbox, name="mailbox"),
        path("mailbox/<int:mail_id>", mailbox.mail, name="mailbox_mail"),
        path("mailbox/<int:mail_id>/html", mailbox.mail_html, name="mailbox_mail_html"),
        path("mailbox/<int:mail_id>/files/<int:position>", mailbox.mail_file, name="mailbox_mail_file"),
    ]
