"""A hook, setting, route, error, handler or command exists when it is documented, and only then."""

from __future__ import annotations

import ast
import inspect
import json
import re
import tomllib
import urllib.request
from importlib.metadata import entry_points
from typing import get_args

import click
import msgspec
import pytest

from runtime_core import errors, hookspecs, testing
from runtime_core.cli import runtime
from runtime_core.engine.compose import STRATEGIES
from runtime_core.engine.handlers import ALIASES, builtin_handlers
from runtime_core.engine.handlers.asking import PROMPTABLE
from runtime_core.engine.templates import budget, translate
from runtime_core.engine.templates.expressions import GO_FUNCTIONS
from runtime_core.engine.templates.filters import FILTERS, TESTS
from runtime_core.engine.templates.methods import _METHODS
from runtime_core.engine.transitions import OPERATORS
from runtime_core.http import Metrics
from runtime_core.http.build import ROOMS, _dependencies
from runtime_core.settings import BackendSettings, Settings
from runtime_core.settings.errors import Allowed
from runtime_core.settings.sources import ALIASES as VARIABLES
from runtime_core.types import PluginContext, chains

CHAINS, HTTP, CONFIGURATION = "docs/chains.md", "docs/http-api.md", "docs/configuration.md"
OPERATIONS, PLUGINS = "docs/operations.md", "docs/plugins.md"

#: Routes that describe the API and are not part of its description.
UNDESCRIBED = {"GET /openapi.json", "GET /docs"}


def quoted(text: str) -> list[str]:
    """Return what stands between backticks."""
    return re.findall(r"`([^`\n]+)`", text)


def headings(text: str, form: str) -> list[str]:
    return re.findall(rf"^#+ `({form})`$", text, re.MULTILINE)


@pytest.fixture
def first_column(table):
    """Returns the names in the first column of a section's table."""
    return lambda page, heading: [
        name for row in table(page, heading) for name in quoted(row[0].replace("\\|", "|"))
    ]


# -------------------------------------------------------------------------
# Hooks and drivers
# -------------------------------------------------------------------------


def hook_signatures() -> set[str]:
    tree = ast.parse(inspect.getsource(hookspecs))
    return {
        f"{node.name}({ast.unparse(node.args)}) -> {ast.unparse(node.returns)}"
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(one).startswith("hookspec") for one in node.decorator_list)
    }


def test_hooks_are_documented_with_their_signatures(section):
    documented = headings(section(PLUGINS, "Hooks"), r"\w+\(.*\) -> .+")
    assert len(documented) == len(set(documented))
    assert set(documented) == hook_signatures()


def test_drivers_are_documented(table, root):
    documented = {
        (quoted(row[0])[0], name) for row in table(PLUGINS, "Drivers") for name in quoted(row[1])
    }
    projects = [root / "pyproject.toml", *root.glob("plugins/*/*/pyproject.toml")]
    real = {
        (group, name)
        for path in projects
        for group, points in tomllib.loads(path.read_text())["project"]
        .get("entry-points", {})
        .items()
        if ".drivers." in group
        for name in points
    }
    assert documented == real


def test_what_routes_are_given_is_documented(section):
    (hook,) = (one for one in hook_signatures() if one.startswith("register_routes"))
    text = section(PLUGINS, f"`{hook}`").split("NamedDependency[...]`:")[1].split(". ")[0]
    # what the kernel's own answers are made of is not for plugins
    internal = {"health_checks", "server_version", "state_encoder"}
    given = set(_dependencies(dict.fromkeys(ROOMS), Metrics(version="0"), {}))
    assert set(quoted(text)) == given - internal


def test_the_test_kit_is_documented(first_column):
    assert set(first_column(PLUGINS, "The test kit")) == set(testing.__all__)


# -------------------------------------------------------------------------
# Settings
# -------------------------------------------------------------------------


def setting_rows(table) -> dict[str, list[str]]:
    sections = (
        "Where it listens, and who may ask",
        *("What it stands on", "Models", "Chains", "What tools may call", "Plugins", "Logs"),
    )
    rows = [row for name in sections for row in table(CONFIGURATION, name) if len(row) == 4]
    assert len(rows) > 20
    return {quoted(row[1])[0]: row for row in rows}


def fields():
    return {name: field for name, field in Settings.model_fields.items() if name != "environ"}


def test_settings_are_documented(table):
    assert set(setting_rows(table)) == set(fields())


def test_variables_of_settings_are_documented(table):
    for name, row in setting_rows(table).items():
        expected = {f"RUNTIME_{name.upper()}", *filter(None, [VARIABLES.get(name)])}
        assert set(quoted(row[0])) == expected


