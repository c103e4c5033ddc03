"""The registry of workflows: what kinds of operations there are."""

from __future__ import annotations

from parcelle.domain.provisioning.runner import Workflow, register
from parcelle.domain.provisioning.workflows import (
    archive,
    build_template,
    create,
    read_only,
    repair,
    resume,
    sleep,
    standby,
    suspend,
    wake,
)

WORKFLOWS: dict[str, Workflow] = {
    workflow.kind: workflow
    for workflow in (
        create.WORKFLOW,
        suspend.WORKFLOW,
        resume.WORKFLOW,
        sleep.WORKFLOW,
        wake.WORKFLOW,
        archive.WORKFLOW,
        read_only.RESTRICT,
        read_only.UNRESTRICT,
        standby.PREPARE,
        standby.DISCARD,
        build_template.WORKFLOW,
        repair.REPAIR,
        repair.RESTART,
        repair.REST,
        repair.CLEAR,
        repair.REMOVE,
    )
}

register(WORKFLOWS)
