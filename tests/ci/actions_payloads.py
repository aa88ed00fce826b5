"""Small payloads of the events that our workflows listen to, with the keys that we read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = "acme/toy"
FORK = "mallory/toy"


def repository(name: str = REPOSITORY, branch: str = "main") -> dict[str, Any]:
    return {"full_name": name, "default_branch": branch}


def pull_payload(
    head: str,
    action: str = "opened",
    *,
    number: int = 1,
    base: str = "0" * 40,
    source: str | None = REPOSITORY,
    branch: str = "topic",
    label: str = "",
    title: str = "A change",
    sender: str = "ann",
    state: str = "open",
) -> dict[str, Any]:
    """Args: source: repository of the head; None where the fork is gone."""
    return {
        "action": action,
        "number": number,
        "pull_request": {
            "number": number,
            "state": state,
            "title": title,
            "user": {"login": sender},
            "head": {"sha": head, "ref": branch, "repo": repository(source) if source else None},
            "base": {"sha": base, "ref": "main", "repo": repository()},
            "labels": [{"name": label}] if label else [],
        },
        **({"label": {"name": label}} if label else {}),
        "repository": repository(),
        "sender": {"login": sender},
    }


def push_payload(after: str, before: str = "0" * 40, ref: str = "refs/heads/main") -> dict[str, Any]:
    return {
        "ref": ref,
        "before": before,
        "after": after,
        "deleted": after == "0" * 40,
        "repository": repository(),
        "sender": {"login": "ann"},
    }


def workflow_run_payload(
    head: str,
    *,
    run_id: int = 1,
    conclusion: str = "success",
    source: str = REPOSITORY,
    branch: str = "topic",
) -> dict[str, Any]:
    """As GitHub sends it after a run of a fork, too: the list of pull requests is empty then."""
    return {
        "action": "completed",
        "workflow": {"name": "perf"},
        "workflow_run": {
            "id": run_id,
            "event": "pull_request",
            "conclusion": conclusion,
            "head_sha": head,
            "head_branch": branch,
            "head_repository": repository(source),
            "html_url": f"https://github.com/{REPOSITORY}/actions/runs/{run_id}",
            "pull_requests": [],
        },
        "repository": repository(),
        "sender": {"login": "ann"},
    }


def recorded(event: str) -> list[dict[str, Any]]:
    """The payloads of an event in the npm package @octokit/webhooks-examples; skips where it is not there."""
    folders = [
        os.environ.get("PERFSUITE_NODE_MODULES", ""),
        str(Path(__file__).parent / "npm" / "node_modules"),
    ]
    for folder in filter(None, folders):
        file = Path(folder, "@octokit", "webhooks-examples", "api.github.com", "index.json")
        if file.is_file():
            groups = json.loads(file.read_text(encoding="utf-8"))
            return next(group["examples"] for group in groups if group["name"] == event)
    pytest.skip("the npm package @octokit/webhooks-examples is missing: set PERFSUITE_NODE_MODULES")
