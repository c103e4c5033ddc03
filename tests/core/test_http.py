from __future__ import annotations

import pytest

from parcelle.core import http
from tests import loopback


def test_an_answer_is_an_answer_whatever_its_status() -> None:
    with loopback.answering(lambda _seen: (503, {"busy": True})) as server:
        response = http.request("POST", f"{server.url}/orders", json={"a": 1}, headers={"X-Key": "k"})
    assert (response.status_code, response.json()) == (503, {"busy": True})
    assert (server.seen[0].path, server.seen[0].body, server.seen[0].headers["X-Key"]) == ("/orders", {"a": 1}, "k")


def test_nobody_listening_means_that_nothing_was_done() -> None:
    with pytest.raises(http.OutsideError, match="cannot be reached") as caught:
        http.request("POST", f"http://127.0.0.1:{loopback.free_port()}/pay")
    assert not caught.value.unknown


def test_silence_after_sending_means_that_it_may_have_been_done() -> None:
    with loopback.raw(None) as url, pytest.raises(http.OutsideError) as caught:
        http.request("POST", f"{url}/pay", timeout=0.1)
    assert caught.value.unknown


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf", b"not HTTP at all\r\n"])
def test_a_connection_that_breaks_after_sending_means_that_it_may_have_been_done(reply: bytes) -> None:
    with loopback.raw(reply) as url, pytest.raises(http.OutsideError) as caught:
        http.request("POST", f"{url}/pay", timeout=2)
    assert caught.value.unknown


def test_an_error_never_shows_the_query_or_the_password_of_an_address() -> None:
    with pytest.raises(http.OutsideError) as caught:
        http.request("GET", f"http://ann:hunter2@127.0.0.1:{loopback.free_port()}/?token=hunter2")
    assert "hunter2" not in str(caught.value)


def test_a_redirect_is_not_followed() -> None:
    with loopback.answering(lambda _seen: (302, None)) as server:
        assert http.request("GET", server.url).status_code == 302
    assert len(server.seen) == 1


@pytest.mark.parametrize("url", ["http://[broken", "nonsense", "http://"])
def test_an_address_that_is_none_was_certainly_not_called(url: str) -> None:
    with pytest.raises(http.OutsideError) as caught:
        http.request("GET", url)
    assert not caught.value.unknown


def test_a_header_that_cannot_be_sent_was_certainly_not_sent() -> None:
    with loopback.answering(lambda _seen: (200, None)) as server, pytest.raises(http.OutsideError) as caught:
        http.request("GET", server.url, headers={"X-Company": "two\nlines"})
    assert not caught.value.unknown


def test_a_cookie_is_given_back_to_nobody() -> None:
    with loopback.raw(
        b"HTTP/1.1 200 OK\r\nSet-Cookie: session=of-somebody; Path=/\r\nContent-Length: 0\r\n\r\n"
    ) as url:
        http.request("POST", url)
    with loopback.answering(lambda _seen: (200, None)) as server:
        http.request("GET", server.url)
    assert "Cookie" not in server.seen[0].headers


def test_a_long_answer_is_read_as_it_comes() -> None:
    with (
        loopback.answering(lambda _seen: (200, "x" * 100_000)) as server,
        http.stream("GET", f"{server.url}/log", params={"tail": "5"}) as response,
    ):
        assert response.status_code == 200
        assert len(b"".join(response.iter_raw())) == 100_002
    assert server.seen[0].path == "/log?tail=5"


def test_an_answer_that_breaks_off_while_it_is_read_is_unknown() -> None:
    with (
        loopback.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf") as url,
        pytest.raises(http.OutsideError) as caught,
        http.stream("GET", url) as response,
    ):
        b"".join(response.iter_raw())
    assert caught.value.unknown


def test_an_error_of_the_reader_is_the_readers_own() -> None:
    with (
        loopback.answering(lambda _seen: (200, None)) as server,
        pytest.raises(ValueError, match="mine"),
        http.stream("GET", server.url),
    ):
        raise ValueError("mine")


def test_a_bundle_without_a_certificate_is_found_before_anything_is_sent() -> None:
    with pytest.raises(ValueError, match="certificate"):
        http.Trust(ca="-----BEGIN CERTIFICATE-----").check()
    http.Trust().check()


def test_a_fingerprint_is_shown_only_where_there_is_a_certificate() -> None:
    with loopback.answering(lambda _seen: (200, None)) as server:
        assert http.fingerprint(server.url) == ""
    assert http.fingerprint(f"https://127.0.0.1:{loopback.free_port()}") == ""
