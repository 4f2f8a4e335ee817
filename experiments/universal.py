"""Study: one network for several devices: its maximum regret, and that of the best networks without another search.

Question: `--universal` searches the one network with the smallest maximum regret over several devices
(nas/runs/regret.py). After one search per device, two candidates need no other search: the found network that has the
smallest maximum regret, and the best of all networks that the searches evaluated. Does the search beat them, where the
devices favour different blocks, and does it beat as many random candidates?

Set-up: the space uib at 224 px, the default latencies (those of MobileNetV4-Conv-S on each device), NSGA-II with the
trials of the preset quick for each device, a synthetic accuracy per seed (experiments/synthetic_accuracy.py), so that
no network is trained. Regret in points of that top-1, against everything that any of the searches evaluated; networks
that exceed the latency budget of any device are left out.

Command: python -m experiments.universal [--seeds 5]

Result, 6 minutes of one core; maximum regret in points, mean of 5 seeds; wins of NSGA-II over the best evaluated one:

    devices                          specialist evaluated   random    nsga2  evolution   wins
    edgetpu, pixel6-cpu                    2.65     2.53     2.06     0.23       0.07   5 of 5
    edgetpu, cortex-m7                     2.09     1.21     1.21     0.06       0.20   5 of 5
    pixel4-dsp, s23-gpu, rpi5              3.39     2.95     2.47     0.98       0.70   5 of 5
    five (the last of DEVICES)             3.21     2.16     2.03     0.77       0.68   5 of 5

The search covers the whole space and starts from the networks that the searches per device evaluated. In two stages
from scratch it found nothing new in four of five runs for five devices. In a first version regret was taken at a
network's own latency, as a distance from the front: that search went to small networks and to latencies with few
evaluations, and over a trained supernet it missed a network that was more accurate within all budgets than any other.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.synthetic_accuracy import SyntheticQuality, top1_of
from nas.progress import SilentReporter
from nas.protocols import Genotype, Genotypes
from nas.records.journal import Journal
from nas.runs.multi_target_settings import MultiTargetConfig, default_trials, make_plans, per_target
from nas.runs.settings import SearchConfig
from nas.runs.stages import MinimaxRegret, SingleTarget, StageRunner, all_evaluated, search_universal
from nas.search.algorithms.reinforce import DecisionArrays
from nas.search.loop import InProcessExecutor, Pool
from nas.space.staged import StagedSpace

DEVICES = (
    ("edgetpu", "pixel6-cpu"),
    ("edgetpu", "cortex-m7"),
    ("pixel4-dsp", "s23-gpu", "rpi5"),
    ("edgetpu", "pixel6-cpu", "pixel4-dsp", "s23-gpu", "cortex-m7"),
)


ALGORITHMS = ("random", "nsga2", "regularized-evolution")  # of the search for all devices; per device always NSGA-II


@dataclass(frozen=True)
class SyntheticEvaluator:
    """An evaluator of the whole space by the synthetic accuracy."""

    space: StagedSpace
    seed: int

    @cached_property
    def _gains(self) -> tuple[NDArray[np.float64], float]:
        tables, fixed = SyntheticQuality.of(self.space, self.seed).tables(self.space)
        gains = np.zeros((len(tables), max(map(len, tables))))
        for row, values in zip(gains, tables, strict=True):
            row[: len(values)] = values
        return gains, fixed

    def accuracy(self, genotypes: Genotypes) -> NDArray[np.float64]:
        """Return the accuracy [N] of genotypes [N, D]."""
        gains, fixed = self._gains
        choices = DecisionArrays.of(self.space.decisions)
        active = genotypes[:, choices.condition_index] >= choices.condition_option
        values = gains[np.arange(genotypes.shape[1]), genotypes]
        return np.asarray(top1_of(fixed + (active * values).sum(1)), np.float64)


def max_regrets(targets: Sequence[str], seed: int, trials: int) -> list[float]:
    """Return the maximum regret per column: specialist, evaluated, a search for all with each of `ALGORITHMS`."""
    base = SearchConfig(seed=seed)
    config = MultiTargetConfig(per_target(base, targets, ()), "nsga2", trials, universal=True)
    objectives = tuple(map(SingleTarget, make_plans(config)))
    evaluator = SyntheticEvaluator(objectives[0].full_space, seed)
    with tempfile.TemporaryDirectory() as folder:

        def stages(name: str, algorithm: str) -> StageRunner:
            journal = Journal(Path(folder, f"{name}.jsonl"))
            pool = Pool(lambda: InProcessExecutor(evaluator), config.batch)
            return StageRunner(replace(config, algorithm=algorithm), pool, journal, SilentReporter())

        per_device = stages("per-device", "nsga2")
        found = [per_device.search(name, objective, seed) for name, objective in zip(targets, objectives, strict=True)]
        universal = [search_universal(stages(name, name), objectives, found, seed)[0] for name in ALGORITHMS]
    whole = MinimaxRegret(objectives)
    known = whole.known(*all_evaluated([*found, *universal]))

    def least(rows: Sequence[Genotype]) -> float:
        """Return the smallest maximum regret among those of `rows` that keep all latency budgets."""
        regrets = [whole.row(known, row, float(evaluator.accuracy(np.array([row]))[0])) for row in rows]
        return min((float(row.regrets.max()) for row in regrets if row.kept.all()), default=float("nan"))

    evaluated, top1 = all_evaluated(found)
    latency_budget = np.array([objective.plan.latency_budget for objective in objectives])
    best = tuple(evaluated[whole.known(evaluated, top1).least_regret(latency_budget)].tolist())
    return [least([one.best for one in found]), least([best]), *(least([one.best]) for one in universal)]


def main() -> None:
    """Run the study and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=default_trials("nsga2", "quick"))
    args = parser.parse_args()
    print(f"maximum regret in points, mean of {args.seeds} seeds (wins of nsga2 over the best evaluated network)")
    head = ("specialist", "evaluated", "random", "nsga2", "evolution")
    print(f"{'devices':44s}" + "".join(f"{name:>12s}" for name in head) + "  wins")
    for targets in DEVICES:
        rows = 100 * np.array([max_regrets(targets, seed, args.trials) for seed in range(args.seeds)])
        cells = [f"{np.nanmean(column):12.2f}" if np.isfinite(column).any() else f"{'-':>12s}" for column in rows.T]
        wins = int((rows[:, 3] < rows[:, 1] - 1e-9).sum())
        print(f"{', '.join(targets):44.44s}" + "".join(cells) + f"  {wins} of {args.seeds}", flush=True)


if __name__ == "__main__":
    main()
