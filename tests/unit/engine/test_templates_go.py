"""Go templates: the forms that chains are written in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime_core.engine.templates import Template
from runtime_core.errors import TemplateFailed
from runtime_core.types import (
    ChatCompletion,
    ChatHistory,
    ChatRequest,
    FunctionCall,
    Message,
    ToolCall,
    Usage,
    Value,
)

HISTORY = ChatHistory(
    messages=(
        Message(role="user", content="hey"),
        Message(role="assistant", tool_calls=(ToolCall("c1", FunctionCall("f", "{}")),)),
        Message(role="tool", content=[{"type": "text", "text": "42"}], tool_call_id="c1"),
    ),
    model="m1",
    input_tokens=7,
)
VARIABLES = {
    "input": Value("hi", "string"),
    "five": Value(5.0, "json"),
    "half": Value(0.5, "float"),
    "yes": Value(True, "bool"),
    "nothing": Value(None, "any"),
    "empty": Value("", "string"),
    "html": Value("<a b='c'>", "string"),
    "hostile": Value("{{.input}} {{ 7*7 }} {% if x %}", "string"),
    "obj": Value(
        {"a": {"b": "deep"}, "items": [1, 2.5, "x"], "none": None, "zero": 0, "l": []}, "json"
    ),
    "my-id": Value("dash", "string"),
    "talk": Value(HISTORY, "chat_history"),
    "ask": Value(ChatRequest(model="m2", messages=HISTORY.messages[:1]), "openai_chat"),
    "answer": Value(
        ChatCompletion("id1", 1, "m3", Message(role="assistant", content="ok"), usage=Usage(1, 2)),
        "openai_chat_response",
    ),
}


def render(source: str) -> str:
    return Template.compile(source).render(VARIABLES)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("", ""),
        ("plain { text }", "plain { text }"),
        ("{{.input}}", "hi"),
        ("{{ .input }}", "hi"),
        ("<{{.obj.a.b}}>", "<deep>"),
        # values as text
        ("{{.five}} {{.half}} {{.yes}} {{.nothing}}", "5 0.5 true null"),
        ("{{.obj.items}}", '[1,2.5,"x"]'),
        ("{{.obj.a}}", '{"b":"deep"}'),
        ("{{json .input}} {{json .obj.a}} {{toJson .five}}", '"hi" {"b":"deep"} 5'),
        # a value is data, never a template
        ("{{.hostile}}", "{{.input}} {{ 7*7 }} {% if x %}"),
        ('{{printf "%s" .hostile}}', "{{.input}} {{ 7*7 }} {% if x %}"),
        # if
        ('{{if eq .input "hi"}}y{{else}}n{{end}}', "y"),
        ('{{if eq .input "x"}}1{{else if gt .five 4}}2{{else}}3{{end}}', "2"),
        ('{{if eq .input "x"}}1{{else if lt .five 4}}2{{else}}3{{end}}', "3"),
        (
            "{{if .empty}}y{{end}}{{if .nothing}}y{{end}}"
            "{{if .obj.zero}}y{{end}}{{if .obj.l}}y{{end}}",
            "",
        ),
        ("{{if .obj.absent}}y{{else}}n{{end}}", "n"),
        ("{{if not .empty}}y{{end}}", "y"),
        ('{{if and .yes (eq .input "hi")}}y{{end}}', "y"),
        ('{{if or .empty (ne .input "hi")}}y{{else}}n{{end}}', "n"),
        ("{{and .input .five}} {{or .empty .input}}", "5 hi"),
        ('{{if not (eq .input "hi")}}y{{else}}n{{end}}', "n"),
        ("{{if $x := .input}}{{$x}}{{end}}", "hi"),
        # comparisons
        (
            '{{eq .input "a" "hi"}} {{eq .five 5}} {{eq .yes 1}} {{eq .obj.absent "a"}}',
            "true true false false",
        ),
        (
            "{{ne .five 5.0}} {{le .five 5}} {{ge .five 6}} {{lt .half 1}} {{gt .half 1}}",
            "false true false true false",
        ),
        ('{{lt "a" "b"}}', "true"),
        # range
        ("{{range .obj.items}}[{{.}}]{{end}}", "[1][2.5][x]"),
        ("{{range $i, $v := .obj.items}}{{$i}}={{$v}};{{end}}", "0=1;1=2.5;2=x;"),
        ("{{range $v := .obj.items}}{{$v}}{{end}}", "12.5x"),
        ("{{range $k, $v := .obj.a}}{{$k}}={{$v}}{{end}}", "b=deep"),
        ("{{range $k, $_ := .obj}}{{$k}} {{end}}", "a items l none zero "),
        ("{{range .obj.l}}x{{else}}none{{end}}", "none"),
        ("{{range .obj.absent}}x{{else}}none{{end}}", "none"),
        ("{{range .nothing}}x{{else}}none{{end}}", "none"),
        ("{{range .obj.items}}{{$.input}}{{end}}", "hihihi"),
        ("{{range 3}}{{.}}{{end}}", "012"),
        ("{{range .obj.items}}{{if eq . 2.5}}{{break}}{{end}}{{.}}{{end}}", "1"),
        ("{{range .obj.items}}{{if eq . 2.5}}{{continue}}{{end}}{{.}}{{end}}", "1x"),
        ("{{range .obj.items}}{{range $.obj.items}}.{{end}}{{.}}{{end}}", "...1...2.5...x"),
        # variables
        ("{{$x := .obj.a}}{{$x.b}}", "deep"),
        (
            "{{$f := true}}{{range .obj.items}}{{if not $f}}, {{end}}{{$f = false}}{{.}}{{end}}",
            "1, 2.5, x",
        ),
        # with
        ("{{with .obj.a}}{{.b}}{{$.input}}{{end}}", "deephi"),
        ("{{with .empty}}x{{else}}{{.input}}{{end}}", "hi"),
        ("{{with $x := .obj.a}}{{$x.b}}{{end}}", "deep"),
        # functions
        ("{{len .input}} {{len .obj.items}} {{len .obj}}", "2 3 5"),
        ('{{len "é"}}', "2"),
        ('{{printf "%s|%d|%.2f|%v" .input .five .half .obj.a}}', 'hi|5|0.50|{"b":"deep"}'),
        ('{{.input | printf "%s-%s" "a"}}', "a-hi"),
        (
            '{{printf "%5d|%-5s|%05d|%+d|%q|%t|%x|%c|%%" 42 "ab" 42 42 "q" true 255 65}}',
            '   42|ab   |00042|+42|"q"|true|ff|A|%',
        ),
        ('{{print "a" 1 2 "b"}}|{{println .input 1}}', "a1 2b|hi 1\n"),
        ("{{html .html}}", "&lt;a b=&#x27;c&#x27;&gt;"),
        ("{{urlquery .html}}", "%3Ca+b%3D%27c%27%3E"),
        ('{{index .obj "items" 1}}', "2.5"),
        ("{{index .obj.items 0}}", "1"),
        ('{{index . "my-id"}} {{index $ "my-id"}}', "dash dash"),
        ("{{slice .input 1}} {{slice .obj.items 0 1}}", "i [1]"),
        ('{{(index .obj "a").b}}', "deep"),
        ('{{.input | upper}} {{.input | printf "%s!" | upper}}', "HI HI!"),
        ('{{.obj.items | join ", "}}', "1, 2.5, x"),
        # literals
        (r'{{"a\"b\n"}}{{`raw \n`}}', 'a"b\nraw \\n'),
        ('{{"}}"}}{{"{{"}}', "}}{{"),
        ("{{printf \"%d %d %d\" 0x10 1_000 'a'}}", "16 1000 97"),
        # white space and comments
        ("a {{- .input -}} b", "ahib"),
        ("a\n\n{{- if .yes}} x {{end -}}\n\nb", "a x b"),
        ("a {{/* c {{ }} */}} b", "a  b"),
        ("a {{- /* c */ -}} b", "ab"),
        ("{{range .obj.items -}} {{.}} {{- end}}", "12.5x"),
        ("trailing\n", "trailing\n"),
        # Jinja's openings are text unless they open something
        ("{# {% 5 %} {#1", "{# {% 5 %} {#1"),
    ],
)
def test_go_forms(source: str, expected: str) -> None:
    assert render(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{len .talk.messages}} {{len .talk.Messages}}", "3 3"),
        ("{{range .talk.Messages}}{{.Role}}:{{.Content}};{{end}}", "user:hey;assistant:;tool:42;"),
        ("{{range .talk.messages}}{{.role}}:{{.content}};{{end}}", "user:hey;assistant:;tool:42;"),
        (
            "{{.talk.Model}} {{.talk.InputTokens}} {{.talk.inputTokens}} {{.talk.outputTokens}}",
            "m1 7 7 0",
        ),
        (
            "{{(index .talk.Messages 1).CallTools}}",
            '[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]',
        ),
        (
            "{{range (index .talk.messages 1).callTools}}"
            "{{.function.name}}{{.Function.Arguments}}{{end}}",
            "f{}",
        ),
        (
            "{{(index .talk.messages 2).tool_call_id}}{{(index .talk.Messages 2).ToolCallID}}",
            "c1c1",
        ),
        ("{{.ask.model}} {{(index .ask.messages 0).content}}", "m2 hey"),
        ("{{(index .answer.choices 0).message.content}} {{.answer.usage.total_tokens}}", "ok 3"),
        (
            "{{index .talk.messages 0}}",
            '{"id":"","role":"user","content":"hey","timestamp":"0001-01-01T00:00:00Z"}',
        ),
    ],
)
def test_conversations_have_wire_names_and_go_names(source: str, expected: str) -> None:
    assert render(source) == expected


def test_a_whole_history_is_its_wire_json() -> None:
    assert render("{{.talk}}").startswith('{"messages":[{"id":"","role":"user","content":"hey"')


@pytest.mark.parametrize(
    ("source", "part"),
    [
        (
            "{{.nope}}",
            "the variable 'nope', which does not exist; there are: answer, ask, empty, five",
        ),
        ("{{if .nope}}{{end}}", "'nope'"),
        ('{{if eq .nope "a"}}{{end}}', "'nope'"),
        ("{{range .nope}}{{end}}", "'nope'"),
        ("{{.obj.nope}}", "the object has no field 'nope'; there are: a, items, none, zero, l"),
        ("{{.obj.nope.deeper}}", "no field 'nope'"),
        ("{{.input.name}}", "the field 'name' of a string"),
        ("{{.nothing.name}}", "the field 'name' of null"),
        (
            "{{.talk.nope}}",
            "a chat history has no field 'nope'; there are: messages, model, inputTokens",
        ),
        ("{{index .obj.items 9}}", "no element 9"),
        ("{{len .five}}", "len needs a string, a list or an object, got a number"),
        ("{{lt .input 3}}", "lt compares two numbers or two strings, not a string and a number"),
        (
            "{{range .input}}{{end}}",
            "range goes over lists, objects and whole numbers, not a string",
        ),
        ('{{printf "%d" .input}}', "printf %d needs a whole number, got a string"),
        ('{{printf "%s"}}', "no argument left for '%s'"),
        ('{{printf "x" 1}}', "leaves 1 of its arguments over"),
        ('{{printf "%z" 1}}', "printf does not know '%z'"),
        ("{{slice .input 5}}", "slice: the bounds are outside"),
    ],
)
def test_what_does_not_fit_the_data_says_so(source: str, part: str) -> None:
    template = Template.compile(source)
    with pytest.raises(TemplateFailed) as failure:
        template.render(VARIABLES)
    assert part in failure.value.message


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("a\nb\n{{if .x}}", "line 3: {{if}} is never closed"),
        ("{{end}}", "line 1: {{end}} closes nothing"),
        ("{{else}}", "{{else}} stands outside"),
        ("{{range .x}}{{else if .y}}{{end}}", "does not fit here"),
        ("\n{{.x", "line 2: {{ is never closed by }}"),
        ("{{.x y}}", "takes no arguments"),
        ("{{if}}{{end}}", "a value is missing"),
        ("{{if foo .x}}{{end}}", "unknown function 'foo'; there are: and, eq"),
        ("{{.x | foo}}", "unknown function 'foo'"),
        ("{{$x}}", "the variable $x is not declared here"),
        ("{{if .a}}{{$x := 1}}{{end}}{{$x}}", "$x is not declared here"),
        ('{{template "x"}}', "{{template}} is not available"),
        ("{{break}}", "{{break}} stands outside of range"),
        ("{{end}} x", "closes nothing"),
        ("{{if (eq .x 1}}{{end}}", "a closing parenthesis is missing"),
        ("{{.x ! .y}}", "unexpected '! .y'"),
        ("{{eq .x 'ab'}}", "single character"),
        ("{{env:HOME}}", "unknown macro {{env:HOME}}"),
        ("{{chain:name}}", "unknown macro {{chain:name}}"),
        ("{{hookservice:x}}", "unknown macro {{hookservice:x}}"),
        ("{{my-id:x}}", "line 1"),
    ],
)
def test_malformed_templates_name_the_line(source: str, part: str) -> None:
    with pytest.raises(TemplateFailed) as failure:
        Template.compile(source)
    assert part in failure.value.message


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("plain", set()),
        ("{{.a}} {{.b.c}}", {"a", "b"}),
        ("{{range .a}}{{.x}}{{$.b}}{{end}}", {"a", "b"}),
        ("{{ a | upper }}{% for i in b %}{{ i }}{% endfor %}", {"a", "b"}),
        ('{{ vars["my-id"] }}', {"my-id"}),
        ("{{ x is defined }}{{ y | default(z) }}", {"z"}),
        ("{{var:a}}{{now}}", set()),
        ("{{ vars }}", None),
        ("{{.}}", None),
    ],
)
def test_variables_names_what_a_template_needs(source: str, names: set[str] | None) -> None:
    assert Template.compile(source).variables == names


WORDS = st.text(st.characters(codec="utf-8"), max_size=30)
DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


@given(WORDS)
def test_any_string_renders_as_itself(text: str) -> None:
    variables = {"input": Value(text, "string")}
    for source in (
        "{{.input}}",
        "{{ input }}",
        '{{printf "%s" .input}}',
        "{{range $i, $c := 1}}{{$.input}}{{end}}",
    ):
        assert Template.compile(source).render(variables) == text


@given(DATA, WORDS)
def test_a_value_is_the_same_by_every_road(data: object, key: str) -> None:
    variables = {
        "input": Value({key: data}, "json"),
        "data": Value(data, "json"),
        "k": Value(key, "string"),
    }
    direct = Template.compile("{{.data}}").render(variables)
    for source in (
        "{{index .input .k}}",
        "{{ input[k] }}",
        "{{with .}}{{.data}}{{end}}",
        "{{$x := .data}}{{$x}}",
    ):
        assert Template.compile(source).render(variables) == direct


@given(st.text(alphabet="{}%#-.|$\"'`()/* \nabifendrange12", max_size=40))
def test_any_source_compiles_or_says_what_is_wrong(source: str) -> None:
    try:
        Template.compile(source).render({"a": Value([1, "b"], "json"), "b": Value("x", "string")})
    except TemplateFailed as failure:
        assert failure.message  # noqa: PT017 - both ends are fine
