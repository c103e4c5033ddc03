"""Signs up at an installation that runs: `python -m tests.crash.visitor <product>`, with its PARCELLE_HOME.

Puts the product on sale first. Prints what the customer knows in the end.
"""

from __future__ import annotations

import json
import os
import sys
import uuid

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "parcelle.config.settings")
import django

django.setup()
from parcelle.core import context

context.of_process(context.Platform.COMMANDS)

from django.utils import timezone

from parcelle.domain.catalog.models import Plan, Product
from parcelle.domain.provisioning.models import Instance, Target
from parcelle.journeys import signup


def main(product: str) -> None:
    Target.objects.get_or_create(name="local", defaults={"provider": "process"})
    sold, _new = Product.objects.get_or_create(
        slug=product, defaults={"name": product, "blueprint": product, "target_name": "local"}
    )
    plan, _new = Plan.objects.get_or_create(product=sold, slug="essai", defaults={"name": "Essai"})
    email = f"{uuid.uuid4().hex[:12]}@example.com"
    started = signup.start_trial(
        signup.TrialRequest(
            submission=uuid.uuid4(),
            email=email,
            first_name="Zoë",
            last_name="Ndiaye",
            company="Acmé & Fils",
            phone="",
            plan_id=plan.pk,
            language="fr",
        ),
        now=timezone.now(),
    )
    secrets = Instance.objects.get(pk=started.instance_id).secrets
    print(json.dumps({"instance": str(started.instance_id), "email": email, "password": secrets["initial_password"]}))


main(sys.argv[1])
