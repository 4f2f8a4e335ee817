"""Truth table: many networks of equal latency, each trained alone with several seeds, for simulated searches.

Networks of `uib` for edgetpu within 1 % of one latency (0.681 ms, just inside that of MobileNetV4-Conv-S): a uniform
draw over genotypes, moved onto the band by exact repair, in canonical form. Their proxies (width 0.25 at 16 px) are
trained alone with one recipe, that of `nas train`, for 3 passes over 16,000 CIFAR-10 images, the training part of the
split that a search with seed 0 makes of the 20,000 at hand (two of the five training files). After every pass the
running average of the weights is scored on the 4,000 validation images of that split, at the end on all 10,000 test
images, each under the normalisation statistics of batches of 250.

    python -m experiments.truth_table --data-dir DIR [--networks 48] [--seeds 2] [--first 0] [--top-seeds 3]
    python -m experiments.truth_table --csv

The first command trains what is missing, network by network, and appends a line for every training to
experiments/data/truth_table/trainings.jsonl: stopped and started again it goes on, with more networks or seeds it adds
to what is there; with `--top-seeds` the quarter of most accurate networks, by the seeds that all have, is trained with
further ones. A training takes about 45 s of one core, and a network 15 s more for its compilation. The second needs
no images: it writes experiments/data/truth_table/uib_cifar10.csv, a row for each network with two seeds or more, in the
form that experiments/ranking_replay.py reads (nas/records/ranking_table.py), and prints noise, spread, ceiling and
the Kendall's tau of every predictor; what came out is in experiments/data/README.md.
"""

import argparse
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("NPROC", "1")  # threads of XLA: one training per core is the most work done per second

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from numpy.typing import NDArray

from experiments.ranking_study import random_genotypes
from nas.arch import ArchSpec
from nas.cli.console import console
from nas.cli.tables.ranking import ranking_notes, ranking_rows
from nas.data import Dataset, at_resolution, epoch_indices, validation_view
from nas.files import write_whole
from nas.nn.network import Weights, merged, split_statistics
from nas.records.ranking_table import RankingTable
from nas.runs.plan import SearchPlan, make_plan
from nas.runs.ranking import described, model_features
from nas.runs.settings import SearchConfig
from nas.search.accuracy.ranking import RankingEvidence, evidence_of
from nas.space.scaling import scale_down
from nas.training.loop import TrainingConfig, TrainingPlan, initial_params
from nas.training.step import ImageSplit, image_splits, init_state, run_steps

FOLDER = Path(__file__).parent / "data/truth_table"
JOURNAL, TABLE = FOLDER / "trainings.jsonl", FOLDER / "uib_cifar10.csv"
NETWORKS = 128  # drawn; the first of them are trained first
EPOCHS = 3
EVALUATION_BATCH = 250  # divides both 4,000 and 10,000
MAX_STEPS = 512
FEWEST_SEEDS = 2  # of a network in the table


def make_truth_plan(data_dir: str) -> SearchPlan:
    """Return the plan whose band, proxies and split the table is about."""
    return make_plan(SearchConfig(target="edgetpu", data="cifar10", data_dir=data_dir, preset="standard"))


def known_trainings() -> list[dict[str, Any]]:
    """Return the trainings so far."""
    return [json.loads(line) for line in JOURNAL.read_text().splitlines()] if JOURNAL.exists() else []


def score(arch: ArchSpec, weights: Weights, split: ImageSplit) -> float:
    """Return the top-1 on `split` under the statistics of batches of `EVALUATION_BATCH` images."""
    rows = np.arange(split.images, dtype=np.int32).reshape(-1, EVALUATION_BATCH)
    return int(np.sum(_correct(arch, weights, rows, split))) / split.images


@jax.jit(static_argnames="arch")
def _correct(arch: ArchSpec, weights: Weights, rows: Array, split: ImageSplit) -> Array:
    network = merged(arch, weights)

    def of_batch(row: Array) -> Array:
        logits = network(split.inputs(split.x[row], arch), batch_stats=True)
        return jnp.sum(logits.argmax(1) == split.y[row])

    return lax.map(of_batch, rows)


def train_one(arch: ArchSpec, plan: SearchPlan, splits: dict[str, ImageSplit], data: Any, seed: int) -> dict[str, Any]:
    """Train one proxy with one seed; return its validation top-1 after every epoch, and its test top-1."""
    config = TrainingConfig(epochs=EPOCHS, seed=seed)
    training = TrainingPlan(arch, config, data, splits["train"])
    params, _ = split_statistics(initial_params(arch, seed, None))
    state, curve = init_state(training.step_config, params), []
    for epoch in range(EPOCHS):
        rows = np.zeros((MAX_STEPS, config.batch_size), np.int32)
        order = epoch_indices(seed, epoch, len(data.x_train), config.batch_size)
        rows[: len(order)] = order
        state, _ = run_steps(training.step_config, state, jax.device_put(rows), len(order), seed, splits["train"])
        curve.append(score(arch, state.average, splits["validation"]))
    return {"validation_top1": curve, "test_top1": score(arch, state.average, splits["test"])}


