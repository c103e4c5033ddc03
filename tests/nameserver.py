"""A real name server on the loopback interface, for what the DNS says about customers' domains."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


@dataclass
class NameServer:
    """`records` is (name, type) -> values. What it does not know does not exist. `silent`: it answers nobody."""

    place: str = ""
    records: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    silent: bool = False
    broken: bool = False
    asked: list[tuple[str, str]] = field(default_factory=list)

    def answer(self, data: bytes) -> bytes:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if self.broken:
            response.set_rcode(dns.rcode.SERVFAIL)
            return response.to_wire()
        for _link in range(8):
            if values := self.records.get((name, kind)):
                shown = [f'"{value}"' for value in values] if kind == "TXT" else values
                response.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", kind, *shown))
                break
            target = self.records.get((name, "CNAME"))
            if not target:
                break
            response.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", "CNAME", f"{target[0]}."))
            name = target[0]
        if not response.answer and not any(known == name for known, _kind in self.records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response.to_wire()


@contextmanager
def serving() -> Iterator[NameServer]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(0.2)
        server = NameServer(f"127.0.0.1:{listening.getsockname()[1]}")
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                try:
                    data, asker = listening.recvfrom(4096)
                except TimeoutError:
                    continue
                if not server.silent:
                    listening.sendto(server.answer(data), asker)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            over.set()
            thread.join()
