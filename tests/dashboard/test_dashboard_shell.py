"""What stands around the pages: who a visitor is, the first page, exports, badges, metrics, the demo."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest
import streamlit
from prometheus_client.parser import text_string_to_metric_families
from sample_history import DECODE, GPU, IMPORTED, NEW_DRIVER, PREFILL, REPOSITORY, result, sample_run
from streamlit.testing.v1 import AppTest

from dashboard.export import to_csv
from dashboard.markup import verdict_chip
from dashboard.serving import badge, metrics
from dashboard.serving.access import Access
from dashboard.serving.demonstration import demonstration
from dashboard.serving.first_page import CHARTS, FIRST, first_page, names_of, needed
from dashboard.serving.proxy import UserHeader, networks
from perfsuite.codec import encode
from perfsuite.errors import MachineError, UsageError
from perfsuite.model import AlertState, Status, Verdict
from perfsuite.store import export_document, open_store

STATIC = Path(streamlit.__file__).with_name("static")
HOSTILE = 'x/"<script>&\n\\' + "\u202e核\U0001f525[n=1]"


def passed(kind: str, client: object, headers: list[tuple[bytes, bytes]], *trusted: str) -> list[bytes]:
    """The names of the headers that arrive behind the middleware."""
    seen: list[Mapping[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    middleware = UserHeader(app, "X-Forwarded-User", networks(trusted))
    scope = {"type": kind, "client": client, "headers": headers}
    asyncio.run(middleware(scope, None, None))  # type: ignore[arg-type]
    assert scope["headers"] is headers
    return [name for name, _ in seen[0]["headers"]]


USER = (b"x-forwarded-user", b"ada")
OTHER = (b"accept", b"*/*")


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    ("client", "kept"),
    [
        (("127.0.0.1", 5), True),
        (("::ffff:10.1.2.3", 5), True),
        (("10.1.2.4", 5), True),
        (("192.0.2.7", 5), False),
        (("somewhere", 5), False),
        (None, False),
    ],
)
def test_only_a_trusted_proxy_names_the_visitor(kind: str, client: object, kept: bool) -> None:
    names = passed(kind, client, [OTHER, USER], "127.0.0.1", "10.1.2.0/24")
    assert names == [b"accept", b"x-forwarded-user"] if kept else [b"accept"]


def test_a_header_written_another_way_or_twice_is_nobodys() -> None:
    local = ("127.0.0.1", 5)
    assert passed("http", ("192.0.2.7", 5), [(b"X_Forwarded_User", b"eve")], "127.0.0.1") == []
    assert passed("http", local, [(b"x_forwarded-user", b"eve"), USER], "127.0.0.1") == []


def test_a_trusted_proxy_that_is_no_address_is_named() -> None:
    with pytest.raises(UsageError, match=r"proxy\.example"):
        networks(["proxy.example"])


def test_it_is_read_only_by_default() -> None:
    assert Access.current({}) == Access(secret=None, user_header=None, demo=False)
    assert Access.current({"PERFSUITE_DASHBOARD_SECRET": "s"}).secret == "s"
    named = Access.current({"PERFSUITE_DASHBOARD_USER_HEADER": "X-User"})
    assert named.user_header == "x-user"
    tried = Access.current({"PERFSUITE_DASHBOARD_DEMO": "1", "PERFSUITE_DASHBOARD_SECRET": "s"})
    assert (tried.demo, tried.secret) == (True, None)


def test_the_first_page_names_early_what_it_needs() -> None:
    page = first_page(STATIC)
    assert "<title>perfsuite</title>" in page
    assert page.index("window.__streamlit") < page.index('rel="stylesheet"')
    files = re.findall(r'"\./static/js/([^"]+)"', page)
    assert len(files) == len(set(files))
    assert all((STATIC / "static" / "js" / name).is_file() for name in files)
    elements = names_of(STATIC / "static" / "js", FIRST)
    assert len(elements) == len(FIRST)
    assert set(elements) <= set(files)
    chart = names_of(STATIC / "static" / "js", CHARTS)[0]
    assert chart not in files
    assert chart in page
    assert f'href="./static/js/{chart}"' in first_page(STATIC, charts=True)


def test_an_unknown_version_of_streamlit_is_served_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<html><head></head><body>x</body></html>", encoding="utf-8")
    assert first_page(tmp_path).endswith("</head><body>x</body></html>")
    assert needed(tmp_path, FIRST) == []


def test_what_a_file_imports_is_found_with_it(tmp_path: Path) -> None:
    (tmp_path / "Html.1.js").write_text('import{a}from"./b.2.js";import"./c.3.js";', encoding="utf-8")
    (tmp_path / "b.2.js").write_text('import{x}from"./Html.1.js";import("./lazy.4.js")', encoding="utf-8")
    (tmp_path / "lazy.4.js").write_text("", encoding="utf-8")
    assert needed(tmp_path, ("Html",)) == ["Html.1.js", "b.2.js"]


def test_a_table_is_saved_without_formulas() -> None:
    frame = pd.DataFrame({"case": ["=1+1", "gemm", "@x"], "change": [-0.5, 0.25, None]})
    assert to_csv(frame).decode("utf-8-sig").splitlines() == [
        "case,change",
        "'=1+1,-0.5",
        "gemm,0.25",
        "'@x,",
    ]


def test_the_picture_of_a_chart_is_chosen_in_the_address() -> None:
    def page() -> None:
        import streamlit as st

        from dashboard.export import exports, image_choice, image_format

        exports("table", lambda: st.error("made before anybody asked"))  # type: ignore[arg-type, return-value]
        st.text(image_format())
        st.text(image_choice("trends"))

    visit = AppTest.from_function(page)
    visit.query_params["case"] = ["a", "b"]
    visit.query_params["title"] = "<b>"
    assert visit.run().text[0].value == "png"
    assert 'href="trends?case=a&amp;case=b&amp;title=%3Cb%3E&amp;image=svg"' in visit.text[1].value
    visit.query_params["image"] = "svg"
    assert visit.run().text[0].value == "svg"
    assert 'image=png"' in visit.text[1].value
    visit.query_params["image"] = "<b>"
    assert visit.run().text[0].value == "png"
    assert not visit.exception
    assert not visit.error


def test_a_verdict_is_a_sign_a_word_and_a_class() -> None:
    assert 'class="ps-chip ps-v-less-accurate"' in verdict_chip(Verdict.LESS_ACCURATE)
    assert "less accurate" in verdict_chip(Verdict.LESS_ACCURATE)
    assert "&lt;b&gt;" in verdict_chip(Verdict.NEW, "<b>")


@pytest.fixture(scope="module")
def measured(history: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The sample history and a run of a case whose name is meant to break things."""
    path = tmp_path_factory.mktemp("measured") / "perfsuite.db"
    path.write_bytes(Path(history).read_bytes())
    with open_store(str(path)) as store:
        run = replace(sample_run("hostile", 20, NEW_DRIVER), pattern="-k hostile")
        store.start_run(run)
        store.save_result(run.id, result(HOSTILE, 1500.0, 1))
    return str(path)


