"""What can be refused; the words for each code are the surfaces'."""

from __future__ import annotations


class TeamRefused(Exception):
    """Something about members or invitations is not possible; trying again changes nothing.

    `code`: `member` (belongs already), `last_owner`, `too_many` (open invitations), `unknown`, `used`, `revoked` or
    `expired` (an invitation), `other_person` (invited was another address).
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class NotAllowed(Exception):
    """Whoever asks has not, or no longer, the role that it takes."""
