"""The fake GitHub by its usual name; it is the package `fakehub`."""

from fakehub import FakeGitHub, Request, sha_of

__all__ = ["FakeGitHub", "Request", "sha_of"]
