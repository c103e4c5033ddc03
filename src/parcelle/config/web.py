"""The web server: the site is loaded once, and each of its workers is a copy of that.

Run as `python -m parcelle.config.web ADDRESS PORT`, with PARCELLE_WEB_WORKERS. Loading takes seconds of processor time,
which every worker would spend for itself, and memory, most of which copies share.
"""

from __future__ import annotations

import gc
import os
import sys
from importlib import import_module

from granian import Granian
from granian.constants import Interfaces

from parcelle.config import environment

APPLICATION = "parcelle.config.asgi:application"


def load() -> None:
    """The site, with the addresses and translations that Django loads when somebody first asks for them in a language.

    The workers find it loaded. Nothing in it may have opened a connection or begun a thread by then.
    """
    import_module(APPLICATION.partition(":")[0])
    # Not before Django is set up.
    from django.conf import settings
    from django.urls import reverse
    from django.utils import translation

    for language, _name in settings.LANGUAGES:
        with translation.override(language):
            reverse("admin:index")


def main(address: str, port: int) -> None:
    load()
    # Collecting would write to what is shared, and never find anything in it.
    gc.collect()
    gc.freeze()
    Granian(
        APPLICATION,
        address=address,
        port=port,
        # Without the protocol for starting and ending, which Django does not speak.
        interface=Interfaces.ASGINL,
        workers=environment.number("PARCELLE_WEB_WORKERS", min(2, os.cpu_count() or 1)),
        websockets=False,
        # Pages that listen for events stay open for ever: a shutdown must not wait for them.
        workers_kill_timeout=2,
        respawn_failed_workers=True,
    ).serve()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
