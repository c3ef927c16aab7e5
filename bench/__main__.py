"""``python -m bench gateway|start|engine|faults|fleet|hooks``: run one benchmark."""

from __future__ import annotations

import importlib
import signal
import sys

from bench.processes import BenchError

_BENCHES = ("gateway", "start", "engine", "faults", "fleet", "hooks")


def main(argv: list[str]) -> int:
    """Run the benchmark that the first argument names."""
    if not argv or argv[0] not in _BENCHES:
        print(f"usage: python -m bench {'|'.join(_BENCHES)} [--help]", file=sys.stderr)
        return 2
    # by default a terminated benchmark would leave every server it started behind
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        result = importlib.import_module(f"bench.{argv[0]}").main(argv[1:])
    except BenchError as error:
        print(error, file=sys.stderr)
        return 2
    return result if isinstance(result, int) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
