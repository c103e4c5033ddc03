"""What widely used images need: how to see that they work, the rights they start with, how to back them up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# To take over a data folder and step down to a user of their own.
STEPPING_DOWN: Final = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID")


@dataclass(frozen=True, kw_only=True)
class KnownImage:
    """`pattern` is for the repository's last part. `dump` writes a backup to standard output, and reads it back."""

    pattern: str = ""
    health: list[str] | None = None
    capabilities: tuple[str, ...] = STEPPING_DOWN
    read_only: bool = False
    tmpfs: tuple[str, ...] = ()
    dump: tuple[tuple[str, ...], tuple[str, ...]] | None = None


_POSTGRES_AS: Final = '--username="$${POSTGRES_USER:-postgres}" --dbname="$${POSTGRES_DB:-$${POSTGRES_USER:-postgres}}"'
_AS: Final = _POSTGRES_AS.replace("$$", "$")
KNOWN: Final = (
    KnownImage(
        pattern=r"postgres|postgis|timescaledb|pgvector",
        # Over TCP: the server that fills the cluster at first listens on its socket alone.
        health=["CMD-SHELL", f"pg_isready --quiet --host=127.0.0.1 {_POSTGRES_AS}"],
        read_only=True,
        tmpfs=("/run/postgresql", "/tmp"),  # noqa: S108
        dump=(
            ("sh", "-c", f"pg_dump --format=custom {_AS}"),
            ("sh", "-c", f"pg_restore --clean --if-exists --exit-on-error --single-transaction {_AS}"),
        ),
    ),
    KnownImage(
        pattern=r"mariadb",
        health=["CMD", "healthcheck.sh", "--connect", "--innodb_initialized"],
        read_only=True,
        tmpfs=("/run/mysqld", "/tmp"),  # noqa: S108
    ),
    KnownImage(
        pattern=r"mysql",
        health=["CMD-SHELL", "mysqladmin ping --host=127.0.0.1 --silent"],
        read_only=True,
        tmpfs=("/run/mysqld", "/tmp"),  # noqa: S108
    ),
    KnownImage(pattern=r"redis|valkey", health=["CMD-SHELL", "redis-cli ping | grep -q PONG"], read_only=True),
    KnownImage(pattern=r"rabbitmq", health=["CMD", "rabbitmq-diagnostics", "-q", "ping"]),
    KnownImage(pattern=r"mongo", health=["CMD-SHELL", "mongosh --quiet --eval 'db.runCommand({ping: 1})'"]),
    KnownImage(pattern=r"memcached", health=["CMD-SHELL", "echo version | nc -w 1 127.0.0.1 11211"], capabilities=()),
)
