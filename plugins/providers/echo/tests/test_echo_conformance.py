"""What the conformance suite asks of answers and tools; the rest of it is about HTTP."""

from types import SimpleNamespace

import pytest
from runtime_provider_echo import EchoProvider

from runtime_core.testing.provider_suite.answers import AnswerTests
from runtime_core.testing.provider_suite.tools import ToolTests
from runtime_core.types import BackendConfig, ChatRequest, Message


class Stage:
    """The provider and, for the suite, the service behind it: scripts instead of frames."""

    open_streams = 0

    def __init__(self):
        self.requests = []
        self.wire = SimpleNamespace(
            model="echo",
            options={"tools"},
            finish_reasons={"stop", "length", "content_filter", "tool_calls"},
            asked=lambda request: request,
        )
        self._options = {}

    def will_answer(self, answer, *, spoil=None, piece_size=None):
        calls = [
            {"id": call.id, "name": call.function.name, "arguments": call.function.arguments}
            for call in answer.tool_calls
        ]
        usage = answer.usage
        self._options = {
            "pieces": answer.text,
            "reasoning": "".join(answer.reasoning),
            "tool_calls": calls,
            "finish_reason": answer.finish_reason,
            "usage": usage is not None
            and {
                "prompt_tokens": usage.prompt_tokens,
                "completion_tokens": usage.completion_tokens,
            },
        }

    def chat(self, request):
        self.requests.append(request)
        config = BackendConfig(
            name="echo", type="echo", base_url="echo://local", options=self._options
        )
        return EchoProvider(config).chat(request)


class TestEcho(AnswerTests, ToolTests):
    @pytest.fixture
    def upstream(self):
        return Stage()

    @pytest.fixture
    def provider(self, upstream):
        return upstream

    @pytest.fixture
    def question(self):
        return ChatRequest(model="echo", messages=(Message(role="user", content="Hi"),))
