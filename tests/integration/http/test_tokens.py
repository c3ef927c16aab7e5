"""The tokenizer of the settings, as clients and operators see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import tiktoken
from litestar.testing import TestClient

from runtime_core.app import compose, serving
from runtime_core.errors import DriverNotFound, StartupError
from runtime_core.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

LETTERS = "class Letters:\n    def count(self, text, model):\n        return len(text)\n"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Install a distribution whose module registers a tokenizer."""

    def add(entry: str, code: str) -> None:
        info = tmp_path / "acme_letters-1.0.dist-info"
        info.mkdir()
        (tmp_path / "acme_letters.py").write_text(code)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-letters\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[runtime_core.drivers.tokenizer]\n{entry}\n")
        monkeypatch.syspath_prepend(str(tmp_path))

    return add


@pytest.fixture
def vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the library's vocabulary loaded already: every byte, and "ab" as often as it fits."""
    ranks = {bytes([byte]): byte for byte in range(256)} | {b"ab": 256, b"abab": 257}
    encoding = tiktoken.Encoding(
        "o200k_base", pat_str=r"\s?\S+|\s+", mergeable_ranks=ranks, special_tokens={}
    )
    monkeypatch.setattr("tiktoken.registry.ENCODINGS", {"o200k_base": encoding})


@pytest.fixture
def server() -> Callable[..., AbstractContextManager[TestClient[Any]]]:
    """Start the whole server, the stand-in model included, and wait until it counts."""
    from contextlib import contextmanager

    @contextmanager
    def start(tokenizer: str) -> Iterator[TestClient[Any]]:
        kernel = compose(
            Settings(
                database_url="sqlite:///:memory:",
                disable_plugins=("ollama",),
                tokenizer=tokenizer,
            )
        )
        with TestClient(serving(kernel)) as client, client.portal() as portal:
            portal.call(kernel.tokens.settled, 10)
            yield client

    return start


def run(client: TestClient[Any], handler: str, text: str, limit: int) -> Any:
    chain = {
        "id": "limited",
        "token_limit": limit,
        "tasks": [
            {
                "id": "a",
                "handler": handler,
                "execute_config": {"model": "echo"},
                "transition": {"branches": [{"operator": "default", "goto": "end"}]},
            }
        ],
    }
    chat = {"messages": [{"role": "user", "content": text}]}
    data, kind = (chat, "chat_history") if handler == "chat_completion" else (text, "string")
    return client.post("/tasks", json={"chain": chain, "input": data, "inputType": kind})


@pytest.mark.parametrize(
    ("tokenizer", "fits", "too_long"),
    [
        ("estimate", "x" * 32, "x" * 40),
        ("acme", "x" * 8, "x" * 10),
        ("tiktoken", "ab" * 16, "ba" * 16),
    ],
)
@pytest.mark.parametrize("handler", ["chat_completion", "prompt_to_string"])
def test_the_token_limit_of_a_chain_is_in_the_chosen_tokenizers_tokens(
    server: Any,
    install: Any,
    vocabulary: None,
    handler: str,
    tokenizer: str,
    fits: str,
    too_long: str,
) -> None:
    install("acme = acme_letters:Letters", LETTERS)
    with server(tokenizer) as client:
        assert run(client, handler, fits, 9).status_code == 200
        refused = run(client, handler, too_long, 9)
        assert refused.status_code == 400
        error = refused.json()["error"]
        assert error["code"] == "context_length_exceeded"
        assert "token_limit is 9" in error["message"]


def test_how_much_of_a_conversation_is_sent_is_the_tokenizers_decision(
    server: Any, install: Any
) -> None:
    install("acme = acme_letters:Letters", LETTERS)
    chain = {
        "id": "short",
        "token_limit": 50,
        "tasks": [
            {
                "id": "a",
                "handler": "chat_completion",
                "execute_config": {"model": "echo", "max_tokens": 20},
                "transition": {"branches": [{"operator": "default", "goto": "end"}]},
            }
        ],
    }
    with server("acme") as client:
        assert client.post("/taskchains", json=chain).status_code == 201
        for turn in range(4):
            said = {"session": "s", "message": f"turn {turn}".ljust(12), "chain": "short"}
            assert client.post("/chat", json=said).status_code == 200, turn
        too_long = {"session": "s", "message": "x" * 51, "chain": "short"}
        assert client.post("/chat", json=too_long).status_code == 400


def test_a_tokenizer_nobody_has_stops_the_start_and_lists_those_there_are() -> None:
    with pytest.raises(DriverNotFound) as caught:
        compose(Settings(database_url="sqlite:///:memory:", tokenizer="tiktokn"))
    message = caught.value.message
    assert "no tokenizer driver 'tiktokn' is installed; did you mean tiktoken?" in message
    assert "Installed: estimate, tiktoken" in message


def test_auto_is_tiktoken_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(database_url="sqlite:///:memory:")
    assert compose(settings).tokens.name == "tiktoken"
    # what is not installed cannot be tested without hiding it
    monkeypatch.setattr("runtime_core.engine.tiktoken.find_spec", lambda name: None)
    assert compose(settings).tokens.name == "estimate"
    with pytest.raises(StartupError, match="pip install"):
        compose(settings.model_copy(update={"tokenizer": "tiktoken"}))
