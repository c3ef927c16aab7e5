"""What is sent, seen from the server that is asked."""

import base64

import pytest
from runtime_provider_gemini import GeminiProvider

from runtime_core import errors
from runtime_core.testing import Upstream
from runtime_core.types import (
    BackendConfig,
    ChatRequest,
    FunctionCall,
    Message,
    Tool,
    ToolCall,
)
from runtime_core.upstream import create_client

PNG = base64.b64encode(b"\x89PNG").decode()
NOW = Tool("now")


@pytest.fixture
async def ask(gemini_wire):
    """Send a request and return its body as the server gets it."""
    upstream = Upstream(gemini_wire)
    async with upstream.serving(), create_client(read_timeout=5) as client:

        async def ask(*messages, options=None, model="gemini-2.5-flash", **more):
            config = BackendConfig(
                name="g", type="gemini", base_url=upstream.url, options=options or {}
            )
            request = ChatRequest(model=model, messages=messages, **more)
            async for _ in GeminiProvider(config, client).chat(request):
                pass
            return upstream.requests[-1].json()

        ask.upstream = upstream
        yield ask


def user(content="Hi"):
    return Message(role="user", content=content)


def call(call_id, name="now", arguments="{}"):
    return ToolCall(call_id, FunctionCall(name, arguments))


def result(call_id, content, **more):
    return Message(role="tool", content=content, tool_call_id=call_id, **more)


async def test_system_messages_become_one_instruction(ask):
    body = await ask(
        Message(role="system", content="Be brief."),
        user(),
        Message(role="developer", content=[{"type": "text", "text": "Be kind."}]),
    )
    assert body == {
        "systemInstruction": {"parts": [{"text": "Be brief.\n\nBe kind."}]},
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
    }


async def test_an_instruction_alone_is_what_is_asked(ask):
    body = await ask(Message(role="system", content="Say something."))
    assert body == {"contents": [{"role": "user", "parts": [{"text": "Say something."}]}]}


async def test_empty_messages_have_a_part(ask):
    body = await ask(user(""), Message(role="assistant", content=None), user([]))
    assert [content["parts"] for content in body["contents"]] == [[{"text": ""}]] * 3


async def test_parts_keep_their_order(ask):
    body = await ask(
        user(
            [
                {"type": "text", "text": "Compare"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
                {"type": "image_url", "image_url": f"data:image/svg+xml;x=y;base64,{PNG}"},
                {"type": "input_audio", "input_audio": {"format": "mp3", "data": PNG}},
                {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PNG}"}},
                {"type": "text", "text": "please"},
            ]
        )
    )
    assert body["contents"][0]["parts"] == [
        {"text": "Compare"},
        {"inlineData": {"mimeType": "image/png", "data": PNG}},
        {"inlineData": {"mimeType": "image/svg+xml", "data": PNG}},
        {"inlineData": {"mimeType": "audio/mp3", "data": PNG}},
        {"inlineData": {"mimeType": "application/pdf", "data": PNG}},
        {"text": "please"},
    ]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/png,raw"}},
        {"type": "image_url", "image_url": {"url": 7}},
        {"type": "image_url"},
        {"type": "input_audio", "input_audio": {"format": "wav"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": ["odd"]},
        {},
    ],
)
async def test_parts_that_cannot_be_sent_are_refused(ask, part):
    with pytest.raises(errors.InvalidRequest, match="data: URL in base64") as caught:
        await ask(user([part]))
    assert caught.value.param == "messages"
    assert ask.upstream.requests == []


async def test_parallel_results_are_one_turn_and_find_their_calls(ask):
    body = await ask(
        user("Weather?"),
        Message(
            role="assistant",
            content="Let me see.",
            tool_calls=(call("a", "get_weather", '{"city": "Oslo"}'), call("b"), call("c")),
        ),
        result("c", "13:00"),
        result("a", '{"id": 12345678901234567890}'),
        result("b", [{"type": "text", "text": "12:00"}]),
        Message(role="assistant", content=None, tool_calls=(call("d"),)),
        result("d", "14:00"),
        user("Thanks"),
        result("d", "15:00"),
        tools=(NOW,),
    )
    assert [content["role"] for content in body["contents"]] == [
        "user", "model", "user", "model", "user", "user", "user",
    ]  # fmt: skip
    assert body["contents"][1]["parts"] == [
        {"text": "Let me see."},
        {"functionCall": {"id": "a", "name": "get_weather", "args": {"city": "Oslo"}}},
        {"functionCall": {"id": "b", "name": "now", "args": {}}},
        {"functionCall": {"id": "c", "name": "now", "args": {}}},
    ]
    answered = [
        [(r["id"], r["name"], r["response"]["output"]) for r in responses(content)]
        for content in body["contents"]
    ]
    assert answered == [
        [],
        [],
        [
            ("c", "now", "13:00"),
            ("a", "get_weather", '{"id": 12345678901234567890}'),
            ("b", "now", "12:00"),
        ],
        [],
        [("d", "now", "14:00")],
        [],
        [("d", "now", "15:00")],
    ]


def responses(content):
    return [p["functionResponse"] for p in content["parts"] if "functionResponse" in p]


async def test_a_result_may_name_its_tool(ask):
    body = await ask(user(), Message(role="tool", content="12:00", name="now"))
    assert body["contents"][1]["parts"] == [
        {"functionResponse": {"name": "now", "response": {"output": "12:00"}}}
    ]


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (result("x", "1"), "'x' answers no tool call"),
        (result("x", [{"type": "image_url"}], name="now"), "text parts"),
        (
            Message(role="assistant", content=None, tool_calls=(call("y", "f", "[1]"),)),
            "'y' are not a JSON object",
        ),
    ],
)
async def test_tool_messages_that_make_no_sense(ask, message, text):
    with pytest.raises(errors.InvalidRequest, match=text):
        await ask(user(), message)


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        (
            {"type": "function", "function": {"name": "now"}},
            {"mode": "ANY", "allowedFunctionNames": ["now"]},
        ),
    ],
)
async def test_tool_choice(ask, choice, config):
    body = await ask(user(), tools=(NOW,), tool_choice=choice)
    assert body["toolConfig"] == {"functionCallingConfig": config}
    assert "toolConfig" not in await ask(user(), tool_choice=choice)


