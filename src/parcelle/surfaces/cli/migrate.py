"""`parcelle migrate`: the only command that connects as the owner of the tables."""

from __future__ import annotations

import os


def migrate() -> None:
    # Read by the settings when Django loads them: this process is the owner, and nothing else.
    os.environ["PARCELLE_AS_OWNER"] = "1"
    os.environ["PARCELLE_DATABASE_POOL"] = "0"
    import django
    from django.core.management import call_command

    from parcelle.core import context

    django.setup()
    context.of_process(context.Platform.COMMANDS)
    call_command("migrate", interactive=False)
