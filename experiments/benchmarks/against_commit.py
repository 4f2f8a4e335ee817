"""Is this tree as fast as an earlier commit? `nas --help`, smoke, cost tables and the supernet's step, in one run.

    python -m experiments.benchmarks.against_commit [--base dda5e84] [--rounds 5] [--slow-rounds 2]

The commit is unpacked beside this tree, and both run the same commands with this Python, in turn (A B A B ...), so that
other load hits both alike. Printed are the medians and the median of the ratios pair by pair, this tree over the
commit: below 1 is faster. Cost tables and steps are those that each tree's own benchmark prints: candidates a second
of one core (there the ratio is the commit over this tree, so that below 1 is faster too), ms of a fine supernet step.
"""

import argparse
import io
import os
import re
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from experiments.benchmarks.timing import print_table

ROOT = Path(__file__).resolve().parents[2]


def unpacked(revision: str, folder: Path) -> Path:
    """Unpack a commit of this repository into `folder` and return it; exit status 2 where there is no such commit."""
    packed = subprocess.run(["git", "archive", "--format=tar", revision], cwd=ROOT, capture_output=True, check=False)
    if packed.returncode:
        print(f"against_commit: no such commit: {revision!r}", file=sys.stderr)
        raise SystemExit(2)
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def command(tree: Path, *argv: str) -> str:
    """Run `python ARGV` in a tree, and return what it prints."""
    env = os.environ | {"PYTHONPATH": str(tree)}
    return subprocess.run([sys.executable, *argv], cwd=tree, env=env, capture_output=True, text=True, check=True).stdout


def wall(tree: Path, *argv: str) -> float:
    """Return the seconds of a whole process."""
    start = time.perf_counter()
    command(tree, *argv)
    return time.perf_counter() - start


def smoke(tree: Path) -> float:
    """Return the seconds of the smallest search, from the start of Python to the report, nothing cached."""
    with tempfile.TemporaryDirectory() as scratch:
        return wall(tree, "-m", "nas", "search", "--target", "edgetpu", "--preset", "smoke", "--out", f"{scratch}/run")


def cost_table(tree: Path) -> float:
    """Return nanoseconds per candidate of the fine space's table, by the tree's own benchmark."""
    text = command(tree, "-m", "experiments.benchmarks.cost_table", "--chips", "edgetpu", "--rounds", "9")
    rate = next(line.split()[4] for line in text.splitlines() if line.startswith("uib/fine"))
    return 1e9 / float(rate.replace(",", ""))


def supernet_step(tree: Path) -> float:
    """Return the milliseconds of a fine supernet step, by the tree's own benchmark."""
    flags = ["--spaces", "fine", "--genotypes", "1", "--no-averages", "--rounds", "5"]
    text = command(tree, "-m", "experiments.benchmarks.supernet", *flags)
    found = re.search(r"^fine: supernet[^\d\n]*([\d.]+)", text, re.MULTILINE)
    if found is None:
        raise SystemExit(f"against_commit: no step found in what the supernet benchmark printed:\n{text}")
    return float(found[1])


def main() -> None:
    """Measure both trees and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--base", default="dda5e84", metavar="REV", help="the commit to compare with")
    parser.add_argument("--rounds", type=int, default=5, help="of `nas --help` and the cost table")
    parser.add_argument("--slow-rounds", type=int, default=2, help="of smoke and the supernet's step")
    options = parser.parse_args()
    parts: list[tuple[str, str, Callable[[Path], float], int]] = [
        ("nas --help", "s", lambda tree: wall(tree, "-m", "nas", "--help"), options.rounds),
        ("smoke search", "s", smoke, options.slow_rounds),
        ("cost table, fine", "ns a candidate", cost_table, options.rounds),
        ("supernet step, fine", "ms", supernet_step, options.slow_rounds),
    ]
    with tempfile.TemporaryDirectory() as scratch:
        base = unpacked(options.base, Path(scratch))
        rows = []
        for name, unit, measure, rounds in parts:
            pairs = [(measure(ROOT), measure(base)) for _ in range(rounds)]
            here, there = (statistics.median(side) for side in zip(*pairs, strict=True))
            ratio = statistics.median(a / b for a, b in pairs)
            rows.append([name, unit, f"{here:.4g}", f"{there:.4g}", f"{ratio:.3f}", str(rounds)])
            print(f"{name}: {here:.4g} {unit}, {options.base} {there:.4g}, ratio {ratio:.3f}", file=sys.stderr)
        print_table(["what", "unit", "this tree", options.base, "ratio", "rounds"], rows)


if __name__ == "__main__":
    main()
