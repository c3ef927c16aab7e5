from __future__ import annotations

import json
import urllib.request

SLOW = '/echo {"text": "one two three", "tokens_per_second": 0.2}'


def test_each_line_is_answered_in_the_same_conversation(start, server):
    chat = start("chat", "--session", "piped", "--url", server)
    chat.type("first")
    chat.type("")
    chat.type("second")
    assert chat.end() == 0
    assert chat.output == "first\nsecond\n"
    assert chat.errors == ""
    with urllib.request.urlopen(f"{server}/chat/piped", timeout=10) as answer:
        messages = json.load(answer)["messages"]
    assert [message["content"] for message in messages] == ["first", "first", "second", "second"]


def test_a_conversation_gets_its_name_from_the_server(start, server):
    def sessions() -> set[str]:
        with urllib.request.urlopen(f"{server}/chat", timeout=10) as answer:
            return {row["session"] for row in json.load(answer)}

    before = sessions()
    chat = start("chat", "--url", server)
    chat.type("first")
    chat.type("second")
    assert chat.end() == 0
    assert len(sessions() - before) == 1


def test_ctrl_c_stops_the_answer_only(start, server):
    chat = start("chat", "--session", "stopped", "--url", server)
    chat.type(SLOW)
    chat.wait_for("one")
    chat.interrupt()
    chat.type("still there?")
    chat.wait_for("still there?\n")
    assert chat.end() == 0
    assert chat.output == "one\nstill there?\n"
    assert chat.errors == "(stopped)\n"
    with urllib.request.urlopen(f"{server}/chat/stopped", timeout=10) as answer:
        assert len(json.load(answer)["messages"]) == 2


def test_a_line_that_fails_does_not_end_the_conversation(start, server):
    chat = start("chat", "--url", server)
    chat.type('/echo {"fail": 401}')
    chat.type("better")
    assert chat.end() == 1
    assert chat.output == "better\n"
    assert chat.errors == "error: echo answered 401, as it was told to\n"


def test_a_chain_that_is_not_there(start, server):
    chat = start("chat", "--chain", "nowhere", "--url", server)
    chat.type("hi")
    assert chat.end() == 1
    assert chat.errors == "error: task chain 'nowhere' not found\n"


def test_no_server(start):
    chat = start("chat")
    assert chat.end() == 1
    assert chat.errors == (
        "error: no server answers at http://127.0.0.1:1; start one with: runtime serve\n"
    )


def test_a_server_that_dies_in_mid_answer(start):
    server = start("serve", "--port", "0")
    url = server.wait_for("\n").split()[-1]
    chat = start("chat", "--url", url)
    chat.type(SLOW)
    chat.wait_for("one")
    server.process.kill()
    assert chat.end() == 1
    assert chat.output == "one\n"
    assert "went away before its answer was complete" in chat.errors


def test_at_a_terminal(start, server, terminal):
    chat = terminal("chat", "--session", "typed", "--url", server)
    chat.wait_for(f"talking to {server}: Ctrl-C stops an answer, Ctrl-D ends")
    chat.wait_for("> ")
    # what a model writes must not act on the terminal
    chat.type('/echo {"text": "red \\u001b[31m alert"}')
    chat.wait_for("red [31m alert\r\n> ")
    chat.type("\x03")
    # the terminal takes a key for what it is only once the prompt is there
    chat.wait_for("(Ctrl-D ends)\r\n> ")
    chat.type("\x04")
    assert chat.end() == 0
    assert "to go on: runtime chat --session typed" in chat.output
