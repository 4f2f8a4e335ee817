"""How a search with an accuracy model should spend its processor seconds, by simulated searches.

    python -m experiments.allocation_study [--times 300]

1,500 made-up networks per search, with the spread and noise of the first 17 networks of the truth table of `uib`
(experiments/data/truth_table): standard deviation of the networks .87 points, of a training .94 points after one pass
and .89 after more, their correlation .52; 40 % of the variance of the networks is linear in 12 features. The accuracies
after one pass and after all correlate with .94 over the networks, as estimated there, or with .8. A search has 960 s,
an epoch takes 15 s, a network 20 s beside. Printed: by how many points the answer is better than the mean network.

Result of 300 times:

                                          correlation .94      correlation .8
networks, rungs, survivors, repeats, start  model  random        model  random   standard error .04
22 (1,)   -  6 x 2  11                       1.52    1.27         1.27    1.09
22 (1,)   -  6 x 2   7                       1.43    1.27         1.24    1.09
21 (1, 2) 6  3 x 1  11                       1.50    1.29         1.45    1.28
19 (1, 2) 5  3 x 2  10                       1.52    1.32         1.44    1.29
20 (1, 2) 3  3 x 2  10                       1.49    1.26         1.36    1.21
17 (1, 3) 3  3 x 2   9                       1.49    1.29         1.40    1.20

Schedules with repeats are alike, within the error; in a first round of 200 times 16 networks of which 6 went on to 3
epochs, with 3 x 1 repeats, reached 1.25 and 19 with 4 going on and 3 x 1 repeats 1.33 (standard error .05).
"""

import argparse
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.search.accuracy.model import RANDOM, RIDGE, AccuracyModel
from nas.search.accuracy.plan import cost_s
from nas.search.accuracy.search import ModelSearch, Schedule, Training

NETWORKS, FEATURES = 1500, 12
SPREAD, NOISE_SHORT, NOISE_LONG, SAME_TRAINING = 0.87, 0.94, 0.89, 0.52  # points; a correlation
EXPLAINED = 0.4
EPOCH_S, START_S = 15.0, 20.0
SCHEDULES = (
    Schedule(22, 11, 3, (1,), finalists=6, repeats=2),
    Schedule(22, 7, 3, (1,), finalists=6, repeats=2),
    Schedule(21, 11, 3, (1, 2), 4, repeats=1),
    Schedule(19, 10, 3, (1, 2), 4, repeats=2),
    Schedule(20, 10, 3, (1, 2), 7, repeats=2),
    Schedule(17, 9, 3, (1, 3), 6, repeats=2),
)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """Made-up networks: features [N, F] and accuracies in points after one pass and after all, without noise [N]."""

    seed: int
    features: Floats
    short: Floats
    long: Floats

    @classmethod
    def of(cls, seed: int, correlation: float) -> "World":
        """Return the networks of a seed, whose two accuracies correlate so."""
        rng = np.random.default_rng([seed, 5])
        features = rng.standard_normal((NETWORKS, FEATURES))
        slopes = rng.standard_normal(FEATURES) * np.where(np.arange(FEATURES) < FEATURES // 2, 1.0, 0.3)
        linear = features @ slopes / np.std(features @ slopes)
        unit = np.sqrt(EXPLAINED) * linear + np.sqrt(1 - EXPLAINED) * rng.standard_normal(NETWORKS)
        other = rng.standard_normal(NETWORKS)
        return cls(seed, features, SPREAD * (correlation * unit + np.sqrt(1 - correlation**2) * other), SPREAD * unit)

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.int32]:
        """Return `count` networks as genotypes [count, 1]."""
        return rng.choice(NETWORKS, min(count, NETWORKS), replace=False)[:, None].astype(np.int32)

    def train(self, training: Training) -> float:
        """Return the top-1 of one training, a fraction."""
        network = training.genotype[0]
        first, second = np.random.default_rng([self.seed, network, training.seed, 11]).standard_normal(2)
        if training.epochs == 1:
            return 0.38 + float(self.short[network] + NOISE_SHORT * first) / 100
        noise = SAME_TRAINING * first + np.sqrt(1 - SAME_TRAINING**2) * second
        return 0.44 + float(self.long[network] + NOISE_LONG * noise) / 100


def found(schedule: Schedule, world: World, model: AccuracyModel) -> float:
    """Return by how many points the answer of one search is better than the mean network."""
    search = ModelSearch(world, lambda genotypes: world.features[genotypes[:, 0]], schedule, model)
    state = search.init(world.seed)
    while asked := search.ask(state):
        state = search.tell(state, asked, [world.train(training) for training in asked])
    return float(world.long[search.answer(state).genotype[0]])


def main() -> None:
    """Search and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=300)
    args = parser.parse_args()
    for correlation in (0.94, 0.8):
        worlds = [World.of(seed, correlation) for seed in range(args.times)]
        for s in SCHEDULES:
            means = []
            for model in (RIDGE, RANDOM):
                points = np.array([found(s, world, model) for world in worlds])
                means.append(f"{points.mean():.3f} ({points.std() / np.sqrt(len(points)):.3f})")
            shape = f"{s.candidates} {s.rungs} {s.survivors[-1]} {s.finalists} x {s.repeats} {s.start}"
            print(f"{correlation} {shape:24} {cost_s(s, EPOCH_S, START_S):4.0f} s  model {means[0]} random {means[1]}")


if __name__ == "__main__":
    main()
