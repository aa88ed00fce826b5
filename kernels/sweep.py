"""Measures tiles on the GPU at hand and writes the table that `tuning` looks up: `python -m kernels.tuning`.

Each GEMM is timed alone with every tile, then the whole op with the best tiles of each block size: CUDA
graphs over several sets of weights and tokens, since one set would stay in the cache.
"""

from __future__ import annotations

import argparse
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
from kernels.routing import align_experts
from kernels.shapes import QWEN35_35B, SHAPES, Shape
from kernels.suite.problems import moe_tokens, moe_weights
from kernels.target import target_of
from kernels.tuning import FOLDER, Plan, Problem, Table, Tile, dump_table, load_table

TOKENS = (1, 2, 4, 8, 16, 32, 64, 128, 512, 1696, 4096)
MODES = ((128, 128, "hoisted"), (32, 32, "hoisted"), (128, 128, "in_loop"), (32, 32, "in_loop"))
"""Group, activation tile, variant."""
SETS = 4
REPLAYS = 7
LEAST_GRAPH_MS = 1.0

Inputs = Sequence[dict[str, Any]]
Row = tuple[Problem, Plan]


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

    def inputs(self, sets: int) -> Inputs:
        options = {"act_tile": self.act_tile, "variant": self.variant}
        return [
            {**moe_weights(self.shape, self.group, seed), **moe_tokens(self.shape, self.m, seed), **options}
            for seed in range(sets)
        ]


def blocks(work: Work) -> list[tuple[bool, int]]:
    """Sorted or not, and block sizes worth a try."""
    held = work.problem.tokens_per_expert
    sizes = [size for size in (16, 32, 64, 128) if held / 4 <= size <= max(16, 2.5 * held)]
    few = work.m * work.shape.top_k <= 128
    return [(False, 16)] * few + [(True, size) for size in sizes] * (work.m > 2)


def tiles(work: Work, block_m: int) -> list[Tile]:
    """Tiles worth a try: accumulators of at most 64 registers a thread."""
    found = []
    for block_n in (64, 128, 256):
        for warps in (4, 8):
            fits = 16 <= block_n * block_m // (32 * warps) <= 64 or (block_m == 16 and block_n <= 128)
            # WGMMA takes 64 rows for each 4 warps.
            if fits and block_n >= 16 * warps:
                found += [Tile(block_n, warps, stages) for stages in ((4, 6) if block_m == 16 else (3, 4))]
    return found


def plans(work: Work) -> Iterator[Plan]:
    for sort, block_m in blocks(work):
        for tile in tiles(work, block_m):
            yield Plan(sort, block_m, tile, tile)


def compile_all(works: Sequence[Work], processes: int) -> None:
    """Fill Triton's cache, several processes at a time: compiling is most of a sweep's time."""
    jobs = [(work, plan) for work in works for plan in plans(work)]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        list(pool.imap_unordered(_compile, jobs, chunksize=4))


def _compile(job: tuple[Work, Plan]) -> None:
    work, plan = job
    with _watched_launches(compile_only=True), torch.device("meta"):
        op.moe_w4a8(**work.inputs(1)[0], plan=plan)


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


def best_plan(work: Work, note: Callable[[str], None]) -> tuple[Plan, float]:
    """The fastest plan and its time for the whole op."""
    inputs = work.inputs(SETS if work.m > 64 else 4 * SETS)
    found = []
    for sort, block_m in blocks(work):
        chosen = {name: _best_tile(work, inputs, sort, block_m, name, note) for name in ("gemm1", "gemm2")}
        plan = Plan(sort, block_m, chosen["gemm1"], chosen["gemm2"])
        found.append((time_ms([_call(one, plan) for one in inputs]), plan))
        note(f"  {plan}: {found[-1][0] * 1e3:.1f} µs")
    best_ms, plan = min(found, key=lambda pair: pair[0])
    return plan, best_ms


def _call(inputs: dict[str, Any], plan: Plan) -> Callable[[], object]:
    return lambda: op.moe_w4a8(**inputs, plan=plan)


def _best_tile(
    work: Work, inputs: Inputs, sort: bool, block_m: int, name: str, note: Callable[[str], None]
) -> Tile:
    timed = {}
    for tile in tiles(work, block_m):
        plan = Plan(sort, block_m, tile, tile)
        try:
            calls = [_gemm_call(work, one, plan, name) for one in inputs]
            # A tile that spills may win by luck; another compiler version would spill more.
            if not _spills(calls[0]):
                timed[tile] = time_ms(calls)
        except triton.runtime.errors.OutOfResources:
            continue
    best = min(timed, key=lambda tile: timed[tile])
    times = " ".join(f"{t.block_n}/{t.warps}/{t.stages}:{ms * 1e3:.1f}" for t, ms in timed.items())
    note(f"    {name} sorted={sort} block_m={block_m} {times}")
    return best


def _gemm_call(work: Work, inputs: dict[str, Any], plan: Plan, name: str) -> Callable[[], object]:
    """One GEMM alone, on what the op would give it."""
    x, ids = inputs["x"], inputs["topk_ids"]
    routing = align_experts(ids, work.shape.experts, plan.block_m) if plan.sorted else None
    job = op._Job(target_of(x.device), plan, ids, work.act_tile, work.variant, work.shape.experts, routing)
    gemm1 = partial(op._grouped_gemm, job, "gemm1", op._tokens(job, x, inputs["w1"]), inputs["w1"])
    if name == "gemm1":
        return gemm1
    acts = op._activated(job, gemm1(), inputs["w2"])
    return partial(op._grouped_gemm, job, name, acts, inputs["w2"])


def sweep(works: Sequence[Work], note: Callable[[str], None], deadline: float) -> list[Row]:
    rows = []
    for work in works:
        if time.monotonic() > deadline:
            note(f"out of time before {work}")
            break
        plan, ms = best_plan(work, note)
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
    parser.add_argument("--shapes", nargs="+", choices=sorted(SHAPES), default=[QWEN35_35B.name])
    parser.add_argument("--tokens", nargs="+", type=int, default=TOKENS)
    parser.add_argument("--modes", nargs="+", type=int, choices=range(len(MODES)), default=range(len(MODES)))
    parser.add_argument("--out", type=Path, help="default: kernels/tuned/<GPU>.json")
    parser.add_argument("--seconds", type=float, default=1800, help="start no further row after this")
    parser.add_argument("--processes", type=int, default=8, help="that compile")
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        parser.exit(3, "there is no GPU here: tiles are measured on the GPU that they are for\n")
    deadline = time.monotonic() + options.seconds
    name, capability = torch.cuda.get_device_name(), torch.cuda.get_device_capability()
    path = options.out or FOLDER / f"{name.replace(' ', '_')}.json"
    chosen = [(SHAPES[shape], *MODES[mode]) for mode in options.modes for shape in options.shapes]
    works = [Work(s, m, group, tile, variant) for s, group, tile, variant in chosen for m in options.tokens]
    works = [work for work in works if work.group in work.shape.groups]
    compile_all(works, options.processes)
    print(f"compiled; {deadline - time.monotonic():.0f} s left", flush=True)
    with torch.device("cuda"):
        rows = sweep(works, lambda text: print(text, flush=True), deadline)
    old = load_table(path).rows if path.exists() else ()
    arch = f"{capability[0]}{capability[1]}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dump_table(Table(name, arch, tuple(merged(old, rows)))))
    print(f"wrote {path}", flush=True)
