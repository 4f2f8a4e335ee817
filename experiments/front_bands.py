"""Study: are networks of all sizes alike to a supernet, or does it prefer those that its training runs in every step?

Question: a whole front compares networks of very different size by one supernet. Trained by the sandwich rule, it runs
the largest and the smallest network in every step. Are these better than their size explains?

Command: python -m experiments.front_bands RUN [--target edgetpu] [--networks 12]

RUN is a search over a supernet trained once: `nas search --algorithm random --out RUN` has one of the sandwich rule,
`nas search --front --out RUN` one for architectures of all sizes. Printed are the largest and the smallest network, and
of random networks near each latency budget of a front their mean and highest top-1 in %: networks of the coarse view,
and networks of the whole space.

Results: digits, `uib`, preset quick, edgetpu, sandwich rule (16 networks of the whole space, 12 of the coarse view):

    largest 98.8, smallest 97.7
    at most ms   0.692  0.744  0.801  0.862  0.928  0.999
    coarse        90.6   91.8   93.4   93.4   94.6   93.6
    whole         52.0   57.7   55.0   58.1   58.5   57.2

So the smallest network, run in every step, is 3 points above networks of up to twenty times its MACs, and no front is
left: hence the training for architectures of all sizes (`all_sizes` in nas/supernet/sandwich.py).
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from nas.protocols import Genotypes
from nas.runs import shared_supernet
from nas.runs.front_config import FrontConfig, budgets_of
from nas.runs.front_search import LatencyBand
from nas.runs.multi_target import supernet_of_run
from nas.runs.plan import SearchPlan, make_plan
from nas.runs.stages import SingleTarget
from nas.search.constraints.bounds import Bounded
from nas.space.genotypes import embedding

Accuracy = Callable[[Genotypes], np.ndarray]


def sampled(plan: SearchPlan, count: int) -> dict[str, list[Genotypes]]:
    """Return up to `count` random networks [N, D] near each budget of the front, of the coarse view and of all."""
    target, rng = SingleTarget(plan), np.random.default_rng(0)
    bands = [LatencyBand(target, budget) for budget in plan.front]
    views = {"coarse": plan.space.coarse(), "whole": plan.space}
    found: dict[str, list[Genotypes]] = {name: [] for name in views}
    for name, view in views.items():
        embed = embedding(plan.space, view)
        for band in bands:
            is_there = name == "whole" or band.coarse
            rows = Bounded(view, tuple(band.limits(view))).draw(rng, count) if is_there else np.zeros((0, 1), np.int32)
            found[name].append(embed(rows) if len(rows) else rows)
    return found


def table(plan: SearchPlan, accuracy: Accuracy, count: int) -> list[str]:
    """Return the lines of the result."""
    extremes = 100 * accuracy(plan.space.canonical(shared_supernet.sandwich_training(plan).extremes))
    lines = [f"largest {extremes[0]:.1f}, smallest {extremes[1]:.1f}"]
    lines.append("at most ms   " + "  ".join(f"{budget:11.4g}" for budget in plan.front))
    for name, each in sampled(plan, count).items():
        values = [100 * accuracy(rows) if len(rows) else np.zeros(0) for rows in each]
        cells = [f"{one.mean():5.1f} {one.max():5.1f}" if len(one) else "     -     -" for one in values]
        lines.append(f"{name:12} " + "  ".join(cells))
    return lines


def main(argv: Sequence[str] | None = None) -> None:
    """Print the accuracies of networks of all sizes under the shared weights of a run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--target", default="edgetpu")
    parser.add_argument("--networks", type=int, default=12)
    args = parser.parse_args(argv)
    config, _ = supernet_of_run(args.run)
    settings = replace(config.settings[0], target=args.target, latency_ms=None)
    plan = make_plan(settings, front=lambda plan: budgets_of(FrontConfig(), 0, plan))
    weights = shared_supernet.read(args.run / shared_supernet.FILE, plan)
    evaluator = shared_supernet.build_evaluator(shared_supernet.evaluator_payload(plan, weights))
    print("\n".join(table(plan, evaluator.accuracy, args.networks)))


if __name__ == "__main__":
    main()
