"""Whose requests these are: a token that was given, or those that an App's installation gets."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import jwt
import requests
from github3.session import GitHubSession

from ci.github.refusals import busy, explain, unreachable
from perfsuite.errors import UsageError

_CLOCKS_DIFFER_S = 60
"""GitHub refuses a web token from its future; it asks itself for this much."""
_WEB_TOKEN_S = 540
"""GitHub takes at most ten minutes, beginning a minute ago."""
_RENEW_BEFORE_S = 300.0
"""Before an installation's token ends: longer than any request, git's included."""


class Credentials(requests.auth.AuthBase):
    """A personal token, or that of a GitHub Actions job."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"token {self.token()}"
        return request

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"

    def token(self) -> str:
        return self._token

    def login(self) -> str | None:
        """Whose token it is; None where only GitHub knows."""
        return None

    def renew(self) -> bool:
        """Called when GitHub does not know the token; whether there is another one now."""
        return False

    def git_header(self) -> str:
        """For git over https, which GitHub wants in this form."""
        pair = base64.b64encode(f"x-access-token:{self.token()}".encode()).decode()
        return f"Authorization: Basic {pair}"


class AppCredentials(Credentials):
    """An App's installation on one repository: its tokens last an hour, and are renewed before they end."""

    def __init__(self, session: GitHubSession, app_id: str, private_key_pem: str, repository: str) -> None:
        super().__init__("")
        self._session = session
        self._app_id = app_id
        self._key = private_key_pem
        self._repository = repository
        self._installation: Mapping[str, Any] = {}
        self._renew_at = 0.0

    def token(self) -> str:
        if not self._token or time.monotonic() >= self._renew_at:
            self._fetch()
        return self._token

    def login(self) -> str:
        return f"{self._installed()['app_slug']}[bot]"

    def renew(self) -> bool:
        # Revoked, or this machine slept: its clock stood while GitHub's went on.
        self._token = ""
        return True

    def _fetch(self) -> None:
        # For this repository alone, whatever else the App is installed on.
        body = {"repositories": [self._repository.partition("/")[2]]}
        response = self._ask("POST", f"app/installations/{self._installed()['id']}/access_tokens", body)
        row = response.json()
        ends = datetime.fromisoformat(row["expires_at"])
        lasts_s = (ends - parsedate_to_datetime(response.headers["Date"])).total_seconds()
        self._token = str(row["token"])
        self._renew_at = time.monotonic() + max(0.0, lasts_s - _RENEW_BEFORE_S)

    def _installed(self) -> Mapping[str, Any]:
        if not self._installation:
            self._installation = self._ask("GET", f"repos/{self._repository}/installation").json()
        return self._installation

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> requests.Response:
        url = f"{self._session.base_url}/{path}"
        try:
            response: requests.Response = self._session.request(
                method, url, json=body, auth=_Bearer(self._web_token())
            )
        except requests.RequestException as error:
            raise unreachable(self._session.base_url, error) from None
        if (trouble := busy(response)) is not None:
            raise trouble
        if response.status_code == 404:
            raise UsageError(
                f"the App {self._app_id} is not installed on {self._repository}",
                "install it there, or check --repo",
            )
        if response.status_code == 401:
            raise UsageError(
                f"GitHub does not accept the App {self._app_id}",
                "check the App's id, its private key, and this machine's clock",
            )
        if response.status_code >= 400:
            raise explain(response)
        return response

    def _web_token(self) -> str:
        now = int(time.time())
        claims = {"iat": now - _CLOCKS_DIFFER_S, "exp": now + _WEB_TOKEN_S, "iss": self._app_id}
        try:
            return jwt.encode(claims, self._key, algorithm="RS256")
        except (jwt.PyJWTError, ValueError, TypeError):
            # The cause would hold the key.
            raise UsageError(
                "the App's private key cannot be read", "give the PEM file as GitHub made it"
            ) from None


class _Bearer(requests.auth.AuthBase):
    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request
