"""The web server: Streamlit's application with a few routes of ours in front, in one process."""

from __future__ import annotations

import gc
import hashlib
import logging
import signal
import webbrowser
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from ipaddress import ip_address
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from dashboard.charts.palette import BLUE
from dashboard.links import href
from dashboard.serving.headers import SafeHeaders
from dashboard.serving.proxy import LOCAL, UserHeader, networks
from perfsuite.errors import PerfsuiteError

if TYPE_CHECKING:
    from socket import socket

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from streamlit import App

_log = logging.getLogger(__name__)

SCRIPT = Path(__file__).parents[1] / "app.py"
_CHARTS = ("trends", "case")
"""Pages that begin with charts of Plotly."""
_GOODBYE_S = 3
"""How long open pages are waited for at the end."""
_FRESH_S = 60
"""How long a badge may be kept by whoever shows it."""
_OWN_NAMES = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line said."""

    host: str
    port: int
    database: str
    base_path: str = ""
    """Where a reverse proxy shows it, without slashes around."""
    browser: bool = False
    user_header: str | None = None
    trusted: tuple[str, ...] = LOCAL
    allowed: tuple[str, ...] = ()
    """Names by which browsers may call it, beside those of this machine for itself."""

    @property
    def url(self) -> str:
        """As a person on this machine opens it."""
        host = "localhost" if self.host in ("0.0.0.0", "::") else self.host
        shown = f"[{host}]" if ":" in host else host
        return f"http://{shown}:{self.port}/" + (f"{self.base_path}/" if self.base_path else "")

    @property
    def names(self) -> tuple[str, ...]:
        """What a request may have asked for; whatever it likes (`*`) where the network may and none is given.

        A page of another site, whose name is made to lead here, could otherwise read what is shown to this
        machine alone (DNS rebinding).
        """
        if not self.allowed and not _is_loopback(self.host):
            return ("*",)
        return (*_OWN_NAMES, self.host, *self.allowed)


def serve(settings: Settings, ready: Callable[[], None] = lambda: None) -> None:
    """Serves until Ctrl-C or SIGTERM; `ready` is called when it listens."""
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket] | None = None) -> None:
            await super().startup(sockets)
            ready()
            Thread(target=warm, args=(settings.database,), daemon=True).start()
            if settings.browser:
                Thread(target=webbrowser.open, args=(settings.url,), daemon=True).start()

    config = uvicorn.Config(
        application(settings),
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        # A proxy's word is heard where it is asked for, in UserHeader, which has to see who really sends.
        proxy_headers=False,
        ws="websockets-sansio",
        # As Streamlit has it: packing a chart takes longer than sending it.
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=_GOODBYE_S,
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Raised again by the server when everything is closed.
    with suppress(KeyboardInterrupt):
        Server(config).run()


def warm(database: str) -> None:
    """Imports what pages import when they are first shown, and opens the store: no visitor waits for it."""
    from dashboard import data
    from dashboard.pages import PAGES

    with suppress(PerfsuiteError):
        # Not there yet, or locked: the pages say so.
        data.repositories(data.Database.at(database))
    for page in PAGES:
        try:
            import_module(f"dashboard.pages.{page.module}")
        except Exception:
            # The page says so itself, to whoever opens it.
            _log.exception("the page %s cannot be imported", page.title)
    # What stays for ever need not be looked through at each collection.
    gc.collect()
    gc.freeze()


def application(settings: Settings) -> App:
    """The ASGI application."""
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from streamlit import App, net_util
    from streamlit.runtime.pages_manager import PagesManager
    from streamlit.web import bootstrap

    bootstrap.load_config_options(_options(settings))
    # Streamlit's former way of pages: it would run the modules of our `pages` folder as scripts.
    PagesManager.uses_pages_directory = False
    # For a connection of a foreign page it would ask an outside service for its own address, and wait.
    net_util.get_external_ip = lambda: None
    middleware = [
        Middleware(SafeHeaders),
        Middleware(TrustedHostMiddleware, allowed_hosts=settings.names, www_redirect=False),
    ]
    if settings.user_header:
        middleware.append(
            Middleware(UserHeader, name=settings.user_header, trusted=networks(settings.trusted))
        )
    return App(SCRIPT, routes=_routes(settings), middleware=middleware)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _origins(names: Sequence[str]) -> list[str]:
    return [f"{scheme}://{name}" for name in names if "*" not in name for scheme in ("https", "http")]


def _options(settings: Settings) -> dict[str, object]:
    """Streamlit's configuration, stronger than anybody's config.toml."""
    return {
        "server.address": settings.host,
        "server.port": settings.port,
        "server.baseUrlPath": settings.base_path,
        "server.headless": True,
        # A proxy may rewrite the name in the request, but not the one in the page's address.
        "server.corsAllowedOrigins": _origins(settings.allowed),
        "server.fileWatcherType": "none",
        "server.enableAgentApi": False,
        # No outside requests: neither statistics nor the question for an e-mail address.
        "browser.gatherUsageStats": False,
        "server.showEmailPrompt": False,
        "global.developmentMode": False,
        # No message is kept by the browser to be named later: it forgets them by counting runs, and who goes
        # back fast would be named one already forgotten ("Cached ForwardMsg MISS"), which ends the page.
        "global.minCachedMessageSize": 1e15,
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "client.showErrorLinks": False,
        "client.showSidebarNavigation": False,
        "logger.hideWelcomeMessage": True,
        # Streamlit's own is the red that means "slower" here.
        "theme.light.primaryColor": BLUE,
        "theme.dark.primaryColor": BLUE,
        "runner.magicEnabled": False,
        # Collecting garbage after each run would stop everybody else's pages for as long.
        "runner.postScriptGC": False,
    }


def _routes(settings: Settings) -> list[BaseRoute]:
    from starlette.routing import Route

    from dashboard.pages import PAGES

    base = f"/{settings.base_path}" if settings.base_path else ""
    pages = [Route(f"{base}/{page.key}", _first_page(page.key)) for page in PAGES]
    below = [
        Route(f"{base}/{page.key}/{{rest:path}}", _up(f"{base}/{page.key}")) for page in PAGES if page.key
    ]
    return [
        *pages,
        *below,
        Route(f"{base}/healthz", _healthy),
        Route(f"{base}/metrics", _metrics(settings.database)),
        Route(f"{base}/badge/{{case:path}}.svg", _badge(settings.database)),
    ]


def _up(address: str) -> Callable[[Request], Response]:
    """Pages have no addresses below them: Streamlit would answer with one whose files it does not find."""
    from starlette.responses import RedirectResponse

    return lambda request: RedirectResponse(address)


def _first_page(key: str) -> Callable[[Request], Response]:
    from starlette.responses import RedirectResponse
    from streamlit.file_util import get_static_dir

    from dashboard.serving.first_page import first_page

    page = first_page(Path(get_static_dir()), charts=key in _CHARTS)

    def endpoint(request: Request) -> Response:
        asked = request.query_params
        if not key and "comparison" in asked:
            # Links in comments of earlier versions.
            return RedirectResponse(href("compare", comparison=asked["comparison"]))
        return _answer(request, page, "text/html", "no-cache")

    return endpoint


def _healthy(request: Request) -> Response:
    """That this process answers. Not that the store does: a restart would not mend it."""
    from starlette.responses import PlainTextResponse

    return PlainTextResponse("ok\n", headers={"Cache-Control": "no-store"})


def _metrics(database: str) -> Callable[[Request], Response]:
    def endpoint(request: Request) -> Response:
        from starlette.responses import Response

        from dashboard.serving import metrics

        return Response(metrics.exposition(database), media_type=metrics.CONTENT_TYPE)

    return endpoint


def _badge(database: str) -> Callable[[Request], Response]:
    def endpoint(request: Request) -> Response:
        from dashboard.serving import badge

        asked = request.query_params
        found = badge.badge(
            database, request.path_params["case"], asked.get("repository"), asked.get("machine")
        )
        cache = f"public, max-age={_FRESH_S}" if found.status == 200 else "no-cache"
        return _answer(request, found.svg, "image/svg+xml", cache, found.status)

    return endpoint


def _answer(request: Request, text: str, kind: str, cache: str, status: int = 200) -> Response:
    """The text, or 304 where the browser has it."""
    from starlette.responses import Response

    body = text.encode()
    tag = f'W/"{hashlib.sha256(body).hexdigest()[:20]}"'
    headers = {"ETag": tag, "Cache-Control": cache}
    if status == 200 and tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, status, headers, media_type=kind)
