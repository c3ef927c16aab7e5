"""The table ``[plugins.openai]`` and the variables of OpenAI's own tools."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from runtime_openai_wire.settings import BackendTable

from runtime_provider_openai.dialect import OpenAIOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("OpenAISettings",)


class OpenAISettings(BackendTable, OpenAIOptions):
    """Where the backend ``openai`` is, and its options.

    With neither key nor address there is no such backend; an address alone is a server that asks
    for no key.
    """

    variables: ClassVar[Mapping[str, str]] = {
        "api_key": "OPENAI_API_KEY",
        "base_url": "OPENAI_BASE_URL",
        "organization": "OPENAI_ORG_ID",
        "project": "OPENAI_PROJECT_ID",
    }
