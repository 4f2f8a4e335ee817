"""The knapsack of the study of ops is exact, and its figures are those of networks."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.op_choice import ALONE, REGULAR, knapsack, letters, per_option, ratios, skeleton
from latency_models.target import load_target
from nas.registry import SPACES, load
from nas.space.cost_table import MACS, cost_of

SPACE = skeleton(load("space", SPACES, "mobiledets"))


@given(st.integers(0, 10_000), st.integers(1, 5), st.floats(0.05, 1.2))
def test_the_knapsack_finds_what_trying_all_finds(seed: int, items: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 4, items)
    gains = [rng.integers(1, 20, size).astype(float) for size in sizes]
    costs = [rng.integers(1, 20, size).astype(float) for size in sizes]
    budget = share * sum(cost.max() for cost in costs)
    totals = [
        sum(gain[i] for gain, i in zip(gains, picks, strict=True))
        for picks in product(*map(range, sizes))
        if sum(cost[i] for cost, i in zip(costs, picks, strict=True)) <= budget
    ]
    if not totals:
        with pytest.raises(ValueError, match="nothing costs at most"):
            knapsack(gains, costs, budget)
        return
    found = knapsack(gains, costs, budget)
    assert sum(gain[i] for gain, i in zip(gains, found, strict=True)) == max(totals)
    assert sum(cost[i] for cost, i in zip(costs, found, strict=True)) <= budget * (1 + 1e-9)


def test_the_cost_of_a_network_is_the_sum_over_its_blocks() -> None:
    model = load_target("pixel8-edgetpu").model()
    genotype = tuple(int(option) for option in SPACE.sample(np.random.default_rng(0), 1)[0])
    for cost in (model, MACS):
        values, rest = per_option(SPACE, cost)
        total = rest + sum(value[option] for value, option in zip(values, genotype, strict=True))
        assert total == pytest.approx(cost_of(cost, SPACE.decode(genotype)), rel=1e-9)


def test_early_fused_blocks_pay_where_bandwidth_is_scarce() -> None:
    shares = {}
    for target in ("pixel6-cpu", "pixel8-edgetpu"):
        latency, _ = per_option(SPACE, load_target(target).model("plain-roofline"))
        fused, tucker = ratios(SPACE, latency)
        shares[target] = [float(block) for stage in fused.split()[1:] for block in stage.split("/")]
        assert len(shares[target]) == 2 * 5 and tucker.split()[0] == "Tucker"
    assert max(shares["pixel8-edgetpu"][:4]) < 1 < min(shares["pixel8-edgetpu"][-2:])
    assert all(cpu > tpu for cpu, tpu in zip(shares["pixel6-cpu"][:6], shares["pixel8-edgetpu"][:6], strict=True))


def test_letters_name_the_op_and_the_kernel_size_of_each_block() -> None:
    alone = [decision.options.index(ALONE) for decision in SPACE.decisions]
    assert letters(SPACE, alone) == " ".join(["i3i3i3"] * 5)
    fused = [decision.options.index(REGULAR["fused"]) for decision in SPACE.decisions]
    assert letters(SPACE, fused) == " ".join(["F3F3F3"] * 5)
