"""Handlers that ask no model, hold no conversation, or turn one answer into a value."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from runtime_core.engine.handlers import ALIASES, builtin_handlers
from runtime_core.errors import (
    ContextLengthExceeded,
    InvalidRequest,
    NotFound,
    TaskFailed,
    TemplateFailed,
    UnusableAnswer,
    UpstreamProtocolError,
    UpstreamUnavailable,
)
from runtime_core.types import (
    ChatChunk,
    ChatHistory,
    ChatRequest,
    Message,
    ModelRouted,
    Routed,
    Value,
)


@pytest.fixture
def answered(bench):
    """Run one task over one answer."""

    async def run(handler, answer, data="prompt", **task):
        bench.models.answers(ChatChunk(answer), ChatChunk(finish_reason="stop"))
        return await bench.one({"handler": handler, **task}, data)

    return run


# -------------------------------------------------------------------------
# Names
# -------------------------------------------------------------------------


def test_every_documented_handler_is_there():
    documented = {
        "prompt_to_string",
        "prompt_to_condition",
        "prompt_to_int",
        "prompt_to_float",
        "prompt_to_range",
        "prompt_to_js",
        "prompt_to_json",
        "text_to_embedding",
        "raise_error",
        "parse_command",
        "parse_key_value",
        "chat_completion",
        "execute_tool_calls",
        "convert_to_openai_chat_response",
        "noop",
        "hook",
    }
    assert set(builtin_handlers()) == documented | set(ALIASES)


def test_old_names_do_the_same():
    handlers = builtin_handlers()
    assert all(handlers[alias] is handlers[name] for alias, name in ALIASES.items())


async def test_a_step_shows_the_name_that_was_written(answered):
    result = await answered("raw_string", "hi")
    assert result.steps[0].task_handler == "raw_string"


# -------------------------------------------------------------------------
# Prompts
# -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("handler", "answer", "output", "kind", "transition"),
    [
        ("prompt_to_string", "  Paris \n", "Paris", "string", "Paris"),
        ("prompt_to_int", "42", 42, "int", "42"),
        ("prompt_to_int", ' "1 000" ', 1000, "int", "1000"),
        ("prompt_to_int", "about 12.0 apples", 12, "int", "12"),
        ("prompt_to_int", "-3", -3, "int", "-3"),
        ("prompt_to_int", "1e3", 1000, "int", "1000"),
        ("prompt_to_int", "123456789012345678", 123456789012345678, "int", "123456789012345678"),
        ("prompt_to_float", "0.756", 0.756, "float", "0.76"),
        ("prompt_to_float", "score: .5!", 0.5, "float", "0.50"),
        ("prompt_to_float", "7", 7.0, "float", "7.00"),
        ("prompt_to_range", " 3 - 7 ", "3-7", "string", "3-7"),
        ("prompt_to_range", '"5"', "5-5", "string", "5-5"),
        ("prompt_to_range", "-5..-1", "-5..-1", "string", "-5..-1"),
        ("prompt_to_range", "-5", "-5..-5", "string", "-5..-5"),
        ("prompt_to_range", "1.5\u20132", "1.5-2", "string", "1.5-2"),
        ("prompt_to_js", "```js\nlet a = 1;\n```", {"code": "let a = 1;"}, "json", "ok"),
        ("prompt_to_js", "```js\nlet a = 1;", {"code": "let a = 1;"}, "json", "ok"),
        ("prompt_to_js", "```f()```", {"code": "f()"}, "json", "ok"),
        ("prompt_to_js", '{"code": "f()", "why": "x"}', {"code": "f()"}, "json", "ok"),
        ("prompt_to_js", '{"code": ""}', {"code": '{"code": ""}'}, "json", "ok"),
        ("prompt_to_js", "{ f() }", {"code": "{ f() }"}, "json", "ok"),
        ("prompt_to_js", "```js\n```", {"code": ""}, "json", "empty_js"),
        ("prompt_to_js", '{"a":' * 9999, {"code": '{"a":' * 9999}, "json", "ok"),
        ("prompt_to_json", '{"a": [1, 2.5]}', {"a": [1, 2.5]}, "json", "ok"),
        ("prompt_to_json", 'Sure:\n```json\n{"a": 1}\n```', {"a": 1}, "json", "ok"),
        ("prompt_to_json", 'It is {"a": {"b": 1}}. Enjoy!', {"a": {"b": 1}}, "json", "ok"),
        ("prompt_to_json", "The list: [1, 2]", [1, 2], "json", "ok"),
    ],
)
async def test_an_answer_becomes_a_value(answered, handler, answer, output, kind, transition):
    result = await answered(handler, answer)
    assert result.output == output
    assert type(result.output) is type(output)
    assert result.output_type == kind
    assert result.steps[0].transition == transition


@pytest.mark.parametrize(
    ("handler", "answer"),
    [
        ("prompt_to_int", "none"),
        ("prompt_to_int", "1.5"),
        ("prompt_to_int", "1e400"),
        ("prompt_to_int", "9" * 30),
        ("prompt_to_int", ""),
        ("prompt_to_float", "much"),
        ("prompt_to_float", "1e999"),
        ("prompt_to_range", "from 3 to 7"),
        ("prompt_to_range", "3-4-5"),
        ("prompt_to_json", "no braces"),
        ("prompt_to_json", '{"a": 1'),
        ("prompt_to_json", "[" * 100_000 + "]" * 100_000),
        ("prompt_to_json", "} {"),
        ("prompt_to_json", ""),
    ],
)
async def test_an_answer_that_cannot_be_used_is_quoted_and_worth_a_retry(
    bench, answered, handler, answer
):
    result = await answered(handler, answer)
    assert isinstance(result.error, UnusableAnswer)
    assert answer[:20] in str(result.error)
    assert result.error.retryable


async def test_an_unusable_answer_is_asked_for_again(bench):
    bench.models.answers("well...")
    bench.models.answers("7")
    result = await bench.one({"handler": "prompt_to_int", "retry_on_failure": 1})
    assert result.output == 7


@pytest.mark.parametrize(
    ("answer", "output", "matched"),
    [
        ("yes", True, "yes"),
        (" No.\n", False, "no"),
        ("**YES**!", True, "yes"),
        ('"Not sure"', False, "not sure"),
    ],
)
async def test_a_condition_is_found_despite_case_and_punctuation(
    bench, answered, answer, output, matched
):
    conditions = {"yes": True, "no": False, "not sure": False}
    result = await answered("prompt_to_condition", answer, valid_conditions=conditions)
    assert (result.output, result.output_type) == (output, "bool")
    assert result.steps[0].transition == str(output).lower()


async def test_a_branch_may_name_the_matched_key(bench):
    chain = bench.chain(
        {
            "id": "a",
            "handler": "prompt_to_condition",
            "valid_conditions": {"yes": True, "no": False, "maybe": False},
            "transition": {
                "branches": [
                    {"operator": "equals", "when": "maybe", "goto": "b"},
                    {"operator": "equals", "when": "false", "goto": "c"},
                    {"operator": "default", "goto": "end"},
                ]
            },
        },
        {"id": "b", "handler": "noop", "transition": {"branches": [{"goto": "end"}]}},
        {"id": "c", "handler": "noop"},
    )
    for answer, path in [("Maybe.", ["a", "b"]), ("no", ["a", "c"]), ("yes", ["a"])]:
        bench.models.answers(answer)
        assert (await bench.run(chain)).path == path


@pytest.mark.parametrize("answer", ["perhaps", "", "...", "yes or no"])
async def test_an_answer_that_is_no_condition_names_the_conditions(answered, answer):
    conditions = {"yes": True, "no": False, "?": False}
    result = await answered("prompt_to_condition", answer, valid_conditions=conditions)
    assert isinstance(result.error, UnusableAnswer)
    assert "'yes', 'no'" in str(result.error)


async def test_an_exact_key_wins_over_one_in_another_case(answered):
    conditions = {"Yes": False, "yes": True}
    result = await answered("prompt_to_condition", "yes", valid_conditions=conditions)
    assert result.output is True


@pytest.mark.parametrize(
    ("value", "prompt"),
    [
        (Value("text", "string"), "text"),
        (Value(5, "int"), "5"),
        (Value(0.5, "float"), "0.500000"),
        (Value(True, "bool"), "true"),
        (Value(ChatHistory((Message(role="user", content="last"),)), "chat_history"), "last"),
        (
            Value(
                ChatRequest(model="", messages=(Message(role="user", content="q"),)), "openai_chat"
            ),
            "q",
        ),
    ],
)
async def test_what_a_prompt_reads(bench, value, prompt):
    bench.models.answers("ok")
    await bench.one({"handler": "prompt_to_string"}, value)
    [request] = bench.models.requests
    assert request.messages == (Message(role="user", content=prompt),)


async def test_everything_in_execute_config_reaches_the_model(bench):
    bench.models.answers("ok")
    config = {
        "model": "m1",
        "models": ["m2", "m1"],
        "provider": "p1",
        "providers": ["p2"],
        "temperature": 0.0,
        "top_p": 0.5,
        "max_tokens": 9,
        "stop": ["."],
        "seed": 0,
        "response_format": {"type": "text"},
    }
    task = {"handler": "prompt_to_string", "system_instruction": "s", "execute_config": config}
    await bench.one(task)
    [(wanted, request)] = bench.models.asked
    assert (wanted.role, wanted.models, wanted.providers) == ("task", ("m1", "m2"), ("p1", "p2"))
    assert (request.temperature, request.top_p, request.max_tokens) == (0.0, 0.5, 9)
    assert (request.stop, request.seed) == ((".",), 0)
    assert request.response_format == {"type": "text"}
    assert [message.role for message in request.messages] == ["system", "user"]


@pytest.mark.parametrize("handler", ["prompt_to_string", "text_to_embedding"])
async def test_an_empty_prompt_is_refused_before_any_model_is_asked(bench, handler):
    result = await bench.one({"handler": handler}, " \n")
    assert isinstance(result.error, InvalidRequest)
    assert result.error.status == 400
    assert bench.models.asked == []


async def test_the_token_limit_counts_instruction_and_prompt(bench):
    task = {"id": "a", "handler": "prompt_to_string", "system_instruction": "s" * 399}
    bench.models.answers("ok")
    fits = await bench.run(bench.chain(task, token_limit=200), "p" * 400)
    too_long = await bench.run(bench.chain(task, token_limit=199), "p" * 400)
    assert fits.error is None
    assert isinstance(too_long.error, ContextLengthExceeded)
    assert "200 tokens" in str(too_long.error)


async def test_a_prompts_deltas_are_exact_and_never_final(bench):
    bench.models.answers(ChatChunk(" a"), ChatChunk("\n b "), ChatChunk(finish_reason="length"))
    result = await bench.one({"handler": "prompt_to_string"})
    assert "".join(delta.chunk.text for delta in result.deltas) == " a\n b "
    assert not any(delta.final for delta in result.deltas)
    assert result.output == "a\n b"


@pytest.mark.parametrize("handler", ["prompt_to_string", "chat_completion"])
async def test_an_answer_that_just_stops_is_no_answer(bench, handler):
    history = Value(ChatHistory((Message(role="user", content="q"),)), "chat_history")
    bench.models.answers(ChatChunk("half"))
    result = await bench.one({"handler": handler}, history)
    assert isinstance(result.error, UpstreamProtocolError)


# -------------------------------------------------------------------------
# JSON
# -------------------------------------------------------------------------

SCHEMA = {
    "type": "object",
    "properties": {"age": {"type": "integer", "maximum": 150}, "name": {"pattern": "^a+$"}},
    "required": ["age"],
}


async def test_a_schema_is_sent_as_response_format(bench, answered):
    await answered("prompt_to_json", '{"age": 3}', output_schema=SCHEMA)
    assert bench.models.requests[0].response_format == {
        "type": "json_schema",
        "json_schema": {"name": "a", "schema": SCHEMA},
    }


async def test_without_schema_any_object_is_asked_for(bench, answered):
    await answered("prompt_to_json", "{}")
    assert bench.models.requests[0].response_format == {"type": "json_object"}


async def test_a_response_format_of_ones_own_is_kept(bench, answered):
    config = {"response_format": {"type": "text"}}
    await answered("prompt_to_json", '{"age": 3}', output_schema=SCHEMA, execute_config=config)
    assert bench.models.requests[0].response_format == {"type": "text"}


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ('{"age": "x"}', "age: "),
        ("{}", '"age" is a required property'),
        ("[1]", "answer: "),
        ('{"age": 3, "name": "aab"}', "name: "),
    ],
)
async def test_an_answer_is_checked_against_its_schema(answered, answer, problem):
    result = await answered("prompt_to_json", answer, output_schema=SCHEMA)
    assert isinstance(result.error, UnusableAnswer)
    assert problem in str(result.error)


async def test_a_schemas_pattern_cannot_stall_the_server(answered):
    schema = {"type": "string", "pattern": "^(a|aa)+$"}
    result = await answered("prompt_to_json", json.dumps("a" * 5000 + "b"), output_schema=schema)
    assert isinstance(result.error, UnusableAnswer)


@pytest.fixture
def schema_server():
    """An address that serves a schema, and the list of requests it got."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/schema", asked
    server.shutdown()
    thread.join()
    server.server_close()


