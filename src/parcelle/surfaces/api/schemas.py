"""The shapes of requests and answers. Names are camelCase outside, snake_case inside."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from ninja import Field, Schema
from pydantic import AfterValidator, ConfigDict, StringConstraints
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from parcelle.surfaces import failures

# The words of the API for an instance's state. They are promises to integrators: our own words may change.
Status = Literal["creating", "running", "sleeping", "suspended", "archived", "failed"]

STATUS_OF_STATE: dict[str, Status] = {
    "requested": "creating",
    "provisioning": "creating",
    "live": "running",
    "sleeping": "sleeping",
    "suspended": "suspended",
    "archived": "archived",
    "failed": "failed",
}


def _email(value: str) -> str:
    try:
        validate_email(value)
    except ValidationError:
        raise PydanticCustomError("email", "not a complete e-mail address") from None
    return value


def one_line(most: int, *, least: int = 1) -> StringConstraints:
    """One line of readable text: something other than blanks, no control characters."""
    line = r"[^\x00-\x1f\x7f]*"
    return StringConstraints(
        strip_whitespace=True,
        max_length=most,
        pattern=rf"^{line}[^\s\x00-\x1f\x7f]{line}$" if least else rf"^{line}$",
    )


ClientName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{3,50}$")]
ShortName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,50}$")]
PhoneNumber = Annotated[str, StringConstraints(pattern=r"^\+?[0-9][0-9 ().-]{4,38}$")]
Email = Annotated[str, StringConstraints(strip_whitespace=True, max_length=254), AfterValidator(_email)]


class Camel(Schema):
    """Names are camelCase outside."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class CreateInstance(Camel):
    """What to create, and for whom."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=False,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"clientName": "acme-corp", "adminEmail": "admin@acme.com", "companyName": "Acme Corporation"},
                {
                    "clientName": "batiments-durand",
                    "adminEmail": "zoe@durand.fr",
                    "companyName": "Bâtiments Durand & Fils",
                    "productSlug": "tryton",
                    "planSlug": "essai",
                    "language": "fr",
                    "firstName": "Zoé",
                    "lastName": "Durand",
                    "phone": "+33 6 12 34 56 78",
                },
            ]
        },
    )

    client_name: ClientName = Field(description="The instance's short name, part of its address; never two equal.")
    admin_email: Email = Field(
        description="The customer's owner, who receives the welcome mail. Made if unknown.",
        json_schema_extra={"format": "email"},
    )
    company_name: Annotated[str, one_line(200)] = Field(description="The company, as it is written.")
    product_slug: ShortName | None = Field(None, description="The product; the first one on sale if left out.")
    plan_slug: ShortName | None = Field(None, description="The plan; the product's first one on sale if left out.")
    language: Literal["fr", "en"] | None = Field(
        None, description="Language of the application and of the mails; French if left out."
    )
    first_name: Annotated[str, one_line(150, least=0)] | None = Field(None, description="The owner's first name.")
    last_name: Annotated[str, one_line(150, least=0)] | None = Field(None, description="The owner's last name.")
    phone: PhoneNumber | None = Field(None, description="The owner's telephone number, best with its country code.")


class Accepted(Camel):
    """The request was accepted; the work goes on in the background."""

    instance_id: UUID
    status: Status
    message: str = Field(description="A sentence for people, in the language of the request.")


class Step(Camel):
    """One recorded step."""

    name: str
    state: Literal["pending", "running", "succeeded", "failed", "skipped"]
    attempt: int = Field(description="How often it was begun.")
    started_at: datetime | None
    finished_at: datetime | None
    seconds: float | None = Field(description="How long it took; null until it ended.")
    fraction: float | None = Field(description="How far a long step is, 0 to 1, when it knows.")


_CODES = ", ".join(f"`{code}`" for code in [failures.TIMEOUT, *failures.UNREACHABLE, *failures.CAUSES])


class Failure(Camel):
    """Why the newest operation failed."""

    code: str = Field(description=f"A word for programs: {_CODES}.")
    message: str = Field(description="A sentence for people, in the language of the request.")
    detail: str | None = Field(
        description="What the step itself said, technical and in its own words; only for tokens of operators."
    )


class NewestOperation(Camel):
    """The newest operation on the instance."""

    operation_id: UUID
    kind: str = Field(description="`create`, `suspend`, `resume`, `archive`, …")
    state: Literal["queued", "running", "waiting", "undoing", "succeeded", "failed"]


class InstanceSummary(Camel):
    """One instance in a list."""

    instance_id: UUID
    status: Status = Field(
        description="`creating`: not usable yet. `running`: its address answers and its first user can sign in. "
        "`sleeping`: stopped to save resources. `suspended`: stopped, all data kept. "
        "`archived`: removed, a last dump is kept. `failed`: could not be created; nothing of it is left."
    )
    client_name: str
    company_name: str
    admin_email: str
    product_slug: str
    instance_url: str | None = Field(description="Where people sign in; null while there is nothing to open.")
    created_at: datetime
    ready_at: datetime | None


class InstanceDetails(InstanceSummary):
    """One instance with its progress."""

    progress: int = Field(0, ge=0, le=100, description="Percent of the newest operation's steps that are really done.")
    user_name: str | None = Field(None, description="Name of the application's first user; null until it runs.")
    admin_password: str | None = Field(
        None,
        description="The first user's temporary password: only while the instance runs, and only for those who "
        "may change it. Otherwise null.",
    )
    database_name: str | None = None
    reason: (
        Literal["trial_ended", "unpaid", "cancelled", "paused", "operator", "customer", "retention_ended"] | None
    ) = Field(None, description="Why it is suspended or archived.")
    seconds: float | None = Field(
        None, description="From the request to the end of the newest operation; null before that."
    )
    operation: NewestOperation | None = None
    steps: list[Step] = Field([], description="The newest operation's steps, in order.")
    waiting_for: list[Step] | None = Field(
        None, description="While a creation waits for the application's template: the steps of building that."
    )
    error: Failure | None = None


class InstancePage(Camel):
    """A part of the list, newest first."""

    items: list[InstanceSummary]
    count: int = Field(description="How many there are in all.")
    limit: int
    offset: int
    next: str | None = Field(description="Address of the next part; null on the last one.")


class ProblemError(Camel):
    """One field that is not as it must be."""

    pointer: str | None = Field(None, description="JSON pointer into the body, such as `#/clientName`.")
    parameter: str | None = Field(None, description="Name of the query parameter or header.")
    code: str = Field(description="A word for programs, such as `missing` or `string_pattern_mismatch`.")
    detail: str = Field(description="A sentence for people, in the language of the request.")


class Problem(Camel):
    """A problem document (RFC 9457)."""

    type: str = Field(json_schema_extra={"format": "uri"}, description="Names the kind of problem; can be opened.")
    title: str
    status: int
    detail: str
    instance: str = Field(description="The address that was asked for.")
    errors: list[ProblemError] | None = Field(None, description="Which fields are not as they must be, and why.")
    reference: str | None = Field(None, description="Leads to the line in our log.")


class ProblemKind(Camel):
    """One kind of problem."""

    type: str
    title: str
    status: int
    advice: str
