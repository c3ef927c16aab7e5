"""``webhook``: send what a task has, or a model says, to an address."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from runtime_core.errors import AddressRefused
from runtime_core.types import ChatCompletion, ChatHistory, ChatRequest, Tool, Value
from runtime_core.types.interchange import (
    chat_request_to_wire,
    completion_to_wire,
    history_to_wire,
)
from runtime_hooks_local.answers import MISSING, body_text, json_in, masked, refusal
from runtime_hooks_local.arguments import headers_of, optional_text, query_of, required_text
from runtime_hooks_local.outgoing import Outgoing, addressed, name_of

if TYPE_CHECKING:
    from runtime_core.types import ToolRequest

__all__ = ("WEBHOOK", "Webhook")

WEBHOOK = Tool(
    "webhook",
    "Sends data to a web address and returns its answer.",
    {
        "type": "object",
        "properties": {
            "url": {"type": "string", "description": "the address: http or https"},
            "method": {
                "type": "string",
                "description": "POST by default; POST, PUT and PATCH send the body",
            },
            "query": {
                "type": ["object", "string"],
                "description": "replaces the query of the address",
            },
            "headers": {"type": ["object", "string"], "description": "HTTP headers, by name"},
            "body": {"description": "what to send: an object, or any other JSON value"},
        },
        "required": ["url"],
    },
)

_WITH_BODY = frozenset(("POST", "PUT", "PATCH"))
_REFERENCE = re.compile(r"\{\{secret:([A-Za-z0-9_.-]{1,128})\}\}")


class _Headers(NamedTuple):
    """Headers as they are sent, and the secrets in them."""

    sent: dict[str, str]
    secrets: tuple[str, ...]


class Webhook:
    """The tool."""

    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        self._settings = outgoing.settings

    async def __call__(self, request: ToolRequest) -> Value:
        """Return JSON as ``json``, everything else as text.

        :raises TaskFailed: an argument cannot be used, or the answer is none of success.
        :raises UpstreamError: no connection, or an answer that is broken or too large.
        """
        url = addressed(required_text(request, "url"), query_of(request))
        method = optional_text(request, "method", "POST").upper()
        body = _body(request) if method in _WITH_BODY else None
        headers = await self._headers(request, body)
        client, redirects = self._outgoing.client(url)
        try:
            answer = await client.request(
                method,
                url,
                headers=headers.sent,
                body=body,
                timeout=self._settings.timeout,
                max_bytes=self._settings.max_bytes,
                redirects=redirects,
            )
        except AddressRefused as error:
            raise self._outgoing.explained(error) from error
        if not 200 <= answer.status < 300:
            raise refusal(name_of(url), answer.status, answer.headers, answer.body, headers.secrets)
        data = json_in(masked(answer.body, headers.secrets))
        if data is not MISSING:
            return Value(data, "json")
        # masked as UTF-8: other encodings spell a secret in other bytes
        text = body_text(answer.body, answer.headers).encode()
        return Value(masked(text, headers.secrets).decode(), "string")

    async def _headers(self, request: ToolRequest, body: bytes | None) -> _Headers:
        """Return the headers with the secrets that the author of the chain has put there.

        What a model says, and what a template stands for, names no secret.
        """
        headers = {"accept": "application/json"}
        if body is not None:
            headers["content-type"] = "application/json"
        headers.update((name.lower(), value) for name, value in headers_of(request).items())
        values: dict[str, str] = {}
        for name in request.secrets.get("headers", ()):
            reference = f"{{{{secret:{name}}}}}"
            values[name] = await self._outgoing.secrets.reveal(request.tenant_id, reference)
        if not values:
            return _Headers(headers, ())
        return _Headers(
            {name: _with_secrets(value, values) for name, value in headers.items()},
            tuple(values.values()),
        )


def _with_secrets(text: str, values: dict[str, str]) -> str:
    return _REFERENCE.sub(lambda found: values.get(found[1], found[0]), text)


def _body(request: ToolRequest) -> bytes | None:
    """Return what is sent: the argument ``body`` (or ``payload``), else the task's input.

    A text that is JSON is sent as it is, another one as the message of an object.
    """
    arguments = request.arguments
    for name in ("body", "payload"):
        if arguments.get(name) is not None:
            others = {key: value for key, value in arguments.items() if key != name}
            return _encoded(arguments[name], others)
    if request.input is None:
        return None
    return _encoded(request.input.data, arguments)


def _encoded(data: Any, arguments: dict[str, Any]) -> bytes:
    if isinstance(data, str):
        text = data.encode("utf-8", "replace")
        if json_in(text) is not MISSING:
            return text
        data = {"message": text.decode(), "data": arguments}
    return msgspec.json.encode(_wire(data))


def _wire(data: Any) -> Any:
    if isinstance(data, ChatHistory):
        return history_to_wire(data)
    if isinstance(data, ChatRequest):
        return chat_request_to_wire(data)
    if isinstance(data, ChatCompletion):
        return completion_to_wire(data)
    return data
