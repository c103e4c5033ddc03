"""Named places where a test may kill this process, to prove that nothing depends on a tidy end.

`PARCELLE_CRASH_AT=create.start:after` kills the process with SIGKILL right after the effect of step
`start` of workflow `create` and before its record; `:before` kills it before the effect. The kill happens
once: `PARCELLE_CRASH_MARK` names a file that remembers it across the restart.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path


def point(name: str) -> None:
    if os.environ.get("PARCELLE_CRASH_AT") != name:
        return
    mark = Path(os.environ["PARCELLE_CRASH_MARK"])
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
