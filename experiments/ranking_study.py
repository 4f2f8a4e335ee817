"""Study: does the search beat random architectures, and does the supernet rank well? (Fashion-MNIST, edgetpu)

Question: the networks that 3 search seeds find are compared with 16 random architectures of the whole space of the same
predicted latency (within 1 %): the proxies of all are trained alone with one recipe and 2 seeds, and ranked by their
mean test top-1. Also, Kendall's tau between those 16 accuracies and the accuracies in a supernet over the whole space,
trained under a uniform policy. Random architectures are uniform samples, moved onto the latency by exact repair, and
are canonical (inactive decisions at option 0).

Command: python -m experiments.ranking_study --data fashion-mnist --data-dir DIR --out runs/study [--epochs 4]
Every search and training has a folder of its own under --out: a study that was stopped is resumed.

Results, on 2 cores without a GPU: trained for as long as the search trained its finalists, the found networks are
in the top quarter: mean rank 3.7, and 4.75 was the limit. After half of that they are not (6.7). Test top-1 of the
proxies (width 0.25), mean of 2 seeds, of 19 networks.

`--preset standard --epochs 4` (18 finalists, 12 of them from the whole space; 16 px):

    found, seeds 2, 1, 0   .8871 .8870 .8868   ranks 2, 4, 5: mean 3.7
    random, best three     .8871 .8870 .8864   ranks 1, 3, 6
    random, worst three    .8773 .8759 .8707   ranks 17 to 19
    all found, all random  .8870 and .8819 in the mean; tau of the uniform supernet -.02

The same networks with `--epochs 2`:

    found, seeds 1, 0, 2   .8686 .8587 .8585   ranks 1, 9, 10: mean 6.7
    random, best three     .8659 .8643 .8636   ranks 2 to 4
    random, worst three    .8509 .8499 .8496   ranks 17 to 19
    all found, all random  .8619 and .8575 in the mean; tau of the uniform supernet .07

`--finalists 12 --proxy-resolution 16 --epochs 2`, all finalists from the stages' own spaces:

    found, seeds 1, 2, 0   .8626 .8507 .8439   ranks 4, 16, 19: mean 13.0
    all found, all random  .8524 and .8575 in the mean

`--epochs 1` at 28 px, without finalists:

    found, seeds 1, 2, 0   .8410 .8306 .8236   ranks 4, 11, 16: mean 10.3
    all found, all random  .8317 and .8322 in the mean

All found networks are within 0.8 % of the latency budget. Two trainings of one network differ with a standard deviation
of .0035 (4 passes, the seeds' own means taken out), .005 (2) or .007 (1), the means of random networks among each other
with .0046 after 4 passes: so places next to each other mean little, the top seven lie within .0008, and the claim is
about the mean of three. The two seeds rank the 19 with a Kendall's tau of .29 (4 passes) and .48 (2).
experiments/data/ranking_study/ holds what was found, for `--found`: open-s* of the first two tables, found-s* of the
last.

Why. In a training this short what counts is the depth of the last stage: the best random networks have 2 wide blocks
there, and so had the one good network found by supernets alone; the bad ones have 4 and 6. The supernets do not see
that: among the 12 coarse finalists of seeds 0 and 1, trained alone for one pass, the supernet's tau is -.31 and .26,
among the 6 fine ones -.86 and .14. Nor can the coarse stage: with its fixed blocks (IB k3 e4) a network at this latency
has 145 to 165 M MACs, the random ones of the whole space 160 to 220 M. One pass alone does see it. So two thirds of the
coarse finalists are random samples of the whole space, and the best one is kept unless a fine finalist is better at
full length (nas/runs/finalists.py): of the three searches two end with an open coarse finalist, one with a fine
candidate around such a one. Without that last rule seed 1 would have taken a fine candidate (.8589) that was ahead
after 2 passes of 4.

Of the search before it had finalists: in a first form the warm-up ran the largest sizes, all blocks of a stage
included, and the shallow networks' shared weights were left behind. A coarse supernet so trained (400 steps of 2
updates, policy uniform) ranked the 16 with a tau of -.08; one that samples sizes uniformly with .29; one that samples
near the target only with -.10, but it gives them 77.4 % top-1 in the mean against 76.2 and 71.1 % (validation images).
With 16 networks only a tau beyond about +-.36 differs from 0. The search samples near the target since, without a
warm-up of sizes. Blocks with a skip begin as that skip, in the supernet and alone: with 2 passes that gave a deep
random network 1.0 point and a shallow one 0.1.

Hours, both cores busy: 38 trainings of 4 passes at 16 px 82 minutes in two processes, beside some other work; one
training of 2 passes 2 to 2.5 minutes of one core; 38 of one pass at 28 px 75 minutes in two processes; finalists and
fine stage of a search with 18 finalists 40 to 45 minutes of one core.
"""

