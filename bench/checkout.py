"""Claims about selling, on 2 cores with the site as `parcelle up` runs it (granian, ASGI) and the null provider.

- `/pricing` is served at >= 40 % of the rate of a bare Django view under the same server.
- Payment services' messages are acknowledged, which means stored with their job, at >= 500 per second.
- From the order to the payment page takes p95 <= 150 ms while 50 customers are ordering. Each of them fills in the
  form for 2 to 4 seconds in between, which is fast for a person: about 16 orders begin per second. What 50 meet who
  send each form the moment they have it is printed as well: that is a queue, as long as 50 orders take two cores.

Run: `.venv/bin/python bench/checkout.py`, or with the names of some of its parts: `pages`, `messages`, `orders`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import os
import random
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from harness import claim, cpu_seconds, free_port, percentile, processor_time, running_system, summary

CONNECTIONS = 8
SECONDS = 4.0
ROUNDS = 3
RATIO = 0.40
MESSAGES, MESSAGES_PER_SECOND = 3000, 500
CUSTOMERS, ORDERS_EACH, MILLISECONDS = 50, 6, 150
# How long a customer takes for the form, in seconds.
THINKING = (2, 4)
SECRET = "s" * 32
# A Django without anything, as the site's own pages are served: what every page is measured against.
BARE = """
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

from parcelle.core.threaded import Threaded

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="bare", MIDDLEWARE=[])
urlpatterns = [path("bare", lambda request: HttpResponse("bare"))]
application = Threaded(get_wsgi_application(), threads=16)
"""


# --- a client that costs little -----------------------------------------------------------------------------


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    cookies: list[str]
    body: bytes


@dataclass
class Line:
    """One kept connection, with the cookies of one browser."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    host: str
    jar: dict[str, str] = field(default_factory=dict)

    async def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}", "Accept-Language: fr-FR"]
        if self.jar:
            lines.append("Cookie: " + "; ".join(f"{name}={value}" for name, value in self.jar.items()))
        if method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        answer = await self._read()
        for cookie in answer.cookies:
            name, _equals, value = cookie.partition(";")[0].partition("=")
            self.jar[name] = value
        return answer

    async def _read(self) -> Answer:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = [line.partition(": ") for line in head[1:] if line]
        headers = {name.lower(): value for name, _colon, value in pairs}
        cookies = [value for name, _colon, value in pairs if name.lower() == "set-cookie"]
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(await self.reader.readuntil(b"\r\n"), 16):
                body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readexactly(2)
        else:
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return Answer(int(head[0].split()[1]), headers, cookies, body)


@contextlib.asynccontextmanager
async def line_to(address: str) -> AsyncIterator[Line]:
    parts = urlsplit(address)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        yield Line(reader, writer, f"localhost:{parts.port}")
    finally:
        writer.close()


# --- pages --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def bare_view(folder: Path) -> Iterator[str]:
    """The bare view under granian with the site's own options and as many workers."""
    (folder / "bare.py").write_text(BARE)
    port = free_port()
    options = {
        "--interface": "asginl",
        "--host": "127.0.0.1",
        "--port": str(port),
        "--workers": str(min(2, os.cpu_count() or 1)),
        "--workers-kill-timeout": "2",
        "--log-level": "warning",
    }
    command = [sys.executable, "-m", "granian", "--no-ws", *chain.from_iterable(options.items()), "bare:application"]
    process = subprocess.Popen(command, cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)})
    try:
        for _try in range(200):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/bare", timeout=2):
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


async def rate(address: str, path: str, seconds: float = SECONDS) -> float:
    """Answers per second over a few kept connections, each of a visitor who comes for the first time."""
    done, until = 0, time.monotonic() + seconds

    async def visit() -> None:
        nonlocal done
        async with line_to(address) as line:
            while time.monotonic() < until:
                line.jar.clear()
                answer = await line.ask("GET", path)
                assert answer.status == 200, answer.status
                done += 1

    await asyncio.gather(*(visit() for _number in range(CONNECTIONS)))
    return done / seconds


def pages(address: str, folder: Path) -> bool:
    with bare_view(folder) as bare:
        for where, path in ((address, "/pricing"), (bare, "/bare")):
            asyncio.run(rate(where, path, 1.0))
        ratios = []
        for _round in range(ROUNDS):
            # One after the other and again, so that what else the machine does falls on both.
            ours, theirs = asyncio.run(rate(address, "/pricing")), asyncio.run(rate(bare, "/bare"))
            print(f"/pricing {ours:.0f} / s, a bare view {theirs:.0f} / s: {ours / theirs:.0%}", flush=True)
            ratios.append(ours / theirs)
    ratio = percentile(ratios, 50)
    return claim(
        f"/pricing: >= {RATIO:.0%} of a bare Django view under the same server", f"{ratio:.0%}", ratio >= RATIO
    )


# --- messages -----------------------------------------------------------------------------------------------


