"""GitHub's own description of its API, reduced to what the robot uses, and Prism, which serves it.

Both come from npm (`tests/ci/npm/package.json`), and are looked for in `PERFSUITE_NODE_MODULES`, then beside
that file. The whole description is 13 MB, for which Prism needs 7 s; what is left of it takes 2 s.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import requests

OPERATIONS = """
    GET /user
    GET /repos/{owner}/{repo}
    GET /repos/{owner}/{repo}/installation
    POST /app/installations/{installation_id}/access_tokens
    GET /repos/{owner}/{repo}/git/ref/{ref}
    GET /repos/{owner}/{repo}/pulls
    GET /repos/{owner}/{repo}/pulls/{pull_number}
    GET /repos/{owner}/{repo}/issues
    POST /repos/{owner}/{repo}/issues
    PATCH /repos/{owner}/{repo}/issues/{issue_number}
    GET /repos/{owner}/{repo}/issues/{issue_number}/comments
    POST /repos/{owner}/{repo}/issues/{issue_number}/comments
    GET /repos/{owner}/{repo}/issues/comments
    PATCH /repos/{owner}/{repo}/issues/comments/{comment_id}
    DELETE /repos/{owner}/{repo}/issues/comments/{comment_id}
    POST /repos/{owner}/{repo}/issues/comments/{comment_id}/reactions
    GET /repos/{owner}/{repo}/issues/{issue_number}/events
    DELETE /repos/{owner}/{repo}/issues/{issue_number}/labels/{name}
    GET /repos/{owner}/{repo}/collaborators/{username}/permission
    POST /repos/{owner}/{repo}/check-runs
    PATCH /repos/{owner}/{repo}/check-runs/{check_run_id}
    GET /repos/{owner}/{repo}/commits/{ref}/check-runs
    POST /repos/{owner}/{repo}/statuses/{sha}
    GET /repos/{owner}/{repo}/commits/{ref}/statuses
"""
"""Everything that `ci.github` may send: a request beyond these is refused by Prism."""

_START_S = 60
Json = dict[str, Any]


def node_modules(*needed: str) -> Path:
    """The folder where npm put what `needed` names; skips the test where there is none."""
    if shutil.which("node") is None:
        pytest.skip("node is missing")
    places = [os.environ.get("PERFSUITE_NODE_MODULES"), str(Path(__file__).parent / "npm" / "node_modules")]
    for place in filter(None, places):
        if all((Path(place) / name).exists() for name in needed):
            return Path(place)
    pytest.skip(f"npm packages are missing: {', '.join(needed)} (npm install in tests/ci/npm)")


@cache
def description(modules: Path) -> Json:
    """GitHub's description with those operations alone, and what they refer to."""
    file = modules / "@octokit/openapi/generated/api.github.com.json"
    whole = json.loads(file.read_text(encoding="utf-8"))
    paths: Json = {}
    for line in OPERATIONS.split("\n"):
        if line.strip():
            method, path = line.split()
            of_path = paths.setdefault(path, _shared(whole["paths"][path]))
            of_path[method.lower()] = whole["paths"][path][method.lower()]
    reduced = {"openapi": whole["openapi"], "info": whole["info"], "paths": paths, "components": {}}
    _take_along(reduced, whole, paths)
    _mend(reduced)
    return reduced


def _shared(path: Json) -> Json:
    return {"parameters": path["parameters"]} if "parameters" in path else {}


def _mend(node: Any) -> None:
    """Examples tell of pages that are not there; and Prism silently validates nothing by a schema that its
    validator does not take: `nullable` without a type.
    """
    if isinstance(node, list):
        for value in node:
            _mend(value)
    elif isinstance(node, dict):
        if "responses" in node:
            for answer in node["responses"].values():
                answer.pop("headers", None)
        if node.get("nullable") is True and "type" not in node:
            _say_null_otherwise(node)
        for value in node.values():
            _mend(value)


def _say_null_otherwise(schema: Json) -> None:
    del schema["nullable"]
    # Prism itself adds null to the values of what may be null.
    nothing = {"type": "string", "nullable": True, "enum": ["(null)"]}
    for kind in ("oneOf", "anyOf"):
        if kind in schema:
            schema[kind].append(nothing)
    if "allOf" in schema:
        schema["anyOf"] = [{"allOf": schema.pop("allOf")}, nothing]


def _take_along(reduced: Json, whole: Json, node: Any) -> None:
    """Copies every component that `node` refers to, and those that these refer to."""
    if isinstance(node, list):
        for value in node:
            _take_along(reduced, whole, value)
    elif isinstance(node, dict):
        reference = node.get("$ref")
        if isinstance(reference, str):
            kind, name = reference.removeprefix("#/components/").split("/")
            there = reduced["components"].setdefault(kind, {})
            if name not in there:
                there[name] = whole["components"][kind][name]
                _take_along(reduced, whole, there[name])
        for value in node.values():
            _take_along(reduced, whole, value)


@contextmanager
def prism(modules: Path, folder: Path, *arguments: str, upstream: str = "") -> Iterator[str]:
    """Prism on a port of its own; its address. `upstream`: it stands before that server, and validates both
    ways; else it answers by itself, with GitHub's examples.
    """
    file = folder / "github.json"
    file.write_text(json.dumps(description(modules)), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mode = ["proxy"] if upstream else ["mock"]
    program = modules / "@stoplight/prism-cli/dist/index.js"
    command = ["node", program, *mode, "-h", "127.0.0.1", "-p", str(port)]
    log = folder / "prism.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, *arguments, file, *([upstream] if upstream else [])],
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    try:
        _wait(process, f"http://127.0.0.1:{port}", log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            requests.get(f"{url}/not-there", timeout=5)
            return
        except requests.ConnectionError:
            time.sleep(0.1)
    raise AssertionError(f"Prism did not start:\n{log.read_text(errors='replace')[-2000:]}")
