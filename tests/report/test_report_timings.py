"""Where the time went, the longest first."""

from perfsuite.report.timings import timings_text


def test_phases_are_sorted_and_have_shares() -> None:
    assert timings_text([("collect", 0.5, 1), ("rounds", 6.0, 480), ("gate", 1.5, 3)]) == (
        "phase        time  share  count      each\n"
        "───────  ────────  ─────  ─────  ────────\n"
        "rounds    6.000 s  75.0%   480×  12.50 ms\n"
        "gate      1.500 s  18.8%     3×  500.0 ms\n"
        "collect  500.0 ms   6.2%     1×  500.0 ms\n"
        "in all    8.000 s\n"
    )


def test_nothing_measured() -> None:
    assert "in all" in timings_text([])
    assert "–" in timings_text([("idle", 0.0, 0)])
