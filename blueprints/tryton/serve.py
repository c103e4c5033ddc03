"""Serves one instance of Tryton: one database, one port. Run as: python serve.py <trytond.conf> <database>

What `trytond -d <database>` does, and four things more:

- It starts faster: the garbage collector rests while the application's long-lived objects are made. A moment later
  it loads what the first write would otherwise wait for.
- Only this instance's database exists. Tryton opens a connection pool for any database name that an anonymous visitor
  puts in the address and makes them wait 30 s for it; here that is a 404 at once.
- The web client knows its database and does not show its name: with `list = False` it would ask the visitor to type it.
- Over plain http (no TLS in front yet) the session cookie loses `Secure`, which Tryton always sets: a browser throws
  such a cookie away on any host but localhost, and nobody could sign in.
"""

import gc
import json
import logging
import sys
import threading
from base64 import urlsafe_b64encode
from http import HTTPStatus
from pathlib import Path

gc.disable()

from trytond import config

config.update_etc(sys.argv[1])

from trytond.pool import Pool
from trytond.transaction import Transaction
from trytond.wsgi import app
from werkzeug.serving import run_simple

# Seconds. A standby has long done it when a customer claims it; whoever waits for a new instance is not kept waiting.
WARM_AFTER = 3


class Front:
    """WSGI middleware: what a visitor may reach of this instance."""

    def __init__(self, inner, database, root):
        self.inner = inner
        self.avatars = "/avatar/" + urlsafe_b64encode(database.encode()).decode().rstrip("=") + "/"
        self.known = {
            "",
            "rpc",
            database,
            *(entry.name for entry in Path(root).iterdir()),
        }
        self.pages = {
            "/custom.js": (
                "text/javascript",
                f"Sao.DB.list = () => jQuery.when([{json.dumps(database)}]);\n",
            ),
            "/custom.css": (
                "text/css",
                ".login-dialog .form-group:has(> #database) { display: none; }\n",
            ),
            "/favicon.ico": ("image/x-icon", ""),
        }

    def __call__(self, environ, start_response):
        path = environ.get("PATH_INFO", "")
        if path in self.pages:
            return answer(start_response, HTTPStatus.OK, *self.pages[path])
        if path.lstrip("/").split("/", 1)[0] not in self.known and not path.startswith(self.avatars):
            return answer(start_response, HTTPStatus.NOT_FOUND, "text/plain", "Not found\n")
        if "https" in (
            environ["wsgi.url_scheme"],
            environ.get("HTTP_X_FORWARDED_PROTO"),
        ):
            return self.inner(environ, start_response)

        def start_without_secure(status, headers, exc_info=None):
            return start_response(status, [plain_cookie(header) for header in headers], exc_info)

        return self.inner(environ, start_without_secure)


def answer(start_response, status, kind, text):
    body = text.encode()
    headers = [
        ("Content-Type", f"{kind}; charset=utf-8"),
        ("Content-Length", str(len(body))),
    ]
    start_response(f"{status.value} {status.phrase}", headers)
    return [body]


def plain_cookie(header):
    name, value = header
    return (name, value.replace("; Secure", "")) if name.lower() == "set-cookie" else header


def warm(database):
    """Does once, without leaving a trace, what the first sign-in and the first write would be slow at."""
    for language in ("fr", "en"):
        # Every write is logged, and the first log entry reads the names of all models in the user's language.
        with Transaction().start(database, 0, context={"language": language}, readonly=True):
            Pool().get("ir.model.log").get_models()
    with Transaction().start(database, 0) as transaction:
        Party = Pool().get("party.party")
        for party in Party.search([], limit=1):
            Party.write([party], {"name": party.name})
        transaction.rollback()


def main(database):
    logging.basicConfig(level=logging.ERROR, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    Pool.start()
    Pool(database).init()
    gc.freeze()
    gc.enable()
    later = threading.Timer(WARM_AFTER, warm, [database])
    later.daemon = True
    later.start()
    app.wsgi_app = Front(app.wsgi_app, database, config.get("web", "root"))
    host, port = config.split_netloc(config.get("web", "listen"))
    run_simple(host, port, app, threaded=True)


if __name__ == "__main__":
    main(sys.argv[2])
