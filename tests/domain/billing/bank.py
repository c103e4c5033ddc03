"""Bank statements as banks write them."""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.sax.saxutils import escape, quoteattr

from tests.domain.billing.transferring import IBAN


@dataclass
class Part:
    amount: str
    text: str = ""


@dataclass
class Ntry:
    amount: str
    currency: str = "EUR"
    day: str = "2026-03-02"
    booked: str = "2026-03-01"
    ref: str = "R-1"
    payer: str = "DIOP SARL"
    texts: list[str] = field(default_factory=list)
    structured: str = ""
    sign: str = "CRDT"
    status: str = "BOOK"
    reversal: bool = False
    parts: list[Part] = field(default_factory=list)


def camt(*entries: Ntry, version: str = "02", account: str = IBAN) -> bytes:
    """A CAMT.053 document; from version 08 on, states and names are one level deeper."""
    body = "".join(_entry(entry, version) for entry in entries)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.{version}"><BkToCstmrStmt>'
        "<GrpHdr><MsgId>M</MsgId></GrpHdr>"
        f"<Stmt><Id>1</Id><Acct><Id><IBAN>{account}</IBAN></Id></Acct>{body}</Stmt></BkToCstmrStmt></Document>"
    ).encode()


def _entry(entry: Ntry, version: str) -> str:
    state = f"<Cd>{entry.status}</Cd>" if version >= "08" else entry.status
    reversal = "<RvslInd>true</RvslInd>" if entry.reversal else ""
    reference = f"<AcctSvcrRef>{escape(entry.ref)}</AcctSvcrRef>" if entry.ref else ""
    parts = "".join(_part(entry, part, version) for part in entry.parts) or _part(entry, None, version)
    return (
        f"<Ntry><Amt Ccy={quoteattr(entry.currency)}>{escape(entry.amount)}</Amt><CdtDbtInd>{entry.sign}</CdtDbtInd>"
        f"{reversal}<Sts>{state}</Sts><BookgDt><Dt>{escape(entry.booked)}</Dt></BookgDt>"
        f"<ValDt><Dt>{escape(entry.day)}</Dt></ValDt>{reference}<NtryDtls>{parts}</NtryDtls></Ntry>"
    )


def _part(entry: Ntry, part: Part | None, version: str) -> str:
    name = f"<Nm>{escape(entry.payer)}</Nm>"
    debtor = f"<Dbtr><Pty>{name}</Pty></Dbtr>" if version >= "08" else f"<Dbtr>{name}</Dbtr>"
    amount = (
        f'<AmtDtls><TxAmt><Amt Ccy="{entry.currency}">{part.amount}</Amt></TxAmt></AmtDtls>' if part is not None else ""
    )
    texts = [part.text] if part is not None else entry.texts
    free = "".join(f"<Ustrd>{escape(text)}</Ustrd>" for text in texts)
    structured = (
        f"<Strd><CdtrRefInf><Tp><CdOrPrtry><Cd>SCOR</Cd></CdOrPrtry></Tp><Ref>{entry.structured}</Ref></CdtrRefInf></Strd>"
        if entry.structured
        else ""
    )
    return (
        f"<TxDtls><Refs><EndToEndId>NOTPROVIDED</EndToEndId></Refs>{amount}<RltdPties>{debtor}</RltdPties>"
        f"<RmtInf>{free}{structured}</RmtInf></TxDtls>"
    )
