"""How a target is reached, as a form: what each provider needs to know. Secrets go in and never come out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

from django import forms
from django.forms import ModelForm
from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminPasswordWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from parcelle.domain.provisioning.models import Target

# Providers in the order in which they are offered: name, icon, and what it is good for.
OFFERED: Mapping[str, tuple[str, str | Promise]] = {
    "docker": ("deployed_code", _("A Docker Engine, on this machine or another one: one compose stack per instance.")),
    "swarm": ("hub", _("Several machines as a Docker Swarm: updates without interruption, room to grow.")),
    "portainer": ("sailing", _("An environment of a Portainer server that is already looked after.")),
    "process": ("memory", _("Processes on this machine with a database each: nothing to install.")),
    "null": ("block", _("Runs nothing: for products sold without an instance, and for load tests.")),
}


class _Unshown(UnfoldAdminTextareaWidget):
    """Takes several lines and shows none, not even those that were just sent."""

    def format_value(self, value: Any) -> str:
        return ""


def _text(label: Any, help_text: Any = "", *, initial: str = "", **more: Any) -> forms.CharField:
    return forms.CharField(
        label=label, help_text=help_text, required=False, initial=initial, widget=UnfoldAdminTextInputWidget, **more
    )


def _secret(label: Any, help_text: Any = "") -> forms.CharField:
    widget = UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}, render_value=False)
    return forms.CharField(label=label, help_text=help_text, required=False, widget=widget)


def _pem(label: Any, help_text: Any = "", *, secret: bool = False) -> forms.CharField:
    widget = (_Unshown if secret else UnfoldAdminTextareaWidget)(attrs={"rows": 4, "spellcheck": "false"})
    return forms.CharField(label=label, help_text=help_text, required=False, widget=widget)


def _lines(label: Any, help_text: Any) -> forms.CharField:
    widget = UnfoldAdminTextareaWidget(attrs={"rows": 3, "spellcheck": "false"})
    return _Lines(label=label, help_text=help_text, required=False, widget=widget)


class _Lines(forms.CharField):
    """`name=value` line by line, from and to a dictionary."""

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(f"{name}={text}" for name, text in value.items()) if isinstance(value, dict) else value


def _pairs(text: str, refusal: Any) -> dict[str, str]:
    found = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, equals, value = (part.strip() for part in line.partition("="))
        if not (name and equals and value):
            raise forms.ValidationError(refusal)
        found[name] = value
    return found


class TargetForm(ModelForm):  # type: ignore[type-arg]
    """A target without a connection, or with the embedded system's own."""

    # Fields of the connection that are shown, and those that are only ever written.
    shown: ClassVar[tuple[str, ...]] = ()
    hidden: ClassVar[tuple[str, ...]] = ()

    class Meta:
        model = Target
        fields = ["name", "region", "capacity", "enabled"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        connection = self.instance.connection or {}
        for name in self.shown:
            if name in self.fields and connection.get(name):
                self.initial.setdefault(name, connection[name])
        for name in self.hidden:
            if name in self.fields:
                self._say_whether_it_is_stored(name, bool(connection.get(name)))

    def _say_whether_it_is_stored(self, name: str, stored: bool) -> None:
        field = self.fields[name]
        if stored:
            field.widget.attrs["placeholder"] = gettext("Stored. Leave empty to keep it.")
        field.help_text = " ".join(filter(None, (str(field.help_text), gettext("It is never shown again."))))

    def connection(self) -> dict[str, Any]:
        """What is stored, changed by what was typed; an empty secret leaves the stored one."""
        connection = dict(self.instance.connection or {})
        for name in self.shown:
            if name in self.cleaned_data:
                connection[name] = self.cleaned_data[name]
        for name in self.hidden:
            if self.cleaned_data.get(name):
                connection[name] = self.cleaned_data[name]
        return {name: value for name, value in connection.items() if value not in ("", None, {})}

    def save(self, commit: bool = True) -> Any:
        if self.shown or self.hidden:
            self.instance.connection = self.connection()
        return super().save(commit)


class _EngineForm(TargetForm):
    shown: ClassVar[tuple[str, ...]] = ("url",)
    hidden = ("ca", "certificate", "key")

    url = _text(
        _("Engine"),
        _("unix:///var/run/docker.sock, ssh://user@machine or tcp://machine:2376. Empty: the engine of this machine."),
    )
    ca = _pem(_("Authority (CA)"), _("PEM text. Only for tcp://, which is refused without TLS."))
    certificate = _pem(_("Our certificate"), _("PEM text."))
    key = _pem(_("Key of our certificate"), _("PEM text."), secret=True)

    def clean_url(self) -> str:
        url = str(self.cleaned_data["url"]).strip()
        parts = urlsplit(url)
        if url and (parts.scheme not in {"unix", "ssh", "tcp"} or not (parts.path or parts.hostname)):
            raise forms.ValidationError(_("An address that begins with unix://, ssh:// or tcp://."))
        return url

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        for name in self.hidden:
            text = str(cleaned.get(name) or "").strip()
            if text and "-----BEGIN " not in text:
                self.add_error(name, _("This is no PEM text: it begins with “-----BEGIN …”."))
        if str(cleaned.get("url") or "").startswith("tcp://") and not self.errors:
            known = self.connection()
            for name in self.hidden:
                if not known.get(name):
                    self.add_error(name, _("Needed for tcp://: without it anybody on the way could take the engine."))
        return cleaned

    def connection(self) -> dict[str, Any]:
        connection = super().connection()
        if not str(connection.get("url", "")).startswith("tcp://"):
            for name in self.hidden:
                connection.pop(name, None)
        return connection


class DockerForm(_EngineForm):
    """One Docker Engine."""


class SwarmForm(_EngineForm):
    """A manager of a Swarm, where in it instances may run, and how its other machines are reached."""

    shown = ("url", "labels", "nodes")

    labels = _lines(
        _("Nodes with these labels"),
        _("One per line, such as parcelle.tenants=yes. Only nodes that carry them run instances. Empty: every node."),
    )
    nodes = _lines(
        _("Engines of other nodes"),
        _(
            "One per line, such as worker-2=ssh://user@worker-2. With them, backups and commands reach an instance on "
            "any node; the TLS material above is used for them, too."
        ),
    )

    def clean_labels(self) -> dict[str, str]:
        return _pairs(self.cleaned_data["labels"], _("A label and its value, such as parcelle.tenants=yes."))

    def clean_nodes(self) -> dict[str, str]:
        refusal = _("A node’s name and its engine’s address, such as worker-2=ssh://user@worker-2.")
        nodes = _pairs(self.cleaned_data["nodes"], refusal)
        if any(urlsplit(url).scheme not in {"unix", "ssh", "tcp"} for url in nodes.values()):
            raise forms.ValidationError(refusal)
        return nodes


class PortainerForm(TargetForm):
    """A Portainer server; its environment is chosen afterwards from the list that it gives."""

    shown = ("url", "username", "fingerprint")
    hidden = ("api_key", "password", "ca")

    url = _text(_("Address of Portainer"), _("For example https://portainer.example.com:9443."))
    api_key = _secret(_("API key"), _("Preferred: made in Portainer under “My account”."))
    username = _text(_("User name"), _("Instead of an API key."))
    password = _secret(_("Password"))
    fingerprint = _text(
        _("Fingerprint of its certificate"),
        _("SHA-256, for a self-signed certificate. “Check” shows the one that the server presents."),
    )
    ca = _pem(_("Authority (CA)"), _("PEM text, for a certificate of your own authority."))
    git_url = _text(
        _("Git repository"),
        _("Where blueprints whose compose file stays in a repository find it. Empty: as the blueprint says."),
    )
    git_username = _text(_("User name at Git"), _("For a repository that is not public."))
    git_password = _secret(_("Password or token at Git"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        git = (self.instance.connection or {}).get("git") or {}
        if "git_username" in self.fields:
            self.initial.setdefault("git_url", git.get("url", ""))
            self.initial.setdefault("git_username", git.get("username", ""))
            self._say_whether_it_is_stored("git_password", bool(git.get("password")))

    def clean_url(self) -> str:
        url = str(self.cleaned_data["url"]).strip().rstrip("/")
        parts = urlsplit(url)
        if parts.scheme not in {"https", "http"} or not parts.hostname:
            raise forms.ValidationError(_("An address that begins with https://."))
        return url

    def clean_git_url(self) -> str:
        url = str(self.cleaned_data["git_url"]).strip()
        parts = urlsplit(url)
        if url and (parts.scheme not in {"https", "http"} or not parts.hostname):
            raise forms.ValidationError(_("An address that begins with https://."))
        if parts.username or parts.password:
            raise forms.ValidationError(_("Without a user name or password: they have fields of their own below."))
        return url

    def clean_fingerprint(self) -> str:
        plain = str(self.cleaned_data["fingerprint"]).replace(":", "").replace(" ", "").lower()
        if plain and (len(plain) != 64 or set(plain) - set("0123456789abcdef")):
            raise forms.ValidationError(_("64 hexadecimal digits; colons between them are fine."))
        return plain

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if not self.errors:
            known = self.connection()
            if not known.get("api_key") and not (known.get("username") and known.get("password")):
                self.add_error("api_key", _("An API key is needed, or a user name with its password."))
        return cleaned

    def connection(self) -> dict[str, Any]:
        """One way to sign in, the one that was typed last: Portainer refuses both at once."""
        connection = super().connection()
        if self.cleaned_data.get("api_key"):
            for name in ("username", "password"):
                connection.pop(name, None)
        elif self.cleaned_data.get("password") and connection.get("username"):
            connection.pop("api_key", None)
        git = dict(connection.pop("git", None) or {})
        if "git_username" in self.cleaned_data:
            git["url"] = self.cleaned_data["git_url"]
            git["username"] = self.cleaned_data["git_username"]
            git["password"] = self.cleaned_data["git_password"] or git.get("password", "")
            if not git["username"]:
                git.pop("password")
        if kept := {name: value for name, value in git.items() if value}:
            connection["git"] = kept
        if connection.get("url") != (self.instance.connection or {}).get("url"):
            # Another server has other environments under the same numbers.
            connection.pop("environment", None)
            connection.pop("environment_name", None)
        return connection


FORMS: Mapping[str, type[TargetForm]] = {"docker": DockerForm, "swarm": SwarmForm, "portainer": PortainerForm}


def form_of(provider: str) -> type[TargetForm]:
    return FORMS.get(provider, TargetForm)


def fields_of(provider: str) -> list[str]:
    """The connection's fields in the order in which they are asked for."""
    return [name for name in form_of(provider).base_fields if name not in TargetForm.base_fields]