async def test_a_schema_cannot_make_the_server_fetch_an_address(bench, schema_server):
    url, asked = schema_server
    task = {"handler": "prompt_to_json", "output_schema": {"$ref": url}}
    result = await bench.one(task)
    assert "output_schema" in str(result.error)
    assert asked == []


# -------------------------------------------------------------------------
# Embeddings
# -------------------------------------------------------------------------


async def test_a_text_becomes_a_vector(bench):
    bench.models.answers([[0.5, 1.0]])
    task = {"handler": "text_to_embedding", "execute_config": {"model": "e"}}
    result = await bench.one(task, "text")
    assert (result.output, result.output_type) == ([0.5, 1.0], "vector")
    assert result.steps[0].transition == "ok"
    [(wanted, texts)] = bench.models.asked
    assert (wanted.role, wanted.models, texts) == ("embed", ("e",), ["text"])
    assert ModelRouted("a", Routed("backend", "echo", "routed-model")) in result.events


async def test_no_vector_is_a_fault_of_the_upstream(bench):
    bench.models.answers([])
    result = await bench.one({"handler": "text_to_embedding"})
    assert isinstance(result.error, UpstreamProtocolError)


async def test_a_failing_embedding_fails_the_task(bench):
    bench.models.answers(UpstreamUnavailable("down"))
    assert str((await bench.one({"handler": "text_to_embedding"})).error) == "down"


