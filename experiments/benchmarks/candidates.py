"""Benchmark: processor seconds that the candidates of a search cost, before and after, and in PyTorch.

    python -m experiments.benchmarks.candidates --data cifar10 --data-dir DIR [--networks 16] [--rungs 1 2 4]

Random networks of `uib` at one latency are trained alone as proxies of the preset `standard`, through the rungs of
successive halving; a third goes on, the first of them for every method alike, so that all do the same work:

    before    one program per network, compiled anew in every rung, accuracies under stored statistics (release 0.1)
    packed    one program per network, kept for all rungs and seeds, its optimizer on two long arrays
    members   one program for all networks, with unshared weights (nas/training/members.py); what searches on a CPU use
              where an epoch has few steps (nas/runs/model_budget.py), else packed
    torch     PyTorch in eager mode, without augmentation and averaged weights; where torch is installed

Counted is the processor time of this process and its threads: tracing, compilation, training, evaluation, checkpoints.
Methods run one after the other in one process, so ratios are of one run.

Digits, all rungs of 16 networks (8 steps an epoch), one thread, beside other work: before 531 s, packed 285 (.54),
members 132 (.25; 49 s of them until the first network is trained), PyTorch 24, which compiles nothing.

CIFAR-10, the first rung of 1 epoch (125 steps), one thread, on a machine that eight other processes loaded,
which inflates processor time and makes phases hard to compare. The first two networks took 99 s before, 96 s packed,
145 s as members (101 s the first, with the compilation for all, 44 s the second) and 35 s in PyTorch; three took 143 s
packed, 180 s as members and 52 s in PyTorch. So in the first rung packing gains nothing that can be resolved, and the
half aimed at is not reached. All rungs of 16 networks, where packed programs are not compiled again, were not measured.
Mean top-1 of the three: 34.1 % packed, 34.0 % as members.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import jax
import numpy as np

from experiments.benchmarks.timing import print_table, use_threads
from nas.arch import ArchSpec
from nas.data import epoch_indices
from nas.runs.plan import make_plan
from nas.runs.settings import SearchConfig
from nas.search.constraints.sampling import random_satisfying
from nas.space.scaling import scale_down
from nas.supernet.buckets import buckets_for
from nas.supernet.members import SpaceFamily
from nas.training.candidates import CandidateTrainings, make_trainings
from nas.training.loop import TrainingConfig
from nas.training.members import as_members
from nas.training.optimizers import AdamW
from nas.training.trainees import OnTraineeEpoch, OpenTrainees, TrainAll, Trained, Trainee, one_by_one

try:
    import torch  # type: ignore[import-not-found,unused-ignore]

    from experiments.benchmarks.torch_peer import Peer
except ImportError:
    torch = None  # type: ignore[assignment,unused-ignore]

METHODS = ("before", "packed", "members", "torch")
EVAL_BATCH = 128


@contextmanager
def in_torch(trials: CandidateTrainings, on_epoch: OnTraineeEpoch) -> Iterator[TrainAll]:
    """Yield the function that trains networks in PyTorch; their peers stay in memory from rung to rung."""
    peers: dict[str, tuple[Peer, Peer, list[float]]] = {}
    data, config = trials.data, trials.config
    optimizer = config.optimizer
    assert isinstance(optimizer, AdamW)

    def make(arch: ArchSpec) -> tuple[Peer, Peer, list[float]]:
        numbers = config.label_smoothing, optimizer.learning_rate, optimizer.weight_decay, False
        train = Peer(arch, np.asarray(data.x_train), data.y_train, *numbers)
        test = Peer(arch, np.asarray(data.x_test), data.y_test, *numbers)
        test.model = train.model
        return train, test, []

    def run(trainees: list[Trainee]) -> Iterator[Trained]:
        for one in trainees:
            if one.digest not in peers:
                peers[one.digest] = make(one.arch)
            train, test, curve = peers[one.digest]
            for epoch in range(len(curve), one.epochs):
                rows = epoch_indices(one.seed, epoch, len(data.x_train), config.batch_size)
                train.train(np.asarray(rows, np.int64))
                curve.append(test.evaluate(len(data.x_test), EVAL_BATCH) / len(data.x_test))
            yield Trained(one, tuple(curve))

    yield run  # type: ignore[misc]


OPENED: dict[str, OpenTrainees] = {
    "before": one_by_one, "packed": as_members, "members": as_members, "torch": in_torch
}  # fmt: skip


def going_on(archs: list[ArchSpec], rung: int) -> int:
    """Return how many networks a rung trains."""
    return max(1, len(archs) // 3**rung)


def measure(
    open_trainees: OpenTrainees, trials: CandidateTrainings, archs: list[ArchSpec], rungs: list[int], name: str
) -> list[float]:
    """Return the processor seconds of each rung; opening and closing count in the first and the last."""
    costs: list[float] = []
    start = time.process_time()
    accuracies: dict[str, float] = {}
    with open_trainees(trials, lambda *_: None) as train:
        for rung, epochs in enumerate(rungs):
            going = archs[: going_on(archs, rung)]
            for done in train([Trainee(arch.digest, arch, trials.config.seed, epochs) for arch in going]):
                accuracies[done.trainee.digest] = done.curve[-1]
                print(f"  {name}: {time.process_time() - start:.0f} s, {done.trainee.digest[:8]} to epoch {epochs}: "
                      f"{done.curve[-1]:.1%}", file=sys.stderr, flush=True)  # fmt: skip
            costs.append(time.process_time() - start - sum(costs))
    costs[-1] += time.process_time() - start - sum(costs)
    print(f"  {name}: top-1 {np.mean(list(accuracies.values())):.1%} in the mean", file=sys.stderr, flush=True)
    return costs


def main() -> None:
    """Measure and print."""
    options = parsed()
    use_threads(options.threads)
    jax.config.update("jax_enable_compilation_cache", False)
    if torch is not None:
        torch.set_num_threads(options.threads)
    config = SearchConfig(
        space=options.space, target="edgetpu", data=options.data, data_dir=options.data_dir, preset="standard"
    )
    plan = make_plan(config)
    rng = np.random.default_rng([options.seed, 99])
    genotypes = random_satisfying(plan.space, plan.constraints(plan.space), options.networks, rng)
    archs = [scale_down(plan.space.decode(genotype), plan.proxy_resolution, plan.proxy_width) for genotype in genotypes]
    training = TrainingConfig(epochs=options.rungs[-1])
    methods = [method for method in options.methods if method != "torch" or torch is not None]
    found: dict[str, list[float]] = {}
    for method in methods:
        with tempfile.TemporaryDirectory() as folder:
            split = (plan.preset.validation_fraction, 0)
            trials = make_trainings(archs, plan.dataset, training, Path(folder), split=split)
            if method == "members":
                per_epoch = len(trials.data.x_train) // training.batch_size
                passes = per_epoch * sum(
                    going_on(archs, rung) * (epochs - before)
                    for rung, (before, epochs) in enumerate(pairwise([0, *options.rungs]))
                )
                trials = replace(trials, family=SpaceFamily(plan.proxy(plan.space), buckets_for(passes)))
            found[method] = measure(OPENED[method], trials, archs, options.rungs, method)
            jax.clear_caches()
    steps = len(trials.data.x_train) // training.batch_size
    macs = np.mean([arch.macs for arch in archs]) / 1e6
    print(f"{len(archs)} networks of {macs:.1f} MMACs, {steps} steps of {training.batch_size} images an epoch, "
          f"rungs {options.rungs}, {options.threads} thread(s)")  # fmt: skip
    report(found)
    if options.json:
        print(json.dumps(found))


def report(found: dict[str, list[float]]) -> None:
    """Print the processor seconds of the methods, and their ratios."""
    body = []
    for method, costs in found.items():
        cells = [f"{costs[0]:.0f}", f"{sum(costs):.0f}"]
        for other in ("before", "torch"):
            cells += [f"{pick(costs) / pick(found[other]):.2f}" if other in found else "-" for pick in (_first, sum)]
        body.append([method, *cells])
    heads = ["processor seconds", "first rung", "all rungs", "/ before: first", "all", "/ torch: first", "all"]
    print_table(heads, body)


def _first(costs: list[float]) -> float:
    return costs[0]


def parsed() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--space", default="uib")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--data-dir")
    parser.add_argument("--networks", type=int, default=16)
    parser.add_argument("--rungs", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seed", type=int, default=0, help="of the sampled networks")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="the seconds of each rung, behind the table")
    return parser.parse_args()


if __name__ == "__main__":
    main()
