"""What went wrong, as errors of ours. None of them holds a token."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

import requests

from ci.hub import HubBusy
from perfsuite.errors import UsageError

_WAIT_S = 60.0
"""Where GitHub limits us and does not say for how long: the least that its guide asks for."""
_LONGEST_SAID = 300
_PERMISSIONS = "pull-requests: write, checks: write"
_LIMITED = ("rate limit", "abuse detection")
"""Words in a 403 that mean: later."""


class Refused(UsageError):
    """GitHub answered with 4xx, and repeating will not help."""

    def __init__(self, status: int, said: str, what: str, next_step: str) -> None:
        super().__init__(what, next_step)
        self.status = status
        self.said = said
        """GitHub's own words."""

    @property
    def gone(self) -> bool:
        return self.status in (404, 410)


def busy(response: requests.Response) -> HubBusy | None:
    """The error of an answer that only means: later."""
    status, request = response.status_code, _request(response)
    if status >= 500:
        return HubBusy(f"GitHub answered {status} to {request}", _retry_after_s(response))
    if status == 429 or (status == 403 and _limited(response)):
        wait_s = _wait_s(response)
        return HubBusy(f"GitHub's rate limit is used up ({status}: {_said(response)})", wait_s)
    return None


def explain(response: requests.Response) -> Refused:
    status, said = response.status_code, _said(response)
    if status == 401:
        what = f"GitHub does not accept the token (401 to {_request(response)})"
        return Refused(status, said, what, "check that it is not expired and belongs to this server")
    if status in (404, 410):
        what = f"{_request(response)}: not there, or the token may not see it ({status})"
        advice = "check --repo and --pr, and that the token can read the repository"
        return Refused(status, said, what, advice)
    if status == 403:
        # GitHub names what is missing, such as `pull_requests=write`.
        needed = response.headers.get("X-Accepted-GitHub-Permissions", _PERMISSIONS)
        what = f"the token may not {_request(response)} (403: {said})"
        return Refused(status, said, what, f"give it this permission: {needed}")
    what = f"GitHub refused {_request(response)} with {status}: {said}"
    return Refused(status, said, what, "report it: this request should not have been sent")


def unreachable(base_url: str, error: requests.RequestException) -> HubBusy | UsageError:
    if isinstance(error, ValueError) and not isinstance(error, requests.ConnectionError):
        return UsageError(f"not an address of GitHub's API: {base_url!r}", "check --api-url")
    # urllib3 wraps the reason into the story of its retries.
    reason = str(getattr(next(iter(error.args), None), "reason", None) or error) or type(error).__name__
    return HubBusy(f"GitHub is not reachable at {base_url}: {reason.splitlines()[0][:_LONGEST_SAID]}")


def _limited(response: requests.Response) -> bool:
    headers = response.headers
    if headers.get("X-RateLimit-Remaining") == "0" or "Retry-After" in headers:
        return True
    return any(word in _said(response).casefold() for word in _LIMITED)


def _wait_s(response: requests.Response) -> float:
    if (asked_s := _retry_after_s(response)) is not None:
        return asked_s
    headers = response.headers
    if headers.get("X-RateLimit-Remaining") != "0":
        return _WAIT_S
    try:
        # Both by GitHub's clock: ours may differ.
        now = parsedate_to_datetime(headers["Date"]).timestamp()
        return max(1.0, float(headers["X-RateLimit-Reset"]) - now)
    except (KeyError, ValueError):
        return _WAIT_S


def _retry_after_s(response: requests.Response) -> float | None:
    text = response.headers.get("Retry-After")
    if text is None:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        return _WAIT_S


def _said(response: requests.Response) -> str:
    try:
        row = response.json()
    except requests.JSONDecodeError:
        return response.reason or "no reason given"
    if not isinstance(row, dict):
        return "no reason given"
    errors = row.get("errors")
    return f"{row.get('message')} {errors if errors else ''}".strip()[:_LONGEST_SAID]


def _request(response: requests.Response) -> str:
    return f"{response.request.method} {(response.request.url or '').partition('?')[0]}"
