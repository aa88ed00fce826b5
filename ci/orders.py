"""`/perf …` in a comment: what it asks for, and the short answers to it. Pure.

A command is a line that begins with `/perf`. What a reader does not take for the writer's own words is none:
quotes, code blocks, what is hidden, our own comments.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from perfsuite.report.escape import text
from perfsuite.report.words import plain

MAX_LINE = 1000
"""Characters of a command: several times the longest case id with a reason of some sentences."""
MAX_CASE = 300
"""Characters of a case or pattern."""
MIN_SHA, MAX_SHA = 7, 40
_OURS = "<!-- perfsuite:"
_REPLY = re.compile(r"<!-- perfsuite:reply ([\w/.-]{1,100}) -->")
_COMMAND = re.compile(r" {0,3}/perf(?![^\s])(.*)", re.IGNORECASE)
# A fence may stand in a list, and its first line behind the list's mark. Backticks cannot follow backticks.
_FENCE = re.compile(r"(?: {0,3}(?:[-*+]|\d{1,9}[.)]))*\s*(`{3,}(?=[^`]*$)|~{3,})(.*)")
_QUOTE = re.compile(r" {0,3}>")
_QUOTED = re.compile("(`+)\\s*([^`]+?)\\s*\\1|\"([^\"]*)\"|'([^']*)'|“([^”]*)”")
_KEY_OPTION = re.compile(r"-k\s*=?\s*")
_USAGE = {
    "run": ("/perf run [-k PATTERN]", "measures this head against its merge base, or only some cases"),
    "full": ("/perf full [-k PATTERN]", "the same with more rounds, for small changes"),
    "rerun": ("/perf rerun", "measures everything anew"),
    "bisect": ("/perf bisect CASE", "finds the commit of this pull request that moved a case"),
    "accept": ("/perf accept CASE reason", "an expected change: it is recorded and not red any more"),
    "approve": ("/perf approve SHA", "lets the code of a fork run, at this head only (all 40 digits)"),
    "help": ("/perf help", "this list"),
}
_CASES = (
    "PATTERN and CASE are a part of case ids, or a glob of the whole id; in backticks or quotes where they "
    "hold blanks."
)


@dataclass(frozen=True, slots=True)
class Order:
    """What a comment asks for."""

    verb: str
    """`run`, `full`, `rerun`, `bisect`, `accept`, `approve`, `help`, or `unknown`."""
    pattern: str = ""
    """Which cases to run, as `-k`; empty for all."""
    case: str = ""
    """Which cases to bisect or to accept, as `-k`; never empty for these."""
    reason: str = ""
    sha: str = ""
    """7 to 40 hex digits in small letters. Only all of them approve (`ci.approval`)."""
    problem: str = ""
    """Of an unknown one: what is wrong with it. Holds text of the comment: to be escaped."""


def parse(body: str) -> Order | None:
    """The first command of a comment; None where there is none."""
    if body.lstrip().startswith(_OURS):
        return None
    for line in _own_lines(body):
        found = _COMMAND.fullmatch(line)
        if found:
            return _order(found[1])
    return None


def help_text() -> str:
    """All commands, as Markdown."""
    return "\n".join(("People with write access may say, on a line of its own:\n", *_list(), "", _CASES))


def answer_unknown(order: Order) -> str:
    """What is wrong with a command, as Markdown."""
    known = ", ".join(f"`{usage}`" for usage, _ in _USAGE.values())
    return f"{text(order.problem)}.\n\nWhat can be said here: {known}."


def reply_body(source: str, answer: str) -> str:
    """The body of the comment that answers a command: it says, hidden, which one.

    Args:
        source: as in `Command.source`.
        answer: Markdown.
    """
    return f"<!-- perfsuite:reply {source} -->\n{answer}"


def reply_source(body: str) -> str | None:
    """Which command a comment of ours answers; None where it is no answer."""
    found = _REPLY.match(body.lstrip())
    return found[1] if found else None


def _list() -> Iterator[str]:
    return (f"- `{usage}`: {meaning}" for usage, meaning in _USAGE.values())


def _own_lines(body: str) -> Iterator[str]:
    """The lines that are neither quoted, nor code, nor hidden. In doubt a line is left out."""
    fence, hidden = "", False
    for line in body.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        mark = _FENCE.fullmatch(line)
        if hidden:
            hidden = _hides(line, hidden)
        elif fence:
            if mark and mark[1].startswith(fence) and not mark[2].strip():
                fence = ""
        elif mark:
            fence = mark[1]
        elif not _QUOTE.match(line):
            hidden = _hides(line, hidden)
            yield line


def _hides(line: str, hidden: bool) -> bool:
    """Whether the line after this one is inside an HTML comment."""
    opened, closed = line.rfind("<!--"), line.rfind("-->")
    return hidden if opened == closed else opened > closed


def _order(arguments: str) -> Order:
    if len(arguments) > MAX_LINE:
        return _unknown(f"The command is longer than {MAX_LINE} characters")
    verb, _, rest = plain(arguments).partition(" ")
    reader = _READERS.get(verb.lower())
    if reader:
        return reader(verb.lower(), rest.strip())
    if not verb:
        return _unknown("/perf alone says nothing")
    near = difflib.get_close_matches(verb.lower(), _READERS, 1)
    return _unknown(f"{verb} is no command" + (f"; {near[0]} is one" if near else ""))


def _unknown(problem: str) -> Order:
    return Order("unknown", problem=problem)


def _wrong(verb: str, problem: str) -> Order:
    return _unknown(f"{problem}: {_USAGE[verb][0]}")


def _cases_chosen(verb: str, rest: str) -> Order:
    """`run`, `run -k PATTERN`"""
    if not rest:
        return Order(verb)
    if not rest.startswith("-k"):
        return _wrong(verb, f"{rest} is not understood; cases are chosen with -k")
    pattern = _unquoted(_without_option(rest))
    return _checked(verb, pattern) or Order(verb, pattern=pattern)


def _alone(verb: str, rest: str) -> Order:
    return _wrong(verb, f"{verb} takes nothing more, not {rest}") if rest else Order(verb)


def _help(verb: str, _rest: str) -> Order:
    return Order(verb)


def _one_case(verb: str, rest: str) -> Order:
    case = _unquoted(_without_option(rest))
    return _checked(verb, case) or Order(verb, case=case)


def _case_and_reason(verb: str, rest: str) -> Order:
    rest = _without_option(rest)
    quoted = _QUOTED.match(rest)
    if quoted:
        case, reason = _inside(quoted), rest[quoted.end() :]
    else:
        case, _, reason = rest.partition(" ")
    wrong = _checked(verb, case)
    if wrong:
        return wrong
    reason = reason.strip(" :-–—")
    if not reason:
        return _wrong(verb, "An accepted change needs a reason")
    return Order(verb, case=case, reason=reason)


def _one_sha(verb: str, rest: str) -> Order:
    sha = _unquoted(rest).lower()
    if not re.fullmatch(rf"[0-9a-f]{{{MIN_SHA},{MAX_SHA}}}", sha):
        return _wrong(verb, f"The sha of the head is needed, at least {MIN_SHA} digits of it")
    return Order(verb, sha=sha)


def _checked(verb: str, case: str) -> Order | None:
    """What is wrong with a case or pattern; None of a good one."""
    # An empty pattern would choose everything.
    if not case:
        return _wrong(verb, "It does not say which cases")
    if case.startswith("-"):
        return _wrong(verb, f"{case} begins like an option")
    if len(case) > MAX_CASE:
        return _wrong(verb, f"Which cases has more than {MAX_CASE} characters")
    return None


def _without_option(rest: str) -> str:
    option = _KEY_OPTION.match(rest)
    return rest[option.end() :] if option else rest


def _unquoted(value: str) -> str:
    value = value.strip()
    quoted = _QUOTED.fullmatch(value)
    return _inside(quoted) if quoted else value


def _inside(quoted: re.Match[str]) -> str:
    return next((group for group in quoted.groups()[1:] if group is not None), "").strip()


_READERS: dict[str, Callable[[str, str], Order]] = {
    "run": _cases_chosen,
    "full": _cases_chosen,
    "rerun": _alone,
    "bisect": _one_case,
    "accept": _case_and_reason,
    "approve": _one_sha,
    "help": _help,
}
