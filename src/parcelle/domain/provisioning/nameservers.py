"""What the DNS says about a customer's domain, asked of several resolvers.

Silence is not an answer: only what a resolver says counts, and "no" only when the others do not say "yes".
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver
from django.conf import settings

SECONDS = 4.0
# Asked besides the machine's own resolver, which may be the only one to see a private view of the DNS.
PUBLIC_RESOLVERS = ("1.1.1.1", "9.9.9.9")
PROOF_LABEL, PROOF_WORD = "_parcelle", "parcelle-verification="


@dataclass(frozen=True)
class Wanted:
    """What should be found: `host` leads to `target` or one of `addresses`, and the proof carries `token`."""

    host: str
    target: str
    addresses: frozenset[str]
    token: str


@dataclass(frozen=True)
class Verdict:
    """`problem` is empty when all is well, else a code of `domains.PROBLEMS`; `seen` is what was found instead."""

    problem: str
    seen: str = ""


class Silent(Exception):
    """Too few resolvers answered to say anything."""


def proof_name(host: str) -> str:
    return f"{PROOF_LABEL}.{host}"


def proof_value(token: str) -> str:
    return f"{PROOF_WORD}{token}"


def judge(wanted: Wanted) -> Verdict:
    """Asks everybody. Raises Silent when fewer than half of them answer."""
    resolvers = _resolvers()
    verdicts: list[Verdict] = []
    for resolver in resolvers:
        with contextlib.suppress(Silent):
            verdicts.append(_judge(wanted, resolver))
    if not verdicts or 2 * len(verdicts) < len(resolvers):
        raise Silent
    wrong = [verdict for verdict in verdicts if verdict.problem]
    if wrong and len(wrong) < len(verdicts):
        # Records travel: some resolvers have them, others still remember the old ones.
        return Verdict("travelling", wrong[0].seen)
    return wrong[0] if wrong else Verdict("")


def _resolvers() -> Sequence[dns.resolver.Resolver]:
    places = list(settings.DNS_RESOLVERS)
    if not places:
        with contextlib.suppress(dns.resolver.NoResolverConfiguration):
            places += map(str, dns.resolver.Resolver().nameservers[:1])
        places += [place for place in PUBLIC_RESOLVERS if place not in places]
    return [_resolver(place) for place in places]


def _resolver(place: str) -> dns.resolver.Resolver:
    # "address:port"; an IPv6 address stands in brackets when a port follows.
    bracketed, _closing, rest = place.lstrip("[").partition("]")
    host, port = (bracketed, rest.lstrip(":")) if place.startswith("[") else (place, "")
    if not place.startswith("[") and place.count(":") == 1:
        host, _colon, port = place.partition(":")
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = [host], int(port or 53)
    resolver.timeout = resolver.lifetime = SECONDS
    return resolver


def _judge(wanted: Wanted, resolver: dns.resolver.Resolver) -> Verdict:
    names, addresses = _addresses(wanted.host, resolver)
    ours = wanted.addresses or _addresses(wanted.target, resolver)[1]
    # Every address must be ours: visitors and certificate authorities take any one of them.
    leads_here = wanted.target in names or (addresses and addresses <= ours)
    if not leads_here:
        seen = ", ".join([*sorted(names - {wanted.host}), *sorted(addresses)])
        return Verdict("elsewhere", seen[:500]) if seen else Verdict("no_record")
    proofs = _texts(proof_name(wanted.host), resolver)
    if proof_value(wanted.token) in proofs:
        return Verdict("")
    return Verdict("wrong_proof", ", ".join(sorted(proofs))[:500]) if proofs else Verdict("no_proof")


def _addresses(host: str, resolver: dns.resolver.Resolver) -> tuple[frozenset[str], frozenset[str]]:
    """(every name on the way, every address at its end)"""
    names, addresses = {host}, set[str]()
    for kind in ("A", "AAAA"):
        answer = _resolve(host, kind, resolver)
        if answer is None:
            continue
        for rrset in answer.response.answer:
            if rrset.rdtype == dns.rdatatype.CNAME:
                names |= {_plain(record.target) for record in rrset}
            elif rrset.rdtype in {dns.rdatatype.A, dns.rdatatype.AAAA}:
                addresses |= {str(record.address) for record in rrset}
    return frozenset(names), frozenset(addresses)


def _texts(name: str, resolver: dns.resolver.Resolver) -> frozenset[str]:
    answer = _resolve(name, "TXT", resolver)
    if answer is None or answer.rrset is None:
        return frozenset()
    return frozenset(b"".join(record.strings).decode("utf-8", "replace").strip() for record in answer.rrset)


def _resolve(name: str, kind: str, resolver: dns.resolver.Resolver) -> dns.resolver.Answer | None:
    """None when there is nothing of that kind; Silent when nobody says so."""
    try:
        return resolver.resolve(name, kind, raise_on_no_answer=False, search=False)
    except dns.resolver.NXDOMAIN:
        return None
    except dns.exception.DNSException as error:
        raise Silent from error


def _plain(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()
