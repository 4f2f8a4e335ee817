"""Benchmark: time to compare 20 specs on 12 targets, after imports.

    python -m experiments.benchmarks.compare_speed [--specs 20] [--targets 12] [--rounds 5]

`compare` reads the spec files, rebuilds the references beside them, and makes all tables. `page` and `tables` are made
from a comparison: the HTML page, and the tables of a terminal. `reference` computes the same latencies alone, kernel by
kernel (`predict_ms`), for scale; `arrays` gives them at once
(`latency_models.kernel_times.kernel_times`), and must give the same numbers. The sum of compare, page and tables should
stay under 2 s. Plots are not included.

On one core, with other work running: compare 0.26 s, page 0.38 s, tables 0.08 s, together 0.72 s, 3.8 times the
reference path; the latencies alone 0.015 s, 0.08 times it.
"""

import argparse
import tempfile
from pathlib import Path

from experiments.benchmarks.timing import interleaved, print_table, use_threads

use_threads(1)  # before numpy starts threads

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402, F401  imported before the clock starts

from latency_models.kernel_times import kernel_columns, kernel_times, totals  # noqa: E402
from latency_models.target import list_targets  # noqa: E402
from nas.arch import save_arch  # noqa: E402
from nas.compare.compare import compare  # noqa: E402
from nas.compare.page import html  # noqa: E402
from nas.compare.table import tables  # noqa: E402
from search_spaces.uib import SPACE  # noqa: E402

LIMIT_S = 2.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--specs", type=int, default=20)
    parser.add_argument("--targets", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    archs = [SPACE.decode(genotype) for genotype in SPACE.sample(np.random.default_rng(0), options.specs)]
    devices = list_targets()[: options.targets]
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"spec{i}.json") for i in range(len(archs))]
        for arch, path in zip(archs, paths, strict=True):
            save_arch(arch, path)
        names = [device.name for device in devices]
        first = compare(paths, names)
        everything = [entry.arch for entry in first.entries]

        def reference_path() -> list[list[float]]:
            return [[model.predict_ms(arch) for arch in everything] for model in (one.model() for one in devices)]

        def arrays() -> list[list[float]]:
            columns = kernel_columns(everything)
            models = [one.model() for one in devices]
            return [totals(columns, kernel_times(columns, model)[0], model) for model in models]

        assert arrays() == reference_path()
        runs = {"compare": lambda: compare(paths, names), "page": lambda: html(first), "tables": lambda: tables(first)}
        times = interleaved({**runs, "arrays": arrays, "reference": reference_path}, options.rounds)
    print(f"{len(archs)} specs and {len(everything) - len(archs)} references on {len(devices)} targets, one core")
    base = times["reference"].median_s
    rows = [[name, f"{time.median_s:.3f}", f"{time.median_s / base:.2f}"] for name, time in times.items()]
    print_table(["step", "s", "/ reference"], rows)
    total = sum(times[name].median_s for name in runs)
    print(f"compare + page + tables: {total:.2f} s, {total / LIMIT_S:.0%} of the {LIMIT_S:g} s allowed")


if __name__ == "__main__":
    main()
