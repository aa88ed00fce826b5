"""A GitHub App: its installation is looked up, its tokens are renewed before and after they end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fakehub import FakeGitHub, sha_of
from github_app_keys import make_key, public_of

from ci.github import GitHubHub, connect_app
from ci.hub import Check, CheckState, HubBusy
from perfsuite.errors import UsageError

DONE = Check("perfsuite", sha_of("head"), "job-1", CheckState.DONE, "success", "fine")


@pytest.fixture(scope="module")
def pem() -> str:
    return make_key()


@pytest.fixture
def github(pem: str) -> Iterator[FakeGitHub]:
    with FakeGitHub(app_public_key=public_of(pem)) as fake:
        fake.open_pull("topic", number=7)
        yield fake


def hub_of(github: FakeGitHub, pem: str, repository: str = "acme/kernels", app_id: str = "4242") -> GitHubHub:
    return GitHubHub(connect_app(app_id, pem, repository, github.url), repository)


def asked_for_tokens(github: FakeGitHub) -> int:
    return sum(request.path.endswith("access_tokens") for request in github.requests)


def test_it_writes_as_the_app_with_one_token(github: FakeGitHub, pem: str) -> None:
    hub = hub_of(github, pem)
    assert hub.author() == "perf-app[bot]"
    assert hub.create_comment(7, "x").author == "perf-app[bot]"
    hub.publish_check(DONE)
    assert [run.app for run in github.checks(DONE.head)] == ["perf-app"]
    assert asked_for_tokens(github) == 1
    (asked,) = [r for r in github.requests if r.path.endswith("access_tokens")]
    assert asked.body == {"repositories": ["kernels"]}


def test_a_token_is_renewed_before_it_ends(github: FakeGitHub, pem: str) -> None:
    github.token_lifetime_s = 299
    hub = hub_of(github, pem)
    hub.pull(7)
    hub.pull(7)
    assert asked_for_tokens(github) == 2
    assert hub.git_header().startswith("Authorization: Basic ")
    assert asked_for_tokens(github) == 3


def test_a_token_that_ended_all_the_same_is_renewed_and_the_request_repeated(
    github: FakeGitHub, pem: str
) -> None:
    hub = hub_of(github, pem)
    hub.pull(7)
    github.installation_tokens.clear()
    hub.create_comment(7, "once")
    assert [c.body for c in github.comments.values()] == ["once"]
    assert asked_for_tokens(github) == 2


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"repository": "acme/other"}, "not installed on acme/other"),
        ({"app_id": "1"}, "does not accept the App 1"),
        ({"pem": "-----BEGIN RSA PRIVATE KEY-----\nsecretsecret\n"}, "key cannot be read"),
    ],
)
def test_what_is_wrong_is_named(
    github: FakeGitHub, pem: str, arguments: dict[str, str], expected: str
) -> None:
    with pytest.raises(UsageError, match=expected) as caught:
        hub_of(github, **{"pem": pem, **arguments}).author()
    assert caught.value.next_step
    assert "secretsecret" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_trouble_while_asking_for_a_token_is_told_as_such(github: FakeGitHub, pem: str) -> None:
    github.fail(502, times=None, path="access_tokens")
    with pytest.raises(HubBusy, match="502"):
        hub_of(github, pem).pull(7)
