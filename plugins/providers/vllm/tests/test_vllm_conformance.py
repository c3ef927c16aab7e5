import pytest
from runtime_openai_wire.testing import OpenAIWire
from runtime_provider_vllm import VLLMProvider

from runtime_core.testing import ProviderSuite


class TestVLLM(ProviderSuite):
    @pytest.fixture
    def provider_factory(self):
        return VLLMProvider

    @pytest.fixture(params=["/v1", ""])
    def wire(self, request):
        wire = OpenAIWire()
        if request.param == "":
            wire = AtTheRoot()
        return wire


class AtTheRoot(OpenAIWire):
    """The same server, given to the backend without ``/v1``."""

    def operation(self, request):
        return OpenAIWire().operation(request)

    def __init__(self):
        super().__init__("")
