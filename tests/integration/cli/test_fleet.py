"""Backends, models and groups from the command line, against a server as a process."""

from __future__ import annotations

import json
import re
import threading
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

NOTHING = "1"


@pytest.fixture
def url(start: Callable[..., Any], address_of: Callable[[str], str]) -> str:
    """Return the URL of a server of the test's own, on which models can be fetched."""
    environ = {"RUNTIME_DISABLE_PLUGINS": "", "OLLAMA_HOST": "127.0.0.1:1"}
    serve = start("serve", "--port", "0", **environ)
    return address_of(serve.wait_for("\n"))


@pytest.fixture
def runtime(start: Callable[..., Any], url: str) -> Callable[..., tuple[int, str, str]]:
    """Return what runs a command to its end: exit code, output, errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        command = start(*arguments, "--url", url)
        code = command.end()
        return code, command.output, command.errors

    return run


def test_the_life_of_a_backend(runtime: Any, url: str) -> None:
    code, output, _ = runtime("backend", "add", "b 1", "echo://one", "--type", "echo")
    assert code == 0
    backend_id = re.fullmatch(r"added b 1 \((.*)\)\n", output)[1]
    groups = httpx.get(f"{url}/backend-affinity/{backend_id}/groups").json()
    assert {group["name"] for group in groups} == {"Chat", "Tasks", "Embedder"}

    code, output, _ = runtime("backend", "list")
    assert code == 0
    assert re.search(rf"^b 1 +echo +echo://one +{backend_id} +2 models$", output, re.MULTILINE)

    for name in ("b 1", backend_id):
        code, output, _ = runtime("backend", "show", name)
        shown = json.loads(output)
        assert (code, shown["id"], shown["reachable"]) == (0, backend_id, True)
        assert sorted(shown["groups"]) == ["Chat", "Embedder", "Tasks"]

    assert runtime("backend", "delete", "b 1")[:2] == (0, "backend removed\n")
    code, _, errors = runtime("backend", "delete", "b 1")
    assert (code, errors) == (1, "error: no registered backend is called 'b 1'; there is none\n")


def test_what_is_wrong_with_a_backend_is_said(runtime: Any, url: str) -> None:
    for arguments, reason in (
        (("no-url", "--type", "echo"), "baseUrl: 'no-url' is no URL"),
        (("http://a", "--type", "fax"), "no installed plugin provides 'fax'; installed types: "),
        (("http://a", "--type", "echo", "--group", "x"), "no group is called 'x'; there are Chat"),
    ):
        code, output, errors = runtime("backend", "add", "b", *arguments)
        assert (code, output) == (1, "")
        assert errors.startswith("error: ")
        assert reason in errors
        assert errors.count("\n") == 1
    assert httpx.get(f"{url}/backends").json() == []


def test_what_has_no_name_is_not_named(runtime: Any, url: str) -> None:
    httpx.post(f"{url}/groups", json={}).raise_for_status()
    _, _, errors = runtime("group", "delete", "x")
    assert errors == "error: no group is called 'x'; there are Chat, Embedder, Tasks\n"


def test_backends_that_do_not_serve_are_listed_with_the_reason(runtime: Any) -> None:
    runtime("group", "add", "later")
    dead = ("backend", "add", "dead", "http://127.0.0.1:1", "--type", "openai")
    assert runtime(*dead)[0] == 0
    assert runtime("group", "unassign", "Chat", "--backend", "dead")[0] == 0
    (line,) = [one for one in runtime("backend", "list")[1].splitlines() if "dead" in one]
    assert "out: " in line
    for group in ("Tasks", "Embedder"):
        runtime("group", "unassign", group, "--backend", "dead")
    (line,) = [one for one in runtime("backend", "list")[1].splitlines() if "dead" in one]
    assert "in no group" in line


def test_the_life_of_a_model(runtime: Any, url: str) -> None:
    code, output, _ = runtime("model", "add", "org/m", "--context-length", "4096", "--embed")
    assert (code, output) == (0, "added org/m\n")
    assert runtime("model", "list")[1] == "org/m  4096 tokens  embed\n"
    (model,) = httpx.get(f"{url}/model-affinity/internal_embed_group/models").json()
    assert model["model"] == "org/m"

    runtime("group", "add", "fast")
    more = ("--context-length", "8", "--chat", "--stream", "--group", "fast")
    assert runtime("model", "add", "m2", *more)[0] == 0
    assert "m2" not in httpx.get(f"{url}/model-affinity/internal_chat_group/models").text

    assert runtime("model", "delete", "org/m", "--purge")[:2] == (0, "model removed\n")
    code, _, errors = runtime("model", "delete", "org/m")
    assert code == 1
    assert "org/m" in errors
    code, _, errors = runtime("model", "add", "m3", "--context-length", "8")
    assert code == 1
    assert "canChat" in errors


def test_the_life_of_a_group(runtime: Any) -> None:
    code, output, _ = runtime("group", "add", "fast", "--purpose", "quick")
    assert code == 0
    assert output.startswith("added fast (")
    runtime("backend", "add", "b", "echo://b", "--type", "echo", "--group", "fast")
    runtime("model", "add", "m", "--context-length", "8", "--chat")
    code, output, _ = runtime("group", "assign", "fast", "--model", "m")
    assert (code, output) == (0, "m: model assigned\n")
    lines = runtime("group", "list")[1].splitlines()
    (line,) = [one for one in lines if one.startswith("fast")]
    assert line.endswith("backends: b  models: m")
    assert len(lines) == 4

    code, output, _ = runtime("group", "unassign", "fast", "--model", "m", "--backend", "b")
    assert (code, output) == (0, "b: backend removed\nm: model removed\n")
    assert runtime("group", "unassign", "fast", "--model", "m")[0] == 1
    code, _, errors = runtime("group", "assign", "fast")
    assert code == 2
    assert "--backend or --model" in errors
    assert runtime("group", "delete", "fast")[:2] == (0, "deleted\n")
    code, _, errors = runtime("group", "delete", "Chat")
    assert code == 1
    assert "cannot be deleted" in errors
    assert "--token" not in errors


def add(runtime: Any, shop: Any) -> None:
    added = runtime("backend", "add", "gpu", shop.url, "--type", "ollama")
    assert added[0] == 0, added


def test_a_model_is_fetched(runtime: Any, model_shop: Any) -> None:
    add(runtime, model_shop)
    model_shop.go_on.set()
    code, output, _ = runtime("model", "pull", "tiny", "--backend", "gpu")
    assert (code, output) == (0, "tiny is on gpu\n")
    assert model_shop.models == ["tiny"]
    assert runtime("model", "pull", "tiny")[:2] == (0, "tiny is on gpu\n")
    assert runtime("model", "list")[1] == "tiny  8192 tokens  chat prompt stream\n"


def test_progress_is_shown_until_ctrl_c(
    start: Any, runtime: Any, url: str, model_shop: Any
) -> None:
    add(runtime, model_shop)
    pull = start("model", "pull", "tiny", "--url", url)
    with httpx.stream("GET", f"{url}/queue/inProgress", timeout=60) as response:
        for line in response.iter_lines():
            if '"completed":500000' in line:
                break
    for _ in range(600):
        if "50%" in pull.errors:
            break
        threading.Event().wait(0.1)
    assert " 50%  500.0 kB of 1.0 MB\n" in pull.errors
    assert "\r" not in pull.errors
    pull.interrupt()
    assert pull.end() == 130
    assert "the download goes on" in pull.errors
    model_shop.go_on.set()
    assert runtime("model", "pull", "tiny")[:2] == (0, "tiny is on gpu\n")


def test_a_download_that_fails_says_why(
    start: Any, runtime: Any, url: str, model_shop: Any
) -> None:
    add(runtime, model_shop)
    model_shop.failure = "pull model manifest: file does not exist"
    pull = start("model", "pull", "tiny", "--url", url)
    assert model_shop.first_half.wait(60)
    model_shop.go_on.set()
    assert pull.end() == 1
    assert "error: gpu: " in pull.errors
    assert "file does not exist" in pull.errors


def test_a_download_that_is_cancelled(start: Any, runtime: Any, url: str, model_shop: Any) -> None:
    add(runtime, model_shop)
    pull = start("model", "pull", "tiny", "--url", url)
    assert model_shop.first_half.wait(60)
    assert httpx.delete(f"{url}/models/tiny?purge=true").status_code == 200
    assert pull.end() == 1
    assert "error: gpu: cancelled" in pull.errors


def test_nothing_fetches_a_model(runtime: Any) -> None:
    code, _, errors = runtime("model", "pull", "m")
    assert code == 1
    assert "no backend is in a group of m" in errors
    runtime("backend", "add", "b", "echo://b", "--type", "echo")
    code, _, errors = runtime("model", "pull", "m", "--backend", "b")
    assert code == 1
    assert "error: b does not have the model, and no download begins" in errors


def test_without_a_server(start: Any) -> None:
    for arguments in (("backend", "list"), ("model", "pull", "m"), ("group", "list")):
        command = start(*arguments, "--url", f"http://127.0.0.1:{NOTHING}")
        assert command.end() == 1
        assert "no server answers" in command.errors
