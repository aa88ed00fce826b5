"""The picture of a report is well-formed SVG that holds the report's words."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from perfsuite.report.picture import svg


def test_words_and_colours_are_in_the_picture() -> None:
    picture = svg("\x1b[31mregressed\x1b[0m <case> & more", "perfsuite compare")
    root = ElementTree.fromstring(picture)
    words = "".join(root.itertext()).replace("\xa0", " ")
    assert "regressed <case> & more" in words
    assert "perfsuite compare" in words
    assert "url(http" not in picture


def test_long_reports_are_folded_with_a_count() -> None:
    root = ElementTree.fromstring(svg("\n".join(f"line {n}" for n in range(50)), "t", lines=10))
    words = "".join(root.itertext()).replace("\xa0", " ")
    assert "line 9" in words
    assert "line 10" not in words
    assert "40 more lines" in words
