"""Has an instance of an installation that runs put to sleep: `python -m tests.browser.drowsy <short name>`."""

from __future__ import annotations

import os
import sys
import time

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "parcelle.config.settings")
import django

django.setup()
from parcelle.core import context

context.of_process(context.Platform.COMMANDS)

from django.utils import timezone

from parcelle.domain.provisioning import actions, states
from parcelle.domain.provisioning.models import Instance


def main(slug: str) -> None:
    instance = Instance.objects.get(slug=slug)
    actions.change(instance, "sleep", reason="", actor="test", now=timezone.now())
    give_up = time.monotonic() + 60
    while instance.state != states.SLEEPING:
        assert time.monotonic() < give_up, instance.state
        time.sleep(0.2)
        instance.refresh_from_db()


main(sys.argv[1])
