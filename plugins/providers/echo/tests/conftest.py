import pytest
from runtime_provider_echo import EchoProvider

from runtime_core.types import BackendConfig, ChatRequest, Message


@pytest.fixture
def echo():
    """Builds a provider from its options."""

    def build(base_url="echo://local", **options):
        return EchoProvider(
            BackendConfig(name="echo", type="echo", base_url=base_url, options=options)
        )

    return build


@pytest.fixture
def ask():
    """Asks a provider and returns the chunks; the last argument may be whole messages."""

    async def ask(provider, *messages, **fields):
        said = tuple(
            Message(role="user", content=message) if isinstance(message, str) else message
            for message in messages
        )
        request = ChatRequest(**{"model": "echo", "messages": said} | fields)
        return [chunk async for chunk in provider.chat(request)]

    return ask


@pytest.fixture
def text():
    """Joins the text of chunks."""
    return lambda chunks: "".join(chunk.text for chunk in chunks)


@pytest.fixture
def calls():
    """Puts the tool calls of chunks together: (id, name, arguments)."""

    def calls(chunks):
        found = {}
        for delta in (delta for chunk in chunks for delta in chunk.tool_calls):
            if delta.index not in found:
                assert delta.id
                assert delta.name
                found[delta.index] = [delta.id, delta.name, ""]
            found[delta.index][2] += delta.arguments
        return [tuple(found[index]) for index in sorted(found)]

    return calls
