"""One network for devices that disagree: how much does it lose, and is it better than what is at hand without a search?

Question: `--universal` searches the one network whose worst regret over several devices is least (nas/runs/regret.py). After
specialists were searched for, two are to be had without another search: the specialist that serves all devices best,
and the best of everything the specialists' searches evaluated. Does the search beat them, where the devices value
different blocks, and does it beat as many random candidates?

Set-up: the space uib at 224 px, the default latencies (those of MobileNetV4-Conv-S on each device), NSGA-II with the
trials of the preset quick for each device, an accuracy made up per seed (experiments/synthetic_accuracy.py), so that no
network is trained. Regret in points of that top-1, against everything that any of the searches evaluated; networks that
do not keep the latency of every device are out.

Command: python -m experiments.universal [--seeds 5]

What came out, 6 minutes of one core; worst regret in points, mean of 5 seeds; wins of NSGA-II over what was at hand:

    devices                          specialist  at hand   random    nsga2  evolution   wins
    edgetpu, pixel6-cpu                    2.65     2.53     2.06     0.23       0.07   5 of 5
    edgetpu, cortex-m7                     2.09     1.21     1.21     0.06       0.20   5 of 5
    pixel4-dsp, s23-gpu, rpi5              3.39     2.95     2.47     0.98       0.70   5 of 5
    five (the last of DEVICES)             3.21     2.16     2.03     0.77       0.68   5 of 5

The search takes the whole space and begins with what the specialists' searches evaluated. In two stages from scratch it
found nothing new in four of five runs for five devices. Until then regret was taken at a network's own latency, as a
distance from the front: the search went to small networks and to latencies at which little was known, and over a
trained supernet it passed by a network that was more accurate within all latencies than any other.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.synthetic_accuracy import Worth, top1_of
from nas.progress import SilentReporter
from nas.protocols import Genotype, Genotypes
from nas.records.journal import Journal
from nas.runs.multi_target_settings import MultiTargetConfig, default_trials, make_plans, per_target
from nas.runs.settings import SearchConfig
from nas.runs.stages import MinimaxRegret, SingleTarget, Stages, all_known, for_all
from nas.search.algorithms.reinforce import DecisionArrays
from nas.search.loop import InProcessExecutor, Pool
from nas.space.staged import StagedSpace

DEVICES = (
    ("edgetpu", "pixel6-cpu"),
    ("edgetpu", "cortex-m7"),
    ("pixel4-dsp", "s23-gpu", "rpi5"),
    ("edgetpu", "pixel6-cpu", "pixel4-dsp", "s23-gpu", "cortex-m7"),
)


SEARCHES = ("random", "nsga2", "regularized-evolution")  # for all devices; for each it is always NSGA-II


@dataclass(frozen=True)
class Synthetic:
    """An evaluator of the whole space that computes nothing but a formula."""

    space: StagedSpace
    seed: int

    @cached_property
    def _gains(self) -> tuple[NDArray[np.float64], float]:
        tables, fixed = Worth.of(self.space, self.seed).tables(self.space)
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


def worst_regrets(targets: Sequence[str], seed: int, trials: int) -> list[float]:
    """Return the worst regrets of the columns: specialist, at hand, then one search for all with each of `SEARCHES`."""
    base = SearchConfig(seed=seed)
    config = MultiTargetConfig(per_target(base, targets, ()), "nsga2", trials, universal=True)
    aims = tuple(map(SingleTarget, make_plans(config)))
    evaluator = Synthetic(aims[0].whole, seed)
    with tempfile.TemporaryDirectory() as folder:

        def stages(name: str, algorithm: str) -> Stages:
            journal = Journal(Path(folder, f"{name}.jsonl"))
            pool = Pool(lambda: InProcessExecutor(evaluator), config.batch)
            return Stages(replace(config, algorithm=algorithm), pool, journal, SilentReporter())

        ours = stages("ours", "nsga2")
        found = [ours.search(name, objective, seed) for name, objective in zip(targets, aims, strict=True)]
        for_each = [for_all(stages(name, name), aims, found, seed)[0] for name in SEARCHES]
    whole = MinimaxRegret(aims)
    known = whole.known(*all_known([*found, *for_each]))

    def least(rows: Sequence[Genotype]) -> float:
        """Return the least worst regret among `rows`, of those that keep all latencies."""
        lost = [whole.row(known, row, float(evaluator.accuracy(np.array([row]))[0])) for row in rows]
        return min((float(row.regrets.max()) for row in lost if row.kept.all()), default=float("nan"))

    at_hand, top1 = all_known(found)
    latency_budget = np.array([objective.plan.latency_budget for objective in aims])
    taken = tuple(at_hand[whole.known(at_hand, top1).least_regret(latency_budget)].tolist())
    return [least([one.best for one in found]), least([taken]), *(least([one.best]) for one in for_each)]


def main() -> None:
    """Run the study and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=default_trials("nsga2", "quick"))
    args = parser.parse_args()
    print(f"worst regret in points, mean of {args.seeds} seeds (wins of nsga2 over what was at hand)")
    head = ("specialist", "at hand", "random", "nsga2", "evolution")
    print(f"{'devices':44s}" + "".join(f"{name:>12s}" for name in head) + "  wins")
    for targets in DEVICES:
        rows = 100 * np.array([worst_regrets(targets, seed, args.trials) for seed in range(args.seeds)])
        cells = [f"{np.nanmean(column):12.2f}" if np.isfinite(column).any() else f"{'-':>12s}" for column in rows.T]
        wins = int((rows[:, 3] < rows[:, 1] - 1e-9).sum())
        print(f"{', '.join(targets):44.44s}" + "".join(cells) + f"  {wins} of {args.seeds}", flush=True)


if __name__ == "__main__":
    main()