import argparse
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from scipy.stats import kendalltau

from experiments.line_reporter import LineReporter
from nas.arch import ArchSpec, load_arch
from nas.data import at_resolution, channel_stats, epoch_indices, split_for_search
from nas.data.split import permutation
from nas.files import dump_json, read_json, write_whole
from nas.protocols import Genotype
from nas.records.results import Result
from nas.runs.joint_search import resume, search
from nas.runs.plan import SearchPlan, make_plan
from nas.runs.settings import SearchConfig
from nas.search.constraints.sampling import random_satisfying
from nas.space.scaling import scale_down
from nas.supernet import joint
from nas.supernet.evaluator import SearchImages, SupernetEvaluator
from nas.supernet.presets import StageBudget
from nas.supernet.supernet import Supernet, parameters
from nas.training.loop import TrainingConfig, train


def found(settings: SearchConfig, seeds: list[int], out: Path) -> list[Result]:
    """Return the results of one search per seed; finished ones are read."""
    results = []
    for seed in seeds:
        run, reporter = out / f"search-s{seed}", LineReporter()
        result = resume(run, reporter) if run.exists() else search(replace(settings, seed=seed), run, reporter)
        results.append(result)
        latency = f"{result.latency:.4g} {result.latency_unit}"
        print(f"search seed {seed}: {latency}, budget {result.latency_budget:.4g}", flush=True)
    return results


def random_genotypes(plan: SearchPlan, count: int, seed: int) -> list[Genotype]:
    """Return distinct canonical genotypes of the whole space within 1 % of the latency budget."""
    return random_satisfying(plan.space, plan.constraints(plan.space), count, np.random.default_rng([seed, 99]))


def train_proxies(
    plan: SearchPlan, archs: list[ArchSpec], seeds: list[int], epochs: int, out: Path, workers: int
) -> None:
    """Train the proxy of every architecture alone, once per seed, in `workers` processes of one thread each."""
    os.environ["NPROC"] = "1"  # read by the workers' XLA
    jobs = [(plan.settings, arch.to_dict(), seeds, epochs, out) for arch in archs]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for done in as_completed([pool.submit(train_proxy, *job) for job in jobs]):
            print(done.result(), flush=True)


def train_proxy(settings: SearchConfig, spec: dict[str, Any], seeds: list[int], epochs: int, out: Path) -> str:
    """Train one proxy with every seed, unless that was done before; return a line about it."""
    plan, arch = make_plan(settings), ArchSpec.from_dict(spec)
    proxy = scale_down(arch, plan.proxy_resolution, plan.proxy_width)
    for seed in seeds:
        folder = _training(out, arch, seed)
        if not (folder / "train.json").exists():
            train(proxy, plan.dataset, TrainingConfig(epochs=epochs, seed=seed), folder, proxy_width=plan.proxy_width)
    jax.clear_caches()
    return f"  {arch.digest[:12]}: top-1 {trained_top1(arch, seeds, out):.4f}"


def trained_top1(arch: ArchSpec, seeds: list[int], out: Path) -> float:
    """Return the mean test top-1 over the seeds."""
    return float(np.mean([read_json(_training(out, arch, seed) / "train.json")["accuracy"]["top1"] for seed in seeds]))


def _training(out: Path, arch: ArchSpec, seed: int) -> Path:
    return out / f"{arch.digest[:12]}-s{seed}"


