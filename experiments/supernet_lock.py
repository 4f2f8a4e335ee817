"""Study: does a search over a trained supernet satisfy its latency budget, with our reward and the published ones?

Question: that of experiments/target_lock.py, with the accuracies of a trained supernet in place of the synthetic ones:
the controllers of the three rewards (ours, TuNAS' with beta -0.10, MnasNet's with -0.07), the same steps, samples and
learning rate, over one supernet of the whole space. The controllers see the accuracy on the first 64 validation
images; the accuracy of an argmax, before and after the repair, is that on all of them.

Command: python -m experiments.specialise --out DIR                 # trains the supernet, among other things
         python -m experiments.supernet_lock DIR/run [--shares 0.3,0.7] [--seeds 1]

Results: digits, edgetpu and pixel6-cpu at two latencies each, steps of the preset quick; columns as in
experiments/target_lock.py. 20 minutes beside other work.

    reward        n coarse fine  end    gap %  worst     cost  worst    top-1
    ours          4      4    4    4     0.32    0.6    0.000   0.00    93.95
    TuNAS         4      2    4    4     0.74    1.0    0.000   0.00    92.38
    MnasNet       4      1    3    4     0.62    3.1    0.000  16.41    87.89

So with a trained supernet ours satisfies the budget before any repair, in both stages, and loses no accuracy for it: on
the synthetic accuracy it had lost 0.3 points against the published rewards. Four searches show no more than that.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import Array
from numpy.typing import NDArray

from experiments.synthetic_accuracy import SyntheticQuality
from experiments.target_lock import (
    HEAD,
    IMAGES,
    LEGEND,
    REWARDS,
    AccuracySource,
    LockResult,
    StageArrays,
    line,
    named_rewards,
    search,
    start,
)
from nas.protocols import Genotype
from nas.runs import shared_supernet
from nas.runs.multi_target import supernet_of_run
from nas.runs.plan import SearchPlan, make_plan
from nas.search.algorithms import reinforce
from nas.space.genotypes import embedding
from nas.space.staged import StagedSpace
from nas.supernet.evaluator import SupernetEvaluator


@dataclass(frozen=True)
class SupernetAccuracy:
    """Accuracies under the shared weights of a supernet; those that a controller sees are computed once each."""

    evaluator: SupernetEvaluator
    whole: StagedSpace
    cache: dict[Genotype, float] = field(default_factory=dict)

    def on_controller_images(self, space: StagedSpace, genotypes: NDArray[np.integer[Any]]) -> list[float]:
        """Return the accuracies [N] of genotypes of a view of the space on the images that a controller sees."""
        rows = embedding(self.whole, space)(np.asarray(genotypes, np.int32))
        for row in rows:
            if tuple(row) not in self.cache:
                self.cache[tuple(row)] = self.evaluator.correct(row, IMAGES) / IMAGES
        return [self.cache[tuple(row)] for row in rows]

    def top1(self, space: StagedSpace, plan: SearchPlan, genotypes: NDArray[np.integer[Any]]) -> Sequence[float]:
        """Return the accuracies of genotypes [N, D] of a view of the space on all validation images."""
        return self.evaluator.accuracy(embedding(self.whole, space)(np.asarray(genotypes, np.int32))).tolist()

    def learn(self, settings: reinforce.Reinforce, reward: str, space: StagedSpace, stage: StageArrays) -> Array:
        """Return the policy's logits [D, O] after a stage."""

        def evaluate(genotypes: Array, _: Array) -> Array:
            top1 = self.on_controller_images(space, np.asarray(genotypes)[:, : len(space.decisions)])
            return jax.device_put(np.array(top1, np.float32))

        policy = start(settings, stage)
        for _ in range(settings.policy_warmup_steps, settings.steps):
            key = jax.random.fold_in(jax.random.key(stage.seed), policy.step)
            policy = REWARDS[reward](settings, stage, policy, key, evaluate)
        return policy.logits


def main() -> None:
    """Run the searches and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("run", type=Path, help="a run of nas search --algorithm A, for its supernet")
    parser.add_argument("--rewards", default=",".join(REWARDS))
    parser.add_argument("--devices", default="edgetpu,pixel6-cpu")
    parser.add_argument("--shares", default="0.3,0.7", help="of the reachable range, on a logarithmic scale")
    parser.add_argument("--seeds", type=int, default=1)
    args = parser.parse_args()
    config, _ = supernet_of_run(args.run)
    trained = make_plan(config.settings[0])
    weights = shared_supernet.read(args.run / shared_supernet.FILE, trained)
    supernet = SupernetAccuracy(
        shared_supernet.build_evaluator(shared_supernet.evaluator_payload(trained, weights) | {"batch": IMAGES}),
        trained.space,
    )
    print(LEGEND, HEAD, sep="\n", flush=True)
    results: dict[str, list[LockResult]] = {}
    for device in args.devices.split(","):
        base = make_plan(replace(config.settings[0], target=device, latency_ms=None))
        low, high = np.log(base.reachable)
        plans = [
            replace(base, latency_budget=float(np.exp(low + float(s) * (high - low)))) for s in args.shares.split(",")
        ]
        for reward in named_rewards(args.rewards):
            started, rows = time.monotonic(), []
            for plan in plans:
                source = AccuracySource(supernet.learn, supernet.top1, SyntheticQuality.of(plan.space, 0))
                rows += [search(plan, reward, seed, None, source) for seed in range(args.seeds)]
            results.setdefault(reward, []).extend(rows)
            print(line(f"{reward}, {device}", rows), f"  {time.monotonic() - started:.0f} s", flush=True)
    for reward, rows in results.items():
        print(line(reward, rows))


if __name__ == "__main__":
    main()
