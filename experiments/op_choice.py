"""Study: by cost tables alone, where do regular convolutions pay on a CPU and on an EdgeTPU?

Question: MobileDets (arXiv 2004.14525) finds that regular convolutions (fused bottlenecks, Tucker convolutions) pay on
accelerators, in early stages, and not on CPUs. Does that follow from our latency models, before any training? The space
`mobiledets` with middle filters and three blocks a stage. Per stage, the latency of the regular blocks as a share of
that of the inverted residual of the same kernel size (3) and expansion (8; Tucker ratios 0.75), for the first and the
second block: below 1 a fused one has more weights and takes less time. Then the ops (i inverted residual, F fused,
T Tucker, kernel size) that together have the most MACs, or parameters, within the latency of inverted residuals alone:
a multiple-choice knapsack, solved exactly. On the fitted models and on the ridge points (MACs per byte) that
MobileNetV4 (arXiv 2404.10518v2, Tab. 16) publishes.
Command: python -m experiments.op_choice [--target T,T]

Result:

pixel6-cpu, default, ridge point 31.8; inverted residuals alone 7.677 ms
  fused    0.73/2.27  0.95/2.86  1.18/3.42  3.38/3.61  1.44/4.02
  Tucker   0.54/0.31  0.21/0.37  0.24/0.36  0.35/0.34  0.23/0.37
  1.62 times the MACs: F3F3F3 F3F3F3 F3T5F3 F3T3T3 F5F3F3
  4.72 times the parameters: T3T3T3 T3T3T3 F3T3T3 T5T5T5 F5F5F5
pixel6-cpu, plain-roofline, ridge point 31.2; inverted residuals alone 7.614 ms
  fused    0.74/2.31  0.97/2.88  1.19/3.45  3.40/3.63  1.45/4.03
  Tucker   0.54/0.31  0.21/0.37  0.24/0.36  0.35/0.34  0.23/0.36
  1.60 times the MACs: F3F3F3 F3F3F3 F3T5F3 F3T3T3 F3F3F3
  4.70 times the parameters: T3T3T3 T3T3T3 F3F3T3 T3T3T3 F5F5F5
pixel8-edgetpu, default, ridge point 37.0; inverted residuals alone 0.881 ms
  fused    0.69/2.00  0.84/2.68  1.12/3.26  3.24/3.46  1.39/3.85
  Tucker   0.53/0.29  0.20/0.37  0.24/0.37  0.34/0.33  0.23/0.37
  1.77 times the MACs: F3F3F3 F3F3F3 F3F3F3 F3T3T5 F5F3F3
  4.85 times the parameters: T3T3T3 T3T3T3 F3F3F3 T3T5T5 F5F5F5
pixel8-edgetpu, plain-roofline, ridge point 433.8; inverted residuals alone 1.004 ms
  fused    0.56/0.59  0.29/0.68  0.47/1.22  1.23/1.33  1.46/3.11
  Tucker   0.52/0.22  0.17/0.23  0.20/0.26  0.22/0.25  0.28/0.32
  8.35 times the MACs: F5F5F5 F5F5F5 F5F5F5 F5F5F5 T5F5T3
  6.60 times the parameters: T3T3T5 T5T5T5 F5F5F5 T5F5F5 F5F5F5

So the claim follows from the published ridge points: on the EdgeTPU a fused block takes 0.29 to 0.68 of the time of the
inverted residual in the first two stages, about as long in the next two and 1.5 to 3.1 times as long in the last, whose
weights are many; on the CPU it takes 2.3 to 4 times as long everywhere but where a stage strides early, 0.74 and 0.97.
It does not follow from the fitted model of the EdgeTPU, which explains the same measurements by a launch overhead of
0.61 ms and a ridge point of 37, nearly the CPU's: there the two devices want the same blocks. Nor does it follow from
the most MACs or parameters at equal latency: those are regular convolutions on both devices and in all stages, since a
MAC of theirs moves fewer bytes, so that neither count stands for accuracy across families. Tucker convolutions take
less time than inverted residuals everywhere; what they lose in accuracy only a search can tell. 2 seconds.
"""

