"""Passwords and settings in a vendor's compose file: what each instance gets anew, and what is written out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from parcelle.domain.provisioning.compose.source import Path as Key

_SECRET_NAME: Final = re.compile(
    r"(?i)pass(word|wd|phrase)?$|pwd$|_pw$|secret|token|(api|private|encryption|signing)_?key|^key$"
)
# No path, no switch, no number.
_PASSWORD: Final = re.compile(r"(?!(?i:true|false|yes|no|on|off|none)$|\d+$)[^/].{2,}", re.DOTALL)
# These open what is not part of the stack, so every instance needs the same.
_OUTSIDE: Final = re.compile(r"(?i)mail|smtp|aws|s3_|stripe|paypal|sentry|twilio|oauth|oidc|ldap|openai|licen[cs]e")
_INTERPOLATION: Final = re.compile(
    r"\$\$|\$\{(?P<braced>\w+)(?:(?P<operator>:?[-?+])(?P<default>[^{}]*))?\}|\$(?P<bare>[A-Za-z_]\w*)"
)
# Shorter ones would be found inside other words.
_LEAST_LITERAL: Final = 8


@dataclass
class Settings:
    """What a shell or a file would have given to compose: `environment` is the vendor's .env."""

    environment: Mapping[str, str]
    note: Callable[[Key, str], None]
    # name -> length
    secrets: dict[str, int] = field(
        default_factory=lambda: {"database_password": 16, "secret_key": 32, "initial_password": 12}
    )
    # value in the vendor's file -> secret that replaces it everywhere
    literals: dict[str, str] = field(default_factory=dict)

    def declared(self, content: dict[str, Any]) -> None:
        """Secrets that the file declares itself."""
        for name, of in (content.get("secrets") or {}).items():
            if not (isinstance(of, dict) and of.get("environment") in self.secrets):
                secret = self._secret(name)
                content["secrets"][name] = {"environment": secret}
                self.note(("secrets", name), f"the secret {name} is made anew for every instance, as `{secret}`")

    def _secret(self, name: str) -> str:
        key = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
        self.secrets.setdefault(key, 16 if "pass" in key else 32)
        return key

    def passwords(self, services: Mapping[str, dict[str, Any]]) -> None:
        """A password that stands in the file becomes one of every instance's own, wherever it is repeated."""
        for name, of in services.items():
            for key, value in (of.get("environment") or {}).items():
                if not _SECRET_NAME.search(key) or "$" in value or not _PASSWORD.fullmatch(value):
                    continue
                if _OUTSIDE.search(key):
                    self.note(
                        ("services", name, "environment", key), f"{name}: {key} is kept: it opens something outside"
                    )
                else:
                    secret = self.literals.get(value) or self._secret(key)
                    self.literals.setdefault(value, secret)
                    of["environment"][key] = f"${{{secret}}}"
                    self.note(
                        ("services", name, "environment", key),
                        f"{name}: {key} is every instance's own now, ${{{secret}}}",
                    )

    def substituted(self, value: Any, path: Key) -> Any:
        if isinstance(value, dict):
            return {key: self.substituted(inner, (*path, key)) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.substituted(inner, (*path, number)) for number, inner in enumerate(value)]
        if not isinstance(value, str):
            return value
        text = _INTERPOLATION.sub(lambda found: self._replacement(found, path), value)
        without = self.without_passwords(text)
        if without != text:
            self.note(path, f"{'.'.join(map(str, path[1:]))}: the password in it is every instance's own now")
        return without

    def without_passwords(self, text: str) -> str:
        """A plain word is only taken for a password where one stands: "postgres" is an image and a user too."""
        for literal, secret in self.literals.items():
            placeholder = f"${{{secret}}}"
            text = text.replace(f":{literal}@", f":{placeholder}@")
            named = rf"((?i:pass(?:word|wd)?|pwd)\s*[=:]\s*){re.escape(literal)}(?![\w-])"
            text = re.sub(named, lambda found, put=placeholder: found[1] + put, text)  # type: ignore[misc]
            if len(literal) >= _LEAST_LITERAL and not literal.isalpha():
                text = text.replace(literal, placeholder)
        return text

    def _replacement(self, found: re.Match[str], path: Key) -> str:
        name = found["braced"] or found["bare"]
        if name is None or name in self.secrets or name == "url":
            return found[0]
        value = self.environment.get(name, found["default"] if found["operator"] in {"-", ":-"} else None)
        if _SECRET_NAME.search(name) and not _OUTSIDE.search(name):
            secret = self._secret(name)
            if value:
                self.literals.setdefault(value, secret)
            self.note(path, f"{found[0]} is the secret ${{{secret}}} now, made anew for every instance")
            return f"${{{secret}}}"
        if re.search(r"(?i)(^|_)(url|base_url|domain|host(name)?|origin)$", name) and not value:
            self.note(path, f"{found[0]} is ${{url}} now, the instance's address")
            return "${url}"
        if value is None:
            self.note(path, f"{found[0]} had no value: it is empty now, write one")
        else:
            self.note(path, f"{found[0]} is written out as {value!r}: nothing comes from a shell here")
        return (value or "").replace("$", "$$")


def variables_in(file: Path) -> Iterator[tuple[str, str]]:
    """KEY=value lines, as compose reads such files."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        found = re.fullmatch(r"\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*", line)
        if found:
            value = found[2]
            quoted = re.fullmatch(r"(['\"])(.*)\1", value)
            yield found[1], quoted[2] if quoted else re.sub(r"\s+#.*", "", value)
