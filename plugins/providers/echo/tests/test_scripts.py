"""Answers by directive and by script."""

import asyncio
import json

import pytest

from runtime_core import errors
from runtime_core.types import FunctionCall, Message, ToolCall, Usage


def turn(chunks_calls, text=""):
    """The assistant's message for the calls it made."""
    calls = tuple(ToolCall(id_, FunctionCall(name, args)) for id_, name, args in chunks_calls)
    return Message(role="assistant", content=text or None, tool_calls=calls)


def results(chunks_calls, *contents):
    return [
        Message(role="tool", content=content, tool_call_id=call[0])
        for call, content in zip(chunks_calls, contents, strict=True)
    ]


async def test_a_directive_is_no_part_of_the_echo(echo, ask, text):
    chunks = await ask(echo(), 'before\n/echo {"chunk_size": 9}\nafter')
    assert [chunk.text for chunk in chunks] == ["before\nafter", ""]
    assert text(await ask(echo(), 'before\n  /echo {"delay_ms": 0}')) == "before"
    assert text(await ask(echo(), '/echo {"text": "instead"}')) == "instead"


async def test_directives_may_span_lines_and_say_json(echo, ask, text):
    said = '/echo {\n  "text": {"score": 7, "why": "ü"}\n}'
    assert text(await ask(echo(), said)) == '{"score": 7, "why": "ü"}'
    assert text(await ask(echo(), '/echo {"text": 7}')) == "7"


@pytest.mark.parametrize(
    "said",
    ['say /echo {"text": "x"}', "/echo", "/echo hello", '/echoes {"text": "x"}'],
)
async def test_what_is_no_directive_is_echoed(echo, ask, text, said):
    assert text(await ask(echo(), said)) == said


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ('/echo {"text": ', "not JSON"),
        ('/echo {"txt": 1}', "txt"),
        ('/echo {"delay_ms": 60001}', "delay_ms"),
        ('/echo {"tokens_per_second": 0.01}', "tokens_per_second"),
        ('/echo {"fail": "nonsense"}', "fail"),
        ('/echo {"a":' + "[" * 100_000, "not JSON"),
    ],
)
async def test_wrong_directives_are_refused(echo, ask, said, message):
    with pytest.raises(errors.UpstreamRejected, match=message) as caught:
        await ask(echo(), said)
    assert len(str(caught.value)) < 500


async def test_directives_can_be_switched_off(echo, ask, text):
    said = '/echo {"text": "instead"}'
    assert text(await ask(echo(directives=False), said)) == said


async def test_a_directive_in_the_system_message(echo, ask, text):
    system = Message(role="system", content='You are brief.\n/echo {"text": "yes"}')
    assert text(await ask(echo(), system, "Is it?")) == "yes"
    assert text(await ask(echo(), system, '/echo {"text": "user wins"}')) == "user wins"


async def test_only_the_last_user_message_directs(echo, ask, text):
    earlier = '/echo {"text": "old"}'
    said = (Message(role="user", content=earlier), Message(role="assistant", content="old"))
    assert text(await ask(echo(), *said, "new")) == "new"


async def test_everything_a_directive_can_say(echo, ask, text, calls):
    said = {
        "text": "a b",
        "reasoning": "hm hm",
        "tool_calls": [{"name": "weather", "arguments": {"city": "Zürich"}}],
        "finish_reason": "length",
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    }
    chunks = await ask(echo(), f"/echo {json.dumps(said)}")
    assert text(chunks) == "a b"
    assert "".join(chunk.reasoning for chunk in chunks) == "hm hm"
    assert [call[1:] for call in calls(chunks)] == [("weather", '{"city": "Zürich"}')]
    assert (chunks[-1].finish_reason, chunks[-1].usage) == ("length", Usage(1, 2))


async def test_tool_calls_without_text(echo, ask, text, calls):
    wanted = [{"name": "a"}, {"name": "b", "arguments": "not json", "id": "mine"}]
    chunks = await ask(echo(), f"/echo {json.dumps({'tool_calls': wanted})}")
    assert text(chunks) == ""
    assert chunks[-1].finish_reason == "tool_calls"
    (first, second) = calls(chunks)
    assert first[1:] == ("a", "{}")
    assert second == ("mine", "b", "not json")


async def test_long_arguments_come_in_pieces(echo, ask, calls):
    arguments = {"text": "x" * 100}
    said = {"tool_calls": [{"name": "a", "arguments": arguments}]}
    chunks = await ask(echo(), f"/echo {json.dumps(said)}")
    assert sum(bool(chunk.tool_calls) for chunk in chunks) > 3
    assert json.loads(calls(chunks)[0][2]) == arguments


