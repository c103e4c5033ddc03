"""The program `parcelle`: the commands of `surfaces.cli`, and `up`, which needs to know everything."""

from __future__ import annotations

import os

from parcelle.surfaces import cli

COMMANDS = {"up": cli.Entry("parcelle.config.up:up", "Start everything: database, site, worker, instances.")}


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "parcelle.config.settings")
    cli.run(COMMANDS)


if __name__ == "__main__":
    main()
