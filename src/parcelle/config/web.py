"""The web server: the site is loaded once, and each of its workers is a copy of that.

Run as `python -m parcelle.config.web ADDRESS PORT`, with PARCELLE_WEB_WORKERS. Loading takes seconds of processor time,
which every worker would spend for itself, and memory, most of which copies share.
"""

from __future__ import annotations

import gc
import os
import sys

from granian import Granian
from granian.constants import Interfaces

from parcelle.config import environment


def main(address: str, port: int) -> None:
    # The workers find it loaded. Nothing in it may have opened a connection or begun a thread by then.
    from parcelle.config import asgi

    asgi.load_words()
    # Collecting would write to what is shared, and never find anything in it.
    gc.collect()
    gc.freeze()
    Granian(
        f"{asgi.__name__}:application",
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
