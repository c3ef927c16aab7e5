"""Template sources with Go actions, translated to Jinja sources.

Text, Jinja expressions, Jinja tags and Go actions may stand side by side.  An action is Go when it
starts like one (``.``, ``$``, ``if``, ``range``, ``end``, a Go function with its argument, …) and
Jinja otherwise.  Lines stay where they are, so that errors name the right one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from jinja2 import TemplateSyntaxError

from runtime_core.engine.macros import Macro, find_macro
from runtime_core.engine.templates.expressions import (
    GO_FUNCTIONS,
    ROOT,
    Scope,
    literal,
    translate_pipeline,
)

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ("MACROS", "Translation", "translate")

#: The Jinja name of the macros' values, by the macro as text.
MACROS = "go__macros"

#: Bounds that keep compiling quick; text between the actions does not count.
MAX_ACTIONS = 2_000
MAX_CODE = 20_000

_BLOCKS = ("if", "range", "with")
_KEYWORDS = (*_BLOCKS, "else", "end", "break", "continue", "define", "template", "block")
_GO = re.compile(
    rf"(?:[.$`]|/\*|(?:{'|'.join(_KEYWORDS)})(?:\s|$)"
    rf"|(?:{'|'.join((*GO_FUNCTIONS, 'and', 'or'))})\s+[.$\"`(\d-]"
    r"|not\s+(?:[.$]|\(\s*(?:[.$]|\w+\s+[.$\"`(])))"
    # a parenthesised pipeline: {{(index .x 0).name}}
    rf"|\(\s*(?:[.$]|(?:{'|'.join(GO_FUNCTIONS)})\s)"
    # a literal piped into a Go function: {{"x" | printf "%s"}}
    rf"|\"[^|]*\|\s*(?:{'|'.join(GO_FUNCTIONS)})\b"
)
_TAG = re.compile(r"\{%[-+]?\s*[a-zA-Z_]")
_RAW = re.compile(r"\{%[-+]?\s*raw\s*[-+]?%\}")
_END_RAW = re.compile(r"\{%[-+]?\s*endraw\s*[-+]?%\}")
_OPENING = re.compile(r"\{[{%#]")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"|' r"'(?:[^'\\]|\\.)*'|`[^`]*`|[{}]", re.DOTALL)
_COMMENT = re.compile(r"\{\{(?:-\s)?\s*/\*.*?\*/\s*-?\}\}", re.DOTALL)
_DECLARATION = re.compile(r"(\$\w+)\s*(?:,\s*(\$\w+)\s*)?(:?=)(?!=)\s*", re.ASCII)


class Translation(NamedTuple):
    """A Jinja source, and the macros it refers to."""

    source: str
    macros: frozenset[Macro]


def translate(source: str, filters: Collection[str]) -> Translation:
    """Translate *source*; *filters* are the Jinja filters Go pipelines may use too.

    :raises TemplateSyntaxError: an action is malformed, or there are too many.
    """
    return _Translator(source, filters).run()


class _Block(NamedTuple):
    """An open ``{{if}}``, ``{{range}}`` or ``{{with}}`` and what it has to restore."""

    word: str
    line: int
    closing: str
    outer: Scope


class _Translator:
    def __init__(self, source: str, filters: Collection[str]) -> None:
        self._source = source
        self._scope = Scope(ROOT, {}, filters)
        self._blocks: list[_Block] = []
        self._macros: set[Macro] = set()
        self._out: list[str] = []
        self._names = 0
        self._actions = 0
        self._code = 0
        self._line = 1

    def run(self) -> Translation:
        position = 0
        while found := _OPENING.search(self._source, position):
            self._text(self._source[position : found.start()])
            end = self._segment(found.start(), found[0])
            self._line += self._source.count("\n", found.start(), end)
            position = end
        self._text(self._source[position:])
        if self._blocks:
            block = self._blocks[-1]
            raise TemplateSyntaxError(
                f"{{{{{block.word}}}}} is never closed by {{{{end}}}}", block.line
            )
        return Translation("".join(self._out), frozenset(self._macros))

    # ---------------------------------------------------------------------
    # Segments
    # ---------------------------------------------------------------------

    def _text(self, text: str) -> None:
        self._out.append(text)
        self._line += text.count("\n")

    def _segment(self, start: int, opening: str) -> int:
        """Handle what opens at *start* and return where it ends."""
        if opening == "{{":
            return self._action(start)
        end = self._end_of_comment(start) if opening == "{#" else self._end_of_tag(start)
        if end is None:
            # "{%" and "{#" are ordinary text unless they open a tag or a comment
            self._count(2)
            self._out.append(f"{{{{ {literal(opening)} }}}}")
            return start + 2
        self._out.append(self._source[start:end])
        return end

    def _end_of_comment(self, start: int) -> int | None:
        self._count(0)
        end = self._source.find("#}", start)
        return None if end < 0 else end + 2

    def _end_of_tag(self, start: int) -> int | None:
        if not _TAG.match(self._source, start):
            return None
        if raw := _RAW.match(self._source, start):
            self._count(0)
            end = _END_RAW.search(self._source, raw.end())
            if end is None:
                raise TemplateSyntaxError("{% raw %} is never closed by {% endraw %}", self._line)
            return end.end()
        closing = self._source.find("%}", start)
        if closing < 0:
            raise TemplateSyntaxError("{% is never closed by %}", self._line)
        self._count(closing - start)
        return closing + 2

    def _action(self, start: int) -> int:
        end = self._end_of_action(start)
        whole = self._source[start:end]
        self._count(len(whole))
        if (macro := _macro(whole)) is not None:
            self._macros.add(macro)
            self._out.append(f"{{{{ {MACROS}[{literal(str(macro))}] }}}}")
            return end
        body, before, after = _trimmed(whole[2:-2])
        if _GO.match(body):
            lines = "\n" * whole.count("\n")
            tags = self._go(body)
            self._out.append(_with_trim(tags, before, after, lines))
        else:
            self._refuse_unknown_macro(whole)
            self._out.append(whole)
        return end

    def _end_of_action(self, start: int) -> int:
        limit = min(start + MAX_CODE + 2, len(self._source))
        if found := _COMMENT.match(self._source, start, limit):
            return found.end()
        position, depth = start + 2, 0
        while found := _QUOTED.search(self._source, position, limit):
            if depth == 0 and self._source.startswith("}}", found.start()):
                return found.start() + 2
            depth += {"{": 1, "}": -1}.get(found[0], 0)
            position = found.end()
            if depth < 0:
                break
        if limit < len(self._source):
            self._count(MAX_CODE + 1)
        raise TemplateSyntaxError("{{ is never closed by }}", self._line)

    def _count(self, length: int) -> None:
        self._actions += 1
        self._code += length
        if self._actions > MAX_ACTIONS:
            raise TemplateSyntaxError(f"more than {MAX_ACTIONS} actions", self._line)
        if self._code > MAX_CODE:
            raise TemplateSyntaxError(f"actions of more than {MAX_CODE} characters", self._line)

    def _refuse_unknown_macro(self, whole: str) -> None:
        if found := re.match(r"\{\{(\w+):", whole):
            raise TemplateSyntaxError(
                f"unknown macro {whole[:60]}: there are var:NAME, now, now:LAYOUT, chain:id, "
                f"hookservice:list, hookservice:hooks and hookservice:tools NAME "
                f"({found[1]!r} is none of them, or has another payload)",
                self._line,
            )

    # ---------------------------------------------------------------------
    # Go actions
    # ---------------------------------------------------------------------

    def _go(self, body: str) -> list[str]:
        if body.startswith("/*"):
            return ["{#", "#}"]
        word = re.match(r"\w*", body)
        keyword = word[0] if word else ""
        rest = body[len(keyword) :].strip()
        if keyword in _BLOCKS:
            return getattr(self, f"_{keyword}")(rest)  # type: ignore[no-any-return]
        if keyword == "else":
            return self._else(rest)
        if keyword in ("end", "break", "continue"):
            return self._bare(keyword, rest)
        if keyword in ("define", "template", "block"):
            raise TemplateSyntaxError(
                f"{{{{{keyword}}}}} is not available in templates", self._line
            )
        return self._value(body)

    def _value(self, body: str) -> list[str]:
        declared = _DECLARATION.match(body)
        if declared is None:
            return [f"{{{{ {self._pipeline(body)} }}}}"]
        name, second, sign = declared.groups()
        expression = self._pipeline(body[declared.end() :])
        if second is not None:
            raise TemplateSyntaxError("only range declares two variables", self._line)
        if sign == ":=":
            cell = self._declare(name)
            return [f"{{% set {cell} = ({expression})|go_cell %}}"]
        target = self._scope.variables.get(name, "")
        if not target.endswith("['value']"):
            raise TemplateSyntaxError(
                f"{name} is not a variable that can be assigned to", self._line
            )
        cell = target.removesuffix("['value']")
        return [f"{{% set go__ = ({cell})|go_assign({expression}) %}}"]

    def _if(self, rest: str) -> list[str]:
        return self._conditional("if", rest, moves_dot=False)

    def _with(self, rest: str) -> list[str]:
        return self._conditional("with", rest, moves_dot=True)

    def _conditional(self, word: str, rest: str, *, moves_dot: bool) -> list[str]:
        declared = _DECLARATION.match(rest)
        if declared is None and not moves_dot:
            condition = self._pipeline(rest)
            self._open(word, "{% endif %}")
            return [f"{{% if {condition} %}}"]
        expression = self._pipeline(rest[declared.end() :] if declared else rest)
        self._open(word, "{% endif %}{% endwith %}")
        if declared is not None:
            value = self._declare(declared[1])
            expression = f"({expression})|go_cell"
            dot = f"{value}['value']"
        else:
            value = dot = self._fresh()
        if moves_dot:
            self._scope = self._scope._replace(dot=dot)
        return [f"{{% with {value} = {expression} %}}", f"{{% if {dot} %}}"]

    def _range(self, rest: str) -> list[str]:
        declared = _DECLARATION.match(rest)
        expression = self._pipeline(rest[declared.end() :] if declared else rest)
        self._open("range", "{% endfor %}")
        item, names = self._fresh(), dict(self._scope.variables)
        self._scope = self._scope._replace(dot=item)
        if declared is None or declared[2] is None:
            if declared is not None:
                self._scope = self._scope._replace(variables=names | {declared[1]: item})
            return [f"{{% for {item} in ({expression})|go_values %}}"]
        key = self._fresh()
        names |= {declared[1]: key, declared[2]: item}
        self._scope = self._scope._replace(variables=names)
        return [f"{{% for {key}, {item} in ({expression})|go_pairs %}}"]

    def _else(self, rest: str) -> list[str]:
        if not self._blocks:
            raise TemplateSyntaxError("{{else}} stands outside of if, range and with", self._line)
        block = self._blocks[-1]
        self._scope = block.outer
        if not rest:
            return ["{% else %}"]
        condition = re.match(r"if\s+(.*)", rest, re.DOTALL)
        if condition is None or block.word != "if":
            raise TemplateSyntaxError(f"{{{{else {rest[:20]}}}}} does not fit here", self._line)
        return [f"{{% elif {self._pipeline(condition[1])} %}}"]

    def _bare(self, keyword: str, rest: str) -> list[str]:
        if rest:
            raise TemplateSyntaxError(
                f"{{{{{keyword}}}}} takes nothing, got {rest[:20]!r}", self._line
            )
        if keyword != "end":
            if all(block.word != "range" for block in self._blocks):
                raise TemplateSyntaxError(f"{{{{{keyword}}}}} stands outside of range", self._line)
            return [f"{{% {keyword} %}}"]
        if not self._blocks:
            raise TemplateSyntaxError("{{end}} closes nothing", self._line)
        block = self._blocks.pop()
        self._scope = block.outer
        return [block.closing]

    def _open(self, word: str, closing: str) -> None:
        self._blocks.append(_Block(word, self._line, closing, self._scope))

    def _declare(self, name: str) -> str:
        cell = self._fresh()
        variables = {**self._scope.variables, name: f"{cell}['value']"}
        self._scope = self._scope._replace(variables=variables)
        return cell

    def _fresh(self) -> str:
        self._names += 1
        return f"go__{self._names}"

    def _pipeline(self, source: str) -> str:
        return translate_pipeline(source, self._scope, self._line)


def _macro(whole: str) -> Macro | None:
    found = re.fullmatch(r"\{\{([A-Za-z_]\w*)(?::([^}]*))?\}\}", whole, re.ASCII)
    return find_macro(found[1], found[2]) if found else None


def _trimmed(inside: str) -> tuple[str, str, str]:
    """Split off Go's trim markers: the body, and ``-`` or "" for each side."""
    before = "-" if re.match(r"-\s", inside) else ""
    after = "-" if re.search(r"\s-$", inside) or inside.endswith("*/-") else ""
    body = inside[len(before) : len(inside) - len(after)]
    return body.strip(), before, after


def _with_trim(tags: list[str], before: str, after: str, lines: str) -> str:
    joined = "".join(tags)
    return f"{joined[:2]}{before}{lines}{joined[2:-2]}{after}{joined[-2:]}"
