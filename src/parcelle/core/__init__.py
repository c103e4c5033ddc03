"""What every floor stands on."""

from __future__ import annotations

import sys


def _load_without(*names: str) -> None:
    """Loads what would load these as well, for things that are not used here.

    That is structlog's coloured tracebacks, which `core/logs.py` writes itself, and the command that comes with httpx:
    more than a tenth of the processor time that starting any process of ours takes.
    """
    hidden = [name for name in names if name not in sys.modules]
    sys.modules |= dict.fromkeys(hidden)  # type: ignore[arg-type]
    try:
        import httpx  # noqa: F401
        import structlog  # noqa: F401
    finally:
        for name in hidden:
            del sys.modules[name]


_load_without("click", "pygments", "rich")