def words(svg: str) -> str:
    return "".join(ElementTree.fromstring(svg).itertext())


def test_a_badge_tells_the_newest_level_and_what_stands_against_it(measured: str) -> None:
    found = badge.badge(measured, PREFILL, REPOSITORY, NEW_DRIVER.fingerprint)
    assert found.status == 200
    assert "prefill[qwen3.5-35b-a3b,m=1696,g=128]" in words(found.svg)
    assert "ms" in words(found.svg)


def test_a_badge_looks_where_the_case_is(measured: str) -> None:
    assert badge.badge(measured, IMPORTED, None, None).status == 200


@pytest.mark.parametrize(
    ("case", "machine"), [("no/such[<b>]", None), (PREFILL, "0" * 16), ("", None), (HOSTILE * 90, None)]
)
def test_an_unknown_case_is_a_badge_too(measured: str, case: str, machine: str | None) -> None:
    found = badge.badge(measured, case, None, machine)
    assert found.status == 404
    assert "unknown case" in words(found.svg)


def test_names_are_words_in_a_badge(measured: str) -> None:
    found = badge.badge(measured, HOSTILE, None, None)
    assert found.status == 200
    assert '"<script>& \\核\U0001f525[n=1]' in words(found.svg)
    assert not list(ElementTree.fromstring(found.svg).iter("{http://www.w3.org/2000/svg}script"))


