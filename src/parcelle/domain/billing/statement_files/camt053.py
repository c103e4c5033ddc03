"""CAMT.053 (ISO 20022), versions 02 to 13: only names without their namespaces count, so all of them read alike.

A document type declaration is refused before anything is built: with it go external entities and those that
multiply. Names and sizes are limited; what is nested deeper than any statement is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from parcelle.core.money import Money, NotMoney
from parcelle.domain.billing.errors import StatementRefused
from parcelle.domain.billing.statement_files.base import Entry, Reading, given, keyed

_DEEPEST = 40
_MOST_ENTRIES = 50_000


def read(content: bytes) -> Reading:
    """Raises StatementRefused."""
    root = _parse(content)
    statements = list(root.iter("Stmt"))
    if root.tag != "Document" or not statements:
        raise StatementRefused("not_a_statement")
    entries: list[Entry] = []
    unreadable: list[str] = []
    left_out = 0
    for statement in statements:
        account = _text(statement, "Acct/Id/IBAN") or _text(statement, "Acct/Id/Othr/Id")
        for number, entry in enumerate(statement.findall("Ntry"), 1):
            if not _is_credit(entry):
                left_out += 1
                continue
            try:
                entries += _money_in(entry, account.replace(" ", "").upper()[:34])
            except ValueError as error:
                unreadable.append(f"Ntry {number}: {error}"[:200])
            if len(entries) > _MOST_ENTRIES:
                raise StatementRefused("too_large")
    return Reading(entries=keyed(entries), left_out=left_out, unreadable=unreadable)


def _parse(content: bytes) -> Element:
    builder, depth = TreeBuilder(), 0
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise StatementRefused("not_a_statement", "too deep")
        builder.start(name.rpartition(" ")[2], attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name.rpartition(" ")[2])

    def refuse(*_declaration: object) -> None:
        raise StatementRefused("forbidden_xml")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    try:
        parser.Parse(content, True)
        return builder.close()
    except (expat.ExpatError, LookupError, ValueError, AssertionError) as error:
        raise StatementRefused("not_a_statement", str(error)[:200]) from None


def _is_credit(entry: Element) -> bool:
    """Booked money that came in and was not taken back."""
    status = _text(entry, "Sts/Cd") or _text(entry, "Sts")
    return (
        _text(entry, "CdtDbtInd") == "CRDT"
        and _text(entry, "RvslInd").lower() not in {"true", "1"}
        and status in {"", "BOOK"}
    )


def _money_in(entry: Element, account: str) -> Iterator[Entry]:
    """The transactions of an entry, or the entry itself where it does not tell their amounts."""
    whole = _amount(entry.find("Amt"))
    booked, valued = _date(entry, "BookgDt"), _date(entry, "ValDt")
    day = valued or booked
    if day is None:
        raise ValueError("no date")
    reference = given(_text(entry, "AcctSvcrRef"))
    parts = entry.findall("NtryDtls/TxDtls")
    amounts = [_amount_of_part(part, whole) for part in parts]
    if len(parts) > 1 and (None in amounts or sum(one.minor for one in amounts if one) != whole.minor):
        # It does not say what each of them is: one sum, with everything that is written about it.
        holder = Element("TxDtls")
        for part in parts:
            holder.extend(list(part))
        parts, amounts = [holder], [whole]
    for part, amount in zip(parts or [entry], amounts or [whole], strict=True):
        own = given(_text(part, "Refs/AcctSvcrRef")) or given(_text(part, "Refs/TxId"))
        yield Entry(
            account=account,
            amount=amount if len(parts) > 1 and amount else whole,
            value_date=day,
            booking_date=booked,
            bank_reference=(own or reference) if len(parts) > 1 else (reference or own),
            payer=_payer(part)[:140],
            text=_words(part, entry)[:500],
            remittance=_remittance(part, entry),
        )


def _amount_of_part(part: Element, whole: Money) -> Money | None:
    found = part.find("Amt")
    if found is None:
        found = part.find("AmtDtls/TxAmt/Amt")
    if found is None:
        return None
    amount = _amount(found)
    return amount if amount.currency == whole.currency else None


def _amount(element: Element | None) -> Money:
    """Raises ValueError (NotMoney is one)."""
    if element is None or not element.text:
        raise ValueError("no amount")
    try:
        amount = Decimal(element.text.strip())
    except InvalidOperation:
        raise NotMoney(f"{element.text[:30]!r} is no amount") from None
    money = Money.of(amount, element.get("Ccy", ""))
    if not 0 < money.minor < 10**15:
        raise NotMoney(f"{element.text[:30]!r} is no amount that came in")
    return money


def _date(entry: Element, name: str) -> date | None:
    text = _text(entry, f"{name}/Dt") or _text(entry, f"{name}/DtTm")
    return datetime.fromisoformat(text[:10]).date() if text else None


def _payer(part: Element) -> str:
    for path in ("RltdPties/Dbtr/Nm", "RltdPties/Dbtr/Pty/Nm", "RltdPties/UltmtDbtr/Nm", "RltdPties/UltmtDbtr/Pty/Nm"):
        if name := _text(part, path):
            return name
    return ""


def _remittance(part: Element, entry: Element) -> tuple[str, ...]:
    """Where a reference may stand; the lines of free text as one, because banks cut wherever a line is full."""
    found = [one.text or "" for one in part.findall("RmtInf/Strd/CdtrRefInf/Ref")]
    found.append("".join(_free_text(part)))
    found += [given(_text(part, "Refs/EndToEndId")), _text(part, "AddtlTxInf"), _text(entry, "AddtlNtryInf")]
    return tuple(text for text in found if text)


def _words(part: Element, entry: Element) -> str:
    """The same for people: every line for itself, and nothing twice."""
    whole = "".join(_free_text(part))
    texts = [*_free_text(part), *(text for text in _remittance(part, entry) if text != whole)]
    return " ".join(" ".join(text.split()) for text in dict.fromkeys(texts))


def _free_text(part: Element) -> list[str]:
    return [one.text or "" for one in part.findall("RmtInf/Ustrd")]


def _text(element: Element, path: str) -> str:
    found = element.find(path)
    return (found.text or "").strip() if found is not None else ""
