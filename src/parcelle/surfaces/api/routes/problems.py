"""`/api/problems`: what each kind of problem means. The `type` of every problem document leads here."""

from __future__ import annotations

from django.http import HttpRequest
from ninja import Router

from parcelle.surfaces.api import problems
from parcelle.surfaces.api.openapi import problems_of
from parcelle.surfaces.api.schemas import ProblemKind

router = Router(tags=["problems"], by_alias=True)


@router.get(
    "/problems", operation_id="listProblems", summary="Every kind of problem", response={200: list[ProblemKind]}
)
def index(request: HttpRequest) -> list[ProblemKind]:  # noqa: ARG001 - django-ninja passes it by this name
    """What can go wrong, and what to do about it. Needs no token."""
    return [_shown(kind) for kind in problems.KINDS]


@router.get(
    "/problems/{kind}",
    operation_id="getProblem",
    summary="One kind of problem",
    response={200: ProblemKind},
    openapi_extra=problems_of("not-found"),
)
def show(request: HttpRequest, kind: str) -> ProblemKind:  # noqa: ARG001 - django-ninja passes it by this name
    """What one kind of problem means, and what to do about it. Needs no token."""
    if kind not in problems.KINDS:
        raise problems.Problem("not-found")
    return _shown(kind)


def _shown(kind: str) -> ProblemKind:
    known = problems.KINDS[kind]
    return ProblemKind(
        type=problems.address(kind), title=str(known.title), status=known.status, advice=str(known.advice)
    )
