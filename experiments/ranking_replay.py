"""Replay of the search with an accuracy model on a table of trained networks, against random search.

    python -m experiments.ranking_replay TABLE.csv [--json] [--times 200]

TABLE.csv has the columns of experiments/replay_table.py: accuracy (or accuracy_0, accuracy_1, ...), cost, d0, d1, ...,
f_NAME. Inside bands of 3 % cost the search of `nas search` (nas/search/accuracy/search.py, one rung, batches of N/8)
chooses N = 8, 16 and 32 networks and sees each accuracy with noise of .3 and of .9 of the band's spread (standard
deviation); random search sees the same noise, and where the model has shown nothing both draw the same networks.
Regret: the best accuracy of the band less the noise-free accuracy of the answer. Printed are the mean regret of
both and their ratio with a 95 % interval (bootstrap over the replays), what the network with the largest value of each
feature loses, and Kendall's tau of every predictor inside the bands. `--json` prints the cells alone: a list of {n,
noise, ratio, low, high}. The same table gives the same output.

Results (200 times). With the 64 networks of the truth table of `uib` (2 seeds, 3 of the top quarter): n = 8 ratio
.99 [.96, 1.02] and 1.00 [.97, 1.02] with noise .3 and .9; n = 16 .79 [.74, .84] and .92 [.88, .96]; n = 32 .45
[.38, .52] and .80 [.74, .87] (with the first 55 of them, 2 seeds, 1.01 and 1.04, .87 and 1.03, .42 and .87).
With the 6,561 networks of NAS-Bench-Macro (CIFAR-10; not in this repository), parameters, depth and depths of stages as
features, and a start spread over the features at every n: .80 and .92, .63 and .71, .58 and .66.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.replay_table import WIDTH, Rows, Table, read_table
from nas.errors import InvalidInput
from nas.search.accuracy.evidence import tau_in_bands
from nas.search.accuracy.model import RANDOM, RIDGE, AccuracyModel
from nas.search.accuracy.ridge import fit_ridge
from nas.search.accuracy.search import ModelSearch, Schedule

Floats = NDArray[np.float64]
COUNTS = (8, 16, 32)  # trainings of a search
NOISES = (0.3, 0.9)  # of a label, in units of the band's spread
BATCHES = 8
BOOTSTRAPS = 2000
SEEDS = 4  # searches for each draw of the noise, their mean is one replay
TAU_FITS = 40  # random fits behind the tau of the ridge


@dataclass(frozen=True)
class Band:
    """The rows of a table that a search may choose from, as a feasible set of genotypes (row,)."""

    rows: Rows

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.int32]:
        """Return `count` of the rows in random order, as genotypes [count, 1]."""
        return rng.permutation(self.rows)[:count, None].astype(np.int32)


@dataclass(frozen=True)
class Cell:
    """Mean regrets of the model's search and of random search over all replays, and their ratio with an interval."""

    n: int
    noise: float
    regret: float
    random_regret: float
    ratio: float
    low: float
    high: float


