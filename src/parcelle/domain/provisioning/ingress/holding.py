"""Answers on the ports of suspended instances: `python -m parcelle.domain.provisioning.ingress.holding <folder>`.

Every `<port>.json` in the folder is a port to listen on; every request there gets that page.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import http
import sys
from pathlib import Path

from parcelle.domain.provisioning.ingress.page import Page

LOOK_SECONDS = 0.1
REQUEST_SECONDS = 5


async def _answer(file: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(Exception):
        async with asyncio.timeout(REQUEST_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
            page = Page.from_json(await asyncio.to_thread(file.read_text))
            asked = _headers(head.decode("latin-1"))
            headers, text = page.answer(
                accept=asked.get("accept", ""), accept_language=asked.get("accept-language", "")
            )
            body = text.encode()
            lines = [f"HTTP/1.1 {page.status} {http.HTTPStatus(page.status).phrase}"]
            lines += [f"{name}: {value}" for name, value in headers.items()]
            lines += [f"Content-Length: {len(body)}", "Connection: close"]
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if head.startswith(b"HEAD ") else body))
            await writer.drain()
    writer.close()


def _headers(head: str) -> dict[str, str]:
    lines = (line.partition(":") for line in head.split("\r\n")[1:])
    return {name.strip().lower(): value.strip() for name, _colon, value in lines}


def _files(folder: Path) -> dict[int, Path]:
    return {int(path.stem): path for path in folder.glob("*.json") if path.stem.isdigit()}


async def serve(folder: Path, host: str) -> None:
    """Follows the folder until it is cancelled."""
    servers: dict[int, asyncio.Server] = {}
    while True:
        wanted = _files(folder)
        for port in servers.keys() - wanted.keys():
            servers.pop(port).close()
        for port, file in wanted.items():
            if port not in servers:
                # The application may still be letting go of the port: the next look tries again.
                with contextlib.suppress(OSError):
                    servers[port] = await asyncio.start_server(
                        functools.partial(_answer, file), host, port, limit=32768
                    )
        await asyncio.sleep(LOOK_SECONDS)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1"))
