from __future__ import annotations

import json

import pytest

MARKED = {
    "id": "on-the-server",
    "tasks": [
        {
            "id": "a",
            "handler": "noop",
            "prompt_template": "from the server: {{.input}}",
            "transition": {"branches": [{"goto": "end"}]},
        }
    ],
}
SLOW = '/echo {"text": "one two three", "tokens_per_second": 0.2}'


@pytest.fixture
def marked(start, server, tmp_path) -> str:
    """Return the id of a chain that only the running server has."""
    (tmp_path / "marked.json").write_text(json.dumps(MARKED))
    assert start("chain", "put", "marked.json", "--url", server).end() == 0
    return "on-the-server"


# -------------------------------------------------------------------------
# On a server
# -------------------------------------------------------------------------


def test_the_running_server_is_found_and_has_the_chains(start, server, marked):
    port = server.rpartition(":")[2]
    run = start("run", "hi", "--chain", marked, PORT=port)
    assert run.end() == 0
    assert run.output == "from the server: hi\n"
    # the same, but nobody would answer in this process
    local = start("run", "hi", "--chain", marked, "--local", PORT=port)
    assert local.end() == 1
    assert local.errors == "error: task chain 'on-the-server' not found\n"


def test_an_answer_is_shown_while_it_is_written_and_ctrl_c_stops_the_model(start, stalling_model):
    server = start("serve", "--port", "0", RUNTIME_BACKENDS=stalling_model.backends)
    url = server.wait_for("\n").split()[-1]
    run = start("run", "tell me", "--stream", "--url", url)
    run.wait_for("Once upon")
    run.interrupt()
    assert run.end() == 130
    assert run.output == "Once upon\n"
    assert run.errors == "error: cancelled\n"
    assert stalling_model.left.wait(10)


def test_a_server_that_dies_in_mid_answer(start):
    server = start("serve", "--port", "0")
    url = server.wait_for("\n").split()[-1]
    run = start("run", SLOW, "--stream", "--url", url)
    run.wait_for("one")
    server.process.kill()
    assert run.end() == 1
    assert run.output.startswith("one")
    assert run.output.endswith("\n")
    assert run.errors == (f"error: the server at {url} went away before its answer was complete\n")


def test_a_server_that_was_named_and_is_not_there(start):
    run = start("run", "hi", "--url", "127.0.0.1:1")
    assert run.end() == 1
    assert run.errors == (
        "error: no server answers at http://127.0.0.1:1; start one with: runtime serve\n"
    )


def test_a_failed_run_names_itself(start, server):
    run = start("run", '/echo {"fail": 401}', "--url", server)
    assert run.end() == 1
    assert run.output == ""
    assert run.errors.startswith("error: echo answered 401, as it was told to (run ")


# -------------------------------------------------------------------------
# In this process
# -------------------------------------------------------------------------


def test_without_a_server_it_runs_here_and_leaves_nothing(start, tmp_path):
    run = start("run", "-")
    run.type("hello  there")
    assert run.end() == 0
    assert run.output == "hello  there\n"
    assert run.errors == ""
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".db"] == []


def test_here_too_ctrl_c_stops_the_model(start, stalling_model):
    run = start("run", "tell me", "--stream", RUNTIME_BACKENDS=stalling_model.backends)
    run.wait_for("Once upon")
    run.interrupt()
    assert run.end() == 130
    assert run.errors == "error: cancelled\n"
    assert stalling_model.left.wait(10)


def test_what_failed_here_says_that_no_server_was_found(start):
    run = start("run", "hi", "--chain", "nowhere")
    assert run.end() == 1
    assert run.errors == (
        "error: task chain 'nowhere' not found "
        "(run in this process: no server answers at http://127.0.0.1:1)\n"
    )


def test_a_chain_file_with_variables_and_json_all_the_way(start, tmp_path):
    (tmp_path / "greet.yaml").write_text(
        "id: greet\n"
        "tasks:\n"
        "  - id: a\n"
        "    handler: noop\n"
        "    prompt_template: '{{var:word}} {{.input.name}}'\n"
        "    transition: {branches: [{goto: end}]}\n"
    )
    run = start(
        *("run", '{"name": "Ada"}', "--chain", "greet.yaml", "--input-type", "json"),
        *("--var", "word=Hello, = dear", "--json"),
    )
    assert run.end() == 0
    document = json.loads(run.output)
    assert document["output"] == "Hello, = dear Ada"
    assert [step["taskID"] for step in document["state"]] == ["a"]
    assert document["runId"]


def test_a_broken_database_is_told_as_at_any_start(start):
    run = start("run", "hi", "--local", DATABASE_URL="sqlite:////nowhere/at/all.db")
    assert run.end() == 2
    assert "/nowhere/at" in run.errors
    assert "Traceback" not in run.errors


def test_a_setting_that_is_wrong_is_wrong_use(start):
    run = start("run", "hi", PORT="many")
    assert run.end() == 2
    assert run.errors.startswith("error: a setting is wrong: PORT")
