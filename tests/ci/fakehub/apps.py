"""Who asks: a token of a person, of a GitHub Actions job, or of an App's installation."""

from __future__ import annotations

import itertools
import re
from datetime import timedelta

import jwt

from fakehub.answers import Answer, missing
from fakehub.records import Request
from fakehub.rows import Rows, stamp
from fakehub.state import State

INSTALLATION = 77
_TOKENS = re.compile(rf"^/app/installations/{INSTALLATION}/access_tokens$")
_LONGEST_JWT_S = 600
_numbers = itertools.count(1)


def authenticated(state: State, header: str) -> str | None:
    """Login under which this request acts; None: nobody knows the token."""
    token = header.partition(" ")[2]
    if token == state.token:
        return state.us
    expires = state.installation_tokens.get(token)
    if expires is not None and state.clock.now() < expires:
        return f"{state.app_slug}[bot]"
    return None


def app_answer(state: State, rows: Rows, request: Request) -> Answer | None:
    """The answer to what an App itself asks with its JSON web token; None: another route's."""
    asks_itself = request.path in ("/app", f"/repos/{state.repository}/installation")
    if not asks_itself and not _TOKENS.match(request.path):
        # A repository where it is not installed, an installation that is not there.
        lost = request.path.startswith("/app/") or request.path.endswith("/installation")
        return missing() if lost else None
    if not _is_the_app(state, request.headers.get("authorization", "")):
        return Answer(401, {"message": "A JSON web token could not be decoded"})
    if request.path == "/app":
        return Answer(200, rows.app(state.app_slug, state.created_at) | {"id": state.app_id})
    if request.method == "GET":
        return Answer(200, rows.installation(INSTALLATION, state.app_id, state.app_slug, state.created_at))
    token = f"ghs_{next(_numbers):036d}"
    expires = state.clock.now() + timedelta(seconds=state.token_lifetime_s)
    state.installation_tokens[token] = expires
    return Answer(201, {"token": token, "expires_at": stamp(expires), "permissions": {"checks": "write"}})


def _is_the_app(state: State, header: str) -> bool:
    token = header.partition(" ")[2]
    known = bool(state.app_public_key)
    try:
        claims = jwt.decode(
            token,
            state.app_public_key,
            algorithms=["RS256"],
            options={"verify_signature": known, "verify_iat": False, "verify_exp": False},
        )
    except jwt.InvalidTokenError:
        return False
    now = state.clock.now().timestamp()
    lasts = claims["exp"] - now
    return bool(claims["iss"] == str(state.app_id) and 0 < lasts <= _LONGEST_JWT_S and claims["iat"] <= now)