import argparse
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from latency_models.target import load_target
from nas.protocols import Cost, Genotype
from nas.registry import SPACES, load
from nas.space.cost_table import MACS, PARAMS, compile_table
from nas.space.staged import StagedSpace

LETTERS = {"inverted_residual": "i", "fused_ib": "F", "tucker": "T"}  # capitals are regular convolutions
ALONE = ("inverted_residual", 3, 8, False)  # what the budget is the latency of
REGULAR = {"fused": ("fused_ib", 3, 8), "Tucker": ("tucker", 3, 0.75, 0.75)}
FloatArray = NDArray[np.float64]


class State(NamedTuple):
    """Partial solutions of a knapsack: their costs and gains, and the choice of each item so far [states, items]."""

    costs: FloatArray
    gains: FloatArray
    choices: NDArray[np.int16]


def skeleton(space: StagedSpace) -> StagedSpace:
    """Return the view of `space` in which the op of each block is the only decision: middle filters, three blocks."""
    coarse = space.coarse()
    middle = [(len(decision.options) - 1) // 2 for decision in coarse.decisions]
    for index, decision in enumerate(coarse.decisions):
        if decision.name.endswith(".depth"):
            middle[index] = decision.options.index(3)
    return space.fine(coarse.decode(tuple(middle)))


def per_option(space: StagedSpace, cost: Cost) -> tuple[list[FloatArray], float]:
    """Return what each option of each decision costs, and the cost of what no decision changes.

    The decisions are independent: no piece of the network depends on two of them.
    """
    table = compile_table(space, cost)
    values = [np.zeros(count) for count in table.option_counts]
    rest = float(table.constant)
    for term in table.terms:
        if not term.scope:
            rest += float(term.values)
        else:
            (decision,) = term.scope
            values[decision] += term.values.astype(np.float64)
    return values, rest


def knapsack(gains: Sequence[FloatArray], costs: Sequence[FloatArray], budget: float) -> Genotype:
    """Return the option of each item with the largest sum of `gains` whose `costs` are at most `budget`; exactly.

    Partial solutions are extended item by item; those go that another one dominates, and those that cannot reach the
    best known solution even at the price of time of the Lagrangian dual, an upper bound on what the rest can gain.
    `ValueError` where nothing is within the budget.
    """
    price = _price(gains, costs, budget)
    priced = [gain - price * cost for gain, cost in zip(gains, costs, strict=True)]
    rest_priced = np.cumsum([0.0, *(one.max() for one in priced[:0:-1])])[::-1]
    rest_cheapest = np.cumsum([0.0, *(cost.min() for cost in costs[:0:-1])])[::-1]
    known = _greedy(gains, costs, budget)
    state = State(np.zeros(1), np.zeros(1), np.zeros((1, 0), np.int16))
    for item, (gain, cost) in enumerate(zip(gains, costs, strict=True)):
        parents, options = np.divmod(np.arange(len(state.costs) * len(cost)), len(cost))
        total, gained = state.costs[parents] + cost[options], state.gains[parents] + gain[options]
        reaches = gained + rest_priced[item] + price * (budget - total) >= known * (1 - 1e-12)
        kept = np.flatnonzero(reaches & (total + rest_cheapest[item] <= budget * (1 + 1e-12)))
        kept = kept[np.lexsort((-gained[kept], total[kept]))]
        best = np.maximum.accumulate(gained[kept])
        kept = kept[np.concatenate([[True], gained[kept][1:] > best[:-1]])] if len(kept) else kept
        rows = np.concatenate([state.choices[parents[kept]], options[kept, None].astype(np.int16)], 1)
        state = State(total[kept], gained[kept], rows)
    if not len(state.costs):
        raise ValueError(f"nothing costs at most {budget:g}")
    return tuple(int(option) for option in state.choices[int(np.argmax(state.gains))])


def _price(gains: Sequence[FloatArray], costs: Sequence[FloatArray], budget: float) -> float:
    """Return the multiplier of the budget at which the Lagrangian bound is the lowest, by bisection of its slope."""
    low, high = 0.0, sum(gain.max() for gain in gains) / min(cost.min() for cost in costs)
    for _ in range(100):
        middle = (low + high) / 2
        picks = [int(np.argmax(gain - middle * cost)) for gain, cost in zip(gains, costs, strict=True)]
        spent = sum(cost[pick] for cost, pick in zip(costs, picks, strict=True))
        low, high = (middle, high) if spent > budget else (low, middle)
    return high


def _greedy(gains: Sequence[FloatArray], costs: Sequence[FloatArray], budget: float) -> float:
    """Return the gain of a solution within the budget: the one at the dual's price, then improved item by item."""
    price = _price(gains, costs, budget)
    picks = [int(np.argmax(gain - price * cost)) for gain, cost in zip(gains, costs, strict=True)]
    spent = sum(cost[pick] for cost, pick in zip(costs, picks, strict=True))
    if spent > budget:
        return -np.inf
    for item, (gain, cost) in enumerate(zip(gains, costs, strict=True)):
        fits = np.flatnonzero(spent - cost[picks[item]] + cost <= budget)
        best = int(fits[np.argmax(gain[fits])])
        spent, picks[item] = spent - cost[picks[item]] + cost[best], best
    return float(sum(gain[pick] for gain, pick in zip(gains, picks, strict=True)))


def letters(space: StagedSpace, genotype: Sequence[int]) -> str:
    """Return the ops of a network, a letter per block and the kernel size behind it, a word per stage."""
    stages: dict[str, str] = {}
    for decision, option in zip(space.decisions, genotype, strict=True):
        tag, kernel_size, *_ = decision.options[option]
        stage = decision.name.partition(".")[0]
        stages[stage] = stages.get(stage, "") + f"{LETTERS[tag]}{kernel_size}"
    return " ".join(stages.values())


def ratios(space: StagedSpace, latency: list[FloatArray]) -> list[str]:
    """Return a line per regular family: the latency of its first and second block in each stage, as shares of ALONE's.

    In the same stage, behind the same block, with the same kernel size; the two numbers of a stage have a / between.
    """
    rows: dict[str, list[str]] = {name: [] for name in REGULAR}
    for name, option in REGULAR.items():
        for decision, cost in zip(space.decisions, latency, strict=True):
            _, block, _ = decision.name.split(".")
            share = cost[decision.options.index(option)] / cost[decision.options.index(ALONE)]
            if block == "block0":
                rows[name].append(f"{share:.2f}")
            elif block == "block1":
                rows[name][-1] += f"/{share:.2f}"
    return [f"  {name:9}{'  '.join(shares)}" for name, shares in rows.items()]


def study(space: StagedSpace, target: str, kind: str) -> list[str]:
    """Return the lines about one target and one kind of latency model."""
    model = load_target(target).model(kind)
    latency, rest = per_option(space, model)
    macs, _ = per_option(space, MACS)
    params, _ = per_option(space, PARAMS)
    alone = [decision.options.index(ALONE) for decision in space.decisions]
    budget = sum(cost[pick] for cost, pick in zip(latency, alone, strict=True))
    lines = [
        f"{target}, {kind}, ridge point {model.ridge_point:.1f}; inverted residuals alone {budget + rest:.3f} ms",
        *ratios(space, latency),
    ]
    for name, gains in (("MACs", macs), ("parameters", params)):
        found = knapsack(gains, latency, budget)
        total, before = (sum(g[p] for g, p in zip(gains, picks, strict=True)) for picks in (found, alone))
        lines.append(f"  {total / before:.2f} times the {name}: {letters(space, found)}")
    return lines


def main() -> None:
    """Print the study."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--target", default="pixel6-cpu,pixel8-edgetpu", help="targets, with commas between")
    args = parser.parse_args()
    space = skeleton(load("space", SPACES, "mobiledets"))
    for target in args.target.split(","):
        for kind in ("default", "plain-roofline"):
            print("\n".join(study(space, target, kind)))


if __name__ == "__main__":
    main()
