"""One network for devices that disagree: how much does it lose, and is it better than what is at hand without a search?

Question: `--universal` searches the one network whose worst regret over several devices is least (nas/regret.py). After
specialists were searched for, three are to be had without another search: the specialist that serves all devices best,
the best of everything the specialists' searches evaluated, and, for the same trials as the search, the best with random
candidates added. Does the search beat them, where the devices value different blocks?

Set-up: the space uib at 224 px, the default latencies (those of MobileNetV4-Conv-S on each device), NSGA-II with the
trials of the preset quick, an accuracy made up per seed (experiments/synthetic_accuracy.py), so that no network is
trained. Regret in points of that top-1, against everything that any of the searches evaluated; networks that do not
keep the latency of every device are out ("-" where no specialist does).

Command: python -m experiments.universal [--seeds 5]

What came out, 5 minutes of one core; worst regret in points, mean of 5 seeds; wins of the search over what was at hand:

    devices                          specialist  at hand   random  searched   wins
    edgetpu, pixel6-cpu                    0.06     0.00     0.00      0.00   0 of 5
    edgetpu, cortex-m7                     0.68     0.00     0.00      0.00   0 of 5
    pixel4-dsp, s23-gpu, rpi5                 -     2.71     1.70      1.09   5 of 5
    five (the last of DEVICES)             1.48     1.36     0.35      0.96   2 of 5

Two devices agree so well that what their searches evaluated is enough. Where they disagree the search is needed: no
specialist keeps the latency of all three, and 1.6 points are won. For five devices chance finds more than the search.
Some specialist loses next to nothing in every row ("any latency"), but takes longer than is allowed on some device.
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
from nas.journal import Journal
from nas.plan import Settings
from nas.protocols import Genotypes
from nas.regret import REACH, Known, least_regret
from nas.request import Request, default_trials, make_plans, per_target
from nas.runner import InProcess, Pool
from nas.search.reinforce import Choices
from nas.space import StagedSpace
from nas.stages import AllTargets, Found, OneTarget, Stages, all_known, for_all, kept
from nas.watch import Silent

DEVICES = (
    ("edgetpu", "pixel6-cpu"),
    ("edgetpu", "cortex-m7"),
    ("pixel4-dsp", "s23-gpu", "rpi5"),
    ("edgetpu", "pixel6-cpu", "pixel4-dsp", "s23-gpu", "cortex-m7"),
)


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
        choices = Choices.of(self.space.decisions)
        active = genotypes[:, choices.needs_gene] >= choices.needs_option
        values = gains[np.arange(genotypes.shape[1]), genotypes]
        return np.asarray(top1_of(fixed + (active * values).sum(1)), np.float64)


def worst_regrets(targets: Sequence[str], seed: int, trials: int) -> tuple[float, float, float, float, float]:
    """Return the worst regret of the specialist, of what was at hand, with random and with NSGA-II's candidates.

    The fifth is that of the specialist of least worst regret whatever latency it takes.
    """
    base = Settings(seed=seed)
    request = Request(per_target(base, targets, ()), "nsga2", trials, universal=True)
    aims = tuple(map(OneTarget, make_plans(request)))
    evaluator = Synthetic(aims[0].whole, seed)
    with tempfile.TemporaryDirectory() as folder:

        def stages(name: str, algorithm: str) -> Stages:
            journal = Journal(Path(folder, f"{name}.jsonl"))
            pool = Pool(lambda: InProcess(evaluator), request.batch)
            return Stages(replace(request, algorithm=algorithm), pool, journal, Silent())

        ours = stages("ours", "nsga2")
        found = [ours.search(name, aim, seed) for name, aim in zip(targets, aims, strict=True)]
        by_search = for_all(ours, aims, found, seed)[0]
        by_chance = for_all(stages("chance", "random"), aims, found, seed)[0]
    whole = AllTargets(aims, Known(np.zeros((0, len(aims))), np.zeros(0)))
    genotypes, accuracies = all_known([*found, by_search, by_chance])
    whole = replace(whole, known=Known(whole.latencies(genotypes), accuracies))

    def least(rows: Genotypes, *, usable: bool = True) -> float:
        """Return the least worst regret among `rows`, of those that keep all latencies and come near one."""
        if usable:
            near = (whole.latencies(rows) / whole.wanted).max(1) >= REACH
            rows = rows[kept(whole, rows) & near]
        if not len(rows):
            return float("nan")
        return float(whole.known.regrets(whole.latencies(rows), evaluator.accuracy(rows)).max(1).min())

    def chosen(one: Found) -> Genotypes:
        return np.array([one.best], np.int32)

    specialists = np.concatenate([chosen(one) for one in found])
    at_hand, top1 = all_known(found)
    before = Known(whole.latencies(at_hand), top1)
    taken = at_hand[[least_regret(before, whole.wanted.tolist(), kept(whole, at_hand))]]
    return (
        least(specialists), least(taken), least(chosen(by_chance)), least(chosen(by_search)),
        least(specialists, usable=False),
    )  # fmt: skip


def main() -> None:
    """Run the study and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=default_trials("nsga2", "quick"))
    args = parser.parse_args()
    print(f"worst regret in points, mean of {args.seeds} seeds (wins of the search over what was at hand)")
    head = ("specialist", "at hand", "random", "searched", "any latency")
    print(f"{'devices':44s}" + "".join(f"{name:>12s}" for name in head) + "  wins")
    for targets in DEVICES:
        rows = 100 * np.array([worst_regrets(targets, seed, args.trials) for seed in range(args.seeds)])
        cells = [f"{np.nanmean(column):12.2f}" if np.isfinite(column).any() else f"{'-':>12s}" for column in rows.T]
        wins = int((rows[:, 3] < rows[:, 1] - 1e-9).sum())
        print(f"{', '.join(targets):44.44s}" + "".join(cells) + f"  {wins} of {args.seeds}", flush=True)


if __name__ == "__main__":
    main()
