"""GitHub over github3.py, whose sole importer this package is.

github3's session carries time limits and the connection. Its models are not used: they raise on a comment
whose author's account is gone, and one such comment would hide ours. Neither are its tokens: it does not
renew those of an App.
"""

from ci.github.client import API_URL, Client
from ci.github.connecting import connect, connect_app
from ci.github.hub import ACTIONS_AUTHOR, GitHubHub

__all__ = [
    "ACTIONS_AUTHOR",
    "API_URL",
    "Client",
    "GitHubHub",
    "connect",
    "connect_app",
]
