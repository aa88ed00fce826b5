"""The MoE layers of a model in sequence, each with weights of its own: what an op is worth end to end.

`python -m kernels.stack` prints tokens per second of a prefill and of the decode steps after it, all in one
CUDA graph. Attention and the head are not part of it. Source of the lengths (1600 tokens, then 512):
pytorch/executorch pull request 19209.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from kernels import _stack as device_code
from kernels.checks import count, require_choice, require_shape, require_tensor, require_type
from kernels.inputs import random_routing
from kernels.moe_w4a8 import moe_w4a8
from kernels.quantize import ACT_TILES, PackedWeight, random_weight
from kernels.shapes import QWEN35_35B, SHAPES, Shape
from kernels.target import launch

EPSILON = 1e-6
"""Keeps a row of zeros finite."""
WARPS = 8
"""A decode step has one row: its columns are all there is to spread."""
PROMPT_TOKENS, NEW_TOKENS, RUNS = 1600, 512, 5
MEMORY_SHARE = 0.85
"""Of the free memory, for weights; the rest is for activations and the graph."""

Weights = Sequence[tuple[PackedWeight, PackedWeight]]
"""w1 and w2 of each layer."""
Choices = Sequence[tuple[torch.Tensor, torch.Tensor]]
"""topk_weights and topk_ids of each layer."""


def moe_stack(
    x: torch.Tensor, weights: Weights, routing: Choices, *, act_tile: int = 128, debug: bool = False
) -> torch.Tensor:
    """x + moe(norm(x)) for each layer in turn, normalized at the end: bf16 [tokens, hidden].

    Args:
        x: bf16 [tokens, hidden], contiguous.
        weights: w1 and w2 of each layer, as `moe_w4a8` takes them.
        routing: topk_weights and topk_ids of each layer.
        act_tile: 32 or 128.
        debug: as of `moe_w4a8`.

    Raises:
        TypeError, ValueError: what is wrong, by name.
    """
    require_choice("act_tile", act_tile, ACT_TILES)
    for name, layers in (("weights", weights), ("routing", routing)):
        require_type(name, layers, Sequence, " with a pair for each layer")
    if len(weights) != len(routing):
        raise ValueError(f"weights of {len(weights)} layers and routing of {len(routing)}")
    x, normed = add_rms_norm(x)
    for (w1, w2), (topk_weights, topk_ids) in zip(weights, routing, strict=True):
        y = moe_w4a8(normed, w1, w2, topk_weights, topk_ids, act_tile=act_tile, debug=debug)
        x, normed = add_rms_norm(x, y)
    return normed


def add_rms_norm(x: torch.Tensor, y: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """x + y, and that with the root mean square of each row 1, computed in fp32.

    Args:
        x, y: bf16 [tokens, hidden], contiguous; no y: zero.

    Raises:
        TypeError, ValueError: what is wrong, by name.
    """
    require_tensor("x", x, torch.bfloat16, 2)
    if y is not None:
        require_tensor("y", y, torch.bfloat16, 2, x.device)
        require_shape("y", y.shape, x.shape)
    total, normed = x if y is None else torch.empty_like(x), torch.empty_like(x)
    tokens, hidden = x.shape
    if tokens:
        launch(
            device_code._add_rms_norm,
            (tokens,),
            x.device,
            *(x, x if y is None else y, total, normed),
            HIDDEN=hidden,
            EPSILON=EPSILON,
            ADD=y is not None,
            BLOCK=1 << (hidden - 1).bit_length(),
            num_warps=WARPS,
        )
    return total, normed


@dataclass(frozen=True, slots=True)
class Generation:
    """What is generated.

    Attributes:
        layers: so many of the model's have room.
        prompt, new: tokens of the prefill, and decode steps after it.
    """

    shape: Shape
    group: int
    act_tile: int
    layers: int
    prompt: int = PROMPT_TOKENS
    new: int = NEW_TOKENS


@dataclass(frozen=True, slots=True)
class Inputs:
    """Weights of each layer, the prompt, and the routing of the prefill and of every decode step."""

    x: torch.Tensor
    weights: Weights
    prefill: Choices
    steps: Sequence[Choices]


def layers_that_fit(shape: Shape, group: int, free_bytes: int) -> int:
    """The model's layers, or as many as have room."""
    return min(shape.layers, int(free_bytes * MEMORY_SHARE) // shape.bytes(group))


def draw(generation: Generation) -> Inputs:
    """Random inputs on torch's default device, the same in every process."""
    shape = generation.shape
    torch.manual_seed(0)
    weights = [
        (
            random_weight(shape.experts, 2 * shape.inter, shape.hidden, generation.group, symmetric=True),
            random_weight(shape.experts, shape.hidden, shape.inter, generation.group, symmetric=True),
        )
        for _ in range(generation.layers)
    ]
    x = torch.randn(generation.prompt, shape.hidden).bfloat16()
    prefill = [random_routing(shape, generation.prompt) for _ in range(generation.layers)]
    chances, ids = random_routing(shape, generation.new * generation.layers)
    form = (generation.new, generation.layers, 1, shape.top_k)
    steps = [list(zip(*step, strict=True)) for step in zip(chances.view(form), ids.view(form), strict=True)]
    return Inputs(x, weights, prefill, steps)


def generate(inputs: Inputs, act_tile: int, marks: Sequence[torch.cuda.Event] = ()) -> torch.Tensor:
    """What the last step returns. The prefill's last row is the first step's input, and so on.

    Args:
        marks: recorded before the prefill, after it, and at the end.
    """
    events = iter(marks)
    _record(events)
    token = moe_stack(inputs.x, inputs.weights, inputs.prefill, act_tile=act_tile)[-1:]
    _record(events)
    for routing in inputs.steps:
        token = moe_stack(token, inputs.weights, routing, act_tile=act_tile)
    _record(events)
    return token


def _record(events: Iterator[torch.cuda.Event]) -> None:
    for event in islice(events, 1):
        event.record()


def measure(generation: Generation) -> list[dict[str, float]]:
    """Times of each run in ns, prefill and decode, all of a run one replay of one CUDA graph."""
    with torch.device("cuda"):
        inputs = draw(generation)
    # What is compiled or set up lazily cannot be captured. Two steps: their alignment may differ.
    generate(replace(inputs, steps=inputs.steps[:2]), generation.act_tile)
    # External: the graph records them each time that it is replayed.
    marks = [torch.cuda.Event(enable_timing=True, external=True) for _ in range(3)]
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        token = generate(inputs, generation.act_tile, marks)
    times = []
    for _ in range(RUNS + 1):
        graph.replay()
        torch.cuda.synchronize()
        spans = zip(("prefill_ns", "decode_ns"), marks, marks[1:], strict=False)
        times.append({name: start.elapsed_time(end) * 1e6 for name, start, end in spans})
    if not token.isfinite().all():
        raise RuntimeError("the last token is not finite: something is wrong with a kernel")
    # The first replay warms the caches and the clocks.
    return times[1:]


def report(generation: Generation, times: Sequence[dict[str, float]]) -> dict[str, object]:
    """What was measured, as JSON: tokens per second with median and range over the runs."""
    rates = {}
    for name, tokens in (("prefill", generation.prompt), ("decode", generation.new)):
        found = [tokens / time[f"{name}_ns"] * 1e9 for time in times]
        rates[name] = {"median": statistics.median(found), "least": min(found), "most": max(found)}
    facts = {**asdict(generation), "shape": generation.shape.name, "of_layers": generation.shape.layers}
    return {"schema": 1, **facts, "tokens_per_s": rates, "runs": list(times)}


def describe(document: dict[str, Any]) -> str:
    """The report as people read it."""
    d = document
    few = f" of {d['of_layers']}" if d["layers"] < d["of_layers"] else ""
    few += ": more do not fit" if few and d["layers"] == d["layers_that_fit"] else ""
    lines = [f"{d['shape']} g={d['group']} tile={d['act_tile']} · {d['layers']} layers{few} · {d['gpu']}"]
    for name, tokens in (("prefill", d["prompt"]), ("decode", d["new"])):
        rate = d["tokens_per_s"][name]
        span = f"{rate['least']:.0f} to {rate['most']:.0f} in {len(d['runs'])} runs"
        lines.append(f"{name:8}{tokens:6} tokens  {rate['median']:8.0f} tok/s  ({span})")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure on the GPU at hand and print, with `--out` into a file as well."""
    parser = argparse.ArgumentParser(prog="python -m kernels.stack", description=__doc__)
    parser.add_argument("--shape", choices=sorted(SHAPES), default=QWEN35_35B.name)
    parser.add_argument("--group", type=count, help="default: the largest that the shape allows")
    parser.add_argument("--act-tile", type=int, choices=ACT_TILES, default=max(ACT_TILES))
    parser.add_argument("--layers", type=count, help="default: the model's, or as many as fit")
    parser.add_argument("--out", type=Path, help="JSON")
    options = parser.parse_args(arguments)
    shape = SHAPES[options.shape]
    group = options.group or max(shape.groups)
    if group not in shape.groups:
        allowed = " or ".join(map(str, shape.groups))
        parser.error(f"argument --group: {shape.name} allows {allowed}, not {group}")
    if options.layers is not None and options.layers > shape.layers:
        parser.error(f"argument --layers: {shape.name} has {shape.layers}, not {options.layers}")
    if options.out is not None and (options.out.is_dir() or not options.out.parent.is_dir()):
        parser.error(f"argument --out: {options.out} cannot be written: it is a folder, or in none")
    if not torch.cuda.is_available():
        parser.exit(3, "there is no GPU here: tokens per second are measured on one\n")
    most = layers_that_fit(shape, group, torch.cuda.mem_get_info()[0])
    if not most:
        parser.exit(3, f"no layer of {shape.name} has room: {shape.bytes(group) / 1e9:.1f} GB each\n")
    if options.layers is not None and options.layers > most:
        parser.exit(3, f"{options.layers} layers of {shape.name} do not fit: {most} do\n")
    generation = Generation(shape, group, options.act_tile, options.layers or most)
    facts = {"gpu": torch.cuda.get_device_name(), "layers_that_fit": most}
    document = report(generation, measure(generation)) | facts
    print(describe(document))
    if options.out is not None:
        options.out.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
