"""Go template pipelines, translated to Jinja expressions.

``printf "%s: %d" .name (len .items) | upper`` becomes
``((('%s: %d')|go_printf(ROOT['name'], (ROOT['items'])|go_len))|upper)``.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, NamedTuple

from jinja2 import TemplateSyntaxError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ("GO_FUNCTIONS", "ROOT", "VARIABLES", "Scope", "literal", "translate_pipeline")

#: The Jinja name of what ``.`` and ``$`` are at the top: its items are the variables.
ROOT = "go__root"
#: The same as one object, for ``{{.}}`` and ``{{index . "my-id"}}``.
VARIABLES = "vars"

#: Go's functions, and the filters that do their work on the first argument.
GO_FUNCTIONS: dict[str, str] = {
    **{name: f"go_{name}" for name in ("eq", "ne", "lt", "le", "gt", "ge", "len", "index")},
    **{name: f"go_{name}" for name in ("slice", "print", "println", "printf", "html", "urlquery")},
    **dict.fromkeys(("json", "toJson", "tojson"), "tojson"),
}
_LOGIC = ("and", "or", "not")

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<string>"(?:[^"\\\n]|\\.)*")
    | (?P<raw>`[^`]*`)
    | (?P<char>'(?:[^'\\\n]|\\.)+')
    | (?P<number>[-+]?(?:0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+
        |(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?))
    | (?P<field>(?:\.[^\W\d]\w*)+)
    | (?P<variable>\$\w*(?:\.[^\W\d]\w*)*)
    | (?P<dot>\.)
    | (?P<word>[^\W\d]\w*)
    | (?P<mark>[()|])
    )""",
    re.VERBOSE,
)
#: More nested parentheses than anyone writes.
_DEPTH = 20


class Scope(NamedTuple):
    """What names mean where a pipeline stands: ``.``, and ``$x`` by name, as Jinja expressions."""

    dot: str
    variables: Mapping[str, str]
    filters: Collection[str]


class _Token(NamedTuple):
    kind: str
    text: str
    #: Whether white space, or the start, comes before it: ``(…).field`` has none.
    apart: bool


def literal(text: str) -> str:
    """Write a string as a Jinja literal."""
    return ascii(text)


def translate_pipeline(source: str, scope: Scope, line: int) -> str:
    """Translate one pipeline.

    :raises TemplateSyntaxError: *source* is not a pipeline, or uses an unknown function.
    """
    parser = _Parser(_tokens(source, line), scope, line)
    expression = parser.pipeline()
    parser.end()
    return expression


def _tokens(source: str, line: int) -> list[_Token]:
    tokens: list[_Token] = []
    position, source = 0, source.rstrip()
    while position < len(source):
        found = _TOKEN.match(source, position)
        if found is None or found.lastgroup is None:
            rest = source[position:].strip()[:20]
            raise TemplateSyntaxError(f"unexpected {rest!r} in a Go action", line)
        start = found.start(found.lastgroup)
        tokens.append(
            _Token(found.lastgroup, found[found.lastgroup], start > position or not tokens)
        )
        position = found.end()
    return tokens


