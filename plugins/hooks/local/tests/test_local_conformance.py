"""The local hooks are what hook sources have to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from runtime_hooks_local.settings import LocalHooksSettings
from runtime_hooks_local.source import LocalHooks

from runtime_core.testing import HookSourceSuite
from runtime_core.types import ToolRequest, Value

if TYPE_CHECKING:
    from runtime_core.protocols import HookSource


class _Local(HookSourceSuite):
    @pytest.fixture
    def source(self, service) -> HookSource:
        return LocalHooks(LocalHooksSettings(private_hosts=(service.host,)))

    @pytest.fixture
    def hangs(self, service):
        return ToolRequest(
            hook="http_get", tool="http_get", arguments={"url": f"{service.url}/wait"}
        )


class TestEcho(_Local):
    @pytest.fixture
    def works(self):
        return ToolRequest(hook="echo", tool="echo", arguments={"input": "hi"})

    @pytest.fixture
    def result(self):
        return Value("hi", "string")

    @pytest.fixture
    def fails(self):
        return ToolRequest(hook="print", tool="print")


class TestTime(_Local):
    @pytest.fixture
    def works(self):
        arguments = {
            "time": "2026-03-29T00:00:00Z",
            "timezone": "+02:00",
            "format": "%H",
            "add": "1h",
        }
        return ToolRequest(hook="time", tool="time", arguments=arguments)

    @pytest.fixture
    def result(self):
        return Value("03", "string")

    @pytest.fixture
    def fails(self):
        return ToolRequest(hook="time", tool="time", arguments={"timezone": "Nowhere"})


class TestWebhook(_Local):
    @pytest.fixture
    def works(self, service):
        arguments = {
            "url": f"{service.url}/copy",
            "method": "POST",
            "query": {"a": 1},
            "headers": {"Accept": "*/*", "User-Agent": "suite"},
            "body": {"a": 1},
        }
        return ToolRequest(hook="webhook", tool="webhook", arguments=arguments)

    @pytest.fixture
    def result(self, service):
        headers = {
            "host": service.host,
            "user-agent": "suite",
            "accept": "*/*",
            "accept-encoding": "gzip, deflate",
            "content-length": "7",
            "content-type": "application/json",
        }
        return Value({"headers": headers, "body": '{"a":1}'}, "json")

    @pytest.fixture
    def fails(self, service):
        """The service repeats what it was sent, the secret too."""
        service.will_answer(400, b"")
        return ToolRequest(
            hook="webhook",
            tool="webhook",
            arguments={"url": f"{service.url}/echo", "headers": {"X-Key": "{{secret:suite}}"}},
            secrets={"headers": ("suite",)},
        )


class TestHttpGet(_Local):
    @pytest.fixture
    def works(self, service):
        arguments = {"url": f"{service.url}/page", "query": "a=1", "headers": {"X-Id": "7"}}
        return ToolRequest(hook="http_get", tool="http_get", arguments=arguments)

    @pytest.fixture
    def result(self):
        return Value({"ok": True}, "json")

    @pytest.fixture
    def fails(self):
        return ToolRequest(
            hook="http_get", tool="http_get", arguments={"url": "http://169.254.169.254/"}
        )
