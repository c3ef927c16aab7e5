"""A tool's arguments to an HTTP request; no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from msgspec import Struct

from runtime_core.errors import TaskFailed
from runtime_hooks_remote.bodies import body_writer
from runtime_hooks_remote.path import PathTemplate
from runtime_hooks_remote.styles import cookie_writer, header_writer, query_writer
from runtime_hooks_remote.texts import escaped, plain, require_field_text

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from runtime_hooks_remote.injection import Injection
    from runtime_hooks_remote.shapes import Operation
    from runtime_hooks_remote.styles import Writer

__all__ = ("OutgoingRequest", "PreparedRequest", "is_at", "origin")

_ABSENT: Any = object()


class OutgoingRequest(Struct, frozen=True):
    """A request, ready to be sent; names of headers are in lower case.

    ``confidential`` says that the operator has put something into the body.
    """

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None = None
    confidential: bool = False


def is_at(operation: Operation, endpoint: str) -> bool:
    """Whether an operation is called at the same scheme, host and port as the others.

    Credentials go nowhere else: a document must not choose who gets them.

    :param endpoint: "" for one that is not known, and may be anywhere.
    """
    return not (operation.server and endpoint) or origin(operation.server) == origin(endpoint)


class PreparedRequest:
    """Turns arguments of one operation into requests; what can be worked out before, is.

    :param endpoint: the absolute URL that the operation's path is appended to.
    :param injection: what each request has; the values may be others for each `build`.
    """

    def __init__(self, operation: Operation, endpoint: str, injection: Injection) -> None:
        self._operation = operation
        self._base = operation.server or endpoint.rstrip("/")
        self._injected = injection.names
        schema = operation.tool.parameters or {}
        self._properties: dict[str, Any] = schema.get("properties", {})
        self._required: Sequence[str] = schema.get("required", ())
        elsewhere = {each.name for each in operation.parameters}
        self._nullable = {
            k for k, v in self._properties.items() if k not in elsewhere and _permits_null(v)
        }
        self._prepare_parameters(injection)
        self._prepare_body(injection)

    def build(
        self, arguments: Mapping[str, Any], injection: Injection, *, task_input: Any = None
    ) -> OutgoingRequest:
        """Return the request for *arguments*.

        Arguments that the operation does not know go into a body that takes any, else nowhere.

        :param task_input: the argument ``input``, where the operation has one and none is given.
        :raises TaskFailed: an argument is missing, or cannot stand where it belongs.
        """
        given = {name: value for name, value in arguments.items() if name not in self._injected}
        if task_input is not None and self._takes_input:
            given.setdefault("input", task_input)
        self._require(given)
        given.update(injection.headers)
        if injection.name:
            given[injection.name] = injection.value
        try:
            return self._request(given, injection)
        except UnicodeEncodeError:
            raise TaskFailed(
                f"an argument of {self._operation.tool.name!r} holds half of a surrogate pair, "
                "which is no character: leave it out"
            ) from None

    def _prepare_parameters(self, injection: Injection) -> None:
        operation, place, name = self._operation, injection.place, injection.name
        by_place: dict[str, list[Any]] = {"path": [], "query": [], "header": [], "cookie": []}
        for parameter in operation.parameters:
            by_place[parameter.location].append(parameter)
        taken = {each.name for each in operation.parameters} | self._injected
        self._path = PathTemplate(operation.path, by_place["path"], taken)
        self._query = [(each.name, query_writer(each, taken)) for each in by_place["query"]]
        self._headers = [
            (each.name, each.name.lower(), header_writer(each)) for each in by_place["header"]
        ]
        self._cookies = [(each.name, cookie_writer(each, taken)) for each in by_place["cookie"]]
        self._adds_query = place == "query" and name not in dict(self._query)
        self._adds_cookie = place == "cookie" and name not in dict(self._cookies)

    def _prepare_body(self, injection: Injection) -> None:
        body = self._operation.body
        self._body = body
        self._fields = [each.name for each in body.properties] if body else []
        elsewhere = {each.name for each in self._operation.parameters}
        self._takes_input = "input" in {*elsewhere, *self._fields}
        self._fills_body = not self._injected.isdisjoint(self._fields) or (
            injection.place == "body" and bool(injection.name)
        )
        if body is None:
            return
        self._takes_input |= bool(body.argument and body.additional)
        self._writer = body_writer(body, self._injected)
        self._known = {*elsewhere, *self._fields, *self._injected, body.argument}
        if injection.place == "body" and injection.name not in self._fields:
            self._known.discard(injection.name)

    def _require(self, given: Mapping[str, Any]) -> None:
        missing = [
            name
            for name in self._required
            if name not in given or (given[name] is None and name not in self._nullable)
        ]
        if not missing:
            return
        known = [
            f"{name} (required)" if name in self._required else name for name in self._properties
        ]
        raise TaskFailed(
            f"{self._operation.tool.name!r} needs the argument {', '.join(map(repr, missing))}; "
            f"its parameters are: {', '.join(known)}"
        )

    def _request(self, given: dict[str, Any], injection: Injection) -> OutgoingRequest:
        headers = {"accept": "application/json"}
        data = None
        media_type = ""
        if self._body is not None and (content := self._content(given, injection)) is not _ABSENT:
            data, media_type = self._writer.write(content)
            headers["content-type"] = media_type
        for name, key, write in self._headers:
            if (value := given.get(name)) is not None:
                headers[key] = write(value)[0]
        _inject(headers, injection)
        if media_type.startswith("multipart/"):
            headers["content-type"] = media_type  # it holds the boundary
        self._write_cookies(headers, given, injection)
        url = self._url(given, injection)
        confidential = data is not None and self._fills_body
        return OutgoingRequest(self._operation.method, url, headers, data, confidential)

    def _url(self, given: Mapping[str, Any], injection: Injection) -> str:
        url = self._base + self._path.fill(given)
        pairs = _pairs(self._query, given)
        if self._adds_query:
            pairs.append(f"{escaped(injection.name)}={escaped(injection.value)}")
        return f"{url}?{'&'.join(pairs)}" if pairs else url

    def _write_cookies(
        self, headers: dict[str, str], given: Mapping[str, Any], injection: Injection
    ) -> None:
        pairs = _pairs(self._cookies, given)
        if self._adds_cookie:
            text = require_field_text(plain(injection.value), "the injected property")
            pairs.append(f"{injection.name}={text}")
        if (fixed := headers.get("cookie")) is not None:
            taken = {each.partition("=")[0].strip() for each in fixed.split(";")}
            pairs = [fixed, *(each for each in pairs if each.partition("=")[0] not in taken)]
        if pairs:
            headers["cookie"] = "; ".join(pairs)

    def _content(self, given: Mapping[str, Any], injection: Injection) -> Any:
        """Return what the body is made of, `_ABSENT` for none."""
        body = self._body
        assert body is not None
        if body.argument and _is_there(given, body.argument, self._nullable):
            whole = given[body.argument]
            if injection.place == "body" and injection.name and isinstance(whole, dict):
                return {**whole, injection.name: injection.value}
            return whole
        fields = {n: given[n] for n in self._fields if _is_there(given, n, self._nullable)}
        if body.additional or injection.place == "body":
            more = given if body.additional else {injection.name: injection.value}
            fields |= {k: v for k, v in more.items() if k not in self._known and v is not None}
        if not fields and (body.argument or not body.required):
            return _ABSENT
        return fields


def _inject(headers: dict[str, str], injection: Injection) -> None:
    for name, text in injection.headers.items():
        headers[name.lower()] = require_field_text(text, f"the injected header {name!r}")
    if injection.name and injection.place == "header":
        text = plain(injection.value)
        headers[injection.name.lower()] = require_field_text(text, "the injected property")


def _pairs(writers: Sequence[tuple[str, Writer]], given: Mapping[str, Any]) -> list[str]:
    pairs: list[str] = []
    for name, write in writers:
        if (value := given.get(name)) is not None:
            pairs += write(value)
    return pairs


def _is_there(given: Mapping[str, Any], name: str, nullable: Collection[str]) -> bool:
    """Whether there is a value to send; null is one only where the schema says so."""
    return name in given and (given[name] is not None or name in nullable)


def _permits_null(schema: Any) -> bool:
    if not isinstance(schema, dict):
        return False
    kind = schema.get("type")
    if kind == "null" or (isinstance(kind, list) and "null" in kind):
        return True
    return any(
        _permits_null(branch) for key in ("anyOf", "oneOf") for branch in schema.get(key) or ()
    )


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Return the scheme, host and port of a URL; a port that is none makes it nobody's origin."""
    parts = urlsplit(url)
    try:
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        port = None
    return parts.scheme, parts.hostname, port
