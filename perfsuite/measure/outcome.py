"""Putting a `Result` together from what the steps of a case said. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from perfsuite.measure.ahead import Compiled
from perfsuite.measure.player import BlockInfo, Gate
from perfsuite.measure.process import CollectedCase, Ended
from perfsuite.measure.roofline import roofline_ns
from perfsuite.model import REUSED, Block, Environment, Launches, Result, Round, Scalar, Status, Timer
from perfsuite.static.loop import is_listing
from perfsuite.summary import summarize

OTHER_KERNELS = (
    "the device ran {seen}, compiled ahead were {ahead}: "
    "what is launched depends on more than the architecture"
)
SHOWN_KERNELS = 4
DOES_NOT_COMPILE = "does not compile for {target}: {message}"


def empty(case: CollectedCase, device: str, status: Status, message: str = "") -> Result:
    """A result without a measurement."""
    return Result(case.id, case.version, case.family, case.params, device, status, message=message)


def from_facts(case: CollectedCase, device: str, facts: Mapping[str, Any]) -> Result:
    """What the benchmark said of itself."""
    extra: dict[str, Scalar] = {"precision": facts.get("precision")}
    return replace(
        empty(case, device, Status.OK),
        tolerance=facts.get("tolerance"),
        bytes=facts.get("bytes"),
        operations=facts.get("operations"),
        extra=extra,
    )


def with_launches(result: Result, compiled: Compiled, seen: Launches | None = None) -> Result:
    """Machine code as compiled ahead, on both sides alike.

    Where that failed, or the device was seen to launch other kernels, it is what was seen: in the latter case
    marked as nothing that proves anything.
    """
    if compiled.launches is not None:
        extra = {**result.extra, **_known(compile_s=compiled.compile_s)}
        return replace(result, launches=_sound(_checked(compiled.launches, seen)), extra=extra)
    extra = {**result.extra, "compile_message": compiled.message}
    return replace(result, launches=_sound(seen or Launches(opaque=(compiled.message,))), extra=extra)


def agrees(result: Result, compiled: Compiled) -> bool:
    """Whether nothing was seen to contradict what was compiled ahead; where nothing ran, nothing was."""
    ran = result.launches.order
    return not ran or compiled.launches is None or ran == compiled.launches.order


def _checked(ahead: Launches, seen: Launches | None) -> Launches:
    """`ahead`, unless the device launched other kernels.

    Only their names count: of an autotuned kernel another choice runs, and torch's own operators are others
    on meta tensors.
    """
    if seen is None or not _names(seen) or _names(seen) == _names(ahead):
        return ahead
    shown = [", ".join(list(dict.fromkeys(_names(x)))[:SHOWN_KERNELS]) or "none" for x in (seen, ahead)]
    return replace(seen, opaque=(*seen.opaque, OTHER_KERNELS.format(seen=shown[0], ahead=shown[1])))


def _names(launches: Launches) -> list[str]:
    """Of the compiled kernels, one for each launch."""
    heads = [entry.partition("(")[0] for entry in launches.order]
    return [head.partition("#")[0] for head in heads if "#" in head]


def _sound(launches: Launches) -> Launches:
    """Without listings that are none: the code under test could write there too."""
    kernels = (k if is_listing(k.listing) else replace(k, listing="") for k in launches.kernels)
    return replace(launches, kernels=tuple(kernels))


def with_gate(result: Result, gate: Gate) -> Result:
    return replace(
        result,
        status=Status.OK if gate.passed else Status.INCORRECT,
        message=gate.message,
        error_rms=gate.error_rms,
        error_max=gate.error_max,
        error_parts=gate.error_parts,
        output_hash=gate.output_hash,
    )


def with_blocks(
    result: Result, blocks: tuple[Block, ...], info: BlockInfo, environment: Environment
) -> Result:
    """Add the blocks of a pair to those of the pairs before."""
    known = tuple(b for b in result.blocks if b.pair not in {block.pair for block in blocks})
    result = replace(result, blocks=known + blocks, timer=info.timer, extra=_with_facts(result.extra, info))
    if info.timer not in (Timer.GRAPH, Timer.EVENTS):
        return result
    bound = roofline_ns(environment.gpu, result.bytes, result.operations, str(result.extra.get("precision")))
    fraction = bound / summarize(result.samples_ns).median_ns if bound else None
    return replace(result, roofline_fraction=fraction)


def with_blocks_of(result: Result, timed: Result, comparison: str) -> Result:
    """Take over what an earlier comparison timed of the same machine code, instead of timing it."""
    facts = _known(**{name: timed.extra.get(name) for name in ("host_ns", "peak_bytes")})
    return replace(
        result,
        blocks=timed.blocks,
        timer=timed.timer,
        roofline_fraction=timed.roofline_fraction,
        extra={**result.extra, **facts, REUSED: comparison},
    )


def _with_facts(extra: Mapping[str, Scalar], info: BlockInfo) -> dict[str, Scalar]:
    """What a pair says of a call beside its time. Of the host's times the shortest is the least disturbed."""
    before = extra.get("host_ns")
    host_ns = info.host_ns
    if host_ns is not None and isinstance(before, int | float):
        host_ns = min(host_ns, before)
    return {**extra, **_known(host_ns=host_ns, peak_bytes=info.peak_bytes)}


def _known(**facts: Scalar) -> dict[str, Scalar]:
    return {name: value for name, value in facts.items() if value is not None}


def of_plain(case: CollectedCase, ended: Ended, pair: int, block: int) -> Result:
    """A benchmark that timed itself with pytest-benchmark's own fixture, or that never came to measuring."""
    status = {"passed": Status.OK, "skipped": Status.SKIPPED}.get(ended.outcome, Status.FAILED)
    result = empty(case, "cpu", status, ended.message)
    if status is not Status.OK:
        return result
    if not ended.samples_ns:
        message = "the test passed without measuring anything: call its benchmark fixture"
        return replace(result, status=Status.FAILED, message=message)
    rounds = tuple(Round(sample, order, order) for order, sample in enumerate(ended.samples_ns))
    return replace(result, timer=Timer.WALL, blocks=(Block(pair, block, 1, ended.iterations, rounds),))
