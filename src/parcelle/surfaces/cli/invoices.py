"""`parcelle invoices`: the proof that no issued document was changed, the documents themselves, and what waits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from django.utils import timezone

from parcelle.domain.billing import invoicing
from parcelle.domain.billing.invoicing import chain, queries
from parcelle.domain.billing.models import Invoice, InvoiceFile
from parcelle.surfaces.cli.output import AsJson, fail, print_json

app = typer.Typer(add_completion=False, no_args_is_help=True)

_WHAT = {
    "xml": "its XML was changed",
    "pdf": "its PDF was changed",
    "row": "what is stored about it was changed",
    "chain": "it no longer follows the document before it",
    "missing": "it is missing",
    "end": "documents at its end are missing",
}


@app.command("verify", help="Check that every issued document is as it was issued.")
def verify(as_json: AsJson = False) -> None:
    """Check the chain over all documents; exit code 1 when one was changed or is missing."""
    broken = list(chain.verify())
    count = InvoiceFile.objects.count()
    if as_json:
        print_json({"documents": count, "broken": [{"number": each.number, "what": each.what} for each in broken]})
    else:
        for each in broken:
            typer.echo(f"{each.number}: {_WHAT[each.what]}.")
        if not broken:
            typer.echo(f"{count} documents are as they were issued.")
    if broken:
        raise typer.Exit(1)


@app.command("waiting", help="List the drafts that cannot get their number yet, and why.")
def waiting(as_json: AsJson = False) -> None:
    """List the drafts that should have their number by now."""
    drafts = Invoice.objects.filter(pk__in=list(invoicing.waiting(timezone.now()))).select_related("organization")
    if as_json:
        print_json([_shown(draft) for draft in drafts])
        return
    for draft in drafts:
        why = ", ".join(_missing(draft)) or "not tried yet"
        typer.echo(f"{draft.organization.slug}  {draft.total}  {why}")
    if not drafts:
        typer.echo("Nothing waits.")


def _shown(draft: Invoice) -> dict[str, object]:
    who, total = draft.organization.slug, str(draft.total)
    return {"id": draft.pk, "organization": who, "total": total, "missing": _missing(draft)}


def _missing(draft: Invoice) -> list[str]:
    return [problem["code"] for problem in draft.problems]


@app.command("export", help="Write one document to a file.")
def export(
    number: Annotated[str, typer.Argument(help="Its number.", metavar="NUMBER")],
    form: Annotated[str, typer.Option(help="pdf, xml (CII) or ubl.")] = "pdf",
    folder: Annotated[Path, typer.Option(help="Where to.")] = Path(),
) -> None:
    """Write one document to a file."""
    invoice = Invoice.objects.filter(number=number).first()
    if invoice is None or form not in queries.MEDIA_TYPES:
        fail(f"There is no {form} of a document {number!r}.")
    document = queries.download(invoice, form)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / document.filename
    path.write_bytes(document.content)
    typer.echo(str(path))
