"""Requests to GitHub: conditional, paged, repeated where that is safe; refusals in our own errors."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

import requests
from github3.session import GitHubSession

from ci.github.refusals import busy, explain, unreachable
from ci.github.tokens import Credentials
from ci.hub import HubBusy

API_URL = "https://api.github.com"
_MEDIA = "application/vnd.github+json"
"""github3 asks for bodies in three formats, which are three times the bytes."""
_VERSION = "2022-11-28"
"""Of the REST API: what answers look like stays as it was then."""
_PER_PAGE = 100
_MOST_REMEMBERED = 32 * 2**20
"""Bytes of answers kept for conditional requests: some hundred open pull requests have room."""

Parameters = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Answer:
    content: Any
    at: datetime | None
    """GitHub's clock."""
    more: bool = False
    """Whether GitHub told of a next page."""


@dataclass(frozen=True, slots=True)
class _Remembered:
    tag: str
    answer: Answer
    size: int
    """Bytes of its JSON."""


class Client:
    """One account's requests, one at a time: GitHub asks for that."""

    def __init__(self, session: GitHubSession, credentials: Credentials) -> None:
        session.headers.update({"Accept": _MEDIA, "X-GitHub-Api-Version": _VERSION})
        session.auth = credentials
        self.credentials = credentials
        self._session = session
        self._remembered: OrderedDict[str, _Remembered] = OrderedDict()
        self._remembered_bytes = 0
        self._one_at_a_time = threading.RLock()

    def get(self, path: str, parameters: Parameters | None = None) -> Answer:
        """One answer; from memory where GitHub says that it is still so (304), which no rate limit counts.

        Raises: as `send`.
        """
        with self._one_at_a_time:
            url = self._url(path) + (f"?{urlencode(parameters)}" if parameters else "")
            known = self._remembered.get(url)
            response = self._request("GET", url, tag=known.tag if known else "")
            if known is not None and response.status_code == 304:
                self._remembered.move_to_end(url)
                return Answer(known.answer.content, _date(response), known.answer.more)
            answer = Answer(_content(response), _date(response), "next" in response.links)
            if tag := response.headers.get("ETag"):
                self._remember(url, _Remembered(tag, answer, len(response.content)))
            return answer

    def pages(self, path: str, parameters: Parameters | None = None, key: str = "") -> Iterator[Answer]:
        """All pages of a list; each one's content is its rows.

        A page may be short and have a next one (GitHub leaves out what the token may not see), so its Link
        header counts; the addresses in it are not followed, only counted.

        Args:
            key: where the rows are in an object around them.
        """
        page = 1
        while True:
            answer = self.get(path, {**(parameters or {}), "per_page": _PER_PAGE, "page": page})
            rows = answer.content.get(key) if key and isinstance(answer.content, dict) else answer.content
            if not isinstance(rows, list):
                raise HubBusy(f"GitHub did not answer with a list to GET {path}")
            yield Answer(rows, answer.at)
            if not answer.more and len(rows) < _PER_PAGE:
                return
            page += 1

    def rows(self, path: str, parameters: Parameters | None = None, key: str = "") -> Iterator[Any]:
        for answer in self.pages(path, parameters, key):
            yield from answer.content

    def send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """One change; the answer's JSON, None where there is none.

        Raises:
            HubBusy: a rate limit, 5xx, no connection. Whether a POST was done is then not known.
            Refused: GitHub does not want it.
        """
        with self._one_at_a_time:
            return _content(self._request(method, self._url(path), body=body))

    def _remember(self, url: str, new: _Remembered) -> None:
        if (old := self._remembered.pop(url, None)) is not None:
            self._remembered_bytes -= old.size
        self._remembered[url] = new
        self._remembered_bytes += new.size
        while self._remembered_bytes > _MOST_REMEMBERED:
            _, oldest = self._remembered.popitem(last=False)
            self._remembered_bytes -= oldest.size

    def _url(self, path: str) -> str:
        # Not github3's build_url: it remembers each address for ever.
        return f"{self._session.base_url}/{path}"

    def _request(
        self, method: str, url: str, *, tag: str = "", body: Mapping[str, Any] | None = None
    ) -> requests.Response:
        response = self._once(method, url, tag, body)
        if response.status_code == 401 and self.credentials.renew():
            response = self._once(method, url, tag, body)
        if (trouble := busy(response)) is not None:
            raise trouble
        if response.status_code >= 400:
            raise explain(response)
        return response

    def _once(self, method: str, url: str, tag: str, body: Mapping[str, Any] | None) -> requests.Response:
        headers = {"If-None-Match": tag} if tag else {}
        try:
            response: requests.Response = self._session.request(method, url, headers=headers, json=body)
        except requests.RequestException as error:
            raise unreachable(self._session.base_url, error) from None
        return response


def _content(response: requests.Response) -> Any:
    if response.status_code == 204 or not response.content:
        return None
    try:
        return response.json()
    except requests.JSONDecodeError:
        raise HubBusy(f"{response.url} did not answer with JSON: check --api-url") from None


def _date(response: requests.Response) -> datetime | None:
    try:
        return parsedate_to_datetime(response.headers["Date"])
    except (KeyError, ValueError):
        return None
