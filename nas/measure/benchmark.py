"""Benchmark of networks on this host: warm-up, rounds that interleave networks, and a CSV that a later call extends.

Networks are measured in groups. Within a group every round runs each network `repeats` times, one network after the
other, so that a clock that drifts and other load hit all of a group alike.

The latency is the smallest median of a round. Against the median of the rounds' medians it repeats better: 4 networks
in ONNX Runtime on 2 cores with other work on them (load average 2 to 4), the standard deviation of the latency over
7 or 8 sessions, mean of the networks, and the same after division by the geometric mean of the session's networks:

    10 rounds of 20 runs, first time    3.7 % and 1.8 %, against 3.2 % and 2.3 % for the median of medians
    10 rounds of 20 runs, once more     4.2 % and 1.1 %, against 5.9 % and 2.5 %
    40 rounds of 5 runs                 1.3 % and 0.9 %, against 3.1 % and 1.9 %

Other work only ever adds time, and many short rounds are more likely to meet a quiet moment than a few long ones.
"""

import csv
import io
import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, fields, replace
from itertools import product
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter_ns
from typing import Any, Protocol

from latency_models.measurement_table import read_table
from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.files import as_cell, write_whole
from nas.progress.stop import raise_if_stopped

NS_PER_MS = 1e6
SETTLING_RUNS = 3  # untimed, before each turn: the caches hold another network
WARM_UP_RUNS = 5  # at once, until the medians of two such turns agree
WARM_UP_AGREEMENT = 0.05  # relative
WARM_UP_LIMIT = 20  # turns at most
WIDE_SPREAD = 0.10  # of a network's runs, relative, above which a caution is given
BUSY_LOAD_PER_CORE = 0.25  # load average, above which a caution is given

Clock = Callable[[], int]  # nanoseconds
Timed = Callable[[int], Sequence[float]]  # a loaded network: number of runs -> milliseconds of each
Loader = Callable[[ArchSpec], Timed]
Advance = Callable[[int, int, str], None]  # called with steps done, steps in all, what is being done


class Runtime(Protocol):
    """A runtime to be timed: loads networks one by one, then times runs of any of them."""

    @property
    def name(self) -> str: ...
    def versions(self) -> str: ...
    def open(self, *, threads: int, batch: int) -> AbstractContextManager[Loader]: ...


def timed_runs(run: Callable[[], object], clock: Clock = perf_counter_ns) -> Timed:
    """Return a function that times `run`, which must have finished its work when it returns."""

    def timed(runs: int) -> list[float]:
        times = []
        for _ in range(runs):
            start = clock()
            run()
            times.append((clock() - start) / NS_PER_MS)
        return times

    return timed


@dataclass(frozen=True)
class BenchmarkConfig:
    """Settings of a benchmark: `rounds` times `repeats` runs each, of `batch` images on `threads` threads.

    `group` networks are in memory at once and take turns: other load hits them alike, and an interruption loses their
    measurements.
    """

    threads: int = 1
    batch: int = 1
    rounds: int = 40
    repeats: int = 5
    group: int = 32

    def __post_init__(self) -> None:
        for field in fields(self):
            if (value := getattr(self, field.name)) < 1:
                raise InvalidInput(f"{field.name} must be at least 1, got {value}")
        cores = os.cpu_count() or 1
        if self.threads > cores:
            raise InvalidInput(f"threads must be at most the {cores} cores of this machine, got {self.threads}")


@dataclass(frozen=True)
class BenchmarkRow:
    """One row of the CSV. `arch` is a reference network's name, or the path of a spec relative to the CSV's folder."""

    arch: str
    latency_ms: float  # of one call with `batch` images
    batch: int
    spread: float  # interquartile range of all timed runs, relative to their median
    runtime: str
    threads: int
    machine: str
    versions: str
    digest: str


COLUMNS: dict[str, Any] = {field.name: field.type for field in fields(BenchmarkRow)}  # of the CSV, with their types
NUMBERS = tuple(name for name, kind in COLUMNS.items() if kind in (int, float))
CONDITIONS = ("runtime", "threads", "batch", "machine", "versions")  # columns that all rows of a file have in common


def measure(
    archs: Mapping[str, ArchSpec], runtime: Runtime, config: BenchmarkConfig, out: Path, *, advance: Advance
) -> list[BenchmarkRow]:
    """Measure the networks that `out` does not hold yet; return the rows of `archs` (label -> architecture) in order.

    `out` is written after every group, so an interruption loses one group at most. `InvalidInput` where `out` holds
    rows of other conditions, or cannot be written.
    """
    if not (out.parent.is_dir() and os.access(out.parent, os.W_OK)):
        why = "cannot be written" if out.parent.is_dir() else "does not exist"
        raise InvalidInput(f"cannot write {out}: the folder {out.parent} {why}; name another with --out")
    blank = _blank_row(runtime, config)
    known = {row.digest: row for row in _earlier_rows(out, blank)}
    missing = [*{a.digest: (label, a) for label, a in archs.items() if a.digest not in known}.values()]
    steps_each = 1 + config.rounds
    for start in range(0, len(missing), config.group):
        group = missing[start : start + config.group]

        def report(step: int, state: str, before: int = start * steps_each) -> None:
            advance(before + step, len(missing) * steps_each, state)

        times = _time_group(group, runtime, config, report)
        for (label, arch), rounds in zip(group, times, strict=True):
            latency_ms, spread = summarise(rounds)
            known[arch.digest] = replace(blank, arch=label, latency_ms=latency_ms, spread=spread, digest=arch.digest)
        write_measurements(out, known.values())
    return [known[arch.digest] for arch in archs.values()]


