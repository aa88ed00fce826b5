"""Addresses of remotes. Pure."""

from __future__ import annotations

import re

PROTOCOLS = ("http", "https", "ssh", "git")
"""What a submodule may come by. `file` only where the repository itself does; `ext` would run a command."""


def remote_name(url: str) -> str:
    """`git@host:owner/name.git`, `https://host/owner/name` → `owner/name`; empty for a local path."""
    match = re.fullmatch(r"(?:\w[\w+.-]*://[^/]+/|[^/:]+:(?!//))(?:.*/)?([^/]+/[^/]+?)(?:\.git)?/?", url)
    return match[1] if match and not url.startswith("file:") else ""


def protocol_of(url: str) -> str:
    """`https`, `ssh`, `file` (a path, too), or whatever else stands before `://` or `::`."""
    named = re.match(r"([A-Za-z][\w+.-]*)(?:://|::)", url)
    if named:
        return named[1].lower()
    return "ssh" if re.match(r"[^/]+:", url) else "file"


def absolute(url: str, origin: str) -> str:
    """A submodule's address: `../name.git` is relative to that of the repository around it."""
    if not url.startswith(("./", "../")):
        return url
    base, separator = origin.rstrip("/"), "/"
    while url.startswith(("./", "../")):
        if url.startswith("../"):
            cut = max(base.rfind("/"), base.rfind(":"))
            if cut > 0:
                base, separator = base[:cut], base[cut]
        url = url.partition("/")[2]
    return f"{base}{separator}{url}"


def plain(url: str) -> str:
    """For comparing: without `.git` and a last slash."""
    return url.rstrip("/").removesuffix(".git")


def quoted(path: object) -> str:
    """A path as one entry of a list that colons separate."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
