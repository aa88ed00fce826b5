"""Every request that the hub can send is valid by GitHub's own description of its API.

The requests are recorded on our fake, where they do their work, and sent again to Prism, which refuses what
the description does not allow. What the description would let pass, names that it does not know, is looked
up in it here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import requests
from fakehub import Request
from github_acts import ACCOUNTS, ACTS, HEAD, SINCE, account_of, client_of
from github_description import OPERATIONS, Json, description, node_modules, prism

from ci.github import GitHubHub, connect
from ci.hub import Hub

PACKAGES = ("@octokit/openapi", "@stoplight/prism-cli")
SESSION = requests.Session()


@pytest.fixture(scope="module")
def modules() -> Path:
    return node_modules(*PACKAGES)


@pytest.fixture(scope="module")
def server(modules: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with prism(modules, tmp_path_factory.mktemp("prism")) as url:
        yield url


@cache
def recorded() -> dict[str, list[Request]]:
    """Method of the hub → what it sends, whoever asks; GitHub (ours) takes all of it."""
    return {method: [each for kind in ACCOUNTS for each in sent(kind, method)] for method in ACTS}


def sent(kind: str, method: str) -> list[Request]:
    with account_of(kind) as github:
        hub = GitHubHub(client_of(kind, github.url), "acme/kernels")
        for act in ACTS[method]:
            act(hub, github)
        return github.requests


def replay(server: str, request: Request) -> requests.Response:
    # Prism knows the media type of the description alone, not GitHub's own name for it.
    return SESSION.request(
        request.method,
        f"{server}{request.raw_path}",
        params=request.query,
        json=request.body,
        headers={"Accept": "application/json"},
        timeout=30,
    )


def test_every_method_has_its_requests_here() -> None:
    methods = {name for name in {**vars(Hub), **vars(GitHubHub)} if not name.startswith("_")}
    assert set(ACTS) == methods


@pytest.mark.parametrize("method", ACTS)
def test_every_request_is_valid(server: str, modules: Path, method: str) -> None:
    found = recorded()[method]
    assert found or method in ("repository", "git_header")
    refused = [
        (request.method, request.raw_path, request.query, request.body, answer.text[:500])
        for request in found
        if not (answer := replay(server, request)).ok
    ]
    assert refused == []
    assert [name for request in found for name in unknown_names(modules, request)] == []


def test_all_operations_that_the_description_was_reduced_to_are_sent(modules: Path) -> None:
    found = {operation_of(modules, each) for requests in recorded().values() for each in requests}
    assert found == {tuple(line.split()) for line in OPERATIONS.strip().splitlines()}


def test_prism_looks_at_every_body_and_every_choice_in_an_address(server: str, modules: Path) -> None:
    """It silently takes everything where it does not understand a schema: the checks above would be void."""
    found = [request for requests in recorded().values() for request in requests]
    spoilt = {
        (*operation_of(modules, request), name): replace(
            request, body={**request.body, name: {"no": ["such"]}}
        )
        for request in found
        for name in request.body or ()
    } | {
        (*operation_of(modules, request), name): replace(request, query={**request.query, name: "no-such"})
        for request in found
        for name in request.query
        if name not in ("labels", "check_name")
    }
    passed = [what for what, request in spoilt.items() if replay(server, request).ok]
    assert len(spoilt) > 40
    assert passed == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (f"statuses/{HEAD}", {"state": "neutral"}),
        ("check-runs", {"name": "perfsuite"}),
        ("check-runs", {"name": "perfsuite", "head_sha": HEAD, "status": "done", "conclusion": "success"}),
        ("check-runs", {"name": "n", "head_sha": HEAD, "output": {"title": "t"}}),
        ("issues/7/comments", {"text": "not the name"}),
        ("issues/comments/1/reactions", {"content": "thumbs"}),
        ("issues", {"title": ["a list"]}),
        ("pulls/7/no-such-thing", {}),
    ],
)
def test_a_wrong_request_is_refused(server: str, path: str, body: Json) -> None:
    request = Request("POST", f"/repos/acme/kernels/{path}", {}, body, {})
    assert replay(server, request).status_code in (404, 422)


def test_more_annotations_than_a_call_takes_are_refused(server: str, modules: Path) -> None:
    annotation = {"path": "a", "start_line": 1, "end_line": 1, "annotation_level": "notice", "message": "m"}
    output = {"title": "t", "summary": "s", "annotations": [annotation] * 51}
    body = {"name": "n", "head_sha": HEAD, "output": output}
    assert replay(server, Request("POST", "/repos/a/b/check-runs", {}, body, {})).status_code == 422
    misspelt = {"name": "n", "head_sha": HEAD, "output": {"title": "t", "summary": "s", "annotation": []}}
    wrong = Request("POST", "/repos/a/b/check-runs", {"per-page": "1"}, misspelt, {})
    assert unknown_names(modules, wrong) == ["per-page", "annotation"]


def test_githubs_own_examples_are_understood(server: str) -> None:
    client = connect("token", server, patient=False)
    client._session.headers["Accept"] = "application/json"
    hub = GitHubHub(client, "octocat/Hello-World")
    (listed,) = hub.open_pulls()
    assert (listed.number, listed.author, listed.base_branch) == (1347, "octocat", "master")
    assert hub.pull(1347).head == listed.head
    assert hub.author()
    assert hub.may_write("octocat")
    assert [comment.pull for comment in hub.comments(1)] == [1347]
    assert [comment.body for comment in hub.recent_comments(SINCE)] == ["Me too"]
    assert {(event.kind, event.actor) for event in hub.events(1347)} == {("closed", "octocat")}
    assert hub.create_comment(1, "x").id == 1
    assert (hub.default_branch(), hub.clone_url()) == ("master", "https://github.com/octocat/Hello-World.git")
    assert len(hub.branch("featureA")) == 40


def operation_of(modules: Path, request: Request) -> tuple[str, str]:
    """Method and path template of the description; of several the one with the fewest wildcards."""
    matching = [path for path in description(modules)["paths"] if _pattern(path).match(request.raw_path)]
    return request.method, min(matching, key=lambda path: path.count("{"))


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile("^" + re.sub(r"\{\w+\}", "[^/]+", path) + "$")


def unknown_names(modules: Path, request: Request) -> list[str]:
    """Names of parameters and of the body's keys that the description does not know: Prism lets them pass."""
    method, path = operation_of(modules, request)
    whole = description(modules)
    operation = whole["paths"][path][method.lower()]
    known = {_resolved(whole, parameter)["name"] for parameter in operation.get("parameters", ())}
    wrong = [name for name in request.query if name not in known]
    if request.body is not None:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        wrong += _unknown_keys(whole, request.body, [schema])
    return wrong


def _unknown_keys(whole: Json, value: Any, schemas: list[Json]) -> list[str]:
    options = list(_options(whole, schemas))
    if isinstance(value, list):
        inner = [option["items"] for option in options if "items" in option]
        return [name for item in value for name in _unknown_keys(whole, item, inner)]
    if not isinstance(value, dict):
        return []
    wrong: list[str] = []
    for name, part in value.items():
        inner = [option["properties"][name] for option in options if name in option.get("properties", {})]
        wrong += _unknown_keys(whole, part, inner) if inner else [name]
    return wrong


def _options(whole: Json, schemas: list[Json]) -> Iterator[Json]:
    for schema in schemas:
        schema = _resolved(whole, schema)
        yield schema
        for kind in ("oneOf", "anyOf", "allOf"):
            yield from _options(whole, schema.get(kind, []))


def _resolved(whole: Json, node: Json) -> Json:
    reference = node.get("$ref")
    if reference is None:
        return node
    kind, name = reference.removeprefix("#/components/").split("/")
    found: Json = whole["components"][kind][name]
    return found
