"""A small application for tests: people who can sign in, and a value, kept in PostgreSQL.

`web.py migrate` waits for the database and brings it up to date (any number of times), `web.py owner <password>` makes
the user `owner` unless there is somebody, `web.py serve` answers, `web.py health` asks the server beside it and ends
with 0 or 1.

Environment; each name ending in PASSWORD can be given as <name>_FILE:
PORT                 where it listens (8080)
PGHOST, PGPORT, PGUSER, PGDATABASE, PGPASSWORD    the database; without PGHOST it works without one
OWNER_PASSWORD       makes `migrate` do what `owner` does
APP_VERSION          shown by GET / and /healthz
WEB_START_DELAY      seconds before it listens
WEB_HEALTHY_AFTER    seconds during which /healthz says 503
WEB_UNHEALTHY_AFTER  seconds after which /healthz says 503 for good (0: never)
WEB_CRASH_AFTER      seconds after which it ends with status 9 (0: never)
WEB_ANSWER_DELAY     seconds before every answer
WEB_REFUSE_SIGN_IN   any text: nobody is let in
WEB_FAIL_MIGRATION   any text: `migrate` ends with status 7

While the file /tmp/unhealthy exists, /healthz says 503.
"""

import hashlib
import http.client
import json
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

sys.path.insert(0, "/application/packages")

import psycopg

STARTED = time.monotonic()
PORT = int(os.environ.get("PORT", "8080"))
SESSIONS: set[str] = set()
PATIENCE = 30  # seconds
TABLES = """
CREATE TABLE IF NOT EXISTS person (id int PRIMARY KEY, login text, password text, company text, become int);
CREATE TABLE IF NOT EXISTS setting (name text PRIMARY KEY, value text NOT NULL);
CREATE TABLE IF NOT EXISTS migration (version text PRIMARY KEY, at timestamptz NOT NULL DEFAULT now());
"""


def seconds(name: str) -> float:
    return float(os.environ.get(name) or 0)


def secret(name: str) -> str:
    file = os.environ.get(f"{name}_FILE")
    return Path(file).read_text().strip() if file else os.environ.get(name, "")


def hashed(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


def has_database() -> bool:
    return bool(os.environ.get("PGHOST"))


@contextmanager
def database() -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(password=secret("PGPASSWORD") or None, connect_timeout=5) as connection:
        yield connection


def migrate() -> None:
    if os.environ.get("WEB_FAIL_MIGRATION"):
        print("migration refused, as told", file=sys.stderr)
        raise SystemExit(7)
    wait_for_database()
    with database() as connection:
        connection.execute("SELECT pg_advisory_xact_lock(7)")
        connection.execute(TABLES)
        connection.execute(
            "INSERT INTO migration (version) VALUES (%s) ON CONFLICT DO NOTHING", [os.environ.get("APP_VERSION", "")]
        )
    if secret("OWNER_PASSWORD"):
        owner(secret("OWNER_PASSWORD"))
    print("migrated", flush=True)


def wait_for_database() -> None:
    """Not every platform starts things in order."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with database():
                return
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                raise
            print("waiting:", str(error).strip(), flush=True)
            time.sleep(1)


def owner(password: str) -> None:
    with database() as connection:
        connection.execute(
            "INSERT INTO person VALUES (1, 'owner', %s, '', 0) ON CONFLICT DO NOTHING", [hashed(password)]
        )


def ailment() -> str:
    """Why /healthz says 503, or an empty text."""
    age = time.monotonic() - STARTED
    if age < seconds("WEB_HEALTHY_AFTER"):
        return "still warming up"
    if 0 < seconds("WEB_UNHEALTHY_AFTER") < age or Path("/tmp/unhealthy").exists():
        return "told to be unhealthy"
    if has_database():
        try:
            with database() as connection:
                connection.execute("SELECT 1 FROM person")
        except psycopg.Error as error:
            return f"database: {error}"
    return ""


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        time.sleep(seconds("WEB_ANSWER_DELAY"))
        version = os.environ.get("APP_VERSION", "")
        if self.path == "/healthz":
            reason = ailment()
            self.send(503 if reason else 200, {"version": version, "ailment": reason})
        elif self.path == "/":
            self.send(200, {"application": "web", "version": version, "host": socket.gethostname()})
        elif self.path == "/value":
            with database() as connection:
                row = connection.execute("SELECT value FROM setting WHERE name = 'value'").fetchone()
            self.send(200, {"value": row and row[0]})
        else:
            self.send(404, {"error": "not found"})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}")
        time.sleep(seconds("WEB_ANSWER_DELAY"))
        answers = {"/sign-in": self.sign_in, "/become": self.become, "/value": self.store}
        answer = answers.get(self.path)
        if answer is None:
            self.send(404, {"error": "not found"})
        elif self.path != "/sign-in" and self.headers.get("Authorization", "").removeprefix("Session ") not in SESSIONS:
            self.send(401, {"error": "sign in first"})
        else:
            with database() as connection:
                result = answer(connection, asked)
            self.send(200, result)

    def sign_in(self, connection: psycopg.Connection[Any], asked: dict[str, str]) -> dict[str, str | None]:
        row = connection.execute(
            "SELECT company FROM person WHERE login = %s AND password = %s", [asked["login"], hashed(asked["password"])]
        ).fetchone()
        if row is None or os.environ.get("WEB_REFUSE_SIGN_IN"):
            return {"session": None}
        session = secrets.token_hex(8)
        SESSIONS.add(session)
        return {"session": session, "company": row[0]}

    def become(self, connection: psycopg.Connection[Any], asked: dict[str, str]) -> dict[str, str | None]:
        connection.execute(
            "UPDATE person SET login = %s, password = %s, company = %s, become = become + 1 WHERE id = 1",
            [asked["login"], hashed(asked["password"]), asked["company"]],
        )
        return {"error": None}

    def store(self, connection: psycopg.Connection[Any], asked: dict[str, str]) -> dict[str, str | None]:
        connection.execute(
            "INSERT INTO setting VALUES ('value', %s) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            [asked["value"]],
        )
        return {"value": asked["value"]}

    def send(self, status: int, answer: Mapping[str, str | None]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: Any) -> None:
        print(self.command, self.path, *words[1:], flush=True)


def serve() -> None:
    time.sleep(seconds("WEB_START_DELAY"))
    if seconds("WEB_CRASH_AFTER"):
        threading.Timer(seconds("WEB_CRASH_AFTER"), os._exit, [9]).start()
    print(f"listening on {PORT}", flush=True)
    ThreadingHTTPServer(("", PORT), Answer).serve_forever()


def health() -> None:
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=3)
    connection.request("GET", "/healthz")
    answer = connection.getresponse()
    print(answer.status, answer.read().decode())
    raise SystemExit(answer.status != 200)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    COMMANDS: dict[str, Callable[..., None]] = {"migrate": migrate, "owner": owner, "serve": serve, "health": health}
    COMMANDS[sys.argv[1]](*sys.argv[2:])
