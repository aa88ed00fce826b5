"""Measures tiles on the GPU at hand and writes the table that `kernels.tuning` looks up.

`python -m kernels.tuning` and `python -m kernels.sweep` are the same command.

Each GEMM is timed alone with every tile, then the whole op with the best tiles of each path and block size:
CUDA graphs over several sets of weights and tokens, since one set would stay in the cache.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import triton
from triton.runtime.jit import JITFunction

from kernels import moe_w4a8 as op
from kernels import ring
from kernels.checks import count, seconds
from kernels.decode import DecodeTile, decode_down, decode_gate_up
from kernels.inputs import moe_tokens, moe_weights
from kernels.quantize import TILE, padded_k, silu_mul, silu_mul_quantize
from kernels.ring import RingTile
from kernels.routing import align_experts, route_and_quantize
from kernels.shapes import QWEN35_35B, SHAPES, Shape
from kernels.target import Target, target_of
from kernels.tuning import (
    FOLDER,
    RING_BLOCK_MS,
    RINGS,
    AnyTile,
    Plan,
    Problem,
    Table,
    Tile,
    dump_table,
    load_table,
)

TOKENS = (1, 2, 4, 8, 16, 32, 64, 128, 512, 1696, 4096)
MODES = (
    (128, 128, "hoisted"),
    (32, 32, "hoisted"),
    (128, 128, "in_loop"),
    (32, 32, "in_loop"),
    (32, 128, "hoisted"),
    (32, 128, "in_loop"),
)
"""Group, activation tile, variant."""
MODES_HELP = "numerics: " + "; ".join(
    f"{number} = group {group}, activation tile {tile}, {variant.replace('_', ' ')}"
    for number, (group, tile, variant) in enumerate(MODES)
)
MOST_SLOTS = 160
"""Beyond this many slots experts have tokens to share, and reading them for each is slower."""
TIE = 1.01
"""About what the same plan differs by from one sweep to the next."""
SETS = 4
REPLAYS = 7
LEAST_GRAPH_MS = 1.0

Sets = Sequence[dict[str, Any]]
Row = tuple[Problem, Plan]
Blocking = tuple[str, int]
"""Path and block size."""


@dataclass(frozen=True, slots=True)
class Work:
    """One row of the table: a shape, a number of tokens and the numerics."""

    shape: Shape
    m: int
    group: int
    act_tile: int
    variant: str

    @property
    def problem(self) -> Problem:
        s = self.shape
        return Problem(self.m, s.hidden, s.inter, s.experts, s.top_k, self.group, self.act_tile, self.variant)

    def inputs(self, sets: int) -> Sets:
        options = {"act_tile": self.act_tile, "variant": self.variant}
        return [
            {**moe_weights(self.shape, self.group, seed), **moe_tokens(self.shape, self.m, seed), **options}
            for seed in range(sets)
        ]


def blockings(work: Work, target: Target) -> list[Blocking]:
    """Paths and block sizes worth a try."""
    held = work.problem.tokens_per_expert
    sizes = [size for size in (16, 32, 64, 128) if min(held, 256) / 4 <= size <= max(16, 2.5 * held)]
    few = [("slots", 1)] * (work.m * work.shape.top_k <= MOST_SLOTS)
    if work.variant == "in_loop":
        return [("blocks", size) for size in sizes]
    if ring.supported(target):
        rings = [(path, size) for path in RINGS for size in sizes if size in RING_BLOCK_MS]
        return few + rings * (work.m > 2)
    return few + [("blocks", size) for size in sizes] * (work.m > 2)


def tiles(work: Work, blocking: Blocking, gemm: str) -> list[AnyTile]:
    """Tiles worth a try."""
    path, block_m = blocking
    if path == "ring_bf16":
        return [RingTile(8)]
    if path == "ring":
        crowded = block_m == 64 and min(work.group, work.act_tile) < TILE
        return [RingTile(8, 2)] if crowded else [RingTile(8, 4), RingTile(8, 2)]
    return [*(decode_tiles(work, gemm) if path == "slots" else block_tiles(block_m))]


def decode_tiles(work: Work, gemm: str) -> Iterator[DecodeTile]:
    """32 to 64 words of weights in flight for each thread."""
    s = work.shape
    # The second product goes over all experts of a token.
    k = s.hidden if gemm == "gemm1" else s.inter * s.top_k
    for rows in (8, 16, 32):
        for held in (4, 8, 16, 32):
            for warps in (2, 4, 8):
                # Of gate and up there are twice as many rows.
                words = rows * held * 16 // (32 * warps) * (2 if gemm == "gemm1" else 1)
                if 32 <= words <= 64 and held <= 2 * -(-k // TILE):
                    yield DecodeTile(rows, held, warps)


def block_tiles(block_m: int) -> Iterator[Tile]:
    """Accumulators of at most 64 registers a thread."""
    for block_n in (64, 128, 256):
        for warps in (4, 8):
            fits = 16 <= block_n * block_m // (32 * warps) <= 64 or (block_m == 16 and block_n <= 128)
            # WGMMA takes 64 rows for each 4 warps.
            if fits and block_n >= 16 * warps:
                yield from (Tile(block_n, warps, stages) for stages in ((4, 6) if block_m == 16 else (3, 4)))


def plans(work: Work, target: Target) -> Iterator[Plan]:
    """All tiles of all blockings, each in some plan."""
    for blocking in blockings(work, target):
        first, second = (tiles(work, blocking, gemm) for gemm in ("gemm1", "gemm2"))
        for number in range(max(len(first), len(second))):
            yield Plan(*blocking, first[number % len(first)], second[number % len(second)])


def compile_all(works: Sequence[Work], target: Target, processes: int) -> None:
    """Fill Triton's cache, several processes at a time: compiling is most of a sweep's time."""
    jobs = [(work, plan) for work in works for plan in plans(work, target)]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        list(pool.imap_unordered(_compile, jobs, chunksize=4))


def _compile(job: tuple[Work, Plan]) -> None:
    work, plan = job
    with _watched_launches(compile_only=True), torch.device("meta"):
        try:
            op.moe_w4a8(**work.inputs(1)[0], plan=plan)
        except triton.runtime.errors.OutOfResources:
            return


def _spills(call: Callable[[], object]) -> bool:
    """Whether a kernel that `call` launches keeps registers in memory."""
    with _watched_launches(compile_only=False) as kernels:
        call()
    return any(kernel.n_spills for kernel in kernels)


@contextmanager
def _watched_launches(*, compile_only: bool) -> Iterator[list[Any]]:
    """The compiled kernels of all launches; `compile_only`: nothing runs."""
    original, kernels = JITFunction.run, list[Any]()

    def run(self: Any, *args: Any, grid: Any, warmup: bool, **options: Any) -> Any:
        kernels.append(original(self, *args, grid=grid, warmup=warmup or compile_only, **options))
        return kernels[-1]

    JITFunction.run = run
    try:
        yield kernels
    finally:
        JITFunction.run = original


def time_ms(calls: Iterable[Callable[[], object]]) -> float:
    """Median device time of one call, from replays of a graph that goes round the calls."""
    calls = list(calls)
    for call in calls:
        call()
    once_ms = _replay_ms(calls, 1) / len(calls)
    rounds = max(1, int(LEAST_GRAPH_MS / (once_ms * len(calls))))
    return _replay_ms(calls, rounds) / (len(calls) * rounds)


def _replay_ms(calls: Sequence[Callable[[], object]], rounds: int) -> float:
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kept = [call() for _ in range(rounds) for call in calls]
    graph.replay()
    samples = []
    for _ in range(REPLAYS):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        samples.append(float(start.elapsed_time(end)))
    del kept
    return statistics.median(samples)


def best_plan(work: Work, target: Target, note: Callable[[str], None]) -> tuple[Plan, float]:
    """The fastest plan and its time for the whole op; within `TIE` of "slots" one that sorts is taken.

    Neighbours get this plan, too: where experts are hit more often, "slots" reads them more often.
    """
    inputs = work.inputs(SETS if work.m > 64 else 4 * SETS)
    found = []
    for blocking in blockings(work, target):
        for plan in _candidates(work, inputs, blocking, note):
            found.append((time_ms([_call(one, plan) for one in inputs]), plan))
            note(f"  {plan}: {found[-1][0] * 1e3:.1f} µs")
    return fastest(found)


def fastest(found: Sequence[tuple[float, Plan]]) -> tuple[Plan, float]:
    """Of times and plans, as `best_plan` chooses."""
    best_ms, plan = min(found, key=lambda pair: pair[0])
    others = [pair for pair in found if pair[1].path != "slots" and pair[0] <= TIE * best_ms]
    if plan.path == "slots" and others:
        best_ms, plan = min(others, key=lambda pair: pair[0])
    return plan, best_ms


def _candidates(work: Work, inputs: Sets, blocking: Blocking, note: Callable[[str], None]) -> list[Plan]:
    """All tiles of a ring, which are few; else the best of each GEMM."""
    if blocking[0] in RINGS:
        both = itertools.product(tiles(work, blocking, "gemm1"), tiles(work, blocking, "gemm2"))
        return [Plan(*blocking, up, down) for up, down in both]
    first = _best_tile(work, inputs, blocking, "gemm1", note)
    return [Plan(*blocking, first, _best_tile(work, inputs, blocking, "gemm2", note, first))]


def _call(inputs: dict[str, Any], plan: Plan) -> Callable[[], object]:
    return lambda: op.moe_w4a8(**inputs, plan=plan)


def _best_tile(
    work: Work,
    inputs: Sets,
    blocking: Blocking,
    gemm: str,
    note: Callable[[str], None],
    first: AnyTile | None = None,
) -> AnyTile:
    choices = tiles(work, blocking, gemm)
    if len(choices) == 1:
        return choices[0]
    timed = {}
    for tile in choices:
        try:
            calls = [_gemm_call(one, Plan(*blocking, first or tile, tile), gemm) for one in inputs]
            # A tile that spills may win by luck; another compiler version would spill more.
            if not _spills(calls[0]):
                timed[tile] = time_ms(calls)
        except triton.runtime.errors.OutOfResources:
            continue
    note(f"    {gemm} {blocking} " + " ".join(f"{tile}:{ms * 1e3:.1f}" for tile, ms in timed.items()))
    return min(timed, key=lambda tile: timed[tile])


def _gemm_call(inputs: dict[str, Any], plan: Plan, gemm: str) -> Callable[[], object]:
    """One GEMM alone, on what the op would give it; for a ring there is the whole op."""
    x, ids, act_tile = inputs["x"], inputs["topk_ids"], inputs["act_tile"]
    w1, w2 = inputs["w1"], inputs["w2"]
    # The plan's path says which kind of tile they are.
    up: Any = plan.gemm1
    down: Any = plan.gemm2
    first: Callable[[], torch.Tensor]
    if plan.path == "slots":
        first = partial(decode_gate_up, x, w1, ids, act_tile=act_tile, tile=up)
        if gemm == "gemm1":
            return first
        weights, out = inputs["topk_weights"], torch.empty_like(x)
        return partial(decode_down, first(), w2, weights, ids, out, tile=down)
    if inputs["variant"] == "in_loop":
        routing = align_experts(ids, w1.shape[0], plan.block_m)
        first = partial(op.grouped_gemm, x, None, w1, routing, act_tile, up, top_k=ids.shape[1])
        if gemm == "gemm1":
            return first
        act = silu_mul(first(), counts=routing.count)
        return partial(op.grouped_gemm, act, None, w2, routing, act_tile, down)
    routing, codes, scales = route_and_quantize(
        x, ids, w1.shape[0], plan.block_m, act_tile, padded_k(x.shape[1])
    )
    first = partial(op.grouped_gemm, codes, scales, w1, routing, act_tile, up)
    if gemm == "gemm1":
        return first
    codes, scales = silu_mul_quantize(first(), act_tile, padded_k(w2.shape[2]), counts=routing.count)
    return partial(op.grouped_gemm, codes, scales, w2, routing, act_tile, down)


def sweep(works: Sequence[Work], target: Target, note: Callable[[str], None], deadline: float) -> list[Row]:
    rows = []
    for work in works:
        if time.monotonic() > deadline:
            note(f"out of time before {work}")
            break
        plan, ms = best_plan(work, target, note)
        note(
            f"{work.shape.name} m={work.m} g={work.group} t={work.act_tile} {work.variant}: {ms * 1e3:.1f} µs"
        )
        rows.append((work.problem, plan))
    return rows


def merged(
    old: Sequence[tuple[Problem, Plan]], new: Sequence[tuple[Problem, Plan]]
) -> list[tuple[Problem, Plan]]:
    """New rows replace old ones of the same problem; the rest stays."""
    rows = dict(old) | dict(new)
    return sorted(rows.items(), key=lambda row: [str(value).rjust(9) for value in _order(row[0])])


def _order(problem: Problem) -> tuple[object, ...]:
    p = problem
    return p.hidden, p.inter, p.experts, p.variant, p.group, p.act_tile, p.m


def main(arguments: Sequence[str] | None = None) -> None:
    """Sweep and write the table of this GPU."""
    parser = argparse.ArgumentParser(prog="python -m kernels.tuning", description=__doc__)
    parser.add_argument(
        "--shapes",
        nargs="+",
        choices=sorted(SHAPES),
        default=[QWEN35_35B.name],
        help=f"default: {QWEN35_35B.name}",
    )
    several = " ".join(map(str, TOKENS))
    parser.add_argument("--tokens", nargs="+", type=count, default=TOKENS, help=f"default: {several}")
    parser.add_argument(
        "--modes", nargs="+", type=int, choices=range(len(MODES)), default=range(len(MODES)), help=MODES_HELP
    )
    parser.add_argument("--out", type=Path, help="default: kernels/tuned/<GPU>.json")
    parser.add_argument(
        "--seconds", type=seconds, default=1800, help="start no further row after this; default: %(default)s"
    )
    parser.add_argument("--processes", type=count, default=8, help="that compile")
    options = parser.parse_args(arguments)
    if options.out is not None and options.out.is_dir():
        parser.error(f"argument --out: {options.out} is a folder; name a file")
    if not torch.cuda.is_available():
        parser.exit(3, "there is no GPU here: tiles are measured on the GPU that they are for\n")
    deadline = time.monotonic() + options.seconds
    name, capability = torch.cuda.get_device_name(), torch.cuda.get_device_capability()
    path = options.out or FOLDER / f"{name.replace(' ', '_')}.json"
    chosen = [(SHAPES[shape], *MODES[mode]) for mode in options.modes for shape in options.shapes]
    works = [Work(s, m, group, tile, variant) for s, group, tile, variant in chosen for m in options.tokens]
    works = [work for work in works if work.group in work.shape.groups]
    if not works:
        parser.error("none of these shapes has a group of these modes")
    try:
        old = load_table(path).rows if path.exists() else ()
    except ValueError as error:
        parser.error(
            f"{path} cannot be read and would be lost; move it away, or name another --out ({error})"
        )
    target = target_of(torch.device("cuda"))
    compile_all(works, target, options.processes)
    print(f"compiled; {deadline - time.monotonic():.0f} s left", flush=True)
    with torch.device("cuda"):
        rows = sweep(works, target, lambda text: print(text, flush=True), deadline)
    if not rows:
        parser.exit(3, "nothing was measured: the time was too short\n")
    arch = f"{capability[0]}{capability[1]}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dump_table(Table(name, arch, tuple(merged(old, rows)))))
    print(f"wrote {path}", flush=True)


if __name__ == "__main__":
    main()
