"""``http_get``: read what an address has."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from runtime_core.errors import AddressRefused, TaskFailed
from runtime_core.types import Tool, Value
from runtime_hooks_local.answers import MISSING, body_text, is_json, json_in, refusal
from runtime_hooks_local.arguments import headers_of, query_of, required_text
from runtime_hooks_local.outgoing import Outgoing, addressed, name_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runtime_core.types import ToolRequest

__all__ = ("HTTP_GET", "HttpGet")

HTTP_GET = Tool(
    "http_get",
    "Reads a web address and returns its text, or its data where it is JSON.",
    {
        "type": "object",
        "properties": {
            "url": {"type": "string", "description": "the address: http or https"},
            "query": {
                "type": ["object", "string"],
                "description": "replaces the query of the address",
            },
            "headers": {"type": ["object", "string"], "description": "HTTP headers, by name"},
        },
        "required": ["url"],
    },
)

_ACCEPT = "application/json, text/*;q=0.9, */*;q=0.5"


class _Page(NamedTuple):
    """As much of an answer as is wanted; *more* says that there is more of it."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    more: bool


class HttpGet:
    """The tool.

    A model is given the beginning of what is too long, and told so; a chain, which cannot tell
    half a document from a whole one, gets an error.
    """

    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        self._settings = outgoing.settings

    async def __call__(self, request: ToolRequest) -> Value:
        """Return JSON as ``json``, everything else as text.

        :raises TaskFailed: an argument cannot be used, or the answer is none of success.
        :raises UpstreamError: no connection, or an answer that is broken.
        """
        url = addressed(required_text(request, "url"), query_of(request))
        headers = {"accept": _ACCEPT}
        headers.update((name.lower(), value) for name, value in headers_of(request).items())
        page = await self._read(url, headers)
        if not 200 <= page.status < 300:
            raise refusal(name_of(url), page.status, page.headers, page.body)
        if page.more and request.caller != "model":
            raise TaskFailed(
                f"{name_of(url)} answered more than {self._settings.max_bytes} bytes: ask it for "
                "less, or raise max_bytes of [plugins.local-hooks]"
            )
        return self._result(page, url, for_model=request.caller == "model")

    async def _read(self, url: str, headers: dict[str, str]) -> _Page:
        limit = self._settings.max_bytes
        client, redirects = self._outgoing.client(url)
        body = bytearray()
        try:
            async with client.stream(
                "GET",
                url,
                headers=headers,
                timeout=self._settings.timeout,
                max_bytes=None,
                redirects=redirects,
            ) as answer:
                async for piece in answer:
                    body += piece
                    if len(body) > limit:
                        break
                return _Page(answer.status, answer.headers, bytes(body[:limit]), len(body) > limit)
        except AddressRefused as error:
            raise self._outgoing.explained(error) from error

    def _result(self, page: _Page, url: str, *, for_model: bool) -> Value:
        data = json_in(page.body) if is_json(page.headers) and not page.more else MISSING
        if b"\0" in page.body and data is MISSING:
            media_type = page.headers.get("content-type", "an unknown type")
            raise TaskFailed(f"{name_of(url)} answered {media_type}, which is no text")
        text = body_text(page.body, page.headers)
        if for_model and (page.more or len(text) > self._settings.max_characters):
            return Value(self._shortened(text, page), "string")
        return Value(text, "string") if data is MISSING else Value(data, "json")

    def _shortened(self, text: str, page: _Page) -> str:
        if page.more:
            # the last character may have been cut in two
            text = text.rstrip("\ufffd")
        shown = text[: self._settings.max_characters]
        whole = "more" if page.more else f"{len(text)}"
        return f"{shown}\n\n[cut: these are the first {len(shown)} characters, there are {whole}]"