def images(plan: SearchPlan) -> tuple[Dataset, dict[str, ImageSplit]]:
    """Return the images of a search with seed 0 at the proxies' resolution, and their splits on the device."""
    at_size = at_resolution(plan.dataset, plan.proxy_resolution)
    view = validation_view(at_size, plan.preset.validation_fraction, plan.settings.seed)
    train, validation, test = (*image_splits(view), image_splits(at_size)[1])
    assert isinstance(train, ImageSplit) and isinstance(validation, ImageSplit) and isinstance(test, ImageSplit)
    splits = {"train": train, "validation": validation, "test": test._replace(mean=train.mean, std=train.std)}
    return view, splits


def proxy_of(plan: SearchPlan, arch: ArchSpec) -> ArchSpec:
    """Return the proxy of a target network."""
    return scale_down(arch, plan.proxy_resolution, plan.proxy_width)


def top_quarter(trainings: Sequence[Mapping[str, Any]], networks: int, seeds: int) -> list[int]:
    """Return the numbers of the quarter of most accurate networks among the first `networks`, by their first `seeds`.

    By the accuracy on test images, as the table has it. Empty unless all of these trainings have ended.
    """
    known = {(one["genotype_number"], one["seed"]): one["test_top1"] for one in trainings}
    every = [[known.get((number, seed), np.nan) for seed in range(seeds)] for number in range(networks)]
    means = np.mean(every, axis=1)
    return [] if np.isnan(means).any() else sorted(np.argsort(-means, kind="stable")[: networks // 4].tolist())


def make(data_dir: str, networks: Sequence[int], seeds: int) -> None:
    """Train what is missing of `networks`, by their numbers, with the first `seeds` seeds."""
    plan = make_truth_plan(data_dir)
    view, splits = images(plan)
    genotypes = random_genotypes(plan, NETWORKS, 0)
    done = {(one["genotype_number"], one["seed"]) for one in known_trainings()}
    for number in networks:
        arch = plan.space.decode(genotypes[number])
        proxy = proxy_of(plan, arch)
        for seed in range(seeds):
            if (number, seed) in done:
                continue
            started = time.process_time()
            found = train_one(proxy, plan, splits, view, seed)
            record = {
                "genotype_number": number, "genotype": list(genotypes[number]), "digest": arch.digest, "seed": seed,
                **found, "processor_s": round(time.process_time() - started, 1),
            }  # fmt: skip
            with JOURNAL.open("a") as file:
                file.write(json.dumps(record) + "\n")
            print(f"{number:3d} seed {seed}: {found} {record['processor_s']:.0f} s", flush=True)
        jax.clear_caches()


def table_of(plan: SearchPlan, trainings: Sequence[Mapping[str, Any]]) -> RankingTable:
    """Return the table of the networks with at least `FEWEST_SEEDS` trainings; NaN where a network has fewer than most.

    Accuracies are those on the test images, curves those on the validation images.
    """
    by_network: dict[int, dict[int, Mapping[str, Any]]] = {}
    for one in trainings:
        by_network.setdefault(one["genotype_number"], {})[one["seed"]] = one
    kept = [seeds for _, seeds in sorted(by_network.items()) if set(range(FEWEST_SEEDS)) <= set(seeds)]
    most = max((max(seeds) + 1 for seeds in kept), default=0)
    accuracy = np.full((len(kept), most), np.nan)
    curves = np.full((len(kept), most, EPOCHS), np.nan)
    for row, seeds in enumerate(kept):
        for seed, one in seeds.items():
            accuracy[row, seed], curves[row, seed] = one["test_top1"], one["validation_top1"]
    return described(plan, np.array([seeds[0]["genotype"] for seeds in kept], np.int32), accuracy, curves)


def evidence_in(plan: SearchPlan, table: RankingTable, **further: NDArray[np.float64]) -> RankingEvidence:
    """Return what the first seeds of the table say about the predictors, and about `further` ones [N]."""
    names = ("macs", "params", "activations", "depthwise", "proxy_macs", "proxy_params", "stem.filters")
    predictors = {name: table.features[name] for name in names} | {"latency": table.cost} | further
    assert table.curves is not None
    features = model_features(plan, table.genotypes)
    return evidence_of(table.accuracy[:, :FEWEST_SEEDS], predictors, features, table.curves[:, 0, 0])


def plan_without_images() -> SearchPlan:
    """Return the plan of the table with other images: networks, latencies, proxies and features are the same."""
    return make_plan(SearchConfig(target="edgetpu", data="digits", preset="standard"))


def write_table() -> None:
    """Write the CSV of the trainings so far, and print what it says."""
    plan = plan_without_images()
    table = table_of(plan, known_trainings())
    write_whole(TABLE, table.to_csv())
    evidence = evidence_in(plan, table)
    console().print(ranking_rows(evidence))
    for line in ranking_notes(evidence):
        print(line)


def main() -> None:
    """Train, or write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data-dir", default=".")
    parser.add_argument("--networks", type=int, default=48)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--top-seeds", type=int, default=0, help="of the quarter of most accurate networks")
    parser.add_argument("--csv", action="store_true", help="write the table of what is trained; trains nothing")
    args = parser.parse_args()
    if args.csv:
        write_table()
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    make(args.data_dir, range(args.first, args.networks), args.seeds)
    if args.top_seeds > args.seeds:
        make(args.data_dir, top_quarter(known_trainings(), args.networks, args.seeds), args.top_seeds)


if __name__ == "__main__":
    main()
