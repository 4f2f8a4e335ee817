"""Benchmark: latency predicted by a random forest, a ridge regression and a kind-aware roofline from many networks.

Question: grown on N random networks of a measured table, how well are the others predicted?
Command: python -m experiments.benchmarks.forest   (7 seconds of one core)

Results, means of 3 seeds on all networks that were not seen; R2 is of milliseconds:

device      n  form                      R2     rho  MAPE %
zcu102    100  random forest         0.8433  0.9717    6.05
zcu102    100  ridge regression      0.8542  0.9744    3.04
zcu102    100  kind-aware roofline   0.9826  0.9974    2.40
zcu102    100  MACs only             0.5331  0.8622   15.65
zcu102    300  random forest         0.9184  0.9846    3.83
zcu102    300  ridge regression      0.9955  0.9980    1.89
zcu102    300  kind-aware roofline   0.9872  0.9975    2.20
zcu102    300  MACs only             0.5201  0.8609   15.44
a100      100  random forest         0.9892  0.9969    2.85
a100      100  ridge regression      0.9998  0.9999    0.50
a100      100  kind-aware roofline   0.9995  0.9998    0.74
a100      100  MACs only             0.6462  0.8564   18.51
a100      300  random forest         0.9947  0.9983    2.10
a100      300  ridge regression      0.9998  0.9999    0.44
a100      300  kind-aware roofline   0.9995  0.9998    0.71
a100      300  MACs only             0.6584  0.8566   18.43

No, it does not: here latency is close to a sum over kernels, which the linear forms know and a forest has to learn. It
is far better than MACs alone, but in every row behind the roofline; from 300 networks on, and on the a100 from 100, a
ridge regression on the same counts is the best.
"""

import argparse

import numpy as np

from experiments.benchmarks.few_sample_latency import workload_of
from experiments.measured import DEVICES, measured
from latency_models.calibration.forest_fit import fitters
from latency_models.calibration.validation import mean_scores, scores
from latency_models.forest import features_of

LARGE = ("zcu102", "a100")
SIZES = (100, 300)


def main() -> None:
    """Print the table: mean scores over the seeds."""
    parser = argparse.ArgumentParser(description="random forest, ridge regression and roofline on many measurements")
    parser.add_argument("--devices", nargs="*", default=LARGE, choices=tuple(DEVICES), metavar="D")
    parser.add_argument("--sizes", nargs="*", type=int, default=SIZES, metavar="N")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    print(f"{'device':8}{'n':>5}  {'form':20}{'R2':>8}{'rho':>8}{'MAPE %':>8}")
    for device in args.devices:
        data = measured(device)
        whole, latency_ms = workload_of(data), data.latency_ms
        features = features_of(data.specs, [data.batch] * len(data.specs))
        orders = [np.random.default_rng(seed).permutation(len(latency_ms)) for seed in range(args.seeds)]
        for count in args.sizes:
            for form, fitter in fitters(features, "latency", latency_ms).items():
                each = []
                for order in orders:
                    predicted = fitter(whole, latency_ms, order[:count]).predict(whole)
                    each.append(scores(predicted[order[count:]], latency_ms[order[count:]]))
                found = mean_scores(each)
                rank = [" n/a " if value is None else f"{value:.4f}" for value in (found.r2, found.spearman)]
                print(f"{device:8}{count:5}  {form:20}{rank[0]:>8}{rank[1]:>8}{found.mape_percent:8.2f}", flush=True)


if __name__ == "__main__":
    main()
