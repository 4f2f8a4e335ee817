"""Study: a signal at a random moment of a search ends it within a second, and it goes on to the same bytes.

    python -m experiments.signal_study [--moments 40] [--resumed 8] [--seed 0]

A search of the preset `smoke` gets one signal at a random moment between its start and its end; moments and signals are
drawn from (seed, number). It must end with 128 and the signal's number, with one line on standard error that says how
to go on, and no traceback. The first `--resumed` of those that left a folder are resumed to the end, and compared with
an uninterrupted search. A process that has not yet installed its handlers, in the first tenths of a second while Python
starts, ends by the signal itself: that counts as ended, without a line.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SAME = ("best.json", "front.csv", "evaluated.csv", "journal.jsonl")
MOST_S = 1.0


@dataclass(frozen=True)
class Ended:
    """How a search ended after a signal."""

    name: str
    at_s: float  # after its start
    took_s: float  # from the signal to the end
    status: int
    lines: tuple[str, ...]  # of standard error

    @property
    def fault(self) -> str:
        """What is wrong with it, "" where nothing is."""
        number = int(signal.Signals[self.name])
        if self.took_s > MOST_S:
            return f"took {self.took_s:.2f} s"
        if self.status == -number and not self.lines:
            return ""  # before the handlers were there
        if self.status != 128 + number:
            return f"status {self.status}"
        if len(self.lines) != 1 or not self.lines[0].startswith("nas: stopped"):
            return f"standard error {self.lines}"
        return ""


def command(out: Path) -> list[str]:
    """Return the search."""
    return [sys.executable, "-m", "nas", "search", "--preset", "smoke", "--seed", "5", "--out", str(out)]


def _by_default() -> None:
    """Let no signal be ignored that this process ignores: SIGHUP under nohup, say."""
    for one in SIGNALS:
        signal.signal(one, signal.SIG_DFL)


def interrupted(out: Path, name: str, at_s: float) -> Ended | None:
    """Start the search, send the signal, and return how it ended; None where it had ended before."""
    pipes: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command(out), preexec_fn=_by_default, **pipes)
    time.sleep(at_s)
    if process.poll() is not None:
        process.communicate()
        return None
    process.send_signal(signal.Signals[name])
    began = time.monotonic()
    _, err = process.communicate()
    return Ended(name, at_s, time.monotonic() - began, process.returncode, tuple(err.splitlines()))


def main() -> int:
    """Run the study and print a line per moment."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--moments", type=int, default=40)
    parser.add_argument("--resumed", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nas-signals-") as place:
        folder = Path(place)
        began = time.monotonic()
        subprocess.run(command(folder / "whole"), check=True, stdout=subprocess.DEVNULL)
        whole_s, ended, resumed, same = time.monotonic() - began, list[Ended](), 0, 0
        for number in range(args.moments):
            rng = np.random.default_rng([args.seed, number])
            name, out = SIGNALS[rng.integers(len(SIGNALS))].name, folder / f"run-{number}"
            one = interrupted(out, name, float(rng.uniform(0, whole_s)))
            if one is None:
                continue
            ended.append(one)
            print(f"{name} at {one.at_s:.2f} s: {one.took_s:.2f} s, status {one.status} {one.fault}", flush=True)
            if out.exists() and resumed < args.resumed:
                subprocess.run([sys.executable, "-m", "nas", "resume", str(out)], check=True, capture_output=True)
                resumed += 1
                same += all((out / n).read_bytes() == (folder / "whole" / n).read_bytes() for n in SAME)
    faults = sum(bool(one.fault) for one in ended)
    longest = max((one.took_s for one in ended), default=0.0)
    print(f"{len(ended)} searches of {whole_s:.0f} s ended by a signal: {faults} not as they should; the longest took "
          f"{longest:.2f} s; {same} of {resumed} went on to the same bytes")  # fmt: skip
    return 1 if faults or same < resumed else 0


if __name__ == "__main__":
    raise SystemExit(main())
