"""The expressions of GitHub Actions, as far as our workflows use them; anything else is an error.

Rules: https://docs.github.com/en/actions/reference/workflows-and-actions/expressions
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_INSIDE = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>-?\d+(?:\.\d+)?)|(?P<sign>==|!=|&&|\|\||[!().,\[\]])"
    r"|(?P<name>[A-Za-z_][\w-]*))"
)
_WORDS = {"true": True, "false": False, "null": None}


class Unsupported(Exception):
    """An expression that this evaluator, or GitHub, does not know."""


@dataclass(frozen=True)
class Scope:
    """What names mean where an expression stands."""

    contexts: Mapping[str, Any]
    """`github`, `steps`, …; only these may be named here."""
    states: Mapping[str, bool]
    """`success`, `failure`, `always` and `cancelled`; empty where they are not allowed."""

    def evaluate(self, expression: str) -> Any:
        return _Parser(list(_tokens(expression)), self).whole()

    def fill(self, text: str) -> str:
        """A text with its `${{ }}` replaced."""
        return _INSIDE.sub(lambda match: shown(self.evaluate(match[1])), text)

    def condition(self, text: str | None) -> bool:
        """An `if`: with `success()` before it, unless it asks for the state itself."""
        whole = _INSIDE.fullmatch(text.strip()) if text else None
        expression = whole[1] if whole else (text or "true")
        asks = re.search(r"\b(success|failure|always|cancelled)\s*\(", expression)
        # A job's `if` knows no steps: its state is that of the jobs it needs, and ours need none.
        healthy = True if asks else self.states.get("success", True)
        return healthy and truth(self.evaluate(expression))


def shown(value: Any) -> str:
    """A value within a text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping | list):
        raise Unsupported("an object within a text")
    return str(value)


def truth(value: Any) -> bool:
    return value not in (None, False, 0, "")


def _tokens(expression: str) -> Iterator[tuple[str, str]]:
    place, text = 0, expression.rstrip()
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None or match.lastgroup is None:
            raise Unsupported(f"{text[place:]!r} in {expression!r}")
        yield match.lastgroup, match[match.lastgroup]
        place = match.end()


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]], scope: Scope) -> None:
        self._tokens, self._scope, self._place = tokens, scope, 0

    def whole(self) -> Any:
        value = self._either()
        if self._place != len(self._tokens):
            raise Unsupported(f"{self._tokens[self._place :]} is left over")
        return value

    def _next(self, *signs: str) -> str | None:
        kind, text = self._tokens[self._place] if self._place < len(self._tokens) else ("end", "")
        if kind == "sign" and text in signs:
            self._place += 1
            return text
        return None

    def _expect(self, sign: str) -> None:
        if not self._next(sign):
            raise Unsupported(f"{sign} is missing before {self._tokens[self._place :]}")

    # Both sides are computed: an unknown name is an error even where it would not count.
    def _either(self) -> Any:
        value = self._both()
        while self._next("||"):
            other = self._both()
            value = value if truth(value) else other
        return value

    def _both(self) -> Any:
        value = self._compared()
        while self._next("&&"):
            other = self._compared()
            value = other if truth(value) else value
        return value

    def _compared(self) -> Any:
        value = self._negated()
        while sign := self._next("==", "!="):
            value = _equal(value, self._negated()) is (sign == "==")
        return value

    def _negated(self) -> Any:
        return not truth(self._negated()) if self._next("!") else self._single()

    def _single(self) -> Any:
        if self._next("("):
            value = self._either()
            self._expect(")")
            return value
        if self._place >= len(self._tokens):
            raise Unsupported("the expression ends too early")
        kind, text = self._tokens[self._place]
        self._place += 1
        if kind == "text":
            return text[1:-1].replace("''", "'")
        if kind == "number":
            return float(text) if "." in text else int(text)
        if kind != "name":
            raise Unsupported(f"{text!r} begins nothing")
        if text in _WORDS:
            return _WORDS[text]
        return self._called(text) if self._next("(") else self._looked_up(text)

    def _called(self, name: str) -> Any:
        values: list[Any] = []
        while not self._next(")"):
            if values:
                self._expect(",")
            values.append(self._either())
        if name in self._scope.states:
            return self._scope.states[name]
        if name not in _FUNCTIONS:
            raise Unsupported(f"the function {name}")
        return _FUNCTIONS[name](values)

    def _looked_up(self, name: str) -> Any:
        if name not in self._scope.contexts:
            raise Unsupported(f"the context {name!r} is not there; there are {sorted(self._scope.contexts)}")
        value = self._scope.contexts[name]
        while sign := self._next(".", "["):
            if sign == "[":
                key = self._either()
                self._expect("]")
            else:
                kind, key = self._tokens[self._place]
                if kind != "name":
                    raise Unsupported(f"{key!r} is no key")
                self._place += 1
            value = value.get(key) if isinstance(value, Mapping) else None
        return value


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        # GitHub ignores case.
        return one.casefold() == other.casefold()
    if type(one) is type(other):
        return bool(one == other)
    return _number(one) == _number(other)


def _number(value: Any) -> float:
    if isinstance(value, str) and value:
        try:
            return float(value)
        except ValueError:
            return math.nan
    return float(value or 0) if not isinstance(value, Mapping | list) else math.nan


def _contains(values: Sequence[Any]) -> bool:
    where, what = values
    if isinstance(where, list):
        return any(_equal(item, what) for item in where)
    return shown(what).casefold() in shown(where).casefold()


def _format(values: Sequence[Any]) -> str:
    return re.sub(r"\{(\d+)\}", lambda match: shown(values[1 + int(match[1])]), values[0])


_FUNCTIONS: dict[str, Callable[[Sequence[Any]], Any]] = {"contains": _contains, "format": _format}
