"""From the words of ``runtime run`` to a request, and from a run's events to what is printed."""

from __future__ import annotations

import json

import click
import pytest

from runtime_core.cli.run import _Output
from runtime_core.cli.wish import Wish, chain_named, text_of, variables_of

CONVERSING = {"tasks": [{"handler": "chat_completion"}]}
READING = {"tasks": [{"handler": "prompt_to_string"}]}
HELLO = {"messages": [{"role": "user", "content": "hello"}]}


def body(prompt: str, input_type: str, chain: dict, *, chain_id: str = "") -> dict:
    document = None if chain_id else chain
    return Wish(prompt, input_type, {"k": "v"}, document, chain_id, live=False).body(chain)


def test_a_chain_is_sent_as_a_document_or_by_its_id():
    assert body("x", "", READING)["chain"] == READING
    assert body("x", "", READING, chain_id="c")["chainId"] == "c"
    assert "chain" not in body("x", "", READING, chain_id="c")
    assert body("x", "", READING)["templateVars"] == {"k": "v"}


@pytest.mark.parametrize(
    ("task", "converses"),
    [
        ({"handler": "chat_completion"}, True),
        ({"handler": "model_execution"}, True),
        ({"handler": "chat_completion", "input_var": "input"}, True),
        ({"handler": "chat_completion", "prompt_template": "{{.input}}"}, False),
        ({"handler": "chat_completion", "input_var": "other"}, False),
        ({"handler": "prompt_to_string"}, False),
        ({"handler": None}, False),
        ("no task", False),
    ],
)
def test_a_prompt_becomes_a_conversation_where_one_is_wanted(task, converses):
    sent = body("hello", "", {"tasks": [task]})
    if converses:
        assert (sent["input"], sent["inputType"]) == (HELLO, "chat_history")
    else:
        assert (sent["input"], sent["inputType"]) == ("hello", "string")


@pytest.mark.parametrize("chain", [{}, {"tasks": []}, {"tasks": "x"}])
def test_a_chain_without_tasks_is_left_to_who_runs_it(chain):
    assert body("hello", "", chain)["input"] == "hello"


def test_a_type_that_is_said_is_kept():
    assert body("7", "int", READING)["input"] == 7
    assert body("7", "string", CONVERSING)["input"] == "7"
    assert body('{"a": 1}', "json", READING)["input"] == {"a": 1}
    with pytest.raises(click.UsageError, match="--input-type json: the prompt must be JSON"):
        body("{", "json", READING)


def test_variables():
    assert variables_of(("a=1", "b=x=y", "c=")) == {"a": "1", "b": "x=y", "c": ""}
    for wrong in ("a", "=1", ""):
        with pytest.raises(click.UsageError, match="write it as NAME=VALUE"):
            variables_of((wrong,))


def test_prompts_that_are_none():
    with pytest.raises(click.UsageError, match="the prompt is empty"):
        text_of("")
    with pytest.raises(click.UsageError, match="not UTF-8 at byte 1"):
        text_of("a\udcff")


def test_a_chain_is_a_file_or_an_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c").write_text("id: from-file")
    assert chain_named("c", "") == ({"id": "from-file"}, "")
    assert chain_named("d", "") == (None, "d")
    document, _ = chain_named(None, "m")
    assert document["tasks"][0]["execute_config"] == {"model": "m"}
    with pytest.raises(SystemExit) as ended:
        chain_named("d.yaml", "")
    assert ended.value.code == 2


# -------------------------------------------------------------------------
# What is printed
# -------------------------------------------------------------------------


def started(attempt: int = 1) -> dict:
    return {"type": "step_started", "taskID": "a", "attempt": attempt}


def delta(text: str, *, final: bool = True) -> dict:
    return {"type": "delta", "taskID": "a", "text": text, "final": final}


def finished(output: object, output_type: str = "string") -> dict:
    return {"type": "run_finished", "runId": "r", "output": output, "outputType": output_type}


