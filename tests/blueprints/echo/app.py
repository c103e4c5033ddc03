"""The smallest application that can be sold: it has one user, kept in its own database, who can sign in.

`init` creates its table and the user `owner`; `serve` answers on its port. ECHO_MISBEHAVE makes it go wrong.
"""

import json
import os
import secrets
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg

MISBEHAVE = os.environ.get("ECHO_MISBEHAVE", "")
SETTINGS = json.loads(Path(sys.argv[2]).read_text())
SESSIONS: set[str] = set()
UNANSWERED: list[str] = []


def init() -> None:
    if MISBEHAVE == "hopeless":
        raise SystemExit(f"cannot be initialised with {SETTINGS['template_password']}")
    with psycopg.connect() as database:
        database.execute(
            "CREATE TABLE person (id int PRIMARY KEY, login text, password text, company text, become int)"
        )
        database.execute("INSERT INTO person VALUES (1, 'owner', %s, '', 0)", [SETTINGS["template_password"]])


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send(200, {"application": "echo"})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with psycopg.connect() as database:
            if UNANSWERED:
                UNANSWERED.pop()
            elif self.path == "/sign-in":
                self.sign_in(database, asked)
            elif self.headers.get("Authorization", "").removeprefix("Session ") not in SESSIONS:
                self.send(401, {"error": "sign in first"})
            elif MISBEHAVE == "shouting":
                print("I was given", asked["password"], flush=True)
                self.send(200, {"error": f"the password {asked['password']} is not to my taste"})
            else:
                database.execute(
                    "UPDATE person SET login = %s, password = %s, company = %s, become = become + 1",
                    [asked["login"], asked["password"], asked["company"]],
                )
                database.commit()
                if MISBEHAVE == "tongue-tied":
                    UNANSWERED.append("the next one too")
                    return
                self.send(200, {"error": None})

    def sign_in(self, database: psycopg.Connection[Any], asked: dict[str, str]) -> None:
        query = "SELECT company FROM person WHERE login = %s AND password = %s"
        row = database.execute(query, [asked["login"], asked["password"]]).fetchone()
        if row is None:
            self.send(200, {"session": None})
            return
        session = secrets.token_hex(8)
        SESSIONS.add(session)
        self.send(200, {"session": session, "company": row[0]})

    def send(self, status: int, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: Any) -> None:
        print(*words, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if sys.argv[1] == "init":
        init()
    elif MISBEHAVE == "dying":
        raise SystemExit("I would rather not")
    elif MISBEHAVE == "silent":
        signal.pause()
    else:
        if MISBEHAVE == "slow":
            time.sleep(4)
        ThreadingHTTPServer((SETTINGS["host"], int(SETTINGS["port"])), Answer).serve_forever()