@pytest.mark.parametrize("choice", ["maybe", {"type": "function"}, {"function": {"name": 1}}])
async def test_tool_choices_that_cannot_be_made(ask, choice):
    with pytest.raises(errors.InvalidRequest) as caught:
        await ask(user(), tools=(NOW,), tool_choice=choice)
    assert caught.value.param == "tool_choice"


async def test_schemas_are_sent_whole(ask):
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {"city": {"type": ["string", "null"]}},
        "additionalProperties": False,
    }
    body = await ask(
        user(),
        tools=(Tool("f", "Do.", schema), NOW),
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
    )
    assert body["tools"] == [
        {
            "functionDeclarations": [
                {"name": "f", "description": "Do.", "parametersJsonSchema": schema},
                {"name": "now", "description": ""},
            ]
        }
    ]
    assert body["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": schema,
    }


async def test_text_is_no_format(ask):
    assert "generationConfig" not in await ask(user(), response_format={"type": "text"})


async def test_options_of_the_backend_and_what_wins_over_them(ask):
    options = {
        "generation_config": {"temperature": 0.1, "topK": 3, "seed": 1},
        "safety_settings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}],
        "headers": {"x-team": "blue"},
    }
    body = await ask(
        user(), options=options, temperature=0.0, extra={"generationConfig": {"seed": 2}}
    )
    assert body["generationConfig"] == {"temperature": 0.0, "topK": 3, "seed": 2}
    assert body["safetySettings"] == options["safety_settings"]
    assert ask.upstream.requests[-1].headers["x-team"] == "blue"


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-2.5-flash", "models/gemini-2.5-flash"),
        ("models/gemini-2.5-flash", "models/gemini-2.5-flash"),
        ("a/../b?c#d", "models/a%2F..%2Fb%3Fc%23d"),
    ],
)
async def test_names_of_models_in_addresses(ask, model, path):
    await ask(user(), model=model)
    assert ask.upstream.requests[-1].target == f"/v1beta/{path}:streamGenerateContent?alt=sse"


async def test_many_models_are_asked_one_after_the_other(ask, gemini_wire):
    async with create_client(read_timeout=5) as client:
        config = BackendConfig(name="g", type="gemini", base_url=ask.upstream.url)
        provider = GeminiProvider(config, client)
        for number in range(300):
            request = ChatRequest(model=f"m{number}", messages=(user(),))
            assert [chunk.text async for chunk in provider.chat(request)] == ["ok", ""]
    asked = [gemini_wire.asked(request).model for request in ask.upstream.requests]
    assert asked == [f"m{number}" for number in range(300)]