# -------------------------------------------------------------------------
# Texts
# -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "transition"),
    [
        ("/help", "help"),
        ("  /run fast now", "run"),
        ("hello /help", "pass"),
        ("", ""),
        ("  ", ""),
    ],
)
async def test_commands(bench, text, transition):
    result = await bench.one({"handler": "parse_command"}, text)
    assert result.steps[0].transition == transition
    assert (result.output, result.output_type) == (text, "string")


async def test_a_lone_slash_is_no_command(bench):
    result = await bench.one({"handler": "parse_command"}, "/ help")
    assert isinstance(result.error, TaskFailed)
    assert "names no command" in str(result.error)


async def test_a_command_in_a_conversation_leaves_it_unchanged(bench):
    history = ChatHistory((Message(role="user", content="/go"),), "m")
    result = await bench.one({"handler": "parse_command"}, Value(history, "chat_history"))
    assert (result.output, result.steps[0].transition) == (history, "go")


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("a=1, b: two", {"a": 1, "b": "two"}),
        ("a=1,5;b=x", {"a": "1,5", "b": "x"}),
        ("a=1,5\nb=x\n", {"a": "1,5", "b": "x"}),
        ("url=http://x:1/?q=1", {"url": "http://x:1/?q=1"}),
        ("a: b=c", {"a: b": "c"}),
        ("'k' = \"v w\"", {"k": "v w"}),
        ("t=true,f=false,T=True", {"t": True, "f": False, "T": "True"}),
        ("i=-3,f=2.5,w=2.0,e=1e2,z=007", {"i": -3, "f": 2.5, "w": 2, "e": 100, "z": 7}),
        ("big=123456789012345678901234567890,inf=inf,nan=nan", None),
        ("", {}),
        ("a=1,,", {"a": 1}),
        ("a=", {"a": ""}),
    ],
)
async def test_key_value_pairs(bench, text, pairs):
    result = await bench.one({"handler": "parse_key_value"}, text)
    assert result.steps[0].transition == "parsed"
    if pairs is not None:
        assert result.output == pairs
        assert {key: type(value) for key, value in result.output.items()} == {
            key: type(value) for key, value in pairs.items()
        }
    else:
        json.dumps(result.output, allow_nan=False)


