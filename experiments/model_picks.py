"""Study: what an accuracy model finds beyond the networks it learnt from, against the best of those.

Question, on CIFAR-10 for edgetpu: after the same trainings (the truth table's first networks, 2 seeds each,
experiments/truth_table.py), are the networks that a ridge regression on them predicts to be best, anywhere in the band
of equal latency, better than the best of the networks trained, which is what random search would answer with?

    model     the highest predictions of a ridge on static features: the best of the whole band, exactly, then the best
              of 20,000 random networks of it
    random    the best of the table by mean validation accuracy
    macs      the most MACs of the band, found as the model's picks are: what no training at all would choose

The first two see validation accuracies only. `--picks` networks of each are trained again with seeds that no one has
chosen by (2 and 3), with the table's recipe, and then scored on the test images; the verdict compares these. The random
arm so has no luck of the choice in its score.

    python -m experiments.model_picks --data-dir DIR [--networks 48] [--picks 6] [--arms model random macs]
    python -m experiments.model_picks --verdict [--networks 48]

Results, 48 networks and 6 picks of each arm (test top-1): the model's 46.01 % in the mean, the best of the networks
trained 44.71 %, the most MACs 44.78 %, all 48 networks 44.30 %. Resolved: +1.29 points [+0.46, +2.20], p = .017,
against random, and +1.23 [+0.53, +1.94], p = .015, against MACs. The model's picks have few, wide blocks, which hardly
occur among random networks of this latency; the six are alike, so this is one answer of one table, seen six times. What
it does not say: how a search of 16 core-minutes fares, which trains 11 networks for 1 to 3 epochs (see arms.py).

A line per training is appended to experiments/data/truth_table/picks.jsonl: stopped and started again it goes on, with
more picks it adds to what is there.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments import truth_table
from experiments.arm_verdict import verdict
from nas.protocols import Genotype
from nas.runs.model_budget import band
from nas.runs.plan import SearchPlan
from nas.search.accuracy.features import static_features
from nas.search.accuracy.ridge import fit_ridge
from nas.search.accuracy.table import best_within, compile_prediction
from nas.space.cost_table import MACS, CostTable, compile_table

JOURNAL = truth_table.FOLDER / "picks.jsonl"
SEEDS = (2, 3)  # of the trainings that count; the table has 0 and 1
ARMS = ("model", "random", "macs")
POOL = 20_000
Rows = Sequence[Mapping[str, Any]]


def labels(trainings: Rows, networks: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Return the first `networks` genotypes [N, D] of the table and their mean validation top-1 after the last pass."""
    found: dict[Genotype, list[float]] = {}
    for one in trainings:
        if one["genotype_number"] < networks:
            found.setdefault(tuple(one["genotype"]), []).append(one["validation_top1"][-1])
    return np.array(list(found), np.int32), np.array([np.mean(values) for values in found.values()])


def picks(
    plan: SearchPlan, genotypes: NDArray[np.int32], top1: NDArray[np.float64], count: int
) -> dict[str, list[Genotype]]:
    """Return the networks of each arm, best first."""
    features = static_features(plan.space, plan.proxy(plan.space))
    table = compile_prediction(features, fit_ridge(features(genotypes), top1))
    trained = [tuple(map(int, row)) for row in genotypes[np.argsort(-top1, kind="stable")[:count]]]
    macs = compile_table(plan.space, MACS).negative()
    return {"model": _least(plan, table, count), "random": trained, "macs": _least(plan, macs, count)}


def _least(plan: SearchPlan, table: CostTable, count: int) -> list[Genotype]:
    """Return the networks of the band with the least value in `table`: the least of all, then of `POOL` random ones."""
    within = band(plan)
    exact = best_within(plan.space.decisions, table, within.limits)
    pool = within.draw(np.random.default_rng(0), POOL)
    best = [tuple(map(int, row)) for row in pool[np.argsort(table.score(pool), kind="stable")[:count]]]
    return list(dict.fromkeys([*([exact] if exact else []), *best]))[:count]


def known() -> list[dict[str, Any]]:
    """Return the trainings of picks so far."""
    return [json.loads(line) for line in JOURNAL.read_text().splitlines()] if JOURNAL.exists() else []


def make(data_dir: str, networks: int, count: int, arms: Sequence[str]) -> None:
    """Train what is missing."""
    plan = truth_table.make_truth_plan(data_dir)
    chosen = picks(plan, *labels(truth_table.known_trainings(), networks), count)
    data, splits = truth_table.images(plan)
    done = {(one["networks"], one["arm"], one["place"], one["seed"]) for one in known()}
    for place in range(count):
        for arm in arms:
            genotype = chosen[arm][place]
            for seed in SEEDS:
                if (networks, arm, place, seed) in done:
                    continue
                arch = plan.space.decode(genotype)
                found = truth_table.train_one(truth_table.proxy_of(plan, arch), plan, splits, data, seed)
                record = {"networks": networks, "arm": arm, "place": place, "seed": seed, "digest": arch.digest,
                          "genotype": list(genotype), "macs": arch.macs, "params": arch.params, **found}  # fmt: skip
                with JOURNAL.open("a") as file:
                    file.write(json.dumps(record) + "\n")
                print(f"{arm} {place} seed {seed}: test top-1 {found['test_top1']:.4f}", flush=True)


def report(networks: int) -> None:
    """Print the verdict on the trainings so far."""
    rows = [one for one in known() if one["networks"] == networks]
    table = [one["test_top1"] for one in truth_table.known_trainings() if one["genotype_number"] < networks]
    values = {arm: _means([one for one in rows if one["arm"] == arm]) for arm in ARMS}
    print(f"random networks of the band: {100 * np.mean(table):.2f} % test top-1 in the mean ({networks} networks)")
    for arm in filter(values.get, ARMS):
        print(f"{arm}: {100 * np.mean(values[arm]):.2f} % in the mean of {len(values[arm])} networks, "
              f"{len(SEEDS)} fresh seeds each")  # fmt: skip
    for other in filter(values.get, ARMS[1:]):
        found = str(verdict(values["model"], values[other]))
        print(f"model against {other}: {found.replace('searches', 'networks')}")


def _means(rows: Rows) -> list[float]:
    """Return the mean test top-1 of every network whose trainings are complete."""
    found: dict[int, list[float]] = {}
    for one in rows:
        found.setdefault(one["place"], []).append(one["test_top1"])
    return [float(np.mean(each)) for each in found.values() if len(each) == len(SEEDS)]


def main() -> None:
    """Train, or print the verdict."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data-dir", default=".")
    parser.add_argument("--networks", type=int, default=48, help="of the truth table, that the arms choose by")
    parser.add_argument("--picks", type=int, default=6, help="networks of each arm")
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS)
    parser.add_argument("--verdict", action="store_true", help="print the verdict; trains nothing")
    args = parser.parse_args()
    if not args.verdict:
        make(args.data_dir, args.networks, args.picks, args.arms)
    report(args.networks)


if __name__ == "__main__":
    main()
