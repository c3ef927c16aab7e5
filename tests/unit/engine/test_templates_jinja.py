"""Jinja forms, alone and next to Go's."""

from __future__ import annotations

import pytest

from runtime_core.engine.templates import Template
from runtime_core.errors import TemplateFailed
from runtime_core.types import ChatHistory, Message, Value

VARIABLES = {
    "input": Value("hi", "string"),
    "five": Value(5.0, "json"),
    "yes": Value(True, "bool"),
    "obj": Value({"a": {"b": "deep"}, "items": [3, 1, 2], "none": None}, "json"),
    "my-id": Value("dash", "string"),
    "range": Value("mine", "string"),
    "talk": Value(ChatHistory((Message(role="user", content="hey"),)), "chat_history"),
}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ input }}", "hi"),
        ("{{ input | upper }}", "HI"),
        ("{{ five }} {{ yes }} {{ obj.none }} {{ obj.a }}", '5 true null {"b":"deep"}'),
        ("{{ five + 1 }} {{ five / 2 }} {{ 7 // 2 }} {{ 2 ** 10 }} {{ -five }}", "6 2.5 3 1024 -5"),
        ("{{ input ~ '-' ~ five ~ obj.a }}", 'hi-5{"b":"deep"}'),
        ("{{ input + '!' }} {{ input * 2 }} {{ [1] + [2] }}", "hi! hihi [1,2]"),
        ("{% if input == 'hi' and five > 4 %}y{% else %}n{% endif %}", "y"),
        ("{% if obj.absent %}y{% elif not yes %}z{% else %}n{% endif %}", "n"),
        (
            "{% for x in obj['items'] %}{{ loop.index }}:{{ x }}"
            "{{ ',' if not loop.last }}{% endfor %}",
            "1:3,2:1,3:2",
        ),
        ("{% for k, v in obj.a.items() %}{{ k }}={{ v }}{% endfor %}", "b=deep"),
        ("{% for x in obj['items'] if x > 1 %}{{ x }}{% else %}none{% endfor %}", "32"),
        ("{% for x in [] %}x{% else %}none{% endfor %}", "none"),
        ("{% for x in [1,2,3] %}{% if x == 2 %}{% continue %}{% endif %}{{ x }}{% endfor %}", "13"),
        ("{% for i in [1, 2] %}{{ loop.cycle('a', 'b') }}{% endfor %}", "ab"),
        ("{% set x = 2 %}{{ x * 3 }}{% with y = 1 %}{{ y }}{% endwith %}", "61"),
        # an object's own field wins over a method of the same name
        (
            "{{ obj.items }} {{ obj.keys() }} {{ obj.get('z', 'd') }}",
            '[3,1,2] ["a","items","none"] d',
        ),
        ("{{ obj['items'] | sort | join(', ') }}", "1, 2, 3"),
        (
            "{{ obj['items'] | map('string') | join('-') }} "
            "{{ [talk] | map(attribute='model') | list }}",
            '3-1-2 [""]',
        ),
        ("{{ obj['items'] | select('gt', 1) | list | length }} {{ obj['items'] | sum }}", "2 6"),
        (
            "{{ obj['items'] | first }}{{ obj['items'] | last }}{{ obj['items'] | max }}"
            "{{ [] | first | default('-') }}",
            "323-",
        ),
        ("{{ obj['items'] | batch(2) | list }}", "[[3,1],[2]]"),
        (
            "{{ input.upper() }} {{ 'a,b'.split(',') }} {{ ' x '.strip() }} "
            "{{ 'a-b'.replace('-', '+') }}",
            'HI ["a","b"] x a+b',
        ),
        (
            "{{ obj | tojson }} {{ input | json }}",
            '{"a":{"b":"deep"},"items":[3,1,2],"none":null} "hi"',
        ),
        ("{{ obj.a | tojson(indent=2) }}", '{\n  "b": "deep"\n}'),
        ("{{ '%s is %d' | format(input, five) }} {{ '%.1f' % 2.25 }}", "hi is 5 2.2"),
        (
            "{{ '<b>' | e }} {{ 'a b/c' | urlencode }} {{ 'x' | center(5) }}|",
            "&lt;b&gt; a%20b/c   x  |",
        ),
        ("{{ yes | upper }} {{ obj.a | length }} {{ five | string ~ '!' }}", "TRUE 1 5!"),
        (
            "{{ input is defined }} {{ zz is defined }} {{ zz | default('d') }} "
            "{{ obj.zz | default('e') }}",
            "true false d e",
        ),
        (
            "{{ input is string }} {{ five is number }} {{ 2 is in [1, 2] }} {{ 'h' in input }}",
            "true true true true",
        ),
        ("{{ 'y' if yes else 'n' }}{{ 'y' if not yes }}", "y"),
        ("{{ input[0] }}{{ input[1:] }}{{ obj['items'][-1] }}", "hi2"),
        ('{{ vars["my-id"] }} {{ vars | length }}', "dash 7"),
        # a variable wins over the built-in of the same name
        ("{{ vars.range }} {{range|upper}}", "mine MINE"),
        ("{{ {'a': {'b': 1}} | tojson }}", '{"a":{"b":1}}'),
        ("{% raw %}{{ input }} {{.x}}{% endraw %}", "{{ input }} {{.x}}"),
        ("a {# gone {{ x }} #} b", "a  b"),
        ("a {%- if yes -%} x {%- endif %}", "ax"),
        # side by side
        (
            "{{range .obj.items}}{{ loop.index }}{{.}} {{end}}{% if yes %}{{.input}}{% endif %}",
            "13 21 32 hi",
        ),
        ("{{.input}} {{ input }} {% if eq %}{% endif %}", None),
        ("{% for m in talk.messages %}{{ m.role }}: {{ m.content }}{% endfor %}", "user: hey"),
    ],
)
def test_jinja_forms(source: str, expected: str | None) -> None:
    template = Template.compile(source)
    if expected is None:
        with pytest.raises(TemplateFailed, match="'eq'"):
            template.render(VARIABLES)
    else:
        assert template.render(VARIABLES) == expected


