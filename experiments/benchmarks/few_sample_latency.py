"""Benchmark: latency models calibrated on few networks, against the plain roofline and counts of MACs or kernels.

Question: fitted on N random networks of a measured table, how well are the others predicted, and does the 90 % interval
hold 90 % of them?
Command: python -m experiments.benchmarks.few_sample_latency   (1.5 minutes of one core)

Results, baselines of single devices left out; where predictions do not vary at all, no rank is given (n/a):

device                n  form                       rho  Kendall  MAPE %  in 10 %  covered %     +- %
zcu102                5  kind-aware roofline      0.971    0.891     6.7       83         75     31.0
a100                  5  kind-aware roofline      0.997    0.964     2.6       98         90     11.5
titan-rtx-batch-1     5  kind-aware roofline      0.875    0.758     4.8       85         92     16.8
titan-rtx-batch-64    5  kind-aware roofline      0.994    0.936     3.3       98         81      8.4
mean                  5  kind-aware roofline      0.959    0.887     4.4       91         84     16.9
mean                  5  plain roofline + floor    n/a      n/a     10.2       66
mean                  5  plain roofline           0.789    0.687    11.6       62
mean                  5  MACs only                 n/a      n/a     14.2       52
mean                  5  kernel count              n/a      n/a     26.3       35
zcu102               10  kind-aware roofline      0.986    0.933     3.6       96         89     30.4
a100                 10  kind-aware roofline      0.999    0.978     1.5       99         92      4.4
titan-rtx-batch-1    10  kind-aware roofline      0.893    0.788     3.7       91         94     17.5
titan-rtx-batch-64   10  kind-aware roofline      0.998    0.966     1.7      100         89      5.2
mean                 10  kind-aware roofline      0.969    0.916     2.6       97         91     14.4
mean                 10  plain roofline + floor    n/a      n/a      9.3       69
mean                 10  plain roofline           0.790    0.688    11.3       63
mean                 10  MACs only                 n/a      n/a     13.0       53
mean                 10  kernel count              n/a      n/a     24.9       35
zcu102               20  kind-aware roofline      0.991    0.946     2.9       97         94      8.0
a100                 20  kind-aware roofline      1.000    0.986     0.9      100         91      2.5
titan-rtx-batch-1    20  kind-aware roofline      0.896    0.796     3.5       92         94     16.7
titan-rtx-batch-64   20  kind-aware roofline      0.999    0.975     1.2      100         92      3.1
mean                 20  kind-aware roofline      0.971    0.926     2.1       97         92      7.6
mean                 20  plain roofline + floor    n/a      n/a      8.7       71
mean                 20  plain roofline           0.791    0.689    11.0       63
mean                 20  MACs only                 n/a      n/a     12.4       55
mean                 20  kernel count              n/a      n/a     24.0       36
zcu102               50  kind-aware roofline      0.997    0.957     2.5       98         91      5.5
a100                 50  kind-aware roofline      1.000    0.988     0.8      100         93      1.8
titan-rtx-batch-1    50  kind-aware roofline      0.896    0.797     3.4       92         93     15.8
titan-rtx-batch-64   50  kind-aware roofline      0.999    0.978     1.1      100         92      2.5
mean                 50  kind-aware roofline      0.973    0.930     1.9       97         92      6.4
mean                 50  plain roofline + floor   0.791    0.691     8.4       71
mean                 50  plain roofline           0.792    0.691    10.7       64
mean                 50  MACs only                 n/a      n/a     12.0       55
mean                 50  kernel count             0.485    0.390    23.7       35

MobileNetV4's Table 6, leaving one out
device                n  form                       rho  Kendall  MAPE %  in 10 %
pixel6-cpu           15  kind-aware roofline      0.996    0.986     3.5       93
s23-cpu              13  kind-aware roofline      0.982    0.942     9.7       62
pixel4-dsp           13  kind-aware roofline      0.944    0.839     7.9       77
pixel8-edgetpu       15  kind-aware roofline      0.954    0.891    10.9       67
pixel7-gpu           15  kind-aware roofline      0.889    0.733    17.1       27
s23-gpu              15  kind-aware roofline      0.963    0.870     8.8       60
iphone13-ane         11  kind-aware roofline      0.915    0.785    11.1       55
mean                  0  kind-aware roofline      0.949    0.864     9.8       63
mean                  0  plain roofline + floor   0.933    0.830    10.7       54
mean                  0  plain roofline           0.938    0.842    17.8       41
mean                  0  MACs only                0.938    0.848    16.1       35
mean                  0  kernel count             0.032    0.008    48.3        8

Pixel 1, one big core, float, fitted on 10 points of MobileNetV2
device                n  form                       rho  Kendall  MAPE %  in 10 %
pixel1: other V2     10  kind-aware roofline      0.994    0.976     3.2       95
pixel1: MobileNetV3  10  kind-aware roofline      0.943    0.867     9.3       58
pixel1: MnasNet-A1   10  kind-aware roofline      0.997    0.977     8.6       62
pixel1: other V2     10  plain roofline + floor   0.996    0.982     5.7       86
pixel1: MobileNetV3  10  plain roofline + floor   0.943    0.867    22.6        0
pixel1: MnasNet-A1   10  plain roofline + floor   0.998    0.982     7.5       73
pixel1: other V2     10  plain roofline           0.996    0.982     5.6       86
pixel1: MobileNetV3  10  plain roofline           0.943    0.867    22.7        0
pixel1: MnasNet-A1   10  plain roofline           0.998    0.982     7.4       72
pixel1: other V2     10  MACs only                0.991    0.961     6.6       78
pixel1: MobileNetV3  10  MACs only                0.943    0.867    14.2       48
pixel1: MnasNet-A1   10  MACs only                0.998    0.982     9.7       60
pixel1: other V2     10  kernel count              n/a      n/a     65.3        2
pixel1: MobileNetV3  10  kernel count             0.588    0.501    49.6       10
pixel1: MnasNet-A1   10  kernel count              n/a      n/a     58.9        8

The intervals at 5 are from before Student's t lost two degrees of freedom (latency_models/calibration/validation.py).
With --sizes 5 6 7 8 9 --seeds 16, percent covered on zcu102, a100, titan 1 and titan 64, and the mean half-width: at 5
86, 87, 91, 91 (+- 22.7); at 6 88, 84, 87, 95 (16.2); at 7 88, 88, 89, 89; at 8 95, 95, 89, 96 (12.8); at 9 94, 93, 90,
91 (13.2). One cell of 20, the A100 at 6, stays below 85.

From 5 networks on the kind-aware form has the smallest mean error. On the large tables it also ranks best, but where
launches are all that counts (Titan, single images: counting kernels ranks .899). Where networks are made of other
things than those measured it may lose that: fitted on MobileNetV2, it has less than half the plain roofline's error on
MobileNetV3, and a little more on MnasNet-A1.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from experiments.measured import DEVICES, Measured, measured
from experiments.target_fit_check import COLUMNS
from latency_models.calibration.calibrate import plain_template
from latency_models.calibration.fit import fit
from latency_models.calibration.validation import (
    FITTERS,
    KIND_AWARE,
    Scores,
    cross_validated,
    half_width,
    mean_scores,
    scores,
)
from latency_models.workload import Rows, Workload

LARGE = ("zcu102", "a100", "titan-rtx-batch-1", "titan-rtx-batch-64")
SIZES = (5, 10, 20, 50)
PIXEL_FIT = 10  # networks that the Pixel 1 is fitted on


@dataclass(frozen=True)
class Line:
    """One row of the table: a fit by one form, its mean scores, and the share of networks inside the interval."""

    device: str
    count: int
    form: str
    scores: Scores
    coverage_percent: float | None
    half_width_percent: float | None

    def __str__(self) -> str:
        rank = [" n/a " if value is None else f"{value:.3f}" for value in (self.scores.spearman, self.scores.kendall)]
        interval = ""
        if self.coverage_percent is not None:
            interval = f"{self.coverage_percent:11.0f}{self.half_width_percent:9.1f}"
        return (
            f"{self.device:19}{self.count:4}  {self.form:23}{rank[0]:>7}{rank[1]:>9}{self.scores.mape_percent:8.1f}"
            f"{self.scores.within_10_percent:9.0f}{interval}"
        )


def workload_of(data: Measured, rows: Sequence[int] | Rows | None = None) -> Workload:
    """Return the workload of measured networks, or of some rows."""
    chosen = range(len(data.specs)) if rows is None else rows
    specs = [data.specs[i] for i in chosen]
    return Workload.of(specs, [data.batch] * len(specs), plain_template("device", "fp32"))


def random_draws(device: str, count: int, seeds: int) -> Iterator[Line]:
    """Yield the scores of each form when fitted on `count` random networks and tested on all others."""
    data = measured(device)
    whole, latency_ms = workload_of(data), data.latency_ms
    orders = [np.random.default_rng(seed).permutation(len(latency_ms)) for seed in range(seeds)]
    for form, fitter in FITTERS.items():
        each, covered, widths = [], [], []
        for order in orders:
            seen, unseen = order[:count], order[count:]
            predicted = fitter(whole, latency_ms, seen).predict(whole)[unseen]
            each.append(scores(predicted, latency_ms[unseen]))
            if form == KIND_AWARE:
                few = latency_ms[seen]
                widths.append(half_width(cross_validated(fit, workload_of(data, seen), few), few))
                covered.append(float(np.mean(np.abs(latency_ms[unseen] / predicted - 1) <= widths[-1])))
        interval = [100 * float(np.mean(values)) if values else None for values in (covered, widths)]
        yield Line(device, count, form, mean_scores(each), interval[0], interval[1])


def leaving_one_out(device: str) -> Iterator[Line]:
    """Yield the scores of each form when it predicts each network of a small table from all others."""
    data = measured(device)
    whole = workload_of(data)
    for form, fitter in FITTERS.items():
        predicted = cross_validated(fitter, whole, data.latency_ms)
        found = mean_scores([scores(row, data.latency_ms) for row in predicted])
        yield Line(device, len(data.latency_ms), form, found, None, None)


def pixel1(seeds: int) -> Iterator[Line]:
    """Yield the scores of each form, fitted on ten MobileNetV2 points, on the others, MobileNetV3 and MnasNet-A1."""
    data = measured("pixel1-cpu")
    whole = workload_of(data)
    v2, v3, mnasnet = (
        np.flatnonzero([name.startswith(family) for name in data.names])
        for family in ("mobilenet_v2 ", "mobilenet_v3", "mnasnet_a1")
    )
    for form, fitter in FITTERS.items():
        tests: dict[str, list[Scores]] = {"other V2": [], "MobileNetV3": [], "MnasNet-A1": []}
        for seed in range(seeds):
            order = np.random.default_rng(seed).permutation(v2)
            model = fitter(whole, data.latency_ms, order[:PIXEL_FIT])
            predicted = model.predict(whole)
            for name, rows in (("other V2", order[PIXEL_FIT:]), ("MobileNetV3", v3), ("MnasNet-A1", mnasnet)):
                tests[name].append(scores(predicted[rows], data.latency_ms[rows]))
        for name, each in tests.items():
            yield Line(f"pixel1: {name}", PIXEL_FIT, form, mean_scores(each), None, None)


def mean_line(lines: Sequence[Line], name: str, count: int, form: str) -> Line:
    """Return the line with the mean over devices."""
    each = [line for line in lines if line.form == form and line.count == count]
    covered, widths = ([getattr(line, field) for line in each] for field in ("coverage_percent", "half_width_percent"))
    interval = [None if None in values else float(np.mean(values)) for values in (covered, widths)]
    return Line(name, count, form, mean_scores([line.scores for line in each]), interval[0], interval[1])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="calibration from few measurements")
    parser.add_argument("--devices", nargs="*", default=LARGE, choices=tuple(DEVICES), metavar="D")
    parser.add_argument("--sizes", nargs="*", type=int, default=SIZES, metavar="N")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--small-tables", action=argparse.BooleanOptionalAction, default=True)
    args = parser.parse_args()
    header = f"{'device':19}{'n':>4}  {'form':23}{'rho':>7}{'Kendall':>9}{'MAPE %':>8}{'in 10 %':>9}"
    print(f"{header}{'covered %':>11}{'+- %':>9}")
    lines = []
    for count in args.sizes:
        for device in args.devices:
            for line in random_draws(device, count, args.seeds):
                print(line, flush=True)
                lines.append(line)
        for form in FITTERS:
            print(mean_line(lines, "mean", count, form))
    if args.small_tables:
        print(f"\nMobileNetV4's Table 6, leaving one out\n{header}")
        small = [line for device in COLUMNS for line in leaving_one_out(device)]
        print("\n".join(map(str, small)))
        for form in FITTERS:
            each = [line.scores for line in small if line.form == form]
            print(Line("mean", 0, form, mean_scores(each), None, None))
        print(f"\nPixel 1, one big core, float, fitted on {PIXEL_FIT} points of MobileNetV2\n{header}")
        print("\n".join(map(str, pixel1(args.seeds))))


if __name__ == "__main__":
    main()
