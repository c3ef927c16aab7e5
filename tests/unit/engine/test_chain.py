from __future__ import annotations

import pytest
import yaml

from runtime_core.engine.chain import decode_chain, encode_chain
from runtime_core.errors import Unprocessable
from runtime_core.types import Chain


def test_a_small_chain_comes_back_with_every_documented_key():
    chain = decode_chain({"id": "c", "tasks": [{"id": "a", "handler": "noop"}]})
    assert encode_chain(chain) == {
        "id": "c",
        "debug": False,
        "description": "",
        "token_limit": 0,
        "tasks": [
            {
                "id": "a",
                "description": "",
                "handler": "noop",
                "prompt_template": "",
                "transition": {"on_failure": "", "branches": None},
            }
        ],
    }


FULL = {
    "id": "full",
    "debug": True,
    "description": "everything set",
    "token_limit": 100,
    "max_steps": 7,
    "tasks": [
        {
            "id": "a",
            "description": "first",
            "handler": "chat_completion",
            "system_instruction": "be brief",
            "valid_conditions": {"yes": True},
            "execute_config": {
                "model": "m",
                "models": ["n"],
                "provider": "p",
                "providers": ["q"],
                "temperature": 0.0,
                "top_p": 0.5,
                "max_tokens": 5,
                "seed": 0,
                "tool_choice": {"type": "function", "function": {"name": None}},
                "response_format": {"type": "json_object", "limit": 1.0},
                "stop": ["."],
                "hooks": ["web"],
                "hide_tools": ["web.x"],
                "pass_clients_tools": True,
            },
            "hook": {"name": "web", "tool_name": "get", "args": {"url": "u", "n": 1.0, "x": None}},
            "print": "p",
            "prompt_template": "t",
            "output_template": "o",
            "output_schema": {"type": "object", "default": None, "maximum": 2.0},
            "input_var": "input",
            "timeout": "1s",
            "retry_on_failure": 2,
            "transition": {
                "on_failure": "a",
                "branches": [
                    {
                        "operator": "equals",
                        "when": "x",
                        "goto": "end",
                        "compose": {"with_var": "input", "strategy": "override"},
                    },
                    {"when": "", "goto": ""},
                ],
            },
        }
    ],
}


def test_everything_that_is_set_comes_back():
    assert encode_chain(decode_chain(FULL)) == FULL


def test_what_belongs_to_the_user_keeps_its_nulls_and_floats():
    task = decode_chain(FULL).tasks[0]
    assert task.hook.args["x"] is None
    assert isinstance(task.output_schema["maximum"], float)
    assert isinstance(task.execute_config.response_format["limit"], float)


def test_unset_parts_of_nested_objects_stay_away():
    chain = decode_chain(
        {"tasks": [{"execute_config": {"hooks": []}, "hook": {"name": "h"}, "print": ""}]}
    )
    task = encode_chain(chain)["tasks"][0]
    assert task["execute_config"] == {"model": "", "pass_clients_tools": False}
    assert task["hook"] == {"name": "h"}
    assert "print" not in task


def test_no_branches_and_branches_left_out_stay_different():
    chain = decode_chain({"tasks": [{"transition": {"branches": []}}, {}]})
    first, second = encode_chain(chain)["tasks"]
    assert first["transition"]["branches"] == []
    assert second["transition"]["branches"] is None


def test_null_means_the_default():
    data = {"id": None, "tasks": [{"id": "a", "transition": None, "execute_config": None}]}
    assert decode_chain(data) == decode_chain({"tasks": [{"id": "a"}]})
    assert decode_chain({"tasks": None}) == Chain()


def test_unknown_keys_are_ignored():
    assert decode_chain({"id": "c", "x": 1, "tasks": [{"y": {"z": 2}}]}).id == "c"


@pytest.mark.parametrize("number", [3, 3.0])
def test_whole_floats_are_whole_numbers(number):
    chain = decode_chain({"token_limit": number, "tasks": [{"retry_on_failure": number}]})
    assert chain.token_limit == 3
    assert isinstance(chain.tasks[0].retry_on_failure, int)


def test_the_camel_case_system_instruction_is_read():
    chain = decode_chain({"tasks": [{"systemInstruction": "s"}, {"system_instruction": "t"}]})
    assert [task.system_instruction for task in chain.tasks] == ["s", "t"]


def test_reads_what_yaml_gives():
    chain = decode_chain(
        yaml.safe_load("id: c\ntasks:\n- {id: a, valid_conditions: {'yes': true}}")
    )
    assert chain.tasks[0].valid_conditions == {"yes": True}


@pytest.mark.parametrize(
    ("data", "param", "text"),
    [
        (
            {"tasks": [{}, {}, {"transition": {"branches": [{"goto": 4}]}}]},
            "tasks.2.transition.branches.0.goto",
            "expected a string, got a whole number",
        ),
        ({"token_limit": 1.5}, "token_limit", "expected a whole number"),
        ({"tasks": {}}, "tasks", "expected a list, got an object"),
        ({"tasks": [{"hook": []}]}, "tasks.0.hook", "expected an object"),
        ({"tasks": [{"valid_conditions": {"a": 1}}]}, "tasks.0.valid_conditions", "true or false"),
        ({"debug": "yes"}, "debug", "true or false"),
        ({"tasks": [{"execute_config": {"stop": "x"}}]}, "tasks.0.execute_config.stop", "a list"),
        ([], None, "an object"),
        ("chain", None, "an object"),
    ],
)
def test_a_wrong_type_is_named_with_its_path(data, param, text):
    with pytest.raises(Unprocessable, match=text) as caught:
        decode_chain(data)
    assert caught.value.param == param


class Untouchable(dict):
    """Whoever looks inside fails; so does whoever copies it."""

    def __iter__(self):
        raise AssertionError("somebody walks through what is not known")

    items = keys = values = __iter__


class Endless(list):
    """A list of more items than anybody should look at."""

    def __len__(self):
        return 3_000_000

    def __iter__(self):
        raise AssertionError("somebody reads a list that is too long")


def test_what_is_not_known_is_not_walked_through():
    unknown = Untouchable(a=Untouchable())
    task = {"id": "a", "handler": "noop", "extra": unknown, "transition": {"extra": unknown}}
    chain = decode_chain({"id": "c", "tasks": [task], "extra": unknown})
    assert chain.tasks[0].id == "a"


def test_keys_that_are_not_known_are_not_looked_at():
    given = {f"key{number}": number for number in range(1000)}
    looked = []

    class Counted(dict):
        def get(self, key, default=None):
            looked.append(key)
            return super().get(key, default)

    decode_chain(Counted(given | {"id": "c"}))
    assert len(looked) < 20
    assert not set(looked) & set(given)


@pytest.mark.parametrize(
    "data",
    [
        {"tasks": Endless()},
        {"tasks": [{"transition": {"branches": Endless()}}]},
        {"tasks": [{"execute_config": Endless()}]},
        {"tasks": [{"transition": {"branches": [{}] * 100}}] * 100},
        Endless(),
    ],
)
def test_a_chain_that_is_too_large_is_refused_before_it_is_read(data):
    with pytest.raises(Unprocessable, match="at most 10000 tasks and branches") as caught:
        decode_chain(data)
    assert caught.value.param == "tasks"


def test_a_large_chain_is_read():
    chain = decode_chain({"tasks": [{"transition": {"branches": [{}] * 9}}] * 1000})
    assert len(chain.tasks) == 1000
