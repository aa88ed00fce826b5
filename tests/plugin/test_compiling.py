"""What compiling a case takes, where Triton really compiles it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from perfsuite.plugin.ahead import CompileClock, listening


def test_only_a_case_whose_every_kernel_was_compiled_has_a_time() -> None:
    times = SimpleNamespace(total=1_500_000)
    clock = CompileClock()
    assert clock.of(1) is None
    clock(times=times, cache_hit=False, src=None)
    clock(times=times, cache_hit=False, src=None)
    assert clock.of(2) == pytest.approx(3.0)
    assert clock.of(3) is None, "a kernel was compiled before, in this process"
    assert clock.of(0) is None
    clock(times=times, cache_hit=True, src=None)
    assert clock.of(2) is None


def test_a_listener_that_is_there_hears_it_too() -> None:
    from triton import knobs

    heard: list[bool] = []
    before = knobs.compilation.listener
    knobs.compilation.listener = lambda *, cache_hit, **_: heard.append(cache_hit)
    try:
        with listening() as clock:
            knobs.compilation.listener(times=SimpleNamespace(total=1), cache_hit=False, src=None)
        assert clock.kernels == 1
        assert heard == [False]
        assert knobs.compilation.listener is not clock
    finally:
        knobs.compilation.listener = before
