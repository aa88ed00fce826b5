"""Check runs and commit statuses."""

from __future__ import annotations

from typing import Any

from fakehub.answers import Answer, Call, Route, invalid, missing, paged, refused
from fakehub.records import CheckRow, StatusRow
from fakehub.state import ACTIONS

MOST_ANNOTATIONS = 50
"""In one call."""
LONGEST_OUTPUT = 65_535
"""Characters of a check run's summary and of its text."""
_STATES = ("error", "failure", "pending", "success")
_STATUSES = ("queued", "in_progress", "completed", "waiting", "requested", "pending")
_CONCLUSIONS = (
    "action_required",
    "cancelled",
    "failure",
    "neutral",
    "skipped",
    "success",
    "timed_out",
)
_LEVELS = ("notice", "warning", "failure")
_LONGEST_DESCRIPTION = 140


def create_check(call: Call) -> Answer:
    if wrong := _not_an_app(call) or _wrong_check(call.body, "name", "head_sha"):
        return wrong
    state, body = call.state, call.body
    row = CheckRow(state.new_id(), body["head_sha"], body["name"], "queued", state.clock.now(), _app(call))
    state.check_runs[row.id] = row
    _apply(call, row)
    return Answer(201, call.rows.check(row))


def change_check(call: Call) -> Answer:
    if wrong := _not_an_app(call):
        return wrong
    row = call.state.check_runs.get(call.number())
    if row is None:
        return missing()
    if row.app != _app(call):
        return refused(f"Invalid app_id `{call.state.app_id}` - check run can only be modified by its app.")
    if wrong := _wrong_check(call.body):
        return wrong
    _apply(call, row)
    return Answer(200, call.rows.check(row))


def checks_of(call: Call) -> Answer:
    sha, query = call.parts[0], call.query
    found = [row for row in call.state.check_runs.values() if row.sha == sha]
    if name := query.get("check_name"):
        found = [row for row in found if row.name == name]
    if query.get("filter", "latest") == "latest":
        found = list({(row.app, row.name): row for row in found}.values())
    page = paged(call, list(reversed(found)), "check_runs")
    page.content["check_runs"] = [call.rows.check(row) for row in page.content["check_runs"]]
    return page


def annotations_of(call: Call) -> Answer:
    row = call.state.check_runs.get(call.number())
    return missing() if row is None else paged(call, row.annotations)


def set_status(call: Call) -> Answer:
    body = call.body
    if body.get("state") not in _STATES:
        return invalid("Status", "state")
    if len(body.get("description") or "") > _LONGEST_DESCRIPTION:
        return invalid("Status", "description")
    row = StatusRow(
        call.state.new_id(),
        call.parts[0],
        body["state"],
        body.get("context", "default"),
        body.get("description"),
        body.get("target_url"),
        call.state.clock.now(),
        call.login,
    )
    call.state.status_rows.append(row)
    return Answer(201, call.rows.status(row))


def statuses_of(call: Call) -> Answer:
    page = paged(call, [row for row in reversed(call.state.status_rows) if row.sha == call.parts[0]])
    page.content = [call.rows.status(row) for row in page.content]
    return page


def _apply(call: Call, row: CheckRow) -> None:
    body, output = call.body, call.body.get("output") or {}
    row.name = body.get("name", row.name)
    row.external_id = body.get("external_id", row.external_id)
    row.details_url = body.get("details_url", row.details_url)
    row.status = body.get("status", row.status)
    row.conclusion = body.get("conclusion", row.conclusion if row.status == "completed" else None)
    if row.conclusion:
        row.status, row.completed_at = "completed", call.state.clock.now()
    row.title = output.get("title", row.title)
    row.summary = output.get("summary", row.summary)
    row.text = output.get("text", row.text)
    # GitHub adds to those that are there.
    row.annotations.extend(_whole(annotation) for annotation in output.get("annotations", ()))


def _whole(annotation: dict[str, Any]) -> dict[str, Any]:
    columns = {"start_column": None, "end_column": None, "title": None, "raw_details": None, "blob_href": ""}
    return columns | annotation


def _wrong_check(body: dict[str, Any], *required: str) -> Answer | None:
    for name in required:
        if not body.get(name):
            return invalid("CheckRun", name, "missing_field")
    if body.get("status", "queued") not in _STATUSES:
        return invalid("CheckRun", "status")
    if body.get("status") == "completed" and "conclusion" not in body:
        return invalid("CheckRun", "conclusion", "missing_field")
    if body.get("conclusion", "success") not in _CONCLUSIONS:
        return invalid("CheckRun", "conclusion")
    return _wrong_output(body["output"]) if "output" in body else None


def _wrong_output(output: dict[str, Any]) -> Answer | None:
    if not output.get("summary") or not output.get("title"):
        return invalid("CheckRun", "output", "missing_field")
    if any(len(output.get(name) or "") > LONGEST_OUTPUT for name in ("title", "summary", "text")):
        return invalid("CheckRun", "output")
    found = output.get("annotations", [])
    if len(found) > MOST_ANNOTATIONS or any(a.get("annotation_level") not in _LEVELS for a in found):
        return invalid("CheckRun", "annotations")
    return None


def _not_an_app(call: Call) -> Answer | None:
    if call.login.endswith("[bot]"):
        return None
    return refused("You must authenticate via a GitHub App.")


def _app(call: Call) -> str:
    return ACTIONS if call.state.actions else call.state.app_slug


CHECK_ROUTES: tuple[tuple[str, str, Route], ...] = (
    ("POST", "/check-runs", create_check),
    ("PATCH", r"/check-runs/(\d+)", change_check),
    ("GET", r"/commits/([^/]+)/check-runs", checks_of),
    ("GET", r"/check-runs/(\d+)/annotations", annotations_of),
    ("POST", "/statuses/([0-9a-f]{40})", set_status),
    ("GET", r"/commits/([^/]+)/statuses", statuses_of),
)
