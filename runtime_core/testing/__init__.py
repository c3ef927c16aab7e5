"""The public test kit for plugin authors.

`ProviderSuite` is what every model provider must do: subclass it, say how the service speaks
(a `ChatWire`), and inherit the tests.  `HookSourceSuite` is the same for sources of hooks,
`TableSuite` for tables.  Names are imported when first used, because pytest loads this package
wherever the kernel is installed.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime_core.testing.hook_source_suite import HookSourceSuite
    from runtime_core.testing.provider_suite import ProviderSuite
    from runtime_core.testing.table_suite import TableSuite
    from runtime_core.testing.upstream import Upstream
    from runtime_core.testing.wire import Answer, ChatWire, EmbeddingWire, Reply, WireRequest

__all__ = (
    "Answer",
    "ChatWire",
    "EmbeddingWire",
    "HookSourceSuite",
    "ProviderSuite",
    "Reply",
    "TableSuite",
    "Upstream",
    "WireRequest",
)

_HOMES = {
    "HookSourceSuite": "hook_source_suite",
    "ProviderSuite": "provider_suite",
    "TableSuite": "table_suite",
    "Upstream": "upstream",
    "Answer": "wire",
    "ChatWire": "wire",
    "EmbeddingWire": "wire",
    "Reply": "wire",
    "WireRequest": "wire",
}


def __getattr__(name: str) -> object:
    """Import a public name from the module it lives in."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
