"""Databases and roles on a PostgreSQL server, made so that they can be made twice."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg
from psycopg import conninfo, errors, sql

from parcelle.domain.provisioning.errors import ProvisioningError, TargetUnreachable, TryAgain


class PostgresServer:
    """One server, reached as a role that may create databases and roles but is no superuser."""

    def __init__(self, url: str) -> None:
        self.url = url

    @contextlib.contextmanager
    def connect(self, database: str = "postgres", **overrides: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
        try:
            connection = psycopg.connect(
                conninfo.make_conninfo(self.url, dbname=database, connect_timeout="5", **overrides), autocommit=True
            )
        except psycopg.OperationalError as error:
            raise TargetUnreachable("PostgreSQL for instances does not answer: start it, then try again.") from error
        try:
            yield connection
        except (errors.AdminShutdown, errors.CannotConnectNow, errors.ConnectionException) as error:
            raise TargetUnreachable("PostgreSQL for instances was stopped: start it, then try again.") from error
        except (errors.DiskFull, errors.TooManyConnections, errors.ObjectInUse) as error:
            raise TryAgain(f"PostgreSQL refused: {type(error).__name__}") from error
        except psycopg.OperationalError as error:
            raise TryAgain(f"PostgreSQL broke off: {type(error).__name__}") from error
        except psycopg.Error as error:
            # The text of the error may quote the statement and with it a password.
            raise ProvisioningError(f"PostgreSQL refused: {type(error).__name__} ({error.sqlstate})") from error
        finally:
            connection.close()

    @property
    def socket_folder(self) -> str:
        return str(conninfo.conninfo_to_dict(self.url).get("host") or "localhost")

    @property
    def port(self) -> str:
        return str(conninfo.conninfo_to_dict(self.url).get("port") or "5432")

    def version(self) -> str:
        with self.connect() as connection:
            return str(_one(connection, "SHOW server_version"))

    def ensure_role(self, name: str, password: str | None) -> None:
        """A role that can sign in with `password` (None: nobody can), with no other right."""
        with self.connect() as connection, _serialised(connection, name):
            options: sql.Composable = sql.SQL("NOLOGIN")
            if password is not None:
                # Hashed here, so that the password itself never reaches the server or its log.
                hashed = connection.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256")
                options = sql.SQL("LOGIN PASSWORD {}").format(sql.Literal(hashed.decode()))
            exists = _one(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", name)
            verb = sql.SQL("ALTER ROLE {} {}" if exists else "CREATE ROLE {} {}")
            connection.execute(verb.format(sql.Identifier(name), options))

    def has_database(self, name: str) -> bool:
        with self.connect() as connection:
            return bool(_one(connection, "SELECT 1 FROM pg_database WHERE datname = %s", name))

    def names(self, prefix: str) -> tuple[set[str], set[str]]:
        """(databases, roles) whose names begin with `prefix`."""
        with self.connect() as connection:
            databases = connection.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", (prefix,))
            roles = connection.execute("SELECT rolname FROM pg_roles WHERE starts_with(rolname, %s)", (prefix,))
            return {str(name) for (name,) in databases}, {str(name) for (name,) in roles}

    def ensure_empty_database(self, name: str, *, role: str) -> None:
        """An empty database in which `role` can create tables and that nobody else can enter."""
        with self.connect() as connection, _serialised(connection, name):
            if not _one(connection, "SELECT 1 FROM pg_database WHERE datname = %s", name):
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            self._admit_only(connection, name, role)
        with self.connect(name) as inside:
            inside.execute(sql.SQL("GRANT ALL ON SCHEMA public TO {}").format(sql.Identifier(role)))

    def ensure_clone(self, name: str, *, template: str, template_role: str, role: str) -> None:
        """A copy of database `template` in which everything belongs to `role`.

        The copy gets its name only when its objects were handed over, so that a clone that was interrupted
        is never taken for a whole one.
        """
        unfinished = f"{name}_new"
        with self.connect() as connection, _serialised(connection, name):
            if _one(connection, "SELECT 1 FROM pg_database WHERE datname = %s", name):
                return
            if not _one(connection, "SELECT 1 FROM pg_database WHERE datname = %s", unfinished):
                connection.execute(
                    sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                        sql.Identifier(unfinished), sql.Identifier(template)
                    )
                )
            self._admit_only(connection, unfinished, role)
            with self.connect(unfinished) as inside:
                inside.execute(sql.SQL("GRANT ALL ON SCHEMA public TO {}").format(sql.Identifier(role)))
                inside.execute(
                    sql.SQL("REASSIGN OWNED BY {} TO {}").format(sql.Identifier(template_role), sql.Identifier(role))
                )
            connection.execute(
                sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(unfinished), sql.Identifier(name))
            )

    @staticmethod
    def _admit_only(connection: psycopg.Connection[tuple[object, ...]], database: str, role: str) -> None:
        connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(database)))
        connection.execute(
            sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}").format(
                sql.Identifier(database), sql.Identifier(role)
            )
        )

    def drop(self, name: str, *, role: str | None) -> None:
        """Removes the database, an unfinished clone of it, and its role if given; what is not there is fine."""
        with self.connect() as connection, _serialised(connection, name):
            for database in (name, f"{name}_new"):
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))
            if role is not None:
                connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


def _one(connection: psycopg.Connection[tuple[object, ...]], query: str, *parameters: object) -> object:
    row = connection.execute(query.encode(), parameters or None).fetchone()
    return row[0] if row else None


@contextlib.contextmanager
def _serialised(connection: psycopg.Connection[tuple[object, ...]], name: str) -> Iterator[None]:
    """Keeps two workers from making the same thing at once; ends with the connection at the latest."""
    connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (name,))
    try:
        yield
    finally:
        if not connection.broken:
            connection.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (name,))
