import pytest
from runtime_provider_gemini import GeminiProvider

from runtime_core.testing import ProviderSuite


class TestGemini(ProviderSuite):
    @pytest.fixture
    def provider_factory(self):
        return GeminiProvider

    @pytest.fixture
    def wire(self, gemini_wire):
        return gemini_wire
