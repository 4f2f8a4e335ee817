"""Study: one supernet for several devices: latency against budget, regret on each device, and time.

Question: one supernet of the space is trained once and searched for each device, then for the one network with the
smallest maximum regret over the devices, then for a device that is added later, without training. How near to the
latency budgets do the networks come, how much does each lose on the other devices, how long did each part take? Regret
is in points of the supernet's top-1 on the validation images (nas/runs/regret.py), so all networks of one run are
compared by one estimate; that of a single network has a standard error of its own, and both are printed.

Command: python -m experiments.specialise --out DIR [--preset quick] [--targets edgetpu,pixel6-cpu,pixel4-dsp]
         [--later cortex-m7] [--data D --data-dir DIR]     (resumes where it was stopped)

Result, space uib, digits, preset quick, on 2 cores with three other processes at work:

    found for    budget ms        ms      gap supernet top-1   MACs M      params
    edgetpu          0.688    0.6853   -0.39%  96.09 +- 1.21    160.2   2,447,738
    pixel6-cpu       2.268      2.22   -2.14%  96.09 +- 1.21    159.2   2,758,042
    pixel4-dsp       2.503     2.198  -12.18%  96.09 +- 1.21    254.5   3,012,810
    cortex-m7        192.7     183.9   -4.54%  95.70 +- 1.27    176.4   2,776,090   (added later)

The latency is an upper bound here, and a faster network of equal accuracy is better: so two lie well below it. The
digits are easy for this many validation images (256): several networks share the highest accuracy of the two stages.
The search for all continues from those, with 512 networks of the whole space, and classifies two more images correctly:

    regret       edgetpu        pixel6-cpu     pixel4-dsp     (points; * on the front at its latency)
    edgetpu      0.78           0.78 *         0.78 *
    pixel6-cpu   0.78           0.78           0.78
    pixel4-dsp   too slow       too slow       0.78 *
    universal    0.00 *         0.00 *         0.00 *         96.88 +- 1.09 at 0.685, 2.168 and 2.214 ms

The search for all was run later than the others, from their records. Supernet 656 s, each device 137 to 197 s (two
stages of 256 networks), the one for all 115 s. Regrets larger than the errors of their accuracies:
experiments/universal.py.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nas.progress import Progress, SilentReporter
from nas.records.results import Result
from nas.runs.multi_target import MultiTargetResult, resume, specialise, supernet_of_run
from nas.runs.multi_target_settings import MultiTargetConfig, default_trials, per_target
from nas.runs.regret import read_regret_table
from nas.runs.settings import SearchConfig

TARGETS = ("edgetpu", "pixel6-cpu", "pixel4-dsp")


class StageTimer(SilentReporter):
    """A progress reporter that adds up the seconds of every stage, and prints a line when one begins."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.monotonic()

    def plan(self, lines: Sequence[str]) -> None:
        """Print the plan."""
        print(*lines, sep="\n", flush=True)

    def progress(self, event: Progress) -> None:
        """Add the time since the last report to the stage of this one."""
        now = time.monotonic()
        if event.stage not in self.seconds:
            print(f"{event.stage}: {event.steps} steps", flush=True)
        self.seconds[event.stage] = self.seconds.get(event.stage, 0.0) + now - self._since
        self._since = now

    def say(self, line: str) -> None:
        """Print a line."""
        print(line, flush=True)


def searched(config: MultiTargetConfig, out: Path, source: Path | None = None) -> tuple[MultiTargetResult, StageTimer]:
    """Search, or resume the search in `out`, and return its result and the time that this process took."""
    times = StageTimer()
    if (out / "experiment.json").exists():
        return resume(out, times), times
    return specialise(config, out, times, source=source), times


def line_of(name: str, result: Result) -> str:
    """Return a line of the table: latency against budget, accuracy and size of a network."""
    top1, error = 100 * result.accuracy.top1, 100 * result.accuracy.standard_error
    gap = result.latency / result.latency_budget - 1
    return (
        f"{name:12s} {result.latency_budget:9.4g} {result.latency:9.4g} {gap:+8.2%} {top1:6.2f} +- {error:.2f}"
        f" {result.macs / 1e6:8.1f} {result.params:11,}"
    )


def regrets(run: Path, targets: Sequence[str]) -> list[str]:
    """Return the table of each network's regret on each device, in points; * where it is on the front."""

    def cell(row: dict[str, Any], target: str) -> str:
        if not row["keeps_bounds"][target]:
            return f"{'too slow':>14s}"
        return f"{100 * row['regret'][target]:12.2f} {'*' if row['on_front'][target] else ' '}"

    rows = read_regret_table(run / "universal.json", targets)["networks"]
    head = f"{'regret':12s} " + " ".join(f"{target:>14s}" for target in targets)
    return [head] + [f"{row['name']:12s} " + " ".join(cell(row, target) for target in targets) for row in rows]


def main() -> None:
    """Run the study and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--space", default="uib")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--targets", type=lambda text: tuple(text.split(",")), default=TARGETS)
    parser.add_argument("--later", default="cortex-m7", help="a device that is added to the finished run")
    parser.add_argument("--algorithm", default="nsga2")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--data-dir")
    parser.add_argument("--out", type=Path, default=Path("runs/specialise-study"))
    args = parser.parse_args()
    base = SearchConfig(space=args.space, preset=args.preset, data=args.data, data_dir=args.data_dir)
    trials = default_trials(args.algorithm, args.preset)
    config = MultiTargetConfig(per_target(base, args.targets, ()), args.algorithm, trials, universal=True)
    found, times = searched(config, args.out / "run")
    trained, digest = supernet_of_run(args.out / "run")
    later = replace(config, settings=per_target(trained.settings[0], [args.later], ()), universal=False, source=digest)
    added, more = searched(later, args.out / "later", args.out / "run")

    head = f"{'found for':12s} {'budget ms':>9s} {'ms':>9s} {'gap':>8s}"
    print(f"\n{head} {'supernet top-1':>14s} {'MACs M':>8s} {'params':>11s}")
    for name, result in [*found.results.items(), *added.results.items()]:
        print(line_of(name, result))
    print()
    print(*regrets(args.out / "run", list(found.results)), sep="\n")
    print("\nseconds of this process:")
    for stage, seconds in [*times.seconds.items(), *((f"later {name}", s) for name, s in more.seconds.items())]:
        print(f"  {stage:28s} {seconds:7.1f}")


if __name__ == "__main__":
    main()