async def test_a_pair_without_sign_is_named(bench):
    result = await bench.one({"handler": "parse_key_value"}, "a=1, b")
    assert isinstance(result.error, TaskFailed)
    assert "'b' has neither '=' nor ':'" in str(result.error)


async def test_raise_error_fails_with_its_input_and_is_not_repeated(bench):
    result = await bench.one({"handler": "raise_error", "retry_on_failure": 3}, "bad thing")
    assert isinstance(result.error, TaskFailed)
    assert str(result.error) == "bad thing"
    assert len(result.steps) == 1


# -------------------------------------------------------------------------
# Conversion
# -------------------------------------------------------------------------


async def test_a_conversation_becomes_a_completion(bench):
    message = Message(role="assistant", content="hi")
    history = ChatHistory((Message(role="user", content="q"), message), "m", 3, 4, "length")
    task = {"handler": "convert_to_openai_chat_response"}
    result = await bench.one(task, Value(history, "chat_history"))
    assert result.output_type == "openai_chat_response"
    assert result.steps[0].transition == "converted"
    completion = result.output
    assert (completion.model, completion.message) == ("m", message)
    assert (completion.finish_reason, completion.usage.total_tokens) == ("length", 7)
    assert completion.id.startswith("chatcmpl-")


# -------------------------------------------------------------------------
# Hooks
# -------------------------------------------------------------------------


