"""The table ``[plugins.vllm]`` and its environment variables."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from runtime_openai_wire.settings import BackendTable

from runtime_provider_vllm.provider import VLLMOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("VLLMSettings",)


class VLLMSettings(BackendTable, VLLMOptions):
    """Where the backend ``vllm`` is, and its options; without an address there is none."""

    variables: ClassVar[Mapping[str, str]] = {
        "api_key": "VLLM_API_KEY",
        "base_url": "VLLM_BASE_URL",
    }
