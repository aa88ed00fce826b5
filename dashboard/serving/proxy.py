"""Names of visitors that a reverse proxy vouches for: nobody else may claim one."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Any

from perfsuite.errors import UsageError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

LOCAL = ("127.0.0.1", "::1")
"""A proxy on the same machine."""
Network = IPv4Network | IPv6Network


def networks(given: Iterable[str]) -> tuple[Network, ...]:
    """Addresses and networks as people write them.

    Raises:
        UsageError: one of them is neither.
    """
    found = []
    for text in given:
        try:
            found.append(ip_network(text.strip(), strict=False))
        except ValueError as error:
            raise UsageError(
                f"--trusted-proxy {text!r} is no address of the Internet Protocol",
                "write 10.0.0.7, 10.0.0.0/24 or fd00::7",
            ) from error
    return tuple(found)


class UserHeader:
    """ASGI middleware that takes the user's header out of requests which no trusted proxy sent.

    Args:
        name: of the header; small or capital letters are the same.
        trusted: where the proxy's connections come from.
    """

    def __init__(self, app: ASGIApp, name: str, trusted: Iterable[Network]) -> None:
        self._app = app
        self._name = _plain(name.encode("latin-1"))
        self._trusted = tuple(trusted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            scope = {**scope, "headers": self._kept(scope)}
        await self._app(scope, receive, send)

    def _kept(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        headers: list[tuple[bytes, bytes]] = list(scope["headers"])
        named = [header for header in headers if _plain(header[0]) == self._name]
        # Two of them: the proxy added its own to the visitor's, and nobody knows which is which.
        if len(named) <= 1 and self._trusts(scope.get("client")):
            return headers
        return [header for header in headers if header not in named]

    def _trusts(self, client: Any) -> bool:
        try:
            address = ip_address(client[0])
        except (TypeError, IndexError, ValueError):
            # A socket without an address, or a name: nobody that was said to be trusted.
            return False
        mapped = getattr(address, "ipv4_mapped", None) or address
        return any(mapped in network for network in self._trusted)


def _plain(name: bytes) -> bytes:
    # Some servers take X_User for X-User.
    return name.lower().replace(b"_", b"-")
