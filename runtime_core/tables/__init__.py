"""What stored things are made of, the kernel's and the plugins': columns, rows, pages, a cache.

What is exported here is public.  A plugin's tables come from its hook ``register_tables``; its
`Rows` read and write them through `runtime_core.protocols.PluginDatabase`.
"""

from runtime_core.tables.cache import SharedCache
from runtime_core.tables.columns import Name, new_metadata, table_of
from runtime_core.tables.names import MAX_VALUE_LENGTH, can_be_stored, require_name, require_value
from runtime_core.tables.pagination import (
    MAX_LIMIT,
    decode_cursor,
    encode_cursor,
    newest_first,
    page_of,
    page_parameters,
)
from runtime_core.tables.rows import Rows

__all__ = (
    "MAX_LIMIT",
    "MAX_VALUE_LENGTH",
    "Name",
    "Rows",
    "SharedCache",
    "can_be_stored",
    "decode_cursor",
    "encode_cursor",
    "new_metadata",
    "newest_first",
    "page_of",
    "page_parameters",
    "require_name",
    "require_value",
    "table_of",
)
