"""Each example chain does what its description says, on a scripted model."""

from __future__ import annotations

import json
from contextlib import aclosing
from pathlib import Path

import pytest

from runtime_core.cli.chain import read_document
from runtime_core.cli.client import Failure
from runtime_core.cli.places import run_events
from runtime_core.cli.wish import Wish
from runtime_core.settings import Settings

CHAINS = Path(__file__).parents[3] / "examples" / "chains"
TESTED = {
    "agent.yaml",
    "classify-and-route.json",
    "improve-until-good.yaml",
    "look-up-and-answer.yaml",
    "retry-and-fallback.yaml",
    "summarise.yaml",
}


@pytest.fixture
def play(tmp_path, monkeypatch):
    """Return what runs an example with the model's answers: its output and the tasks it took."""
    monkeypatch.chdir(tmp_path)

    async def run(name: str, prompt: str, *answers: object) -> tuple[object, list[str]]:
        echo = {"script": list(answers), "after_script": "echo"}
        environ = {
            "RUNTIME_PLUGINS": json.dumps({"echo": echo}),
            "RUNTIME_DISABLE_PLUGINS": "ollama",
        }
        settings = Settings.load(environ=environ, directory=tmp_path)
        wish = Wish(prompt, "", {}, read_document(CHAINS / name), "", live=False)
        path, output = [], None
        async with aclosing(run_events(settings, wish, local=True)) as events:
            async for event in events:
                if event["type"] == "step_started":
                    path.append(event["taskID"])
                elif event["type"] == "run_finished":
                    output = event["output"]
        return output, path

    return run


def test_every_example_is_tested_here():
    assert {path.name for path in CHAINS.iterdir()} == TESTED


@pytest.mark.parametrize("name", sorted(TESTED))
def test_every_task_is_explained(name):
    document = read_document(CHAINS / name)
    assert document["id"] == Path(name).stem
    assert document["description"]
    assert all(task["description"] for task in document["tasks"])


async def test_agent(play):
    calls = [{"name": "echo_echo", "arguments": {"input": "found it"}}, {"name": "nothing"}]
    output, path = await play("agent.yaml", "Where is it?", {"tool_calls": calls}, "There.")
    assert path == ["ask", "tools", "ask"]
    *_, found, refused, answer = [message.get("content") for message in output["messages"]]
    assert (found, answer) == ("found it", "There.")
    assert "no such tool; there are: echo.echo" in refused


async def test_summarise(play):
    output, path = await play("summarise.yaml", "a long text", "A short text.", "Short")
    assert output == "# Short\n\nA short text."
    assert path == ["summary", "headline", "result"]


@pytest.mark.parametrize(
    ("answers", "steps"),
    [
        (["Yes.", "So sorry!"], ["is_complaint", "apologise"]),
        (["no", "At nine."], ["is_complaint", "answer"]),
        (["hard to say", "no", "At nine."], ["is_complaint", "is_complaint", "answer"]),
    ],
)
async def test_classify_and_route(play, answers, steps):
    output, path = await play("classify-and-route.json", "When do you open?", *answers)
    assert (output, path) == (answers[-1], steps)


async def test_classify_and_route_gives_up(play):
    with pytest.raises(Failure, match="none of the conditions"):
        await play("classify-and-route.json", "hm", "who knows", "not me")


@pytest.mark.parametrize(
    ("answers", "output", "steps"),
    [
        (["42"], "42", ["answer"]),
        ([{"fail": 503}, "42"], "42", ["answer"] * 2),
        ([{"fail": 401}, "42"], "42", ["answer", "shorter"]),
        (
            [{"fail": 401}, {"fail": 401}],
            "Sorry, nobody can answer now. Please ask again later: why?",
            ["answer", "shorter", "apologise"],
        ),
    ],
)
async def test_retry_and_fallback(play, answers, output, steps):
    assert await play("retry-and-fallback.yaml", "why?", *answers) == (output, steps)


async def test_improve_until_good(play):
    answers = ["first", "5", "second", "9"]
    output, path = await play("improve-until-good.yaml", "the sea", *answers)
    assert output == "second"
    loop = ["text", "score"]
    assert path == ["draft", *loop, "rewrite", *loop, "result"]


async def test_improve_until_good_has_a_limit(play):
    with pytest.raises(Failure, match="the run took 20 steps"):
        await play("improve-until-good.yaml", "the sea", *["5"] * 30)


async def test_look_up_and_answer(play):
    output, path = await play("look-up-and-answer.yaml", "the sea")
    assert output == "What we know: entry for the sea.\n\nQuestion: the sea"
    assert path == ["facts", "answer"]
