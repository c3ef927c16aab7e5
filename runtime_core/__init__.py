"""The kernel of Runtime API: task engine, storage and HTTP server.

A plugin author needs this module (`hookimpl`) and the public modules
`runtime_core.types`, `runtime_core.protocols`, `runtime_core.errors`,
`runtime_core.upstream`, `runtime_core.http` and, in tests,
`runtime_core.testing`.  Everything else may change in any release.
"""

from runtime_core._markers import hookimpl
from runtime_core._version import __version__

__all__ = ("__version__", "hookimpl")
