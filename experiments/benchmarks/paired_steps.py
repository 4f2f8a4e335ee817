"""Benchmark: the supernet's training step of this tree against that of an earlier commit, in pairs.

    python -m experiments.benchmarks.paired_steps [--base 3344631] [--spaces fine coarse] [--pairs 40]

A process per tree compiles the step over a view of `uib`, then both run the same architecture in turn, one dispatch of
4 steps each, the order changing from pair to pair, so that other load hits both alike. Printed is the geometric mean of
the ratios of processor time, this tree over the commit, with its 95 % bootstrap interval: below 1 is faster.

Stage forms and tables of ops in place of UIB alone, against the commit before, 2 cores beside other work, 30 pairs:
fine 0.995 [0.969, 1.022], coarse 1.001 [0.990, 1.016].
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from experiments.benchmarks.against_commit import ROOT, unpacked
from experiments.benchmarks.timing import print_table

WORKER = """
import sys, time
name = sys.argv.pop(1)
from experiments.benchmarks import supernet as benchmark
options = benchmark.parsed()
benchmark.use_threads(1)
setting = benchmark.make_setting(options)
middle = benchmark.repaired_middle(setting.plan)
whole = setting.plan.space
space = whole.fine(middle) if name == "fine" else whole.coarse()
run = benchmark.SupernetRun(setting, space, False)
genotype = benchmark.np.array([len(decision.options) // 2 for decision in space.decisions], benchmark.np.int32)
run.train(genotype)
print("ready", flush=True)
for _ in sys.stdin:
    start = time.process_time()
    run.train(genotype)
    print(time.process_time() - start, flush=True)
"""


class Tree:
    """A process that runs the steps of one tree."""

    def __init__(self, folder: Path, space: str) -> None:
        command = [sys.executable, "-c", WORKER, space, "--no-averages", "--resolution", "16"]
        env = os.environ | {"PYTHONPATH": str(folder), "NPROC": "1"}
        self.process = subprocess.Popen(
            command, cwd=folder, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def line(self) -> str:
        """Return the next line that the process prints; raises `SystemExit` where it has ended."""
        assert self.process.stdout is not None
        if not (line := self.process.stdout.readline()):
            raise SystemExit(f"paired_steps: the process of {self.process.args[3]!r} ended; its error stands above")  # type: ignore[index]
        return line

    def seconds(self) -> float:
        """Run one dispatch and return its processor seconds."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.line())


def ratios(here: Tree, there: Tree, pairs: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the ratio of each pair [pairs]."""
    found = []
    for number in range(pairs):
        order = (here, there) if number % 2 else (there, here)
        times = {tree: tree.seconds() for tree in order}
        found.append(times[here] / times[there])
    return np.array(found)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--base", default="3344631", metavar="REV", help="the commit to compare with")
    parser.add_argument("--spaces", nargs="+", choices=("fine", "coarse"), default=["fine", "coarse"])
    parser.add_argument("--pairs", type=int, default=40)
    options = parser.parse_args()
    rows, rng = [], np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as scratch:
        base = unpacked(options.base, Path(scratch))
        for space in options.spaces:
            trees = Tree(ROOT, space), Tree(base, space)
            for tree in trees:
                tree.line()
            logs = np.log(ratios(*trees, options.pairs))
            for tree in trees:
                tree.process.kill()
            means = rng.choice(logs, (2000, len(logs))).mean(1)
            low, high = np.exp(np.quantile(means, [0.025, 0.975]))
            rows.append([space, f"{np.exp(logs.mean()):.3f}", f"{low:.3f}", f"{high:.3f}", str(len(logs))])
    print_table(["view of uib", f"time / {options.base}", "low", "high", "pairs"], rows)


if __name__ == "__main__":
    main()
