"""Benchmark: how many networks must be measured where they are proposed, and where they are random?

Question: half of a table of networks may be measured, and a kind-aware roofline is fitted to N of them. How far is it
off on the other half, where the N are random, D-optimal from slices of latencies (what `nas calibrate --propose` did
before), or chosen by `latency_models.calibration.propose.Design`? How many chosen ones reach the error of 20 random
ones? The design sees no latency: it begins from a CPU's ridge point, as `--propose` without `--like` does. Devices:
four measured columns, and simulated ones, whose kinds of kernels reach random rates, which fall with the size of the
map in an unknown way, with 2 % of noise.

Command: python -m experiments.benchmarks.proposals   (1 minute of one core; --band: 1 more)

Result: mean error in percent on the networks not measured, by how many are, 10 draws; last, the 90 % quantile of the
errors with 20, and how many networks reach the mean error of 20 random ones.

device              networks                 5      7     10     14     20     28  90 % at 20  needed
zcu102              random               11.77  10.37   8.45   7.74   7.36   6.91      15.99  20
zcu102              D-optimal, slices    19.28   7.28   6.99   6.72   6.77   6.46      17.15  7
zcu102              proposed             12.35   9.49   9.17   7.16   6.75   6.35      15.00  13
a100                random                2.08   2.03   1.19   0.91   0.87   0.82       1.83  20
a100                D-optimal, slices     1.67   2.07   1.34   1.16   0.99   0.91       2.05  more than 28
a100                proposed              2.57   1.47   1.01   0.85   0.81   0.81       1.65  13
titan-rtx-batch-1   random                6.61   5.16   4.44   4.53   3.74   3.65       5.27  20
titan-rtx-batch-1   D-optimal, slices     5.76   5.52   4.14   3.66   3.53   3.42       5.04  13
titan-rtx-batch-1   proposed              3.41   3.56   3.14   3.05   2.95   3.04       3.99  5
titan-rtx-batch-64  random                4.94   2.54   1.49   1.33   1.20   1.14       2.47  20
titan-rtx-batch-64  D-optimal, slices     3.46   1.91   1.54   1.32   1.20   1.22       2.46  more than 28
titan-rtx-batch-64  proposed              3.89   1.84   1.40   1.18   1.11   1.09       2.29  14
simulated-0         random                4.71   2.90   2.59   2.34   2.25   2.13       4.57  20
simulated-0         D-optimal, slices     2.89   2.76   2.20   2.17   2.08   2.04       4.21  10
simulated-0         proposed              5.26   2.78   2.31   2.27   2.08   2.05       4.25  14
simulated-1         random                3.73   2.89   2.90   2.43   2.11   1.90       4.33  20
simulated-1         D-optimal, slices     2.96   3.03   2.16   2.05   1.92   1.81       3.94  12
simulated-1         proposed              3.29   2.96   2.36   2.09   1.91   1.83       3.89  14
simulated-2         random                4.74   3.99   2.89   2.55   2.33   2.11       4.82  20
simulated-2         D-optimal, slices     4.04   2.58   2.31   2.13   2.07   2.01       4.24  10
simulated-2         proposed              3.66   3.30   2.59   2.19   2.02   2.02       4.19  12
simulated-3         random                3.09   2.94   2.63   2.29   2.13   2.00       4.30  20
simulated-3         D-optimal, slices     2.94   3.27   2.21   2.05   1.92   1.80       3.87  12
simulated-3         proposed              3.67   2.41   2.13   1.96   1.90   1.83       3.84  10

The proposed ones reach it with 5 to 14 networks on all eight. The former D-optimal design reaches it with 7 to 13 on
six, and not with 28 on the A100 and the Titan's batches of 64: networks from every slice of latencies are not like
those that are tested. With 10 networks on zcu102 the proposed ones are worse than random ones (9.2 against 8.5 %), with
14 better. At 5 networks no order is certain: on four of the eight devices the random ones are better. The design's two
constants were settled on four other draws of the measured tables; the simulated devices had no part in that.

Near one latency (--band: mean error on networks within 25 % of a low one, with 10 measured):

                     random  random in the band  proposed  proposed for the band
zcu102                 3.71                3.60      3.19                   2.93
a100                   1.34                1.19      1.18                   0.96
titan-rtx-batch-1      4.99                3.83      3.12                   3.60
titan-rtx-batch-64     1.78                1.52      1.71                   1.36
simulated-0            2.57                2.47      2.23                   2.19
simulated-1            2.63                2.54      2.41                   2.02
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from experiments.benchmarks.few_sample_latency import LARGE, workload_of
from experiments.measured import Measured, measured
from latency_models.calibration.fit import fit
from latency_models.calibration.propose import BAND, PRIOR, Design
from latency_models.target import abstract_target
from latency_models.workload import Array, Rows, Workload
from nas.cli.commands.calibrate_proposals import RIDGE_POINT
from nas.ops import KINDS

SIZES = (5, 7, 10, 14, 20, 28)
COMPARED = 20  # random networks whose error the others are to reach
SIMULATED, NOISE = 4, 0.02
BAND_QUANTILE = 0.15  # of the guessed latencies: the middle of the band, as small networks are wanted
STREAM = 7  # of the draws; the design was settled on draws of another stream
Choice = Callable[[Array, Array, int, np.random.Generator], list[int]]


def random_rows(columns: Array, times: Array, count: int, rng: np.random.Generator) -> list[int]:
    """Return random rows."""
    return rng.permutation(len(columns))[:count].tolist()


def chosen_rows(columns: Array, times: Array, count: int, rng: np.random.Generator) -> list[int]:
    """Return the rows that the design of `--propose` chooses, each of the candidates a reference network."""
    return list(Design.of(columns, columns, columns[:0]).choose(count).rows)


def d_optimal_rows(columns: Array, times: Array, count: int, rng: np.random.Generator) -> list[int]:
    """Return rows by the former design: the fastest, the slowest, then of each slice of latencies the most informative.

    Greedy D-optimal design (Fedorov 1972): of the information matrix M = PRIOR * I + sum(x x'), adding x multiplies the
    determinant by 1 + x' inverse(M) x.
    """
    columns = columns / np.sqrt((columns**2).mean(0))
    logs, inverse = np.log(times), np.eye(columns.shape[1]) / PRIOR
    slices = np.linspace(logs.min(), logs.max(), max(count - 1, 2))
    place = np.clip(np.searchsorted(slices, logs), 1, len(slices) - 1)
    ends = {-1: int(logs.argmin()), -2: int(logs.argmax())}
    chosen: list[int] = []
    for turn in [*ends, *np.random.default_rng(0).permutation(np.arange(1, len(slices))).tolist()][:count]:
        gain = np.einsum("np,pq,nq->n", columns, inverse, columns)
        gain[chosen] = -np.inf
        inside = place == turn if turn > 0 else np.arange(len(gain)) == ends[turn]
        free = inside & np.isfinite(gain)
        best = int(np.argmax(np.where(free if free.any() else np.isfinite(gain), gain, -np.inf)))
        chosen.append(best)
        step = inverse @ columns[best]
        inverse -= np.outer(step, step) / (1 + columns[best] @ step)
    return chosen


RANDOM = "random"
CHOICES: dict[str, Choice] = {RANDOM: random_rows, "D-optimal, slices": d_optimal_rows, "proposed": chosen_rows}


@dataclass(frozen=True)
class Device:
    """Networks [N] on one device: their workload, latencies, and the terms over a guessed latency [N, P]."""

    name: str
    workload: Workload
    latency_ms: Array
    guessed_ms: Array
    columns: Array

    @classmethod
    def of(cls, name: str, data: Measured) -> "Device":
        """Return a measured device, of which a design knows the networks alone."""
        workload, model = workload_of(data), abstract_target(RIDGE_POINT, 1.0)
        terms = np.column_stack(
            [workload.work(0.0), workload.traffic, workload.launches.sum(1), np.ones(len(data.specs))]
        )
        guessed = np.array([model.predict_ms(spec) for spec in data.specs])
        return cls(name, workload, data.latency_ms, guessed, (terms / guessed[:, None])[:, terms.any(0)])

    def simulated(self, seed: int) -> "Device":
        """Return the same networks on a made-up device."""
        rng, w = np.random.default_rng([seed, STREAM]), self.workload
        of_peak, of_bandwidth = np.exp(rng.normal(0, 0.8, (2, len(KINDS))))
        peak, bandwidth = np.exp(rng.normal(np.log([40e6, 8e6]), 0.5))  # MACs and bytes a millisecond
        small = rng.uniform(0, 3) * np.median(w.bytes) / np.maximum(w.bytes, 1)  # what a small map wastes
        kernels = (1 + small) * np.maximum(
            w.macs / (peak * of_peak[w.kind]), w.bytes / (bandwidth * of_bandwidth[w.kind])
        )
        times = w.per_kind(kernels + rng.uniform(0, 0.02)).sum(1)
        noisy = times * np.exp(rng.normal(0, NOISE, len(times)))
        return Device(f"simulated-{seed}", w, noisy, self.guessed_ms, self.columns)

    def error(self, rows: Rows, unseen: Rows) -> tuple[float, float]:
        """Return the mean and the 90 % quantile of the relative error on `unseen`, in percent, of a fit on `rows`."""
        predicted = fit(self.workload, self.latency_ms, rows).predict(self.workload)[unseen]
        off = np.abs(predicted / self.latency_ms[unseen] - 1)
        return 100 * float(off.mean()), 100 * float(np.quantile(off, 0.9))


def devices(names: list[str], simulated: int) -> Iterator[Device]:
    """Yield the measured devices, then the simulated ones, in turn on the networks of either table."""
    for name in names:
        yield Device.of(name, measured(name))
    for seed in range(simulated):
        yield Device.of("", measured(("zcu102", "titan-rtx-batch-1")[seed % 2])).simulated(seed)


def errors(device: Device, sizes: tuple[int, ...], draws: int) -> dict[str, Array]:
    """Return by choice the errors [sizes, draws, 2], the mean and the 90 % quantile, in percent."""
    found = {name: np.empty((len(sizes), draws, 2)) for name in CHOICES}
    for draw in range(draws):
        rng = np.random.default_rng([draw, STREAM])
        order = rng.permutation(len(device.latency_ms))
        pool, unseen = np.split(order, [len(order) // 2])
        for name, choose in CHOICES.items():
            longest = choose(device.columns[pool], device.guessed_ms[pool], max(sizes), rng)
            for i, count in enumerate(sizes):
                # The first of a longer choice, but for the one whose slices depend on how many there are.
                rows = longest[:count]
                if choose is d_optimal_rows:
                    rows = choose(device.columns[pool], device.guessed_ms[pool], count, rng)
                found[name][i, draw] = device.error(pool[rows], unseen)
    return found


def band_errors(device: Device, sizes: tuple[int, ...], draws: int) -> dict[str, Array]:
    """Return mean errors [sizes] on unseen networks in a band of latencies, by what was chosen for what.

    The band is that within `BAND` of a low quantile of the guessed latencies; half of all networks may be measured.
    """
    found: dict[str, list[list[float]]] = {}
    middle = np.quantile(device.guessed_ms, BAND_QUANTILE)
    in_band = np.abs(np.log(device.guessed_ms / middle)) <= np.log1p(BAND)
    for draw in range(draws):
        rng = np.random.default_rng([draw, STREAM, 1])
        pool, unseen = np.split(rng.permutation(len(device.latency_ms)), [len(device.latency_ms) // 2])
        band, terms = pool[in_band[pool]], device.columns
        of_all, of_band = (Design.of(terms[pool], terms[which], terms[:0]).choose(max(sizes)) for which in (pool, band))
        chosen = {
            RANDOM: pool,
            "random in the band": rng.permutation(band),
            "proposed": pool[[*of_all.rows]],
            "proposed for it": pool[[*of_band.rows]],
        }
        for name, rows in chosen.items():
            found.setdefault(name, []).append(
                [device.error(rows[:count], unseen[in_band[unseen]])[0] for count in sizes]
            )
    return {name: np.mean(each, axis=0) for name, each in found.items()}


def needed(sizes: tuple[int, ...], means: Array, reached: float) -> float | None:
    """Return how many networks reach an error, between the sizes in the logarithm of both; None where none does."""
    best = np.minimum.accumulate(means)
    if best[-1] > reached:
        return None
    if best[0] <= reached:
        return float(sizes[0])
    after = int(np.argmax(best <= reached))
    share = np.log(best[after - 1] / reached) / np.log(best[after - 1] / best[after])
    return float(np.exp(np.log(sizes[after - 1]) + share * np.log(sizes[after] / sizes[after - 1])))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--devices", nargs="*", default=list(LARGE))
    parser.add_argument("--simulated", type=int, default=SIMULATED)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--band", action="store_true", help="errors near one latency instead")
    args = parser.parse_args()
    counts = "".join(f"{count:>7}" for count in SIZES)
    print(f"{'device':20}{'networks':19}{counts}  90 % at {COMPARED}  needed")
    if args.band:
        for device in devices(args.devices, args.simulated):
            for name, means in band_errors(device, SIZES, args.draws).items():
                print(f"{device.name:20}{name:19}" + "".join(f"{value:7.2f}" for value in means), flush=True)
        return
    for device in devices(args.devices, args.simulated):
        found = errors(device, SIZES, args.draws)
        place = SIZES.index(COMPARED)
        reached = float(found[RANDOM].mean(1)[place, 0])
        for name, values in found.items():
            means = values.mean(1)
            count = needed(SIZES, means[:, 0], reached)
            row = "".join(f"{value:7.2f}" for value in means[:, 0])
            shown = f"more than {SIZES[-1]}" if count is None else f"{count:.0f}"
            print(f"{device.name:20}{name:19}{row}{means[place, 1]:11.2f}  {shown}", flush=True)


if __name__ == "__main__":
    main()