def test_a_store_that_is_not_there_is_a_badge_too(tmp_path: Path) -> None:
    assert badge.badge(str(tmp_path / "none.db"), PREFILL, None, None).status == 503


def test_what_people_settled_is_no_verdict(history: str) -> None:
    with open_store(history) as store:
        alert = replace(store.reader.alerts(case=DECODE)[0], kind="slower", change=0.05)
    assert badge.told(Status.OK, 2000.0, alert) == ("2.000 µs ▲ regressed +5.00 %", Verdict.REGRESSED)
    assert badge.told(Status.OK, 2000.0, None) == ("2.000 µs", Verdict.UNCHANGED)
    assert badge.told(Status.INCORRECT, None, alert) == ("✕ incorrect", Verdict.INCORRECT)
    assert badge.told(Status.FAILED, None, None)[1] is Verdict.FAILED
    assert AlertState.NOISE not in badge._STANDING


def samples(text: bytes) -> dict[str, dict[tuple[str, ...], float]]:
    """Metric → values of its labels in the order of their names → value."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[
                tuple(sample.labels[name] for name in sorted(sample.labels))
            ] = sample.value
    return found


def test_metrics_tell_the_newest_of_each_case(measured: str) -> None:
    found = samples(metrics.exposition(measured))
    assert found["perfsuite_store_up"][()] == 1
    key = (NEW_DRIVER.fingerprint, REPOSITORY)
    times = found["perfsuite_case_median_seconds"]
    assert times[(PREFILL, *key)] == pytest.approx(1.2e-3, rel=0.1)
    # The newest run has one case only; the others are those of the run before.
    assert times[('x/"<script>& \\核\U0001f525[n=1]', *key)] == pytest.approx(1.5e-6, rel=0.01)
    assert found["perfsuite_case_error_rms"][(PREFILL, *key)] == 0.004
    runs = found["perfsuite_last_run_timestamp_seconds"]
    assert runs[(NEW_DRIVER.fingerprint, NEW_DRIVER.label, REPOSITORY)] > 1.7e9
    assert (GPU.fingerprint, GPU.label, REPOSITORY) in runs
    assert sum(found["perfsuite_open_alerts"].values()) > 0


def test_metrics_are_bounded(measured: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(metrics, "MOST_CASES", 2)
    copy = tmp_path / "copy.db"
    copy.write_bytes(Path(measured).read_bytes())
    assert len(samples(metrics.exposition(str(copy)))["perfsuite_case_ok"]) == 2


def test_a_store_that_cannot_be_read_is_a_metric(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no database, " * 100, encoding="utf-8")
    assert samples(metrics.exposition(str(tmp_path / "notes.txt"))) == {"perfsuite_store_up": {(): 0.0}}


def test_the_demo_is_a_store_that_ends(history: str, tmp_path: Path) -> None:
    with open_store(history) as store:
        reader = store.reader
        document = export_document(reader, reader.runs(limit=2))
        alerts = [encode(alert) for alert in reader.alerts()]
    (tmp_path / "runs.json.gz").write_bytes(gzip.compress(json.dumps(document).encode()))
    (tmp_path / "alerts.json").write_text(json.dumps(alerts), encoding="utf-8")
    with demonstration(tmp_path) as path, open_store(path) as store:
        assert len(store.reader.runs()) == 2
        assert len(store.reader.alerts()) == len(alerts)
    assert not Path(path).exists()


def test_a_demo_without_data_says_so(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="no measurements"), demonstration(tmp_path):
        pass
