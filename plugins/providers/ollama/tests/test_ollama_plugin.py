from __future__ import annotations

from typing import Any

import pytest
import runtime_provider_ollama as plugin
from pydantic import ValidationError

from runtime_core.errors import SettingsError
from runtime_core.types import BackendConfig, PluginContext


def backend(environ: dict[str, str] | None = None, **settings: Any) -> BackendConfig:
    context = PluginContext(
        "ollama", plugin.settings_model()(**settings) if settings else None, environ or {}
    )
    (config,) = plugin.register_backends(context)
    return config


def test_registers_its_type() -> None:
    providers = plugin.register_providers(PluginContext("ollama"))
    assert providers == {"ollama": plugin.OllamaProvider}


def test_the_default_address_is_only_a_guess() -> None:
    config = backend()
    assert (config.base_url, config.implicit, config.priority) == (
        "http://127.0.0.1:11434",
        True,
        100,
    )


@pytest.mark.parametrize(
    ("environ", "settings"),
    [
        ({"OLLAMA_HOST": "gpu:1234"}, {}),
        ({}, {"host": "gpu:1234"}),
        ({"OLLAMA_HOST": "gpu:1234"}, {"host": "other"}),
        ({"OLLAMA_HOST": "  "}, {"host": "gpu:1234"}),
    ],
)
def test_a_named_server_is_asked_for(environ: dict[str, str], settings: dict[str, Any]) -> None:
    config = backend(environ, **settings)
    assert (config.base_url, config.implicit, config.priority) == ("http://gpu:1234", False, 0)


def test_key_and_options_reach_the_backend() -> None:
    config = backend({"OLLAMA_API_KEY": "k"}, keep_alive=-1, options={"num_ctx": 8192})
    assert config.api_key == "k"
    assert config.options == {"keep_alive": -1, "options": {"num_ctx": 8192}}


def test_settings_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValidationError, match="hots"):
        plugin.settings_model()(hots="x")


def test_a_bad_address_is_a_settings_error() -> None:
    with pytest.raises(SettingsError, match="OLLAMA_HOST"):
        backend({"OLLAMA_HOST": "ftp://gpu"})
