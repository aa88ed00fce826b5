"""The fake's records as GitHub writes them in JSON: every key that its description requires is there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from urllib.parse import quote

from fakehub.records import CheckRow, CommentRow, EventRow, Item, StatusRow

Json = dict[str, Any]
SITE = "https://github.com"

_REPOSITORY_URLS = """
    archive assignees blobs branches collaborators comments commits compare contents contributors deployments
    downloads events forks git_commits git_refs git_tags hooks issue_comment issue_events issues keys labels
    languages merges milestones notifications pulls releases stargazers statuses subscribers subscription
    tags teams trees
"""
_COUNTS = """
    forks forks_count open_issues open_issues_count size stargazers_count watchers watchers_count
    network_count subscribers_count
"""
_HAS = "issues projects wiki pages discussions downloads"
_USER_URLS = "events followers following gists organizations received_events repos starred subscriptions"


def stamp(at: datetime | None) -> str | None:
    return None if at is None else at.strftime("%Y-%m-%dT%H:%M:%SZ")


def crlf(text: str) -> str:
    """Line ends as GitHub gives them back: those of a web form."""
    return text.replace("\n", "\r\n")


def number_of(name: str) -> int:
    return int(hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()[:7], 16)


class Rows:
    """Builds rows whose links lead back to the fake."""

    def __init__(self, api: str, repository: str) -> None:
        self._api = api
        self._repository = repository
        self._here = f"{api}/repos/{repository}"
        self._page = f"{SITE}/{repository}"

    def user(self, login: str | None) -> Json | None:
        if login is None:
            return None
        url = f"{self._api}/users/{quote(login)}"
        bot = login.endswith("[bot]")
        return {
            **{f"{name}_url": f"{url}/{name}" for name in _USER_URLS.split()},
            **_identity(login),
            "login": login,
            "avatar_url": "https://avatars.githubusercontent.com/u/1?v=4",
            "gravatar_id": "",
            "html_url": f"{SITE}/{login.removesuffix('[bot]')}",
            "site_admin": False,
            "type": "Bot" if bot else "User",
            "url": url,
        }

    def account(self, login: str, at: datetime) -> Json:
        """Whom a token belongs to."""
        nothing = ("bio", "blog", "company", "email", "hireable", "location", "name")
        counts = ("followers", "following", "public_gists", "public_repos")
        return {
            **(self.user(login) or {}),
            **dict.fromkeys(nothing),
            **dict.fromkeys(counts, 0),
            "user_view_type": "public",
            "created_at": stamp(at),
            "updated_at": stamp(at),
        }

    def repository(self, name: str, at: datetime, default_branch: str, clone_url: str) -> Json:
        url = f"{self._api}/repos/{name}"
        return {
            **{f"{part}_url": f"{url}/{part}" for part in _REPOSITORY_URLS.split()},
            **dict.fromkeys(_COUNTS.split(), 0),
            **{f"has_{part}": True for part in _HAS.split()},
            **_identity(name),
            "name": name.partition("/")[2],
            "full_name": name,
            "owner": self.user(name.partition("/")[0]),
            "private": False,
            "html_url": f"{SITE}/{name}",
            "description": None,
            "fork": name != self._repository,
            "url": url,
            "clone_url": clone_url,
            "git_url": f"git://github.com/{name}.git",
            "ssh_url": f"git@github.com:{name}.git",
            "svn_url": f"{SITE}/{name}",
            "default_branch": default_branch,
            "homepage": None,
            "language": None,
            "archived": False,
            "disabled": False,
            "mirror_url": None,
            "license": None,
            "pushed_at": stamp(at),
            "created_at": stamp(at),
            "updated_at": stamp(at),
        }

    def pull(self, item: Item, head_repository: Json | None, base_repository: Json, whole: bool) -> Json:
        url = f"{self._here}/pulls/{item.number}"
        issue = f"{self._here}/issues/{item.number}"
        page = f"{self._page}/pull/{item.number}"
        head_owner = (item.head_repository or "ghost/gone").partition("/")[0]
        base_owner = self._repository.partition("/")[0]
        links = {
            "self": url,
            "html": page,
            "issue": issue,
            "comments": f"{issue}/comments",
            "review_comments": f"{url}/comments",
            "review_comment": f"{self._here}/pulls/comments{{/number}}",
            "commits": f"{url}/commits",
            "statuses": f"{self._here}/statuses/{item.head}",
        }
        row: Json = {
            **self._thread(item, url, page),
            "_links": {name: {"href": link} for name, link in links.items()},
            "base": self._end(base_owner, item.base_branch, item.base, base_repository),
            "head": self._end(head_owner, item.branch, item.head, head_repository),
            "issue_url": issue,
            "diff_url": f"{page}.diff",
            "patch_url": f"{page}.patch",
            "comments_url": links["comments"],
            "commits_url": links["commits"],
            "review_comment_url": links["review_comment"],
            "review_comments_url": links["review_comments"],
            "statuses_url": links["statuses"],
            "author_association": "CONTRIBUTOR",
            "auto_merge": None,
            "draft": item.draft,
            "assignees": [],
            "requested_reviewers": [],
            "requested_teams": [],
            "merge_commit_sha": item.merged_as,
            "merged_at": stamp(item.closed_at) if item.merged_as else None,
        }
        if whole:
            counts = ("additions", "changed_files", "comments", "commits", "deletions", "review_comments")
            row |= dict.fromkeys(counts, 1) | {
                "mergeable": None,
                "mergeable_state": "unknown",
                "merged": item.merged_as is not None,
                "maintainer_can_modify": False,
                "merged_by": None,
            }
        return row

    def issue(self, item: Item, comments: int) -> Json:
        url = f"{self._here}/issues/{item.number}"
        page = f"{self._page}/{'pull' if item.is_pull else 'issues'}/{item.number}"
        row: Json = {
            **self._thread(item, url, page),
            "assignees": [],
            "author_association": "NONE",
            "comments": comments,
            "comments_url": f"{url}/comments",
            "events_url": f"{url}/events",
            "labels_url": f"{url}/labels{{/name}}",
            "repository_url": self._here,
        }
        if item.is_pull:
            pull = f"{self._here}/pulls/{item.number}"
            row["pull_request"] = {
                "url": pull,
                "html_url": page,
                "diff_url": f"{page}.diff",
                "patch_url": f"{page}.patch",
            }
        return row

    def comment(self, row: CommentRow, pull: bool) -> Json:
        page = f"{self._page}/{'pull' if pull else 'issues'}/{row.number}"
        return {
            **_identity("comment", row.id),
            "url": f"{self._here}/issues/comments/{row.id}",
            "html_url": f"{page}#issuecomment-{row.id}",
            "issue_url": f"{self._here}/issues/{row.number}",
            "user": self.user(row.login),
            "created_at": stamp(row.created_at),
            "updated_at": stamp(row.updated_at),
            "author_association": "NONE",
            "body": crlf(row.body),
            "performed_via_github_app": None,
        }

    def reaction(self, id: int, login: str | None, content: str, at: datetime) -> Json:
        return {
            **_identity("reaction", id),
            "user": self.user(login),
            "content": content,
            "created_at": stamp(at),
        }

    def event(self, row: EventRow) -> Json:
        answer: Json = {
            **_identity("event", row.id),
            "url": f"{self._here}/issues/events/{row.id}",
            "actor": self.user(row.login),
            "event": row.kind,
            "commit_id": row.sha,
            "commit_url": None if row.sha is None else f"{self._here}/commits/{row.sha}",
            "created_at": stamp(row.at),
            "performed_via_github_app": None,
        }
        if row.label:
            answer["label"] = {"name": row.label, "color": "ededed"}
        return answer

    def label(self, name: str) -> Json:
        return {
            **_identity(name),
            "url": f"{self._here}/labels/{quote(name, safe='')}",
            "name": name,
            "description": "",
            "color": "ededed",
            "default": False,
        }

    def check(self, row: CheckRow) -> Json:
        url = f"{self._here}/check-runs/{row.id}"
        return {
            **_identity("check", row.id),
            "head_sha": row.sha,
            "name": row.name,
            "url": url,
            "html_url": f"{self._page}/runs/{row.id}",
            "details_url": row.details_url,
            "status": row.status,
            "conclusion": row.conclusion,
            "started_at": stamp(row.created_at),
            "completed_at": stamp(row.completed_at),
            "external_id": row.external_id,
            "check_suite": {"id": number_of(row.sha)},
            "output": {
                "title": row.title,
                "summary": row.summary,
                "text": row.text,
                "annotations_count": len(row.annotations),
                "annotations_url": f"{url}/annotations",
            },
            "app": self.app(row.app, row.created_at),
            "pull_requests": [],
        }

    def app(self, slug: str, at: datetime) -> Json:
        return {
            **_identity(slug),
            "slug": slug,
            "owner": self.user("acme"),
            "name": slug,
            "description": None,
            "external_url": "https://example.com",
            "html_url": f"{SITE}/apps/{slug}",
            "created_at": stamp(at),
            "updated_at": stamp(at),
            "permissions": {"checks": "write"},
            "events": [],
        }

    def installation(self, id: int, app_id: int, slug: str, at: datetime) -> Json:
        return {
            "id": id,
            "app_id": app_id,
            "app_slug": slug,
            "target_id": 1,
            "target_type": "Organization",
            "account": self.user("acme"),
            "single_file_name": None,
            "repository_selection": "selected",
            "access_tokens_url": f"{self._api}/app/installations/{id}/access_tokens",
            "html_url": f"{SITE}/settings/installations/{id}",
            "repositories_url": f"{self._api}/installation/repositories",
            "events": [],
            "permissions": {"checks": "write"},
            "created_at": stamp(at),
            "updated_at": stamp(at),
            "suspended_by": None,
            "suspended_at": None,
        }

    def status(self, row: StatusRow) -> Json:
        return {
            **_identity("status", row.id),
            "url": f"{self._here}/statuses/{row.sha}",
            "avatar_url": None,
            "state": row.state,
            "description": row.description,
            "target_url": row.target_url,
            "context": row.context,
            "created_at": stamp(row.created_at),
            "updated_at": stamp(row.created_at),
            "creator": self.user(row.login),
        }

    def reference(self, branch: str, sha: str) -> Json:
        name = f"heads/{branch}"
        return {
            "ref": f"refs/{name}",
            "node_id": _identity(name)["node_id"],
            "url": f"{self._here}/git/refs/{quote(name)}",
            "object": {"type": "commit", "sha": sha, "url": f"{self._here}/git/commits/{sha}"},
        }

    def labels(self, names: Iterable[str]) -> list[Json]:
        return [self.label(name) for name in names]

    def _thread(self, item: Item, url: str, page: str) -> Json:
        return {
            **_identity("item", item.number),
            "number": item.number,
            "url": url,
            "html_url": page,
            "title": item.title,
            "body": crlf(item.body),
            "state": "open" if item.open else "closed",
            "locked": False,
            "user": self.user(item.author),
            "labels": self.labels(item.labels),
            "assignee": None,
            "milestone": None,
            "closed_at": stamp(item.closed_at),
            "created_at": stamp(item.created_at),
            "updated_at": stamp(item.updated_at),
        }

    def _end(self, owner: str, branch: str, sha: str, repository: Json | None) -> Json:
        return {
            "label": f"{owner}:{branch}",
            "ref": branch,
            "sha": sha,
            "user": self.user(owner),
            "repo": repository,
        }


def _identity(name: str, id: int | None = None) -> Json:
    return {"id": number_of(name) if id is None else id, "node_id": f"N_{name}_{id or ''}"}