def _time_group(
    group: Sequence[tuple[str, ArchSpec]],
    runtime: Runtime,
    config: BenchmarkConfig,
    report: Callable[[int, str], None],
) -> list[list[list[float]]]:
    """Return the milliseconds of every run, by network, round and run."""
    with runtime.open(threads=config.threads, batch=config.batch) as load:
        networks = []
        for i, (label, arch) in enumerate(group):
            report(i, f"loading {label}")
            networks.append(load(arch))
            warm_up(networks[-1])
        times: list[list[list[float]]] = [[] for _ in networks]
        for done in range(config.rounds):
            report(len(group) * (1 + done), f"round {done + 1} of {config.rounds}, {len(group)} networks each")
            for i, timed in enumerate(networks):
                raise_if_stopped()
                timed(SETTLING_RUNS)
                times[i].append([*timed(config.repeats)])
        report(len(group) * (1 + config.rounds), f"{len(group)} networks measured")
    return times


def warm_up(timed: Timed) -> None:
    """Run untimed until the medians of two turns in a row agree, or `WARM_UP_LIMIT` turns are over."""
    before = median(timed(WARM_UP_RUNS))
    for _ in range(WARM_UP_LIMIT):
        raise_if_stopped()
        now = median(timed(WARM_UP_RUNS))
        if abs(now - before) <= WARM_UP_AGREEMENT * before:
            return
        before = now


def summarise(rounds: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Return (latency, spread) of the times [rounds][runs].

    The latency is the smallest median of a round, for the reasons in the module's docstring. The spread is the
    interquartile range of all runs relative to their median, 0 for a single run.
    """
    runs = [time for times in rounds for time in times]
    if len(runs) == 1:
        return runs[0], 0.0
    lower, middle, upper = quantiles(runs, n=4, method="inclusive")
    return min(map(median, rounds)), round((upper - lower) / middle, 4)


# ------------------------------------------------------------------------------------------------------------ the CSV


def write_measurements(path: Path, rows: Iterable[BenchmarkRow]) -> None:
    """Write the rows as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [*COLUMNS], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: as_cell(value) for name, value in asdict(row).items()} for row in rows)
    write_whole(path, text.getvalue())


def read_measurements(path: Path) -> list[BenchmarkRow]:
    """Return the rows that `write_measurements` wrote; `InvalidInput` where the file holds anything else."""
    found = []
    for row in read_table(path, [*COLUMNS], NUMBERS, strip=False).rows:
        try:
            found.append(BenchmarkRow(**{name: kind(row[name]) for name, kind in COLUMNS.items()}))
        except ValueError as error:
            raise InvalidInput(f"{row.where}: {error}; remove the line or name another file") from error
    return found


def _blank_row(runtime: Runtime, config: BenchmarkConfig) -> BenchmarkRow:
    """Return a row with the conditions of this benchmark, and no network yet."""
    return BenchmarkRow(
        "", 0.0, config.batch, 0.0, runtime.name, config.threads, machine_name(), runtime.versions(), ""
    )


def _earlier_rows(path: Path, blank: BenchmarkRow) -> list[BenchmarkRow]:
    """Return the rows that `path` holds already; `InvalidInput` where their conditions differ from those of `blank`."""
    rows = read_measurements(path) if path.exists() else []
    for row, name in product(rows, CONDITIONS):
        theirs, ours = getattr(row, name), getattr(blank, name)
        if theirs != ours:
            raise InvalidInput(
                f"{path} holds measurements with {name} '{theirs}', not '{ours}'; name another file with --out"
            )
    return rows


# ---------------------------------------------------------------------------------------------------------- this host


def machine_name() -> str:
    """Return the processor's name and the number of cores: "AMD EPYC 7B13, 2 cores"."""
    model = platform.processor() or platform.machine()
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return f"{model}, {os.cpu_count()} cores"


def busy_caution() -> str | None:
    """Return a line of caution where other work on this machine will disturb a measurement, else None."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load <= BUSY_LOAD_PER_CORE * cores:
        return None
    return f"caution: the machine is busy (load average {load:.1f} on {cores} cores); latencies may come out too high"


def spread_caution(rows: Sequence[BenchmarkRow]) -> str | None:
    """Return a line of caution where runs scattered too far for a measurement to be trusted, else None."""
    scattered = [row for row in rows if row.spread > WIDE_SPREAD]
    if not scattered:
        return None
    worst = max(scattered, key=lambda row: row.spread)
    return (
        f"caution: runs of {len(scattered)} of {len(rows)} networks scatter by more than {WIDE_SPREAD:.0%} "
        f"(most: {worst.arch}, {worst.spread:.0%}); measure into a new file when the machine is quiet"
    )
