"""The page that every address answers with first: Streamlit's, made to start sooner.

What is asked for late is named early, and what the browser would ask the server it is told at once. Names of
files are found here at the start of the server, never written down: another version of Streamlit has others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from markupsafe import Markup

FIRST = ("Html", "BidiComponent")
"""Streamlit's elements that every page begins with, each a file of its own. No others: what the first picture
does not need makes it later."""
CHARTS = ("PlotlyChart",)
"""Elements of pages with charts: fetched at once by those, by others when they stand."""
_IMPORTS = re.compile(r"""(?:from|import)\s*["'`]\./([\w.-]+\.js)["'`]""")
_LINKED = re.compile(r'href="\./static/js/([\w.-]+\.js)"|src="\./static/js/([\w.-]+\.js)"')
_TITLE = re.compile(r"<title>.*?</title>", re.DOTALL)
_NOSCRIPT = re.compile(r"<noscript>.*?</noscript>", re.DOTALL)
_IDLE_MS = 1500
"""After which the later files are asked for: the first page is painted then."""

_KNOWN = """
<script>
  // Where the server is and what it allows, which the page would else ask for before it connects.
  window.__streamlit = {
    BACKEND_BASE_URL: new URL("./", window.location.href).href,
    HOST_CONFIG: {
      allowedOrigins: [window.location.origin], useExternalAuthToken: false,
      enableCustomParentMessages: false, blockErrorDialogs: false, disableFullscreenMode: false,
    },
  };
</script>
"""
_PLAIN = """
<style>
  /* No white flash before a dark page. */
  :root { color-scheme: light dark; }
</style>
"""


def first_page(folder: Path, *, charts: bool = False) -> str:
    """The HTML of the first page.

    Args:
        folder: Streamlit's folder of static files.
        charts: whether the page has some.
    """
    page = (folder / "index.html").read_text(encoding="utf-8")
    scripts = folder / "static" / "js"
    linked = {first or second for first, second in _LINKED.findall(page)}
    first = [name for name in needed(scripts, FIRST + CHARTS * charts) if name not in linked]
    later = [name for name in names_of(scripts, CHARTS) if name not in first]
    page = _TITLE.sub("<title>perfsuite</title>", page, count=1)
    words = "<noscript><p>The dashboard needs JavaScript.</p></noscript>"
    page = _NOSCRIPT.sub(words, page, count=1)
    # First of all: a script behind a style sheet waits for it, and everything behind the script as well.
    page = page.replace("<head>", "".join(("<head>", _PLAIN, _KNOWN, _after(later))), 1)
    return page.replace("</head>", f"{_preloads(first)}</head>", 1)


def needed(scripts: Path, elements: Sequence[str]) -> list[str]:
    """File names of these elements and of all that they import, each once; unknown elements have none."""
    found: dict[str, None] = {}
    waiting = names_of(scripts, elements)
    while waiting:
        name = waiting.pop()
        if name in found or not (scripts / name).is_file():
            continue
        found[name] = None
        waiting += _IMPORTS.findall((scripts / name).read_text(encoding="utf-8"))
    return sorted(found)


def names_of(scripts: Path, elements: Sequence[str]) -> list[str]:
    """File names of these elements."""
    return [path.name for element in elements for path in sorted(scripts.glob(f"{element}.*.js"))]


def _preloads(names: Iterable[str]) -> str:
    link = Markup('<link rel="modulepreload" crossorigin href="./static/js/{}">\n')
    return "".join(link.format(name) for name in names)


def _after(names: Sequence[str]) -> str:
    """Runs them when the page has nothing to do: the first chart is then drawn at once."""
    if not names:
        return ""
    return f"""
<script>
  addEventListener("load", () => setTimeout(() => {{
    const idle = window.requestIdleCallback ?? setTimeout;
    for (const name of {list(names)!r})
      idle(() => import(new URL(`./static/js/${{name}}`, window.__streamlit.BACKEND_BASE_URL)));
  }}, {_IDLE_MS}));
</script>
"""
