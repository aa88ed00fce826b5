"""Messages over a real socket pair."""

from __future__ import annotations

import socket

import pytest

from perfsuite.measure.link import Link, LinkClosed, LinkTimeout


@pytest.fixture
def ends() -> tuple[Link, socket.socket]:
    ours, theirs = socket.socketpair()
    return Link(ours), theirs


def test_messages_keep_their_borders(ends: tuple[Link, socket.socket]) -> None:
    link, other = ends
    other.sendall(b'{"a": 1}\n{"b": [2, ')
    assert link.receive(1.0) == {"a": 1}
    other.sendall(b"3]}\n")
    assert link.receive(1.0) == {"b": [2, 3]}


def test_round_trip(ends: tuple[Link, socket.socket]) -> None:
    link, other = ends
    Link(other).send(say="value", value="µs\n")
    assert link.receive(1.0) == {"say": "value", "value": "µs\n"}


def test_silence_times_out(ends: tuple[Link, socket.socket]) -> None:
    link, _other = ends
    with pytest.raises(LinkTimeout, match=r"0\.05"):
        link.receive(0.05)


def test_the_other_end_gone(ends: tuple[Link, socket.socket]) -> None:
    link, other = ends
    other.close()
    with pytest.raises(LinkClosed):
        link.receive(1.0)
    with pytest.raises(LinkClosed):
        link.send(x=1)


@pytest.mark.parametrize("line", [b"nonsense\n", b"[1]\n", b"\xff\n"])
def test_rubbish_is_refused(ends: tuple[Link, socket.socket], line: bytes) -> None:
    link, other = ends
    other.sendall(line)
    with pytest.raises(ValueError):
        link.receive(1.0)