async def test_an_agent_loop_by_directive(echo, ask, text, calls):
    provider = echo()
    said = json.dumps(
        {
            "tool_calls": [{"name": "look"}],
            "then": [{"text": "More.", "tool_calls": [{"name": "look again"}]}, "Done."],
        }
    )
    history = [Message(role="user", content=f"Go.\n/echo {said}")]
    seen = []
    for answer in ("grey", "blue"):
        made = calls(await ask(provider, *history))
        seen += [call[0] for call in made]
        history += [turn(made), *results(made, answer)]
    assert text(await ask(provider, *history)) == "Done."
    history += [Message(role="assistant", content="Done."), *history]
    seen += [call[0] for call in calls(await ask(provider, *history[:-4]))]
    assert len(set(seen)) == len(seen)


async def test_after_the_last_then_tool_results_are_echoed(echo, ask, text, calls):
    said = Message(role="user", content='/echo {"tool_calls": [{"name": "look"}]}')
    made = calls(await ask(echo(), said))
    after = await ask(echo(), said, turn(made), *results(made, "grey"))
    assert (text(after), after[-1].finish_reason) == ("grey", "stop")


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ("cycle", ["one", "two", "one", "two"]),
        ("repeat", ["one", "two", "two", "two"]),
        ("echo", ["one", "two", "hi", "hi"]),
    ],
)
async def test_a_script_is_given_in_turn(echo, ask, text, after, expected):
    provider = echo(script=["one", {"text": "two"}], after_script=after)
    assert [text(await ask(provider, "hi")) for _ in range(4)] == expected


async def test_answers_of_a_script_take_the_rest_from_the_options(echo, ask):
    provider = echo(chunk_size=2, script=["a b c", {"text": "a b c", "chunk_size": 1}])
    assert [len(await ask(provider, "hi")) for _ in range(2)] == [3, 4]


async def test_scripted_conversations_at_the_same_time_do_not_mix(echo, ask, text, calls):
    provider = echo(
        script=[
            {"tool_calls": [{"name": "a"}], "then": ["a done"]},
            {"tool_calls": [{"name": "b"}], "then": ["b done"]},
        ]
    )
    begun = [calls(await ask(provider, "go")) for _ in range(2)]
    assert [made[0][1] for made in begun] == ["a", "b"]
    ended = [
        text(await ask(provider, "go", turn(made), *results(made, "ok"))) for made in begun[::-1]
    ]
    assert ended == ["b done", "a done"]


async def test_a_scripted_conversation_of_several_steps(echo, ask, text, calls):
    provider = echo(
        script=[
            {
                "tool_calls": [{"name": "a"}],
                "then": [{"tool_calls": [{"name": "b"}]}, "done"],
            },
            "next",
        ]
    )
    history = [Message(role="user", content="go")]
    for name in ("a", "b"):
        made = calls(await ask(provider, *history))
        assert [call[1] for call in made] == [name]
        history += [turn(made), *results(made, "ok")]
    assert text(await ask(provider, *history)) == "done"
    assert text(await ask(provider, "go")) == "next"


async def test_a_script_from_a_file(echo, ask, text, tmp_path):
    path = tmp_path / "script.yaml"
    path.write_text("- one\n- {text: two, finish_reason: length}\n", "utf-8")
    provider = echo(script_file=str(path))
    answers = await asyncio.gather(*(ask(provider, "hi") for _ in range(2)))
    assert sorted(text(chunks) for chunks in answers) == ["one", "two"]
    assert {chunks[-1].finish_reason for chunks in answers} == {"stop", "length"}


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read"), ("{", "cannot be read"), ("a: b", "list"), ("- {x: 1}", "0.x")],
)
async def test_wrong_script_files_are_explained(echo, ask, tmp_path, content, message):
    path = tmp_path / "script.yaml"
    if content is not None:
        path.write_text(content, "utf-8")
    with pytest.raises(errors.UpstreamRejected, match=f"script.yaml.*{message}"):
        await ask(echo(script_file=str(path)), "hi")


async def test_pieces_are_the_chunks(echo, ask):
    provider = echo(script=[{"pieces": ["Hel", "lo wor", "ld"]}])
    assert [chunk.text for chunk in await ask(provider, "x")] == ["Hel", "lo wor", "ld", ""]
