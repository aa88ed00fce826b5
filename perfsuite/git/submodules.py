"""Submodules of a checkout, without `git submodule`: what `.gitmodules` says is written by whoever opens a
pull request, and is read here as data. No command, path or option of it is followed.

Each remote has one bare repository in a cache, and a checkout gets a worktree of that: a second checkout of
the same commit downloads nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from perfsuite.errors import MachineError, UsageError
from perfsuite.git.addresses import PROTOCOLS, absolute, plain, protocol_of
from perfsuite.git.locking import locked
from perfsuite.git.running import CHECKOUT_TIMEOUT_S, GitError, run_git, run_network

_LINK_MODE = "160000"
_DEEPEST = 8
"""Submodules in submodules: more is a circle."""


@dataclass(frozen=True, slots=True)
class Submodule:
    path: str
    """Below the top of the outermost repository."""
    url: str
    """Absolute."""
    sha: str
    store: Path
    """The bare repository in the cache that holds the commit."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where submodules may come from.

    Args:
        cache: folder of the bare repositories.
        origin: address of the repository around them.
        allowed: addresses that may be used; None: all.
        near: folder of clones by submodule's name that are looked into first (`.git/modules`).
        header: see `run_network`.
        names: of the outermost repository's submodules only these; None: all.
    """

    cache: Path
    origin: str
    allowed: Collection[str] | None = None
    near: Path | None = None
    header: tuple[str, str] | None = None
    names: Collection[str] | None = None


def submodules(
    repository: Path, tree: str, sources: Sources, environ: Mapping[str, str] | None = None
) -> list[Submodule]:
    """All submodules of a commit or tree, those in submodules too, fetched into the cache.

    Args:
        repository: folder in which git knows the tree.
        environ: variables under which it does.

    Raises:
        UsageError: one has an address that is not allowed, or its commit is not there; by name.
        MachineError: a remote does not answer.
    """
    try:
        sources.cache.mkdir(parents=True, exist_ok=True)
        # Whatever we put into a checkout must never show up in git.
        (sources.cache / ".gitignore").write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise MachineError(
            f"cannot write {sources.cache}: {error.strerror or error}",
            "make it writable or free some space",
        ) from error
    return list(_walk(repository, tree, sources, sources.origin, PurePosixPath(), environ))


def check_out(found: Collection[Submodule], top: Path) -> None:
    """Puts them into a checkout of the repository around them."""
    for module in found:
        with locked(module.store.with_suffix(".lock")) as lock:
            # Those of checkouts that are gone: the cache does not hear of their removal.
            run_git(module.store, "worktree", "prune", keep=(lock,))
            run_git(
                module.store,
                *("-c", "core.hooksPath=/dev/null", "worktree", "add", "--force", "--detach", "--quiet"),
                *(str(top / module.path), module.sha),
                timeout_s=CHECKOUT_TIMEOUT_S,
                keep=(lock,),
            )


def _walk(
    repository: Path,
    tree: str,
    sources: Sources,
    origin: str,
    below: PurePosixPath,
    environ: Mapping[str, str] | None,
    depth: int = 0,
) -> Iterator[Submodule]:
    if depth > _DEEPEST:
        raise UsageError(f"submodules lie more than {_DEEPEST} deep at {below}", "is one its own submodule?")
    for name, path, url, sha in _declared(repository, tree, environ):
        if not depth and sources.names is not None and name not in sources.names:
            continue
        address = absolute(url, origin)
        _require_allowed(str(below / path), address, sources)
        near = sources.near / name if sources.near and not depth and _is_plain(name) else None
        store = _fetched(address, sha, str(below / path), sources, near)
        yield Submodule(str(below / path), address, sha, store)
        yield from _walk(store, sha, sources, address, below / path, None, depth + 1)


def _declared(
    repository: Path, tree: str, environ: Mapping[str, str] | None
) -> Iterator[tuple[str, str, str, str]]:
    """Name, path, address and commit of each submodule of a tree."""
    try:
        out = run_git(
            repository,
            *("config", "--blob", f"{tree}:.gitmodules", "--null"),
            *("--get-regexp", r"^submodule\..*\.(path|url)$"),
            environ=environ,
        )
    except GitError:
        return
    settings: dict[str, dict[str, str]] = {}
    for line in filter(None, out.split("\0")):
        key, _, value = line.partition("\n")
        name, _, variable = key.removeprefix("submodule.").rpartition(".")
        settings.setdefault(name, {})[variable] = value
    links = _links(repository, tree, environ)
    for name, known in sorted(settings.items()):
        path = known.get("path", "")
        if path in links and known.get("url"):
            yield name, path, known["url"], links[path]


def _links(repository: Path, tree: str, environ: Mapping[str, str] | None) -> dict[str, str]:
    """Path of a submodule → the commit that the tree wants of it."""
    entries = run_git(repository, "ls-tree", "-r", "-z", "--full-tree", tree, environ=environ).split("\0")
    return {
        path: about.split()[2]
        for about, _, path in (entry.partition("\t") for entry in entries)
        if about.startswith(_LINK_MODE)
    }


def _require_allowed(path: str, url: str, sources: Sources) -> None:
    protocols = (*PROTOCOLS, "file") if protocol_of(sources.origin) == "file" else PROTOCOLS
    if url.startswith("-") or protocol_of(url) not in protocols:
        raise UsageError(
            f"submodule {path!r} comes from {url!r}, by a protocol that is not used here",
            f"give it an address of one of these: {', '.join(protocols)}",
        )
    if sources.allowed is not None and plain(url) not in {plain(known) for known in sources.allowed}:
        raise UsageError(
            f"submodule {path!r} comes from {url!r}, which is not trusted here",
            "the default branch must use that address first",
        )


def _fetched(url: str, sha: str, path: str, sources: Sources, near: Path | None) -> Path:
    """The bare repository of that address, with the commit in it."""
    store = sources.cache / f"{hashlib.sha256(plain(url).encode()).hexdigest()[:16]}.git"
    with locked(store.with_suffix(".lock")) as lock:
        # Safe to repeat: it completes what a killed process began.
        run_git(sources.cache, "init", "--quiet", "--bare", str(store), keep=(lock,))
        if not _has(store, sha):
            if near is not None and near.is_dir():
                _try_fetch(store, str(near), sha, None, lock)
            if not _has(store, sha):
                _fetch(store, url, sha, sources.header, lock)
        if not _has(store, sha):
            raise UsageError(f"{url} does not have commit {sha[:10]} of submodule {path!r}", "push it there")
    return store


def _fetch(store: Path, url: str, sha: str, header: tuple[str, str] | None, lock: int) -> None:
    if not _try_fetch(store, url, sha, header, lock):
        # An old server gives no commit by its name: all branches and tags, then.
        refs = ("+refs/heads/*:refs/perfsuite/heads/*", "+refs/tags/*:refs/tags/*")
        run_network(store, "fetch", "--quiet", "--no-tags", "--", url, *refs, header=header, keep=(lock,))


def _try_fetch(store: Path, source: str, sha: str, header: tuple[str, str] | None, lock: int) -> bool:
    wanted = f"{sha}:refs/perfsuite/commits/{sha}"
    options = ("--quiet", "--no-tags", "--depth=1")
    try:
        run_network(store, "fetch", *options, "--", source, wanted, header=header, keep=(lock,))
    except (UsageError, MachineError):
        return False
    return True


def _has(store: Path, sha: str) -> bool:
    try:
        run_git(store, "cat-file", "-e", f"{sha}^{{commit}}")
    except GitError:
        return False
    return True


def _is_plain(name: str) -> bool:
    return bool(re.fullmatch(r"[\w./+-]+", name)) and ".." not in name.split("/") and name[0] not in "/-"
