"""The server that mail leaves by: what its address may say, and a mail that really arrives there."""

from __future__ import annotations

from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from django.core.mail import EmailMessage
from django.core.mail.backends.smtp import EmailBackend

from parcelle.config import mail
from parcelle.config.mail import Server
from tests import loopback


@pytest.mark.parametrize(
    ("address", "server"),
    [
        ("smtp://mail.example.org", Server("mail.example.org", 587, "", "", starttls=True, tls=False)),
        ("smtps://zoe:p%40ss%2F@mail:2465", Server("mail", 2465, "zoe", "p@ss/", starttls=False, tls=True)),
        ("smtp+plain://127.0.0.1/", Server("127.0.0.1", 25, "", "", starttls=False, tls=False)),
    ],
)
def test_an_address_names_all_that_is_needed(address: str, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARCELLE_SMTP_URL", address)
    assert mail.server() == server


def test_without_an_address_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARCELLE_SMTP_URL", "")
    assert mail.server() is None


@pytest.mark.parametrize(
    "address", ["mail.example.org", "http://mail", "smtp://", "smtp://zoe:a/b@mail", "smtp://mail:many", "smtp://[mail"]
)
def test_what_is_no_address_is_one_sentence_without_the_password(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARCELLE_SMTP_URL", address)
    with pytest.raises(SystemExit, match="must look like") as caught:
        mail.server()
    assert "zoe" not in str(caught.value)


class _Postman:
    """Takes mail only from Zoë."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, bytes]] = []

    def __call__(
        self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, given: LoginPassword
    ) -> AuthResult:
        return AuthResult(success=(given.login, given.password) == (b"zoe", b"p@ss"))

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 aiosmtpd's own name
        self.taken.append((envelope.rcpt_tos[0], envelope.content))
        return "250 OK"


def test_a_mail_arrives_at_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    postman, port = _Postman(), loopback.free_port()
    monkeypatch.setenv("PARCELLE_SMTP_URL", f"smtp+plain://zoe:p%40ss@127.0.0.1:{port}")
    server = mail.server()
    assert server
    controller = Controller(
        postman, "127.0.0.1", port, authenticator=postman, auth_required=True, auth_require_tls=False
    )
    controller.start()
    try:
        connection = EmailBackend(
            host=server.host,
            port=server.port,
            username=server.user,
            password=server.password,
            use_tls=server.starttls,
            use_ssl=server.tls,
        )
        connection.send_messages([EmailMessage("Bienvenue", "Bonjour Zoë", "a@example.com", ["b@example.com"])])
    finally:
        controller.stop()
    ((to, content),) = postman.taken
    assert to == "b@example.com"
    assert b"Subject: Bienvenue" in content
