from __future__ import annotations

import json
import re
import shlex
import socket
import subprocess
import urllib.request

import pytest

PROMPT = "Hello! What can you do for a program that talks to you?"


def run_printed(output: str, environ: dict[str, str]) -> dict[str, str]:
    """Run every command the demo printed, as pasted into a shell, and return what each says."""
    said = {}
    for command in commands_in(output):
        done = subprocess.run(
            ["sh", "-c", command], capture_output=True, text=True, timeout=60, env=environ
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        said[command] = done.stdout
    return said


def commands_in(output: str) -> list[str]:
    after = output.partition("Try it")[2]
    blocks = re.split(r"\n\n", after)
    found = []
    for block in blocks:
        if block.startswith("python -c"):
            found.append(block)
        else:
            found += [line for line in block.splitlines() if line.startswith(("curl", "runtime"))]
    return [command for command in found if not command.startswith("runtime chat")]


def in_order(text: str, *parts: str) -> bool:
    places = [text.find(part) for part in parts]
    return -1 not in places and places == sorted(places)


@pytest.fixture
def environ(tmp_path):
    import os
    import sys
    from pathlib import Path

    scripts = str(Path(sys.executable).parent)
    return {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path)}


def test_it_answers_then_says_what_to_try_and_serves_until_ctrl_c(start, address_of, environ):
    demo = start("demo", "--port", "0")
    output = demo.wait_for("/docs\n")
    url = address_of(output)
    assert in_order(
        output,
        f"listening on {url}\n",
        "chain   demo: ",
        "model   echo on backend echo",
        "a stand-in that repeats what it is told",
        "see docs/configuration.md",
        f"\n> {PROMPT}\n",
        f"\n{PROMPT}\n",
        "\nTry it",
        f"curl {url}/openai/demo/v1/chat/completions",
        "curl -N ",
        "python -c",
        "runtime run ",
        "runtime chat ",
        f"OpenAI base URL   {url}/openai/demo/v1\n",
        f"API documentation {url}/docs\n",
    ), output
    said = list(run_printed(output, environ).values())
    assert json.loads(said[0])["choices"][0]["message"]["content"] == "Hello!"
    assert '"delta":{"content":"Hello!"}' in said[1]
    assert said[1].endswith("data: [DONE]\n\n")
    assert said[2] == "Hello!\n"
    assert said[3] == "Hello!\n"
    assert len(said) == 4
    with urllib.request.urlopen(f"{url}/docs", timeout=10) as page:
        assert page.status == 200
    demo.interrupt()
    assert demo.end() == 0
    assert demo.errors == ""


def test_a_key_is_asked_for_but_not_printed_and_database_servers_are_left_alone(
    start, environ, address_of
):
    demo = start(
        "demo",
        "--port",
        "0",
        TOKEN="s3cret-key",
        DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing",
        RUNTIME_BUS_URL="unknown://",
    )
    output = demo.wait_for("/docs\n")
    assert f"\n{PROMPT}\n" in output
    assert "s3cret-key" not in output
    commands = commands_in(output)
    curls = [command for command in commands if command.startswith("curl")]
    assert len(curls) == 2
    assert all('-H "Authorization: Bearer $TOKEN"' in command for command in curls)
    said = list(run_printed(output, environ | {"TOKEN": "s3cret-key"}).values())
    assert said[2:] == ["Hello!\n", "Hello!\n"]
    listing = shlex.split(f"chain list --url {address_of(output)}")
    refused = start(*listing)
    assert refused.end() == 1
    assert "a key is given with --token or TOKEN" in refused.errors
    allowed = start(*listing, "--token", "s3cret-key")
    assert allowed.end() == 0
    assert "demo  " in allowed.output


def test_without_the_completions_plugin_it_goes_through_tasks(start, environ, address_of):
    demo = start("demo", "--port", "0", RUNTIME_DISABLE_PLUGINS="ollama,openai-shim")
    output = demo.wait_for("/docs\n")
    assert f"\n{PROMPT}\n" in output
    assert "/openai/" not in output
    said = list(run_printed(output, environ).values())
    assert json.loads(said[0])["output"]["messages"][-1]["content"] == "Hello!"
    assert '"text":"Hello!"' in said[1]
    assert said[2] == "Hello!\n"


def test_a_model_that_fails_is_told_and_the_server_goes_on(start, address_of):
    backend = {"type": "echo", "name": "down", "base_url": "echo://local?fail=401"}
    demo = start("demo", "--port", "0", RUNTIME_BACKENDS=json.dumps([backend]))
    output = demo.wait_for("/docs\n")
    assert in_order(
        output,
        "model   echo on backend down",
        f"> {PROMPT}\n",
        "no answer: down answered 401",
        "the server keeps serving",
        "Try it",
    ), output
    assert "stand-in" not in output
    with urllib.request.urlopen(f"{address_of(output)}/livez", timeout=10) as answer:
        assert answer.status == 200
    demo.interrupt()
    assert demo.end() == 0
    assert "Traceback" not in demo.errors


def test_a_chain_that_was_changed_stays_as_it_is(start, address_of, tmp_path):
    first = start("demo", "--port", "0")
    url = address_of(first.wait_for("/docs\n"))
    changed = {
        "id": "demo",
        "tasks": [
            {
                "id": "a",
                "handler": "noop",
                "prompt_template": "changed",
                "transition": {"branches": [{"goto": "end"}]},
            }
        ],
    }
    (tmp_path / "demo.json").write_text(json.dumps(changed))
    assert start("chain", "put", "demo.json", "--url", url).end() == 0
    first.interrupt()
    assert first.end() == 0
    second = start("demo", "--port", "0")
    output = second.wait_for("/docs\n")
    assert in_order(output, "chain   demo: as it was stored before", "\nchanged\n", "Try it"), (
        output
    )


def test_ctrl_c_in_the_middle_of_the_answer_ends_it_at_once(start):
    demo = start("demo", "--port", "0", RUNTIME_PLUGINS='{"echo": {"tokens_per_second": 0.1}}')
    demo.wait_for("\nHello!")
    demo.interrupt()
    assert demo.end() == 0
    assert "Try it" not in demo.output
    assert demo.errors == ""


def test_a_port_in_use(start):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        port = other.getsockname()[1]
        demo = start("demo", "--port", str(port))
        assert demo.end() == 1
    assert demo.output == ""
    assert demo.errors.startswith(f"error: port {port} is in use on 127.0.0.1")
