"""Hooks from the command line, against a server and a service as processes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[3]
SECRET = "{{secret:shop-key}}"


@pytest.fixture(scope="module")
def shop() -> Iterator[str]:
    """Return the URL of the service of the examples, which wants a key."""
    process = subprocess.Popen(
        [sys.executable, ROOT / "examples/service/shop.py", "--port", "0"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


@pytest.fixture
def runtime(tmp_path: Path, server: str) -> Callable[..., tuple[int, str, str]]:
    """Return what runs a command: exit code, output, errors."""

    def run(*arguments: str, given: str = "") -> tuple[int, str, str]:
        done = subprocess.run(
            [Path(sys.executable).parent / "runtime", *arguments, "--url", server],
            input=given, capture_output=True, cwd=tmp_path, env={"HOME": str(tmp_path)}, text=True,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture(scope="module")
def registered(server: str, shop: str) -> str:
    """Register the service as the hook ``shop``; returns its URL."""
    httpx.put(f"{server}/secrets/shop-key", json={"value": "tea-time"}).raise_for_status()
    body = {"name": "shop", "endpointUrl": shop, "timeoutMs": 5000}
    body["headers"] = {"X-API-Key": SECRET}
    httpx.post(f"{server}/hooks/remote", json=body).raise_for_status()
    return shop


@pytest.fixture
def hook(runtime: Any, registered: str) -> Callable[..., tuple[int, str, str]]:
    """Return what runs ``runtime hook ARGUMENTS`` where the hook ``shop`` is registered."""
    return lambda *arguments: runtime("hook", *arguments)


def test_the_life_of_a_hook(runtime: Any, registered: str) -> None:
    shop = registered
    code, output, errors = runtime(
        "hook", "add", "life", shop, "--header", f"X-API-Key: {SECRET}", "--timeout", "3000",
        "--shape", "list_products=items[].name", "--shape", "*=@",
    )  # fmt: skip
    assert (code, errors) == (0, "")
    added, tools = output.splitlines()
    hook_id = re.fullmatch(r"added life \((.*)\)", added)[1]
    assert tools == "3 tools: list_products, get_product, place_order"

    lines = runtime("hook", "list")[1].splitlines()
    assert any(re.fullmatch(rf"life +remote +{shop} +{hook_id} +{tools}", line) for line in lines)
    assert any(re.fullmatch(r"echo +local +- +- +1 tool: echo", line) for line in lines)

    code, output, _ = runtime("hook", "show", hook_id)
    shown = json.loads(output)
    assert (code, shown["name"], shown["timeoutMs"]) == (0, "life", 3000)
    assert shown["headers"] == {"X-API-Key": SECRET}
    assert shown["shape"] == {"list_products": "items[].name", "*": "@"}
    assert shown["tools"][1]["parameters"]["required"] == ["id"]

    code, output, _ = runtime("hook", "call", "life.list_products", "q=black")
    assert (code, json.loads(output)) == (0, ["Assam", "Darjeeling"])

    assert runtime("hook", "rm", "life")[:2] == (0, "deleted life\n")
    code, _, errors = runtime("hook", "rm", "life")
    assert (code, errors) == (1, "error: no remote hook is called 'life'; there are shop\n")


def test_values_have_the_types_of_the_parameters(hook: Any) -> None:
    order = ("call", "shop.place_order", "product=green-1", "quantity=2")
    code, output, _ = hook(*order, "gift=true")
    answer = json.loads(output)
    assert (code, answer["total"], answer["gift"]) == (0, 9.0, True)
    code, output, _ = hook(
        "call", "shop.place_order", "quantity=1", "--json", '{"product": "green-1", "quantity": 9}'
    )
    assert (code, json.loads(output)["total"]) == (0, 4.5)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("product=green-1", "quantity=two"), "quantity: must be a whole number, not 'two'"),
        (("product=green-1", "quantity=1.5"), "quantity: must be a whole number, not '1.5'"),
        (("gift=yes",), "gift: must be true or false, not 'yes'"),
        (("amount=2",), "shop.place_order has no parameter 'amount'; it takes product: string, "),
    ],
)
def test_arguments_that_cannot_be_are_wrong_use(
    hook: Any, arguments: tuple[str, ...], reason: str
) -> None:
    code, output, errors = hook("call", "shop.place_order", *arguments)
    assert (code, output) == (2, "")
    assert reason in errors


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("shop.get_product",), "'get_product' needs the argument 'id'"),
        (("shop.get_product", "id=nothing"), "answered 404: "),
        (("shop.nothing", "id=1"), "has no tool 'nothing'; there are: list_products, "),
        (("nobody.nothing", "id=1"), "unknown hook 'nobody'; there are: "),
    ],
)
def test_a_call_that_fails_says_why(hook: Any, arguments: tuple[str, ...], reason: str) -> None:
    code, output, errors = hook("call", *arguments)
    assert (code, output) == (1, "")
    assert errors.startswith("error: ")
    assert reason in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize("text", ["{{.input}}", "{{secret:shop-key}}", "{% raw %}{{var:x}}", "{"])
def test_values_are_no_templates(hook: Any, text: str) -> None:
    assert hook("call", "print.print", f"message={text}") == (0, f"{text}\n", "")
    code, _, errors = hook("call", "shop.get_product", "--json", json.dumps({"id": text}))
    assert (code, f"there is no product '{text}'" in errors) == (1, True)


def test_the_input_is_the_tasks(runtime: Any) -> None:
    assert runtime("hook", "call", "echo.echo", "--input", "{{.x}}\nb") == (0, "{{.x}}\nb\n", "")


def test_a_service_that_is_away_is_registered_with_a_warning(runtime: Any) -> None:
    add = ("hook", "add", "away", "http://127.0.0.1:1", "--timeout", "2000")
    code, output, errors = runtime(*add)
    assert (code, output[:12]) == (0, "added away (")
    assert errors.startswith("warning: http://127.0.0.1:1 cannot be reached")
    code, output, _ = runtime("hook", "lint", "away")
    assert code == 1
    assert output.splitlines()[-1] == "away: 0 tools, 0 tokens, 1 problem"
    code, _, errors = runtime(*add)
    assert (code, "away" in errors) == (1, True)
    assert runtime("hook", "rm", "away")[0] == 0


def test_a_name_that_a_hook_of_the_server_has_is_warned_of(runtime: Any, shop: str) -> None:
    code, output, errors = runtime("hook", "add", "time", shop)
    assert (code, output.partition(" (")[0]) == (0, "added time")
    assert "warning: not used: a hook of the type local has this name" in errors
    _, listed, _ = runtime("hook", "list")
    assert re.search(r"^time +remote .* out: not used: a hook", listed, re.MULTILINE)
    assert runtime("hook", "rm", "time") == (0, "deleted time\n", "")


def test_a_credential_that_is_typed_is_worth_a_hint(runtime: Any, shop: str) -> None:
    _, _, errors = runtime("hook", "add", "typed", shop, "--property", "header:X-API-Key=tea-time")
    assert errors.startswith("hint: the value of X-API-Key may now be in your shell's history")
    assert "tea-time" not in errors
    assert "tea-time" not in runtime("hook", "show", "typed")[1]
    code, output, _ = runtime("hook", "call", "typed.get_product", "id=green-1")
    assert (code, json.loads(output)["stock"]) == (0, 12)
    runtime("hook", "rm", "typed")


def test_lint_looks_at_hooks_services_and_files(hook: Any, shop: str, tmp_path: Path) -> None:
    # a file that happens to be called like a hook is not meant
    (tmp_path / "shop").write_text("nothing")
    code, by_name, _ = hook("lint", "shop")
    assert code == 0
    first, *_, last = by_name.splitlines()
    assert re.fullmatch(r"list_products  \d+ tokens  \(q\?: string\)", first)
    assert re.fullmatch(r"shop: 3 tools, \d+ tokens, 0 problems", last)
    collision = "collision: get_product is a tool of shop too"
    for target in (shop, f"{shop}/openapi.json"):
        code, output, _ = hook("lint", target)
        assert (code, output.splitlines()[0], collision in output) == (0, first, True)
    code, output, _ = hook("lint", "echo")
    assert (code, output.splitlines()[-1][:12]) == (0, "echo: 1 tool")


def test_lint_says_what_could_be_better(runtime: Any, tmp_path: Path) -> None:
    good = {"operationId": "find", "responses": {}, "parameters": [{"name": "id", "in": "query"}]}
    bad = {"operationId": "broken", "parameters": [{"$ref": "#/nowhere"}], "responses": {}}
    paths = {"/a": {"get": good}, "/b": {"get": bad}}
    document = {"openapi": "3.0.0", "info": {"title": "a", "version": "1"}, "paths": paths}
    (tmp_path / "api.yaml").write_text(json.dumps(document))
    code, output, _ = runtime("hook", "lint", "api.yaml")
    assert code == 1
    assert "warning: find: it has no description" in output
    assert "warning: find: these parameters have no description: id" in output
    assert re.search("^problem: .*#/nowhere", output, re.MULTILINE)
    code, output, _ = runtime("hook", "lint", "./api.yaml", "--json")
    assert (code, [tool["name"] for tool in json.loads(output)["tools"]]) == (1, ["find", "broken"])


@pytest.mark.parametrize(
    ("target", "reason"),
    [("nobody", "unknown hook 'nobody'; there are: "), ("ftp://a", "endpointUrl: ")],
)
def test_what_cannot_be_looked_at(hook: Any, target: str, reason: str) -> None:
    code, output, errors = hook("lint", target)
    assert (code, output) == (1, "")
    assert reason in errors


def test_a_server_without_remote_hooks_says_so(
    start: Callable[..., Any], address_of: Callable[[str], str]
) -> None:
    serve = start("serve", "--port", "0", RUNTIME_DISABLE_PLUGINS="remote-hooks,ollama")
    url = address_of(serve.wait_for("\n"))
    command = start("hook", "add", "a", "http://127.0.0.1:1", "--url", url)
    assert command.end() == 1
    assert command.errors == f"error: {url} has no remote hooks; see there: runtime plugins\n"
    for words in (("lint", "http://127.0.0.1:1"), ("rm", "a")):
        command = start("hook", *words, "--url", url)
        assert command.end() == 1
        assert command.errors.startswith(f"error: {url} has no /hooks/")
    command = start("hook", "list", "--url", url)
    assert command.end() == 0
    assert "echo" in command.output
    command = start("hook", "call", "echo.echo", "input=5", "--url", url)
    assert (command.end(), command.output) == (0, "5\n")