STEP = {"type": "step_finished", "step": {"taskID": "a"}}


def printed(capsys, events, *, stream=False, as_json=False) -> tuple[str, str]:
    output = _Output(stream=stream, as_json=as_json)
    for event in events:
        assert not output.finished
        output.take(event)
    assert output.finished
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_without_streaming_only_the_output_is_printed(capsys):
    assert printed(capsys, [started(), delta("dra"), finished("done")]) == ("done\n", "")


def test_streaming_prints_pieces_once(capsys):
    events = [started(), delta("on"), delta("e\n"), STEP, finished("one\n")]
    assert printed(capsys, events, stream=True) == ("one\n", "")


def test_what_nobody_streamed_is_printed_at_the_end(capsys):
    events = [started(), delta("hidden", final=False), STEP, finished("shown")]
    assert printed(capsys, events, stream=True) == ("shown\n", "")


def test_an_answer_that_is_begun_again(capsys):
    events = [started(), delta("wro"), STEP, started(2), delta("right"), finished("right")]
    assert printed(capsys, events, stream=True) == ("wro\nright\n", "(once more)\n")
    events = [started(), delta("wro"), STEP, started(2), finished("right at once")]
    assert printed(capsys, events, stream=True) == ("wro\nright at once\n", "(once more)\n")


def test_what_an_agent_says_is_printed_once(capsys):
    routed = {"type": "model_routed", "taskID": "a"}
    tools = [STEP, started(), STEP, started(), routed]
    events = [started(), routed, delta("Look."), *tools, delta("\n\nIt is."), finished("It is.")]
    assert printed(capsys, events, stream=True) == ("Look.\n\nIt is.\n", "")
    events = [started(), routed, delta("Look."), *tools, finished("sorry")]
    assert printed(capsys, events, stream=True) == ("Look.\nsorry\n", "")


@pytest.mark.parametrize(
    ("output", "output_type", "text"),
    [
        ({"messages": [{"content": "q"}, {"content": "a"}]}, "chat_history", "a\n"),
        ({"choices": [{"message": {"content": "a"}}]}, "openai_chat_response", "a\n"),
        ("two\nlines\n", "string", "two\nlines\n"),
        (7, "int", "7\n"),
        (None, "nil", "null\n"),
        ({"ü": [1]}, "json", '{\n  "ü": [\n    1\n  ]\n}\n'),
        ({"messages": []}, "chat_history", '{\n  "messages": []\n}\n'),
        ({"choices": []}, "openai_chat_response", '{\n  "choices": []\n}\n'),
    ],
)
def test_outputs_as_text(capsys, output, output_type, text):
    assert printed(capsys, [finished(output, output_type)])[0] == text


def test_json_has_the_steps(capsys):
    text, _ = printed(capsys, [started(), delta("x"), STEP, finished("done")], as_json=True)
    assert json.loads(text) == {
        "runId": "r",
        "output": "done",
        "outputType": "string",
        "state": [{"taskID": "a"}],
    }


def test_json_and_stream_print_an_event_a_line(capsys):
    events = [started(), delta("é", final=False), STEP, finished("done")]
    text, _ = printed(capsys, events, stream=True, as_json=True)
    assert [json.loads(line) for line in text.splitlines()] == events
    assert "é" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["hi", "--local", "--url", "x"], "--local and --url exclude each other"),
        (["hi", "--model", "m", "--chain", "c"], "--model is for a run without --chain"),
        (["hi", "--var", "x"], "write it as NAME=VALUE"),
        ([], "Missing argument 'PROMPT'"),
    ],
)
def test_wrong_use(arguments, message, tmp_path, monkeypatch):
    from click.testing import CliRunner

    from runtime_core.cli.run import run

    # no logs are set up for the process of the tests
    monkeypatch.setattr("runtime_core.logs.configure", lambda *_: None)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(run, arguments)
    assert done.exit_code == 2
    assert message in done.output
