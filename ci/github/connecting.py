"""Clients for a token or an App."""

from __future__ import annotations

from urllib.parse import urlsplit

from github3.session import GitHubSession
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse
from urllib3.util.retry import Retry

from ci.github.client import API_URL, Client
from ci.github.tokens import AppCredentials, Credentials
from perfsuite.errors import UsageError

_RETRIES = 4
_LONGEST_WAIT_S = 60.0
"""A longer Retry-After is not waited for here: whoever asked decides."""
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_PASSING = (502, 503, 504)


def connect(token: str, api_url: str = API_URL, *, patient: bool = True) -> Client:
    """A client for a personal token or that of a GitHub Actions job. Nothing is sent yet.

    Args:
        patient: wait out short troubles and rate limits here (a single command); else they are told at once
            (a service, which has other work meanwhile).
    Raises:
        UsageError: the address is not https (a token would travel in clear) and not this machine.
    """
    return Client(_session(api_url, patient), Credentials(token))


def connect_app(
    app_id: str, private_key_pem: str, repository: str, api_url: str = API_URL, *, patient: bool = False
) -> Client:
    """A client for a GitHub App's installation on one repository. Nothing is sent yet.

    Args:
        private_key_pem: the text of the App's key file.
    """
    session = _session(api_url, patient)
    return Client(session, AppCredentials(session, str(app_id), private_key_pem, repository))


class _CappedRetry(Retry):
    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        wait_s = super().get_retry_after(response)
        return None if wait_s is None else min(wait_s, _LONGEST_WAIT_S)


def _session(api_url: str, patient: bool) -> GitHubSession:
    parts = urlsplit(api_url)
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        raise UsageError(
            f"refusing to send a token to {api_url!r}, which is not https", "give --api-url https://…"
        )
    session = GitHubSession()
    session.base_url = api_url.rstrip("/")
    session.mount(f"{parts.scheme}://{parts.netloc}", HTTPAdapter(max_retries=_retries(patient)))
    return session


def _retries(patient: bool) -> _CappedRetry:
    # POST is left out: GitHub may have taken it before the answer was lost. Repeating the whole upsert is
    # safe, repeating one POST is not.
    return _CappedRetry(
        total=_RETRIES if patient else 1,
        backoff_factor=0.5,
        status_forcelist=(*_PASSING, 429) if patient else _PASSING,
        allowed_methods={"GET", "PUT", "PATCH", "DELETE"},
        respect_retry_after_header=patient,
        raise_on_status=False,
    )
