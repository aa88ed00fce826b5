"""The decision rules of other systems, each from its public description, to be scored on the same data.

One file a rule. All are asked the same question (perfsuite.stats.rules): where did the level change, in
either direction. To add one: its file, its line here, its test.
"""

from __future__ import annotations

from perfsuite.stats.baselines import (
    aiter_moe_ci,
    asv_continuous,
    bencher_t,
    codspeed_fixed,
    conbench_z,
    github_action_benchmark,
    intel_triton_mad,
    nvbench_robust,
    otava,
    perfherder,
    pinpoint,
    pytest_benchmark_fail,
    pytorch_hud,
    rustc_perf_iqr,
    sglang_nightly,
    vllm_nightly,
)
from perfsuite.stats.rules import Rule
from perfsuite.stats.scoring_pairs import PairRule

BASELINES: dict[str, Rule] = {
    module.RULE.name: module.RULE
    for module in (
        github_action_benchmark,
        bencher_t,
        asv_continuous,
        conbench_z,
        rustc_perf_iqr,
        otava,
        perfherder,
        codspeed_fixed,
        pytorch_hud,
        pytest_benchmark_fail,
        nvbench_robust,
        pinpoint,
        vllm_nightly,
        sglang_nightly,
        intel_triton_mad,
        aiter_moe_ci,
    )
}
"""Name → rule."""

PAIR_BASELINES: dict[str, PairRule] = {
    module.PAIR_RULE.name: module.PAIR_RULE
    for module in (
        github_action_benchmark,
        bencher_t,
        asv_continuous,
        conbench_z,
        codspeed_fixed,
        pytest_benchmark_fail,
        nvbench_robust,
        pinpoint,
        vllm_nightly,
        sglang_nightly,
        intel_triton_mad,
        aiter_moe_ci,
    )
}
"""Name → rule, of those that can judge two sets of samples."""