class _Parser:
    """Recursive descent over the tokens of one pipeline."""

    def __init__(self, tokens: list[_Token], scope: Scope, line: int) -> None:
        self._tokens = tokens
        self._scope = scope
        self._line = line
        self._depth = 0

    def pipeline(self) -> str:
        """``command | command | …``."""
        expression = self._command(None)
        while self._take("|"):
            expression = self._command(expression)
        return expression

    def end(self) -> None:
        """Refuse what is left over."""
        if self._tokens:
            raise self._error(f"unexpected {self._tokens[0].text!r}")

    def _command(self, piped: str | None) -> str:
        token = self._peek()
        if token is None:
            raise self._error("a value is missing")
        if token.kind == "word" and token.text not in ("true", "false", "nil"):
            self._tokens.pop(0)
            return self._call(token.text, self._operands(), piped)
        operand = self._operand()
        if piped is not None:
            raise self._error(f"{token.text!r} is no function and takes no piped value")
        if self._at_operand():
            raise self._error(f"{token.text!r} is no function and takes no arguments")
        return operand

    def _operands(self) -> list[str]:
        operands = []
        while self._at_operand():
            operands.append(self._operand())
        return operands

    def _at_operand(self) -> bool:
        token = self._peek()
        return token is not None and token.text not in ("|", ")")

    def _operand(self) -> str:
        token = self._tokens.pop(0)
        if token.text == "(":
            return self._parenthesised()
        if token.kind == "word":
            return self._constant(token.text)
        if token.kind == "dot":
            return self._scope.dot if self._scope.dot != ROOT else VARIABLES
        if token.kind == "field":
            return self._scope.dot + _path(token.text)
        if token.kind == "variable":
            return self._variable(token.text)
        return self._literal(token)

    def _parenthesised(self) -> str:
        self._depth += 1
        if self._depth > _DEPTH:
            raise self._error(f"parentheses are nested more than {_DEPTH} deep")
        expression = f"({self.pipeline()})"
        if not self._take(")"):
            raise self._error("a closing parenthesis is missing")
        self._depth -= 1
        token = self._peek()
        if token is not None and token.kind == "field" and not token.apart:
            self._tokens.pop(0)
            return expression + _path(token.text)
        return expression

    def _constant(self, word: str) -> str:
        if word in ("true", "false"):
            return word
        if word == "nil":
            return "none"
        raise self._error(f"{word!r} stands where a value is expected: write .{word} or ({word} …)")

    def _variable(self, text: str) -> str:
        name, _, path = text.partition(".")
        if name == "$":
            return ROOT + _path(f".{path}") if path else VARIABLES
        if name not in self._scope.variables:
            raise self._error(f"the variable {name} is not declared here")
        return self._scope.variables[name] + (_path(f".{path}") if path else "")

    def _literal(self, token: _Token) -> str:
        try:
            if token.kind == "raw":
                return literal(token.text[1:-1])
            if token.kind == "number":
                return f"({_number(token.text)})"
            value = ast.literal_eval(token.text)
        except (ValueError, SyntaxError):
            raise self._error(f"{token.text!r} is not a literal") from None
        if token.kind == "string":
            return literal(value)
        if len(value) != 1:
            raise self._error(f"{token.text!r} is not a single character: use double quotes")
        return str(ord(value))

    def _call(self, name: str, arguments: list[str], piped: str | None) -> str:
        if name in _LOGIC or name in GO_FUNCTIONS:
            return self._go_call(name, arguments if piped is None else [*arguments, piped])
        if piped is not None and name in self._scope.filters:
            return f"(({piped})|{name}({', '.join(arguments)}))"
        known = ", ".join(sorted({*GO_FUNCTIONS, *_LOGIC}))
        raise self._error(f"unknown function {name!r}; there are: {known}")

    def _go_call(self, name: str, arguments: list[str]) -> str:
        if not arguments:
            raise self._error(f"the function {name!r} needs an argument")
        if name == "not":
            if len(arguments) > 1:
                raise self._error("the function 'not' takes one argument")
            return f"(not ({arguments[0]}))"
        if name in _LOGIC:
            return "(" + f" {name} ".join(f"({argument})" for argument in arguments) + ")"
        return f"(({arguments[0]})|{GO_FUNCTIONS[name]}({', '.join(arguments[1:])}))"

    def _peek(self) -> _Token | None:
        return self._tokens[0] if self._tokens else None

    def _take(self, mark: str) -> bool:
        if self._tokens and self._tokens[0].text == mark:
            self._tokens.pop(0)
            return True
        return False

    def _error(self, message: str) -> TemplateSyntaxError:
        return TemplateSyntaxError(f"{message} in a Go action", self._line)


def _path(fields: str) -> str:
    """Turn ``.a.b`` into ``['a']['b']``."""
    return "".join(f"[{literal(name)}]" for name in fields.split(".")[1:])


def _number(text: str) -> str:
    digits = text.replace("_", "").lower()
    try:
        return str(int(digits, 0))
    except ValueError:
        pass
    sign, unsigned = ("-" if digits[0] == "-" else ""), digits.lstrip("+-")
    if unsigned.isdecimal():  # Go's old octal: 0755
        return sign + str(int(unsigned, 8))
    return repr(float(digits))
