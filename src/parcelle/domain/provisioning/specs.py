"""From our rows to the values that providers and blueprints work with."""

from __future__ import annotations

from dataclasses import replace

from parcelle.core import crypto
from parcelle.domain.catalog import blueprints
from parcelle.domain.catalog.blueprints import Blueprint, fill
from parcelle.domain.provisioning import leases
from parcelle.domain.provisioning.models import Instance, Target, Template
from parcelle.domain.provisioning.providers import open_provider
from parcelle.domain.provisioning.providers.base import Provider, Spec, TemplateSpec

# Who a standby belongs to before somebody claims it.
_STANDBY_OWNER = {
    "company": "Parcelle",
    "email": "standby@example.com",
    "first_name": "Parcelle",
    "last_name": "Standby",
    "language": "fr",
}


def provider_of(target: Target) -> Provider:
    return open_provider(target.provider, target.connection)


def blueprint_of(instance: Instance) -> Blueprint:
    return blueprints.load(instance.product.blueprint)


def new_secrets(blueprint: Blueprint) -> dict[str, str]:
    """One fresh secret for every name the blueprint declares."""
    return {name: crypto.generate(length) for name, length in blueprint.secrets.items()}


def spec_of(instance: Instance, provider: Provider) -> Spec:
    """What should run for this instance."""
    template_secrets = instance.template.secrets if instance.template else {}
    secrets = {**instance.secrets}
    if "template_password" in template_secrets:
        secrets["template_password"] = template_secrets["template_password"]
    blueprint = blueprint_of(instance)
    spec = Spec(
        ref=instance.ref,
        name=f"client-{instance.slug}" if instance.slug else f"standby-{instance.ref.hex[:8]}",
        blueprint=blueprint,
        variables={
            **blueprint.defaults,
            **(instance.owner or _STANDBY_OWNER),
            "slug": instance.slug or "standby",
            "url": instance.url,
        },
        secrets=secrets,
        ports=leases.ports_of(instance.ref) if provider.port_purposes else {},
        subnets=leases.subnets_of(instance.ref) if provider.subnet_purposes else {},
        limits=instance.limits,
    )
    return replace(spec, variables={**spec.variables, **provider.describe(spec)})


def template_spec_of(template: Template) -> TemplateSpec:
    return TemplateSpec(blueprint=blueprints.load(template.blueprint), secrets=template.secrets)


def sign_in_address(instance: Instance, provider: Provider) -> tuple[str, str]:
    """(address, user name) of the customer's first user, as the blueprint words them."""
    spec = spec_of(instance, provider)
    credentials = spec.blueprint.credentials
    # A provider without a database of its own has no name for it either.
    variables = {"database": "", **spec.variables, "url": instance.url}
    return str(fill(credentials.url, variables)), str(fill(credentials.user, variables))