def test_defaults_of_settings_are_documented(table):
    for name, row in setting_rows(table).items():
        default = fields()[name].get_default(call_default_factory=True)
        if default is None:
            assert row[2] == "none", name
            continue
        written = tomllib.loads(f"value = {quoted(row[2])[0]}")["value"]
        assert written == (list(default) if isinstance(default, tuple) else default), name


def test_allowed_values_of_settings_are_documented(table):
    for name, row in setting_rows(table).items():
        words = [one.text for one in fields()[name].metadata if isinstance(one, Allowed)]
        choices = [str(one) for one in get_args(fields()[name].annotation) if isinstance(one, str)]
        if words:
            assert row[3] == words[-1], name
        elif choices:
            assert quoted(row[3]) == choices, name


def test_fields_of_backends_are_documented(first_column):
    documented = set(first_column(CONFIGURATION, "Backends"))
    assert set(BackendSettings.model_fields) <= documented


def test_providers_are_documented(first_column, root):
    for path in root.glob("plugins/*/*/pyproject.toml"):
        project = tomllib.loads(path.read_text())["project"]
        for name in project.get("entry-points", {}).get("runtime_core.plugins", {}):
            (point,) = entry_points(group="runtime_core.plugins", name=name)
            if hasattr(plugin := point.load(), "register_providers"):
                providers = plugin.register_providers(PluginContext(name))
                assert set(providers) <= set(first_column(CONFIGURATION, "Backends")), name


def test_settings_of_plugins_are_documented(root):
    for point in entry_points(group="runtime_core.plugins"):
        plugin = point.load()
        if not hasattr(plugin, "settings_model"):
            continue
        places = [*root.glob("plugins/*/*/pyproject.toml"), *root.glob("examples/*/pyproject.toml")]
        (folder,) = (
            path.parent
            for path in places
            if tomllib.loads(path.read_text())["project"]["name"] == point.dist.name
        )
        text = (folder / "README.md").read_text()
        named = set(re.findall(r"\w+", " ".join(quoted(text))))
        named |= set(re.findall(r"^(\w+) = ", text, re.MULTILINE))
        assert set(plugin.settings_model().model_fields) <= named, point.name


# -------------------------------------------------------------------------
# HTTP
# -------------------------------------------------------------------------


def test_routes_are_documented(demo, root):
    with urllib.request.urlopen(f"{demo.url}/openapi.json", timeout=60) as response:
        paths = json.load(response)["paths"]
    described = {f"{method.upper()} {path}" for path, ways in paths.items() for method in ways}
    documented = headings((root / HTTP).read_text(), r"[A-Z]+ /.*")
    assert len(documented) == len(set(documented))
    assert set(documented) == described | UNDESCRIBED


def test_routes_that_pages_mention_are_documented(root):
    documented = set(headings((root / HTTP).read_text(), r"[A-Z]+ /.*"))
    pages = [*root.glob("*.md"), *root.glob("docs/*.md"), *root.glob("plugins/*/*/README.md")]
    for page in pages:
        mentioned = re.findall(r"`((?:GET|POST|PUT|DELETE) /[^`?]*)", page.read_text())
        assert set(mentioned) <= documented, page


def test_undescribed_routes_exist(demo):
    for route in UNDESCRIBED:
        with urllib.request.urlopen(demo.url + route.split()[1], timeout=60) as response:
            assert response.status == 200


def answered_errors() -> list[type[errors.RuntimeCoreError]]:
    found = [getattr(errors, name) for name in errors.__all__]
    return [one for one in found if not issubclass(one, errors.StartupError)]


def test_error_codes_are_documented(table):
    documented = {
        (int(row[0]), *quoted(row[1]), *quoted(row[2]), name)
        for row in table(HTTP, "Errors")
        for name in quoted(row[3])
    }
    real = {(one.status, one.code, one.type, one.__name__) for one in answered_errors()}
    assert documented == real


def test_metrics_are_documented(demo, first_column):
    with urllib.request.urlopen(f"{demo.url}/metrics", timeout=60) as response:
        text = response.read().decode()
    real = set(re.findall(r"^# TYPE (runtime_\w+)", text, re.MULTILINE))
    assert set(first_column(OPERATIONS, "Metrics")) == real


# -------------------------------------------------------------------------
# Chains
# -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("heading", "struct"),
    [
        ("Chain", chains.Chain),
        ("Task", chains.Task),
        ("execute_config", chains.ExecuteConfig),
        ("hook", chains.HookCall),
        ("transition", chains.Transition),
        ("branch", chains.Branch),
        ("compose", chains.Compose),
    ],
)
def test_fields_of_chains_are_documented(first_column, heading, struct):
    documented = first_column(CHAINS, heading)
    assert sorted(documented) == sorted(struct.__struct_fields__)


