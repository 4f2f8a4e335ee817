"""Attack every reader of files and every flag with damaged input, for any length of time.

    python -m experiments.fuzz [--seconds 1200] [--seed 0]

Attacks are drawn from (seed, number). The law and the mutators are those of tests/fuzz, of which CI runs some. Prints
how often each reader was attacked and the first fault of every kind and place; exit status 1 where there is any.
"""

import argparse
import tempfile
from pathlib import Path

from tests.fuzz.campaign import campaign
from tests.fuzz.invocation import process_peak_mib

MOST_MIB = 2048  # of memory that the process may have had


def main() -> int:
    """Run a campaign and print what it found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=1200.0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nas-fuzz-") as folder:
        found = campaign(Path(folder), args.seed, args.seconds)
    for reader, count in sorted(found.counts.items()):
        print(f"{count:7,}  {reader}")
    for fault in found.faults.values():
        print(fault)
    peak = process_peak_mib()
    print(
        f"{found.counts.total():,} attacks on {len(found.counts)} readers, seed {args.seed}: {found.faults_in_all:,} "
        f"faults of {len(found.faults)} kinds; most memory {peak:,.0f} MiB"
    )
    return 1 if found.faults or peak > MOST_MIB else 0


if __name__ == "__main__":
    raise SystemExit(main())
