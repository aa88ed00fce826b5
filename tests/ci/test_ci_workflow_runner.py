"""The stand-in for GitHub Actions itself: expressions and outputs."""

from __future__ import annotations

import pytest
from workflow_expressions import Scope, Unsupported
from workflow_runner import parse_outputs


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("a.b == 'X'", True),
        ("a.none == ''", True),
        ("a.none || 'default'", "default"),
        ("a.b && 'yes' || 'no'", "yes"),
        ("!a.b", False),
        ("(a.n == 1 || a.b == 'y') && contains(a.list, 'TWO')", True),
        ("format('{0}-{1}', a.b, a.n)", "x-1"),
        ("a['b'] != 'x'", False),
        ("'it''s'", "it's"),
    ],
)
def test_expressions_mean_what_they_mean_to_github(expression: str, value: object) -> None:
    scope = Scope({"a": {"b": "x", "n": 1, "list": ["one", "two"]}}, {})
    assert scope.evaluate(expression) == value


@pytest.mark.parametrize("expression", ["b.c", "hashFiles('x')", "a.", "a b", "'open", "a.*", ""])
def test_what_the_evaluator_does_not_know_is_an_error(expression: str) -> None:
    with pytest.raises((Unsupported, IndexError)):
        Scope({"a": {}}, {}).evaluate(expression)


@pytest.mark.parametrize(
    ("condition", "healthy", "runs"),
    [
        (None, True, True),
        (None, False, False),
        ("a.b == 'x'", False, False),
        ("always() && a.b == 'x'", False, True),
        ("${{ !cancelled() && a.b == 'x' }}", False, True),
        ("failure()", True, False),
    ],
)
def test_a_step_after_a_failure_runs_only_where_it_asks(
    condition: str | None, healthy: bool, runs: bool
) -> None:
    states = {"success": healthy, "failure": not healthy, "always": True, "cancelled": False}
    assert Scope({"a": {"b": "x"}}, states).condition(condition) is runs


def test_texts_are_filled() -> None:
    assert (
        Scope({"a": {"b": "x", "yes": True}}, {}).fill("1 ${{ a.b }}-${{ a.yes }}${{ a.none }}") == "1 x-true"
    )


def test_outputs_are_read_as_github_does() -> None:
    assert parse_outputs("a=1=2\nb<<END\nx\n\ny\nEND\nc=\n") == {"a": "1=2", "b": "x\n\ny", "c": ""}
