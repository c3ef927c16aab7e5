import pytest
from runtime_openai_wire.testing import OpenAIWire
from runtime_provider_openai import openai_provider

from runtime_core.testing import ProviderSuite


class TestOpenAI(ProviderSuite):
    @pytest.fixture
    def provider_factory(self):
        return openai_provider

    @pytest.fixture
    def wire(self):
        return OpenAIWire()