@pytest.mark.parametrize(
    ("heading", "struct"),
    [("Chain", chains.Chain), ("Task", chains.Task), ("execute_config", chains.ExecuteConfig)],
)
def test_defaults_of_chains_are_documented(table, heading, struct):
    plain = msgspec.structs.fields(struct)
    defaults = {
        field.name: field.default for field in plain if isinstance(field.default, str | int)
    }
    for row in table(CHAINS, heading):
        name, default = quoted(row[0])[0], quoted(row[2])
        if default and name in defaults:
            assert json.loads(default[0]) == defaults[name], name


def test_data_types_are_documented(first_column):
    assert sorted(first_column(CHAINS, "Data types")) == sorted(chains.DATA_TYPES)


def real_handlers():
    return {name: one for name, one in builtin_handlers().items() if name not in ALIASES}


def test_handlers_are_documented(first_column, section):
    assert set(first_column(CHAINS, "Handlers")) == set(real_handlers())
    assert set(headings(section(CHAINS, "Handlers"), r"\w+")) == set(real_handlers())


def test_what_handlers_take_and_give_is_documented(table):
    takes = {"a prompt": PROMPTABLE, "anything": chains.DATA_TYPES}
    for row in table(CHAINS, "Handlers"):
        (name,) = quoted(row[0])
        handler = real_handlers()[name]
        assert handler.accepts == takes.get(row[1], frozenset(quoted(row[1]))), name
        assert quoted(row[2]) == ([handler.returns] if handler.returns else []), name
        assert (row[2] == "its input") == getattr(handler, "passes_input", False), name
        if handler.transitions is not None:
            assert frozenset(quoted(row[3])) == handler.transitions, name


def test_older_names_of_handlers_are_documented(table):
    rows = table(CHAINS, "Older names")
    assert {quoted(row[0])[0]: quoted(row[1])[0] for row in rows} == ALIASES


def test_operators_are_documented(first_column):
    assert set(first_column(CHAINS, "Operators")) == OPERATORS - {""}


def test_strategies_are_documented(first_column):
    assert set(first_column(CHAINS, "Compose strategies")) == STRATEGIES - {""}


def test_template_functions_are_documented(section):
    go = section(CHAINS, "Go functions").split(". Pipelines")[0]
    assert set(quoted(go)) == set(GO_FUNCTIONS) | {"and", "or", "not"}
    filters = section(CHAINS, "Filters").split("They do")[0]
    assert quoted(filters) == sorted(name for name in FILTERS if not name.startswith("go_"))
    tests = section(CHAINS, "Tests").split(", as in")[0]
    assert set(quoted(tests)) == set(TESTS)


def test_template_methods_are_documented(section):
    words = {"texts": str, "lists": list, "objects": dict}
    text = section(CHAINS, "Methods").split("A field wins")[0]
    documented = dict(re.findall(r"\* of (\w+): ((?:[^*])*)", text))
    assert {words[name]: sorted(quoted(text)) for name, text in documented.items()} == {
        kind: sorted(_METHODS[kind]) for kind in words.values()
    }


def test_template_budgets_are_documented(section):
    text = section(CHAINS, "Budgets")
    limits = (budget.MAX_STEPS, budget.MAX_TEXT, budget.MAX_SECONDS, budget.MAX_BITS)
    for limit in (*limits, translate.MAX_ACTIONS, translate.MAX_CODE):
        assert re.search(rf"\b{re.escape(str(limit))}\b", text), limit


# -------------------------------------------------------------------------
# The command line
# -------------------------------------------------------------------------


def command_tree(command: click.Command, name: str):
    if not isinstance(command, click.Group):
        yield name, command
        return
    context = click.Context(command)
    for word in command.list_commands(context):
        yield from command_tree(command.get_command(context, word), f"{name} {word}")


def test_commands_are_documented(section):
    documented = headings(section(OPERATIONS, "Commands"), r"runtime .*")
    assert sorted(documented) == sorted(name for name, _ in command_tree(runtime, "runtime"))


def test_options_of_commands_are_documented(section):
    for name, command in command_tree(runtime, "runtime"):
        options = {
            option
            for parameter in command.params
            for option in parameter.opts
            if option.startswith("--") and option != "--help"
        }
        documented = {one for one in quoted(section(OPERATIONS, f"`{name}`")) if one[:2] == "--"}
        assert documented == options, name
