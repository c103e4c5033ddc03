"""The images of a stack: fetched before anything that runs is touched, and pinned to what they were then."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from parcelle.domain.provisioning.compose.cli import Credential
from parcelle.domain.provisioning.compose.engine import Engine
from parcelle.domain.provisioning.errors import ImageMissing, ProvisioningError

if TYPE_CHECKING:
    from docker.models.images import Image

HUB: Final = "docker.io"
_PINNED: Final = re.compile(r"@sha256:[0-9a-f]{64}$|^sha256:[0-9a-f]{64}$")


class RegistrySilent(ImageMissing):
    """The image is not on the engine and its registry cannot be reached at the moment."""

    retry = True


def is_pinned(image: str) -> bool:
    """Whether it means the same content for ever."""
    return bool(_PINNED.search(image))


def resolve(
    engine: Engine,
    image: str,
    *,
    credentials: Mapping[str, Credential],
    fresh: bool = False,
    report: Callable[[str], None] = lambda _line: None,
) -> str:
    """The image as its content's name: "repository@sha256:…", or the bare id of one that no registry knows.

    An image the engine has is used as it is; `fresh` asks its registry first whether the name means something newer
    by now, which does not matter when the registry is silent. Raises ImageMissing.
    """
    from docker.errors import ImageNotFound

    with engine.asked() as client:
        try:
            here: Image | None = client.images.get(image)
        except ImageNotFound:
            here = None
    if here is None and image.startswith("sha256:"):
        raise ImageMissing(
            f"The image {image[:19]}… was made on the engine and is gone from there: build the stack's again."
        )
    # One without digests was built or loaded on the engine: no registry can have a newer one.
    if here is None or (fresh and not is_pinned(image) and here.attrs.get("RepoDigests")):
        try:
            here = _pull(engine, image, credentials=credentials, report=report)
        except ProvisioningError:
            if here is None:
                raise
    return _content(here, image)


def _content(here: Image, image: str) -> str:
    if is_pinned(image):
        return image
    repository, _tag = _split(image)
    digests = [str(digest) for digest in here.attrs.get("RepoDigests") or []]
    own = [digest for digest in digests if _split(digest)[0] in {repository, repository.removeprefix(f"{HUB}/")}]
    return next(iter(own or digests), str(here.id))


def _pull(engine: Engine, image: str, *, credentials: Mapping[str, Credential], report: Callable[[str], None]) -> Image:
    known = credentials.get(_registry(image))
    login = {"username": known.user, "password": known.password} if known else None
    repository, tag = _split(image)
    try:
        with engine.asked() as client:
            for event in client.api.pull(repository, tag=tag, stream=True, decode=True, auth_config=login):
                _watch(event, image, report)
            return client.images.get(image)
    except ProvisioningError as error:
        raise _missing(image, error.detail) from error


def _watch(event: Mapping[str, Any], image: str, report: Callable[[str], None]) -> None:
    if "error" in event:
        raise ImageMissing(str(event["error"]))
    if event.get("progress"):
        report(f"{image}: {event.get('status', '')} {event.get('id', '')}")


def _missing(image: str, reason: str) -> ImageMissing:
    silent = re.search(
        r"no such host|dial tcp|i/o timeout|connection refused|TLS handshake|deadline exceeded|toomanyrequests|EOF",
        reason,
    )
    kind = RegistrySilent if silent else ImageMissing
    return kind(f"The image {image} is not on the engine, and its registry does not hand it out: {reason[:300]}")


def _registry(image: str) -> str:
    first, slash, _rest = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else HUB


def _split(image: str) -> tuple[str, str]:
    """("registry:5000/name", "tag" or "sha256:…")."""
    if "@" in image:
        name, _at, digest = image.partition("@")
        return re.sub(r":[^/:]+$", "", name), digest
    match = re.fullmatch(r"(.+?)(?::([^/:]+))?", image)
    assert match is not None
    return match[1], match[2] or "latest"
