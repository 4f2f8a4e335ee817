"""Time left as a command says it, against what it then takes, at 25, 50 and 75 % of its time.

Starts `nas search` (and, with --train, `nas train RUN --proxy` of that run), reads the status that `nas watch` shows
four times a second, and prints predicted and actual seconds at the three moments. On a machine with other work, ratios
say little: the time of the rest changes with the load.

    python -m experiments.benchmarks.time_left --preset quick --train --out /tmp/time_left
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nas.cli.live import Status, read_status

MOMENTS = (0.25, 0.5, 0.75)
LOOKS_PER_S = 4


@dataclass(frozen=True)
class Look:
    """A status, and the seconds from the start of the command at which it was read."""

    at_s: float
    status: Status


def watched(command: Sequence[str], folder: Path) -> tuple[list[Look], float]:
    """Run a command that works in `folder`; return what it said of itself, and its seconds from start to end."""
    began, looks = time.monotonic(), []
    with subprocess.Popen([sys.executable, "-m", "nas", *command], stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            status = read_status(folder)
            if status is not None and status.left_s is not None:
                looks.append(Look(time.monotonic() - began, status))
            time.sleep(1 / LOOKS_PER_S)
    if process.returncode:
        raise SystemExit(f"nas {' '.join(command)} ended with status {process.returncode}")
    return looks, time.monotonic() - began


def report(name: str, looks: Sequence[Look], whole_s: float) -> None:
    """Print predicted and actual seconds at the three moments."""
    print(f"{name}: {whole_s:.0f} s")
    print(f"{'at':>5} {'phase':24} {'predicted s':>12} {'actual s':>9} {'ratio':>6}")
    for moment in MOMENTS:
        look = min(looks, key=lambda one: abs(one.at_s - moment * whole_s))
        predicted, actual = look.status.left_s or 0.0, whole_s - look.at_s
        print(f"{moment:5.0%} {look.status.place():24} {predicted:12.1f} {actual:9.1f} {predicted / actual:6.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--space", default="uib")
    parser.add_argument("--epochs", default="30", help="of the training")
    parser.add_argument("--train", action="store_true", help="also train the proxy of the run")
    parser.add_argument("--out", required=True, type=Path, help="new folder for run and training")
    args = parser.parse_args()
    run, trained = args.out / "run", args.out / "trained"
    args.out.mkdir(parents=True)
    search = ["search", "--space", args.space, "--preset", args.preset, "--out", str(run)]
    report(f"nas search --preset {args.preset}", *watched(search, run))
    if args.train:
        train = ["train", str(run), "--proxy", "--epochs", args.epochs, "--out", str(trained)]
        report(f"nas train RUN --proxy --epochs {args.epochs}", *watched(train, trained))


if __name__ == "__main__":
    main()
