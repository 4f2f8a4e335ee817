"""Benchmark: candidates per second that a cost table scores on one core, and the same kernel by kernel.

    python -m experiments.benchmarks.cost_table [--chips edgetpu s23-gpu] [--batch 65536]

The second chip is a calibrated one: an efficiency per kernel kind, of the peak and of the bandwidth. A table does not
depend on the form of the model, so both must be as fast.

The spaces are those of the search: the coarse one, the fine one around the architecture in the middle of the coarse
one, and all decisions at once. `CostTable.score` looks up batches of candidates; the reference path decodes each and
adds up its kernels (`decode`, `predict_ms`). Both are medians of the same run, measured in turn, and must agree.

On one core (no GPU), millions of candidates a second by the table, and the ratio to the reference path: edgetpu 44.7
coarse (34,693), 30.8 fine (23,996), 6.2 all decisions at once (5,042); s23-gpu, which is calibrated, 47.4, 34.9 and
7.4. The aim of 1 M is met by each, and the form makes nothing slower.
"""

import argparse

from experiments.benchmarks.timing import interleaved, print_table, use_threads

use_threads(1)  # before numpy starts threads

import numpy as np  # noqa: E402

from latency_models.roofline import Roofline  # noqa: E402
from latency_models.target import load_target  # noqa: E402
from nas.registry import LATENCY_MODELS, SPACES, load  # noqa: E402
from nas.space.cost_table import compile_table  # noqa: E402
from nas.space.staged import StagedSpace  # noqa: E402

REFERENCE_CANDIDATES = 50  # candidates of the reference path
AIM = 1_000_000  # candidates a second


def row(space: StagedSpace, model: Roofline, batch: int, rounds: int) -> list[str]:
    """Return the line of the table for one space."""
    table = compile_table(space, model)
    genotypes = space.sample(np.random.default_rng(0), batch)
    few = [tuple(genotype) for genotype in genotypes[:REFERENCE_CANDIDATES].tolist()]

    def reference_path() -> list[float]:
        return [model.predict_ms(space.decode(genotype)) for genotype in few]

    np.testing.assert_allclose(table.score(genotypes[:REFERENCE_CANDIDATES]), reference_path(), rtol=1e-9)
    times = interleaved({"table": lambda: table.score(genotypes), "reference": reference_path}, rounds)
    fast, slow = batch / times["table"].median_s, REFERENCE_CANDIDATES / times["reference"].median_s
    entries = sum(term.values.size for term in table.terms)
    sizes = [str(len(space.decisions)), str(len(table.terms)), f"{entries:,}"]
    return [space.name, *sizes, f"{fast:,.0f}", f"{fast / AIM:.1f}", f"{slow:,.0f}", f"{fast / slow:,.0f}"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--chips", nargs="+", default=["edgetpu", "s23-gpu"], metavar="T")
    parser.add_argument("--batch", type=int, default=1 << 16, help="candidates scored at once")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    joint: StagedSpace = load("space", SPACES, "uib")
    coarse = joint.coarse()
    middle = coarse.decode([len(decision.options) // 2 for decision in coarse.decisions])
    header = ["space", "decisions", "terms", "entries", "table/s", "of the aim", "kernel walk/s", "ratio"]
    for chip in options.chips:
        target = load_target(chip)
        model: Roofline = load("latency model", LATENCY_MODELS, "default")(target)
        form = "calibrated, kind-aware" if target.calibration else "plain"
        print(f"\n{form} roofline of {chip}, {options.batch:,} candidates at once, one core, numpy {np.__version__}")
        rows = [row(space, model, options.batch, options.rounds) for space in (coarse, joint.fine(middle), joint)]
        print_table(header, rows)


if __name__ == "__main__":
    main()