def hook(tool="t", **args):
    return {"handler": "hook", "hook": {"name": "h", "tool_name": tool, "args": args}}


async def test_a_hook_is_called_with_the_tasks_input_and_arguments(bench):
    bench.hooks.add("h", "t", Value({"ok": True}, "json"))
    result = await bench.one(hook(n="1"), "text", tenant_id="t1")
    assert (result.output, result.output_type) == ({"ok": True}, "json")
    assert result.steps[0].transition == "ok"
    [asked] = bench.hooks.asked
    assert (asked.hook, asked.tool, asked.caller) == ("h", "t", "task")
    assert asked.arguments == {"n": "1"}
    assert asked.input == Value("text", "string")
    assert asked.tenant_id == "t1"


async def test_a_tools_name_may_carry_its_hooks(bench):
    bench.hooks.add("h", "t", Value(1, "int"))
    assert (await bench.one(hook("h.t"))).output == 1


async def test_arguments_are_templates_at_any_depth(bench):
    bench.hooks.add("h", "t", Value(None, "any"))
    args = {"q": "find {{.input}}", "deep": {"list": ["{{.input}}", 1, None]}, "n": 2}
    await bench.one(hook(**args), "cats")
    assert bench.hooks.asked[0].arguments == {
        "q": "find cats",
        "deep": {"list": ["cats", 1, None]},
        "n": 2,
    }


async def test_a_macro_in_arguments_is_data(bench):
    bench.hooks.add("h", "t", Value(None, "any"))
    await bench.one(hook(q="{{var:q}}"), template_vars={"q": "{{.input}}"})
    assert bench.hooks.asked[0].arguments == {"q": "{{.input}}"}


@pytest.mark.parametrize(
    ("result", "template", "text"),
    [
        (
            Value({"name": "Bo", "n": 5}, "json"),
            "{{.name}} has {{.n}} ({{.input}})",
            "Bo has 5 (q)",
        ),
        (Value("plain", "string"), "got {{.output}}", "got plain"),
        (Value("plain", "string"), "got {{.}}", "got plain"),
        (Value([1, 2], "json"), "{{len .output}}", "2"),
    ],
)
async def test_an_output_template_turns_the_result_into_text(bench, result, template, text):
    bench.hooks.add("h", "t", result)
    got = await bench.one({**hook(), "output_template": template}, "q")
    assert (got.output, got.output_type) == (text, "string")
    assert got.steps[0].transition == text


async def test_an_output_template_that_does_not_fit_fails_the_task(bench):
    bench.hooks.add("h", "t", Value({}, "json"))
    result = await bench.one({**hook(), "output_template": "{{.nope}}"})
    assert isinstance(result.error, TemplateFailed)
    assert "nope" in str(result.error)


@pytest.mark.parametrize("failure", [TaskFailed("bad argument"), UpstreamUnavailable("down")])
async def test_a_failing_hook_fails_the_task(bench, failure):
    bench.hooks.add("h", "t", failure)
    result = await bench.one(hook())
    assert result.error is failure


async def test_an_unknown_hook_says_which_there_are(bench):
    bench.hooks.add("other", "t", Value(1, "int"))
    result = await bench.one(hook())
    assert isinstance(result.error, NotFound)
    assert "unknown hook 'h'; there are: other" in str(result.error)
