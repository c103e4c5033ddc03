"""What can go wrong while an instance is changed; every error says whether trying again can help."""

from __future__ import annotations

from typing import ClassVar


class ProvisioningError(Exception):
    """A step failed. `detail` is safe to show: it carries no secret.

    `code` names the sentence that the person sees; `retry` says whether the same step may succeed later.
    """

    code: ClassVar[str] = "step_failed"
    retry: ClassVar[bool] = False

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class TryAgain(ProvisioningError):
    """A passing fault: the runner repeats the step with back-off."""

    retry = True


class TargetUnreachable(TryAgain):
    """The place where the instance should run does not answer. `detail` says what the operator should do."""

    code = "target_unreachable"


class WrongAddress(TargetUnreachable):
    """Something answers there, but not what should."""

    code = "wrong_address"


class NoSwarm(TargetUnreachable):
    """The engine answers, but is no manager of a swarm."""

    code = "no_swarm"


class TargetFull(ProvisioningError):
    """No port, no capacity, no disk is left on the target."""

    code = "target_full"


class DiskFull(TargetFull):
    """The target's disk is full."""

    code = "disk_full"


class ImageMissing(ProvisioningError):
    """An image of the stack is neither on the target nor to be had from its registry."""

    code = "image_missing"


class PortTaken(TryAgain):
    """The target refuses a leased port: another program uses it. The step is repeated with another one."""

    code = "port_taken"

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} is used by another program of the target")
        self.port = port


class SubnetTaken(TryAgain):
    """The target refuses a leased network: it overlaps with another one. The step is repeated with another one."""

    code = "subnet_taken"

    def __init__(self, purpose: str) -> None:
        super().__init__(f"the {purpose} network overlaps with another one of the target")
        self.purpose = purpose


class RouteRefused(ProvisioningError):
    """The ingress does not take this route, and would not take it later either."""

    code = "route_refused"


class CredentialsRefused(ProvisioningError):
    """The target refuses our credentials: nothing works there until somebody renews them."""

    code = "credentials_refused"


class CertificateUnknown(ProvisioningError):
    """The target shows a certificate that nobody vouches for. `detail` holds its fingerprint, to be compared."""

    code = "certificate_unknown"


class CertificateChanged(CertificateUnknown):
    """The target shows another certificate than the pinned one. `detail` holds the new fingerprint."""

    code = "certificate_changed"


class EnvironmentUnknown(ProvisioningError):
    """The target's server does not know the place in it where stacks should run."""

    code = "environment_unknown"


class SettingsRefuse(ProvisioningError):
    """The target's own settings do not allow what the stack needs."""

    code = "settings_refuse"


class UpdateRolledBack(ProvisioningError):
    """A new version did not become healthy; the platform went back to the old one, which serves on."""

    code = "update_rolled_back"

    def __init__(self, service: str, detail: str) -> None:
        super().__init__(f"the new version of {service!r} was taken back: {detail}")
        self.service = service


class CannotBeSaved(ProvisioningError):
    """There are data of which no copy can be made here; whatever would destroy them is not begun."""

    code = "cannot_be_saved"


class NothingToDo(ProvisioningError):
    """What was asked for is done already, or is done by itself."""

    code = "nothing_to_do"


class ChangedMeanwhile(ProvisioningError):
    """It is no longer as it was when somebody decided; nothing was done."""

    code = "changed_meanwhile"


class DeadlinePassed(ProvisioningError):
    """The operation took longer than it may."""

    code = "timeout"


class TemplateFailed(ProvisioningError):
    """The blueprint's template could not be built, so nothing can be cloned from it."""

    code = "template_failed"


class NotYet(Exception):
    """Not an error: the step waits for something else; the runner comes back in `seconds`."""

    def __init__(self, seconds: float, note: str = "") -> None:
        super().__init__(note)
        self.seconds = seconds
        self.note = note


class LeaseLost(Exception):
    """Another worker runs this operation now: leave without touching anything."""


class InstanceBusy(Exception):
    """Another operation changes this instance right now."""


class NameTaken(Exception):
    """An instance with this short name exists."""

    def __init__(self, slug: str) -> None:
        super().__init__(slug)
        self.slug = slug