def test_extra_names_win_and_are_plain_data() -> None:
    template = Template.compile("{{.input}} {{ result.code }} {{ result['code'] + 1 }}")
    assert template.render(VARIABLES, extra={"input": "mine", "result": {"code": 1}}) == "mine 1 2"


def test_extra_may_be_values_too() -> None:
    template = Template.compile("{{.output}}{{ output | upper }}")
    assert template.render({}, extra={"output": Value("x", "string")}) == "xX"


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("a\n{{ input | nope }}", "line 2: unknown filter 'nope'; there are: abs, batch"),
        ("{{ input is nope }}", "unknown test 'nope'; there are:"),
        ("{% nope %}", "line 1: Encountered unknown tag 'nope'"),
        ("{% if x %}", "line 1: Unexpected end of template"),
        ("{{ input +* 2 }}", "line 1"),
        ("{% if x", "{% is never closed"),
        ("{% raw %}", "never closed by {% endraw %}"),
        ("{% macro x() %}{% endmacro %}", "'Macro' is not available"),
        ("{{ f(*x) }}", "not available"),
    ],
)
def test_what_jinja_does_not_know_fails_when_compiled(source: str, part: str) -> None:
    with pytest.raises(TemplateFailed) as failure:
        Template.compile(source)
    assert part in failure.value.message


def test_a_missing_variable_is_named_with_those_there_are() -> None:
    for source in (
        "{{ nope }}",
        "{{ nope | upper }}",
        "{% if nope %}{% endif %}",
        "{{ nope.x }}",
        "{{ [nope] }}",
        "{{ nope ~ 'x' }}",
        "{{ nope + 1 }}",
        "{{ nope() }}",
        "{% for x in nope %}{% endfor %}",
    ):
        with pytest.raises(TemplateFailed) as failure:
            Template.compile(source).render({"a": Value(1, "int"), "b": Value(2, "int")})
        assert failure.value.message == (
            "the template uses the variable 'nope', which does not exist; there are: a, b"
        ), source


def test_a_template_renders_again_and_again() -> None:
    template = Template.compile("{{$n := 0}}{{range .l}}{{$n = .}}{{end}}{{$n}}{{ l | length }}")
    for numbers in ([1, 2], [7], []):
        expected = f"{(numbers or [0])[-1]}{len(numbers)}"
        assert template.render({"l": Value(numbers, "json")}) == expected
