"""`parcelle migrate`: the only command that connects as the owner of the tables."""

from __future__ import annotations

import os


def migrate() -> None:
    # Read by the settings when Django loads them: this process is the owner, and nothing else.
    os.environ["PARCELLE_AS_OWNER"] = "1"
    os.environ["PARCELLE_DATABASE_POOL"] = "0"
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", interactive=False)
