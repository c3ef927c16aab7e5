import pytest
from runtime_openai_wire import OpenAIWireProvider
from runtime_openai_wire.testing import OpenAIWire

from runtime_core.testing import ProviderSuite


class TestOpenAIWire(ProviderSuite):
    @pytest.fixture
    def provider_factory(self):
        return OpenAIWireProvider

    @pytest.fixture
    def wire(self):
        return OpenAIWire()