def schedule(n: int) -> Schedule:
    """Return the schedule of `n` trainings of one length."""
    batch = max(1, n // BATCHES)
    return Schedule(n, max(2, n // 4), batch, rungs=(1,), finalists=1, repeats=0)


def searches(table: Table, band: Rows, n: int) -> tuple[ModelSearch, ModelSearch]:
    """Return the search with the model and random search over a band, for `n` trainings."""

    def of(model: AccuracyModel) -> ModelSearch:
        x, hot = table.described, table.one_hot
        decisions = (lambda g: hot[g[:, 0]]) if table.features.shape[1] and hot.shape[1] else None
        return ModelSearch(Band(band), lambda g: x[g[:, 0]], schedule(n), model, decisions)

    return of(RIDGE), of(RANDOM)


def chosen(search: ModelSearch, labels: dict[int, float], seed: int) -> int:
    """Return the row that the search answers with, for noisy labels by row."""
    state = search.init(seed)
    while asked := search.ask(state):
        state = search.tell(state, asked, [labels[training.genotype[0]] for training in asked])
    return search.answer(state).genotype[0]


def bands_for(table: Table, n: int) -> tuple[float, list[Rows], int]:
    """Return a width, the bands of it with enough rows for `n` trainings, and how many bands have too few.

    Enough are 2 n. Where no band has so many the width is doubled until one has; where even the whole table has not,
    1.5 n are enough. No bands where the table has fewer.
    """
    for least in (2 * n, 3 * n // 2):
        width = WIDTH
        while len(table.cost) >= least:
            bands = table.bands(width)
            enough = [band for band in bands if len(band) >= least and np.ptp(table.accuracy[band]) > 0]
            if enough:
                return width, enough, len(bands) - len(enough)
            if len(bands) == 1:
                break
            width *= 2
    return WIDTH, [], 0


def replay(table: Table, bands: Sequence[Rows], n: int, noise: float, times: int) -> Floats:
    """Return the regrets of the model's search and of random search [times, 2], replays spread over the bands."""
    found = np.zeros((times, 2))
    made = [searches(table, band, n) for band in bands[:times]]
    for time in range(times):
        band, truth = bands[time % len(bands)], table.accuracy
        rng = np.random.default_rng([n, round(100 * noise), time])
        noisy = truth[band] + noise * truth[band].std() * rng.standard_normal(len(band))
        labels = dict(zip(band.tolist(), noisy.tolist(), strict=True))
        for arm, search in enumerate(made[time % len(bands)]):
            seeds = range(SEEDS * time, SEEDS * (time + 1))
            found[time, arm] = truth[band].max() - np.mean([truth[chosen(search, labels, seed)] for seed in seeds])
    return found


def cell(n: int, noise: float, regrets: Floats) -> Cell:
    """Return the cell of regrets [times, 2]."""
    rng = np.random.default_rng([n, round(100 * noise)])
    samples = regrets[rng.integers(len(regrets), size=(BOOTSTRAPS, len(regrets)))].mean(1)
    low, high = np.quantile(ratio(samples), (0.025, 0.975))
    mean = regrets.mean(0)
    return Cell(n, noise, mean[0], mean[1], float(ratio(mean[None])[0]), float(low), float(high))


def ratio(means: Floats) -> Floats:
    """Return the first over the second of mean regrets [B, 2], 1 where both are 0."""
    return np.where(means[:, 1] > 0, means[:, 0] / np.maximum(means[:, 1], 1e-300), np.where(means[:, 0] > 0, 2.0, 1.0))


def cells(table: Table, times: int) -> list[Cell]:
    """Return all cells that the table has enough rows for; says on the error stream which bands are skipped."""
    found = []
    for n in COUNTS:
        width, bands, skipped = bands_for(table, n)
        say(_about_bands(table, n, width, bands, skipped))
        for noise in NOISES if bands else ():
            found.append(cell(n, noise, replay(table, bands, n, noise, times)))
    return found


def _about_bands(table: Table, n: int, width: float, bands: Sequence[Rows], skipped: int) -> str:
    if not bands:
        return f"n = {n}: skipped, {3 * n // 2} networks of different accuracy are needed, got {len(table.cost)}"
    wide = "" if width == WIDTH else f" (no band of {WIDTH:.0%} has {2 * n} networks)"
    sizes = [len(band) for band in bands]
    few = f", {skipped} bands with too few networks or a single accuracy skipped" if skipped else ""
    return f"n = {n}: {len(bands)} bands of {width:.0%} cost{wide}, {min(sizes)} to {max(sizes)} networks{few}"


def predictors(table: Table) -> list[tuple[str, Floats]]:
    """Return names and values [N] of what may rank networks without any training."""
    names, values = table.summary if not table.feature_names else ((), np.zeros((len(table.cost), 0)))
    every = [*zip(table.feature_names, table.features.T, strict=True), *zip(names, values.T, strict=True)]
    return [
        (name, np.where(np.isfinite(column), column, np.nanmean(column)))
        for name, column in every
        if np.isfinite(column).any()
    ]


def top_regret(table: Table, bands: Sequence[Rows], values: Floats) -> float:
    """Return the mean over bands of what the network with the largest value loses."""
    return float(np.mean([table.accuracy[b].max() - table.accuracy[b[np.argmax(values[b])]] for b in bands]))


def ridge_tau(table: Table, bands: Sequence[Rows], n: int) -> float:
    """Return the mean tau of the ridge fitted to `n` random networks of a band without noise, over the others."""
    x, found = table.described, []
    for time in range(TAU_FITS):
        rows = np.random.default_rng(time).permutation(bands[time % len(bands)])
        fit = fit_ridge(x[rows[:n]], table.accuracy[rows[:n]])
        rest = rows[n : n + 500]
        if len(rest) > 2:
            found.append(tau_in_bands(fit.predict(x[rest])[0], table.accuracy[rest], [np.arange(len(rest))]))
    return float(np.mean(found)) if found else float("nan")


def say(line: str) -> None:
    """Print a line about the table on the error stream."""
    print(line, file=sys.stderr, flush=True)


def report(table: Table, found: Sequence[Cell]) -> None:
    """Print the cells, and what features and the ridge say inside the bands."""
    print(f"{'n':>4} {'noise':>6} {'regret':>10} {'random':>10} {'ratio':>7}   95 % interval")
    for c in found:
        means = f"{c.regret:10.4g} {c.random_regret:10.4g}"
        print(f"{c.n:4} {c.noise:6.1f} {means} {c.ratio:7.3f}   {c.low:.3f} to {c.high:.3f}")
    _, bands, _ = bands_for(table, COUNTS[0])
    if not bands:
        return
    some = [band[:500] for band in bands]
    print(f"\n{'predictor':<32} {'tau in band':>11} {'regret of its top':>18}")
    for name, values in predictors(table):
        tau = tau_in_bands(values, table.accuracy, some)
        print(f"{name:<32} {tau:11.3f} {top_regret(table, bands, values):18.4g}")
    for n in COUNTS:
        print(f"{f'ridge fitted to {n}':<32} {ridge_tau(table, bands, n):11.3f}")


def main(argv: Sequence[str] | None = None) -> int:
    """Replay and print; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("table", help="CSV file")
    parser.add_argument("--json", action="store_true", help="print the cells alone, as JSON")
    parser.add_argument("--times", type=int, default=200, help="replays per cell (default 200)")
    args = parser.parse_args(argv)
    try:
        if args.times < 1:
            raise InvalidInput(f"--times must be at least 1, got {args.times}")
        table = read_table(args.table)
        for note in table.notes:
            say(note)
        found = cells(table, args.times)
        if not found:
            raise InvalidInput(
                f"{args.table} has too few networks: no replay is possible; give at least {3 * COUNTS[0] // 2}"
            )
    except InvalidInput as error:
        say(str(error))
        return 2
    if args.json:
        shown: list[dict[str, Any]] = [
            {"n": c.n, "noise": c.noise, "ratio": c.ratio, "low": c.low, "high": c.high} for c in found
        ]
        print(json.dumps(shown))
    else:
        report(table, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