def supernet_top1(plan: SearchPlan, genotypes: list[Genotype], steps: int, out: Path) -> list[float]:
    """Return accuracies of `genotypes` in a supernet of the whole space, after `steps` x 2 updates, policy uniform."""
    file = out / "supernet.json"
    if file.exists():
        return list(read_json(file))
    preset = plan.preset
    budget = StageBudget(steps=steps, updates=2, samples=1, policy_warmup_fraction=1.0, averages=False)
    space = plan.proxy(plan.space)
    stage = joint.JointStage(
        "joint", 9, space, plan.constraints(plan.space), budget, preset, plan.dataset.augmentation, 0
    )
    model = Supernet(space, np.random.default_rng(0))
    graph, data = nnx.graphdef(model), at_resolution(plan.dataset, plan.proxy_resolution)
    rows, val = split_for_search(plan.dataset, preset.validation_fraction, 0)
    val = val[permutation(len(val), 0, 1)][: preset.eval_images]
    stats = channel_stats(data)
    images = SearchImages(
        *map(jnp.asarray, (data.x_train[rows], data.y_train[rows], data.x_train[val], data.y_train[val], *stats))
    )
    run_steps, state = joint.compile_steps(stage, graph), joint.init_state(stage, parameters(model))
    batches = np.concatenate(
        [epoch_indices(7, e, len(rows), preset.batch) for e in range(2 * steps * preset.batch // len(rows) + 2)]
    )
    unused = jnp.zeros((budget.steps_per_dispatch, preset.reward_batch), jnp.int32)
    for step in range(0, steps - budget.steps_per_dispatch + 1, budget.steps_per_dispatch):
        block = batches[2 * step : 2 * (step + budget.steps_per_dispatch)].reshape(
            budget.steps_per_dispatch, 2, preset.batch
        )
        state, report = run_steps(state, images, jnp.asarray(block), unused)
        print(f"  supernet step {step}: loss {float(report.loss.mean()):.3f}", flush=True)
    evaluator = SupernetEvaluator(space, graph, images, preset.eval_batch)
    evaluator.params = state.params
    top1 = [float(x) for x in evaluator.accuracy(np.array(genotypes, np.int32))]
    write_whole(file, dump_json(top1))
    return top1


def main() -> None:
    """Run the study and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--data-dir")
    parser.add_argument("--target", default="edgetpu")
    parser.add_argument("--preset", default="standard")
    parser.add_argument("--finalists", type=int, help="candidates of the searches' coarse stage that are trained alone")
    parser.add_argument("--proxy-resolution", type=int)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--found", type=Path, nargs="+", default=[], help="specs found before, in place of searching")
    parser.add_argument("--random", type=int, default=16)
    parser.add_argument("--train-seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2, help="processes that train, one thread each")
    parser.add_argument("--supernet-steps", type=int, default=400)
    parser.add_argument("--out", type=Path, default=Path("runs/ranking-study"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    settings = SearchConfig(
        target=args.target, data=args.data, data_dir=args.data_dir, preset=args.preset, finalists=args.finalists,
        proxy_resolution=args.proxy_resolution,
    )  # fmt: skip
    searched = [load_arch(file) for file in args.found]
    searched = searched or [result.arch for result in found(settings, args.seeds, args.out)]
    plan = make_plan(settings)
    genotypes = random_genotypes(plan, args.random, 0)
    archs = searched + [plan.space.decode(g) for g in genotypes]
    in_supernet = supernet_top1(plan, genotypes, args.supernet_steps, args.out)
    train_proxies(plan, archs, args.train_seeds, args.epochs, args.out, args.workers)
    top1 = np.array([trained_top1(arch, args.train_seeds, args.out) for arch in archs])
    rank = (-top1).argsort().argsort() + 1
    names = [f"found {i}" for i in range(len(searched))] + [f"random {i}" for i in range(len(genotypes))]
    print(f"\n{'network':10s} {'latency':>8s} {'MACs M':>7s} {'top-1':>7s} {'rank':>4s}")
    for i in np.argsort(rank):
        latency = plan.model.predict_ms(archs[i])
        print(f"{names[i]:10s} {latency:8.4f} {archs[i].macs / 1e6:7.1f} {top1[i]:7.4f} {rank[i]:4d}")
    mean, limit = rank[: len(searched)].mean(), len(archs) / 4
    print(f"\nmean rank of the found: {mean:.1f} of {len(archs)}; the top quarter ends at {limit:.2f}")
    tau = kendalltau(in_supernet, top1[len(searched) :])
    print(f"Kendall's tau of a uniformly trained supernet over the {len(genotypes)} random ones: {tau.statistic:.2f}")


if __name__ == "__main__":
    main()
