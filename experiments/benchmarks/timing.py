"""Common parts of the benchmarks: threads, interleaved measurements, tables."""

import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

SLOW_S = 2.0  # a first run that takes longer is reported


@dataclass(frozen=True)
class Timing:
    """Seconds of one run: of the first, which compiles, and the median, minimum and maximum of the later ones."""

    first_s: float
    median_s: float
    min_s: float
    max_s: float

    @property
    def compile_s(self) -> float:
        """Seconds that the first run took beyond a usual one: tracing and compiling."""
        return max(0.0, self.first_s - self.median_s)


def use_threads(count: int | None) -> int:
    """Keep this process on its first `count` cores, before any library starts threads, and return how many it has."""
    cores = sorted(os.sched_getaffinity(0))
    kept = cores[: count or len(cores)]
    os.sched_setaffinity(0, kept)
    for name in ("NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # NPROC is XLA's
        os.environ[name] = str(len(kept))
    return len(kept)


def seconds(run: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Return how long `run` takes by `clock`; it must not return before its work is done."""
    start = clock()
    run()
    return clock() - start


def interleaved(
    runs: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, Timing]:
    """Time every run once, then all in turn `rounds` times, so that other load on the machine affects all alike.

    With one thread, `time.process_time` as the `clock` leaves out the time that other processes take.
    """
    first: dict[str, float] = {}
    for name, run in runs.items():
        first[name] = seconds(run, clock)
        if first[name] > SLOW_S:
            print(f"first run of '{name}': {first[name]:.1f} s", file=sys.stderr, flush=True)
    later: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            later[name].append(seconds(run, clock))
    return {
        name: Timing(first[name], statistics.median(times), min(times), max(times)) for name, times in later.items()
    }


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of cells, the first column to the left and the others to the right."""
    table = [header, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    for row in table:
        first, *others = (
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join([first, *others]), flush=True)
