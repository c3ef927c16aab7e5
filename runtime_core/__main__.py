"""``python -m runtime_core`` and the ``runtime`` command."""

from __future__ import annotations

import sys
from typing import Any

from runtime_core.cli import runtime

__all__ = ("main",)


def main() -> None:
    """Run the command line."""
    # httpx has a command line of its own, which would bring 70 modules of rich and pygments into
    # every process: 4 MB, and a tenth of a second of each start.
    modules: dict[str, Any] = sys.modules
    modules.setdefault("httpx._main", None)
    runtime(prog_name="runtime")


if __name__ == "__main__":
    main()
