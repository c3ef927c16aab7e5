"""``python -m runtime_core`` and the ``runtime`` command."""

from __future__ import annotations

from runtime_core.cli import runtime

__all__ = ("main",)


def main() -> None:
    """Run the command line."""
    runtime(prog_name="runtime")


if __name__ == "__main__":
    main()
