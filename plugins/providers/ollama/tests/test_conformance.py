from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from runtime_provider_ollama import OllamaProvider

from runtime_core.testing import ProviderSuite

if TYPE_CHECKING:
    from runtime_core.protocols import ProviderFactory
    from runtime_core.testing import ChatWire


class TestOllama(ProviderSuite):
    @pytest.fixture
    def provider_factory(self) -> ProviderFactory:
        return OllamaProvider

    @pytest.fixture
    def wire(self, ollama_wire: ChatWire) -> ChatWire:
        return ollama_wire