def messages(address: str, home: Path) -> bool:
    from parcelle.domain.billing.models import GatewayEvent

    async def send(numbers: list[int], taken: list[float]) -> None:
        async with line_to(address) as line:
            for number in numbers:
                body = json.dumps({"id": f"bench-{number}", "kind": "charge.approved", "payment": str(uuid.uuid4())})
                signature = hmac.new(SECRET.encode(), body.encode(), hashlib.sha256).hexdigest()
                begun = time.monotonic()
                answer = await line.ask(
                    "POST",
                    "/webhooks/fake",
                    body.encode(),
                    Content_Type="application/json",
                    X_Test_Payment_Signature=signature,
                )
                taken.append(time.monotonic() - begun)
                assert answer.status == 200, answer.status

    async def all_of_them(first: int, many: int) -> tuple[float, list[float]]:
        taken: list[float] = []
        begun = time.monotonic()
        lines = 2 * CONNECTIONS
        await asyncio.gather(*(send(list(range(first + at, first + many, lines)), taken) for at in range(lines)))
        return time.monotonic() - begun, taken

    asyncio.run(all_of_them(10**6, 200))
    before = cpu_seconds(home)
    seconds, taken = asyncio.run(all_of_them(0, MESSAGES))
    begun = time.monotonic()
    print(processor_time(before, cpu_seconds(home), MESSAGES, "message acknowledged"))
    while GatewayEvent.objects.filter(state=GatewayEvent.RECEIVED).exists() and time.monotonic() < begun + 60:
        time.sleep(0.1)
    print(f"the last one dealt with {time.monotonic() - begun:.1f} s after the last was acknowledged")
    stored = GatewayEvent.objects.filter(event_id__startswith="bench-").count() - 200
    print(f"acknowledged: {summary(taken)}")
    per_second = MESSAGES / seconds
    return all(
        (
            claim(
                f"messages of payment services: >= {MESSAGES_PER_SECOND} / s acknowledged",
                f"{per_second:.0f} / s",
                per_second >= MESSAGES_PER_SECOND,
            ),
            claim("messages: what is acknowledged is stored", f"{stored} of {MESSAGES}", stored == MESSAGES),
        )
    )


# --- orders -------------------------------------------------------------------------------------------------


def orders(address: str, home: Path) -> bool:
    from parcelle.domain.billing.models import FakeCharge
    from parcelle.domain.catalog.models import Price

    price = Price.objects.get(plan__slug="silver", interval="month", currency="EUR", retired_at=None)

    async def customer(number: int, orders: int, think: Callable[[], float], taken: list[float]) -> None:
        async with line_to(address) as line:
            for again in range(orders):
                line.jar.clear()
                page = await line.ask("GET", f"/register?price={price.pk}")
                assert page.status == 200, page.status
                token = page.body.split(b'name="csrfmiddlewaretoken" value="')[1].split(b'"')[0].decode()
                await asyncio.sleep(think())
                said = {
                    "csrfmiddlewaretoken": token,
                    "price": price.pk,
                    "submission": uuid.uuid4(),
                    "terms": "on",
                    "last_name": "Diop",
                    "first_name": "Awa",
                    "company": "Diop",
                    "country": "FR",
                    "email": f"bench-{number}-{again}@example.com",
                    "phone": "+33612345678",
                    "address": "1 rue de la Paix",
                    "postcode": "75002",
                    "city": "Paris",
                }
                form = {"Content_Type": "application/x-www-form-urlencoded"}
                begun = time.monotonic()
                made = await line.ask("POST", "/register", urlencode(said).encode(), **form)
                assert made.status == 302, made.status
                choice = urlencode({"csrfmiddlewaretoken": token, "gateway": "fake"}).encode()
                paying = await line.ask("POST", made.headers["location"] + "/pay", choice, **form)
                assert paying.status == 302, paying.status
                shown = await line.ask("GET", urlsplit(paying.headers["location"]).path)
                assert shown.status == 200, shown.status
                taken.append(time.monotonic() - begun)

    async def everybody(customers: int, each: int, think: Callable[[], float]) -> list[float]:
        taken: list[float] = []
        await asyncio.gather(*(customer(number, each, think, taken) for number in range(customers)))
        return taken

    asyncio.run(everybody(4, 5, lambda: 0.0))
    begun = time.monotonic()
    crowd = asyncio.run(everybody(CUSTOMERS, 4, lambda: 0.0))
    print(
        f"{CUSTOMERS} at once who do not think at all: {len(crowd) / (time.monotonic() - begun):.0f} orders / s, "
        f"{summary(crowd)}"
    )
    charges, before = FakeCharge.objects.count(), cpu_seconds(home)
    chance = random.Random(1)
    begun = time.monotonic()
    taken = asyncio.run(everybody(CUSTOMERS, ORDERS_EACH, lambda: chance.uniform(*THINKING)))
    made = FakeCharge.objects.count() - charges
    print(f"{CUSTOMERS} at once with pauses: {made / (time.monotonic() - begun):.1f} orders / s")
    print(processor_time(before, cpu_seconds(home), made, "order, with the page of the form"))
    print(f"from the order to the payment page: {summary(taken)}")
    p95 = 1000 * percentile(taken, 95)
    return all(
        (
            claim(
                f"order to payment page, {CUSTOMERS} customers, each {THINKING[0]} to {THINKING[1]} s at the form: "
                f"p95 <= {MILLISECONDS} ms",
                f"{p95:.0f} ms",
                p95 <= MILLISECONDS,
            ),
            claim("orders: one attempt for each", f"{made} of {len(taken)}", made == len(taken)),
        )
    )


def main() -> bool:
    with running_system(PARCELLE_DEMO="0", PARCELLE_RATE_LIMITS="0") as (address, home):
        import django

        django.setup()
        from parcelle.core import context

        context.of_process(context.Platform.COMMANDS)
        from django.conf import settings
        from django.utils import timezone

        from parcelle.domain.billing.models import GatewaySettings
        from parcelle.domain.provisioning.models import Target
        from parcelle.journeys import demo

        settings.DEMO = True
        Target.objects.create(name="local", provider="null", capacity=100_000)
        demo.ensure(now=timezone.now(), pool_size=0)
        GatewaySettings.objects.update(values={"secret": SECRET})
        parts = {
            "pages": lambda: pages(address, home),
            "messages": lambda: messages(address, home),
            "orders": lambda: orders(address, home),
        }
        # Every figure is printed, also after one that misses its claim.
        met = [parts[name]() for name in sys.argv[1:] or parts]
        return all(met)


if __name__ == "__main__":
    sys.exit(not main())
