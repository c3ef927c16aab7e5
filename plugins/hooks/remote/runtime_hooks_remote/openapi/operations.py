"""The operations of a document, each with its tool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from runtime_core.types import Tool
from runtime_hooks_remote.openapi.bodies import Bodies, UnsendableBody
from runtime_hooks_remote.openapi.bundling import bundled
from runtime_hooks_remote.openapi.naming import described, names
from runtime_hooks_remote.openapi.parameters import Argument, Parameters, path_names
from runtime_hooks_remote.openapi.schemas import Schemas
from runtime_hooks_remote.openapi.servers import UnusableServer, server_of
from runtime_hooks_remote.shapes import Body, Operation, Parameter

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from runtime_hooks_remote.openapi.nodes import Node
    from runtime_hooks_remote.openapi.problems import Problems
    from runtime_hooks_remote.openapi.references import References

__all__ = ("Operations",)

_METHODS = ("get", "post", "put", "patch", "delete")

#: Questions to a service about itself, which are no tools.
_NOT_TOOLS = frozenset({"/health", "/healthz", "/ready", "/readyz", "/metrics"})

_MAX_OPERATIONS = 5_000


class _Found(Struct):
    method: str
    path: str
    item: Node
    node: Node


class Operations:
    """Reads the operations of one document.

    :param injected: names that the caller fills in: they are in the operations, not in the tools.
    """

    def __init__(
        self,
        references: References,
        problems: Problems,
        version: str,
        url: str,
        injected: Collection[str],
    ) -> None:
        self._references = references
        self._problems = problems
        self._url = url
        self._injected = frozenset(injected)
        self._injected_headers = frozenset(name.lower() for name in injected)
        self._schemas = Schemas(references, problems, version)
        self._parameters = Parameters(references, self._schemas, problems)
        self._bodies = Bodies(references, self._schemas, problems)

    def read(self, paths: Node) -> dict[str, Operation]:
        """Return the operations that can be called, by their tools' names."""
        found = list(self._find(paths))
        if len(found) > _MAX_OPERATIONS:
            self._problems.add(paths, f"only the first {_MAX_OPERATIONS} operations are read")
            del found[_MAX_OPERATIONS:]
        operations = {}
        tools = names([(each.method, each.path, each.node.value) for each in found])
        for name, each in zip(tools, found, strict=True):
            operation = self._operation(name, each)
            if self._schemas.exhausted:
                what = "the document asks for too much from here on; the rest is left out"
                self._problems.add(each.node, what)
                break
            if operation is not None:
                operations[name] = operation
        return operations

    def _find(self, paths: Node) -> Iterator[_Found]:
        for path, entry in paths.items():
            if path in _NOT_TOOLS or path.startswith("x-"):
                continue
            item = self._references.follow(entry)
            if item is None:
                continue
            if not isinstance(item.value, dict) or not path.startswith("/"):
                what = "a path begins with / and is an object of operations; it is left out"
                self._problems.add(entry, what)
                continue
            if item is not entry and not entry.value.keys().isdisjoint((*_METHODS, "parameters")):
                what = "what stands beside $ref is left out; move it to where the reference leads"
                self._problems.add(entry, what)
            yield from self._of_path(path, item)

    def _of_path(self, path: str, item: Node) -> Iterator[_Found]:
        for method in item.value:
            if method not in _METHODS:
                continue
            node = item.child(method)
            if isinstance(node.value, dict):
                yield _Found(method.upper(), path, item, node)
            else:
                self._problems.add(node, "an operation must be an object; it is left out")

    def _operation(self, name: str, found: _Found) -> Operation | None:
        try:
            server = server_of(found.node, found.item, self._url)
            parameters = self._read_parameters(found)
            body, arguments = self._read_body(found, [each.name for each in parameters[0]])
        except (UnusableServer, _UnusablePath) as error:
            self._problems.add(found.node, f"{error}; the operation is left out")
            return None
        except UnsendableBody as error:
            what = (
                f"a body of type {error} cannot be sent; offer JSON, a form, text or octet-stream;"
                " the operation is left out"
            )
            self._problems.add(found.node.child("requestBody"), what)
            return None
        return Operation(
            method=found.method,
            path=found.path,
            server=server,
            parameters=tuple(parameters[0]),
            body=body,
            tool=Tool(
                name,
                described(found.method, found.path, found.node.value),
                self._schema_of(_together(parameters[1], arguments)),
            ),
        )

    def _read_parameters(self, found: _Found) -> tuple[list[Parameter], dict[str, Argument]]:
        """Return the parameters and the arguments for them; for one name, the first counts."""
        in_path = path_names(found.path)
        if in_path is None:
            raise _UnusablePath("the braces of the path do not match")
        declared = self._parameters.declared(found.item, found.node)
        parameters = []
        arguments: dict[str, Argument] = {}
        for (location, name), node in declared.items():
            if location == "path" and name not in in_path:
                self._problems.add(node, f"the path has no {{{name[:80]}}}; it is left out")
                continue
            parameter, argument = self._parameters.read(node)
            parameters.append(parameter)
            if not self._is_injected(parameter):
                arguments.setdefault(name, argument)
        for name in in_path:
            if ("path", name) not in declared:
                what = f"the path's {name[:80]!r} is not declared; it is taken as a text parameter"
                self._problems.add(found.node, what)
                parameters.append(_undeclared(name))
                if name not in self._injected:
                    arguments[name] = Argument(self._schemas.text(), required=True)
        return parameters, arguments

    def _is_injected(self, parameter: Parameter) -> bool:
        if parameter.location == "header":
            return parameter.name.lower() in self._injected_headers
        return parameter.name in self._injected

    def _read_body(
        self, found: _Found, taken: Collection[str]
    ) -> tuple[Body | None, dict[str, Argument]]:
        node = found.node.find("requestBody")
        if node is None:
            return None, {}
        if found.method == "GET":
            if isinstance(node.value, dict) and node.value.get("required") is True:
                self._problems.add(node, "GET has no body; it is left out")
            return None, {}
        read = self._bodies.read(node, taken)
        if read is None:
            return None, {}
        body, arguments = read
        shown = {name: each for name, each in arguments.items() if name not in self._injected}
        return body, shown

    def _schema_of(self, arguments: Mapping[str, Argument]) -> dict[str, Any] | None:
        if not arguments:
            return None
        schemas = {name: argument.schema for name, argument in arguments.items()}
        properties, definitions = bundled(schemas, self._schemas)
        schema: dict[str, Any] = {"type": "object", "properties": properties}
        required = sorted(name for name, argument in arguments.items() if argument.required)
        if required:
            schema["required"] = required
        if definitions:
            schema["$defs"] = definitions
        return schema


def _together(
    parameters: Mapping[str, Argument], properties: Mapping[str, Argument]
) -> dict[str, Argument]:
    """Return all arguments; of a parameter and a property of the same name, the parameter's."""
    arguments = dict(parameters)
    for name, argument in properties.items():
        other = parameters.get(name, argument)
        arguments[name] = Argument(other.schema, other.required or argument.required)
    return arguments


class _UnusablePath(Exception):
    """A path is no template; the text says why."""


def _undeclared(name: str) -> Parameter:
    return Parameter(name=name, location="path", style="simple", explode=False, required=True)
