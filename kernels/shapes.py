"""Model shapes and token counts of the suite. Adding a model is one line here.

Source: the models' published configurations; token counts follow pytorch/executorch pull request 19209.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """The MoE layer of a model.

    Attributes:
        name: stable, part of case ids.
        hidden: width of the residual stream (K of the first GEMM, N of the second).
        inter: width of one expert (w1 has twice as many rows: gate, then up).
        experts: experts of the layer.
        top_k: experts that each token visits.
        groups: INT4 group sizes that the widths allow.
        layers: MoE layers of the model.
    """

    name: str
    hidden: int
    inter: int
    experts: int
    top_k: int
    groups: tuple[int, ...] = (32, 128)
    layers: int = 1

    @property
    def weights(self) -> int:
        """Weights of all experts of one layer."""
        return self.experts * 3 * self.inter * self.hidden

    def bytes(self, group: int) -> int:
        """Of one layer in INT4, scales included."""
        return self.weights // 2 + self.weights // group * 2


QWEN35_35B = Shape("qwen3.5-35b-a3b", 2048, 512, 256, 8, layers=40)
QWEN3_30B = Shape("qwen3-30b-a3b", 2048, 768, 128, 8, layers=48)
MIXTRAL_8X7B = Shape("mixtral-8x7b", 4096, 14336, 8, 2, layers=32)
DEEPSEEK_V3 = Shape("deepseek-v3", 7168, 2048, 256, 8, layers=58)
"""61 layers, the first three dense."""
GPT_OSS_120B = Shape("gpt-oss-120b", 2880, 2880, 128, 4, groups=(32,), layers=36)
"""2880 is no multiple of 128."""

SHAPES = {shape.name: shape for shape in (QWEN35_35B, QWEN3_30B, MIXTRAL_8X7B, DEEPSEEK_V3, GPT_OSS_120B)}

PREFILL = (128, 512, 1600, 1696, 2048, 4096)
"""Tokens of a prefill."""
DECODE = (1, 2, 4, 8, 16, 32, 64)
"""Tokens of a decode step."""
COMPARED = {
    QWEN35_35B: (1, 8, 64, 512, 1696, 4096),
    QWEN3_30B: (1, 16, 128, 1600, 4096),
    MIXTRAL_8X7B: (1, 16, 128, 1600, 4096),
    DEEPSEEK_V3: (1, 16, 128, 2048),
    GPT_OSS_120B: (1, 16, 128, 2048),
}
"""Tokens at which other implementations were measured too."""
