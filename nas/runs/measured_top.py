"""The last candidates of a search measured on this host, beside their predictions: which they are, and what follows.

They are the answer and the most accurate of the other networks within or near the latency budget, of a whole front some
that span it. What is measured lies in the run folder as a table that `nas calibrate` reads, one for each runtime;
best.json gets the measured latency of the answer beside the predicted one, which stays.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from latency_models.calibration.agreement import Agreement, agreement
from latency_models.calibration.suspicion import suspicions
from latency_models.target import Target, load_target
from nas.arch import ArchSpec, load_arch, save_arch
from nas.errors import InvalidInput
from nas.files import subfolder
from nas.measure.benchmark import (
    Advance,
    BenchmarkConfig,
    BenchmarkRow,
    Runtime,
    measure,
    read_measurements,
)
from nas.records.experiment import read_experiment
from nas.records.front import load_front
from nas.records.locks import locked
from nas.records.picks import load_picks
from nas.records.results import TOP1, Result, load_result, metric_of, result_of_run, save_result, title_by_name
from nas.records.tables import rows_of
from nas.report.run_page import write_report
from nas.runs.answer import spec_path
from nas.runs.load_run import of_genotype, space_of_run
from nas.runs.settings import SearchConfig, default_settings

NEAR = 0.10  # above the latency budget: such networks are measured too, for predictions are off
TABLES = "measured-*.csv"  # in a run folder, of one runtime each
ROUNDING = 1e-9  # relative: a budget may be met exactly
BOUNDS = {  # setting of a search -> the column of evaluated.csv that it bounds
    "max_params": "params", "max_macs": "macs", "max_memory_kb": "memory_kb", "max_flash_kb": "flash_kb",
    "max_energy_mj": "energy_mj",
}  # fmt: skip


@dataclass(frozen=True)
class Candidate:
    """A network of a search: its predicted latency, and its accuracy, which compares where the kind is the same."""

    digest: str
    predicted_ms: float
    top1: float
    kind: str  # of the accuracy, as files have it
    latency_budget: float
    spec: str = ""  # its file in the run, where it has one
    genotype: str = ""

    @property
    def name(self) -> str:
        """What it is called in tables: its spec file."""
        return self.spec or self.digest[:12]


@dataclass(frozen=True)
class MeasuredCandidate:
    """A candidate with what was measured of it."""

    candidate: Candidate
    row: BenchmarkRow
    is_answer: bool

    @property
    def within_budget(self) -> bool:
        """Whether the measured latency keeps the latency budget."""
        return self.row.latency_ms <= self.candidate.latency_budget * (1 + ROUNDING)


@dataclass(frozen=True)
class MeasuredTop:
    """Measured candidates of a run, the answer first, and what follows from them."""

    result: Result
    candidates: tuple[MeasuredCandidate, ...]
    archs: tuple[ArchSpec, ...]
    is_front: bool

    @property
    def predicted_ms(self) -> list[float]:
        """Predicted latencies."""
        return [one.candidate.predicted_ms for one in self.candidates]

    @property
    def measured_ms(self) -> list[float]:
        """Measured latencies."""
        return [one.row.latency_ms for one in self.candidates]

    @property
    def spread(self) -> list[float]:
        """Interquartile ranges of the runs, relative."""
        return [one.row.spread for one in self.candidates]

    @property
    def agreement(self) -> Agreement:
        """How predicted and measured latencies agree."""
        return agreement(self.predicted_ms, self.measured_ms, self.spread)

    def suspicions(self, target: Target | None) -> tuple[str, ...]:
        """Return what may explain latencies far above the prediction."""
        percent = target.latency_error.percent if target else None
        return suspicions(
            self.archs, self.predicted_ms, self.measured_ms, interval=None if percent is None else percent / 100,
            unsupported=target.unsupported if target else (),
        )  # fmt: skip

    @property
    def best_measured(self) -> MeasuredCandidate | None:
        """The answer by the measured latencies: the most accurate within the budget, of the answer's kind of accuracy.

        Where none of that kind is within it, the most accurate of another kind; None where no network is.
        """
        kept = [one for one in self.candidates if one.within_budget]
        own = self.result.accuracy.kind.stored_label()
        same = [one for one in kept if one.candidate.kind == own]
        return max(same or kept, key=lambda one: (one.candidate.top1, one.is_answer, -one.row.latency_ms), default=None)

    def conclusion(self) -> str:
        """Return whether the answer would be another one by the measured latencies, and which."""
        if self.is_front:
            over = [one.candidate.name for one in self.candidates if not one.within_budget]
            return f"measured above their budgets: {', '.join(over)}" if over else "all measured within their budgets"
        answer = next((one for one in self.candidates if one.is_answer), None)
        if answer is None:
            return "the answer itself was not measured"
        best, budget = self.best_measured, f"{answer.candidate.latency_budget:.4g} ms"
        took = f"the answer takes {answer.row.latency_ms:.4g} ms of {budget} allowed"
        if best is None:
            return f"{took}, and none of the {len(self.candidates)} measured networks keeps the budget"
        if best is answer:
            return f"the answer stays: it {took.removeprefix('the answer ')}, and none measured within it is better"
        other = best.candidate.kind != answer.candidate.kind
        gained, metric = best.candidate.top1 - answer.candidate.top1, metric_of(answer.candidate.kind)
        by = f"{100 * gained:+.1f} points of top-1" if metric == TOP1 else f"{gained:+.3f} of {title_by_name(metric)}"
        how = "by an accuracy of another kind" if other else by
        return (
            f"{took}; by the measured latencies the answer would be {best.candidate.name}, "
            f"{best.row.latency_ms:.4g} ms, {how}"
        )


def last_candidates(run: Path, count: int) -> tuple[Result, list[Candidate]]:
    """Return the result of a finished run and up to `count` different networks: the answer, then the most accurate.

    `run` is the folder of a run for one target, or of one target in a run for several. Raises `InvalidInput` where it
    has not finished, or its latencies are not in ms.
    """
    result = load_result(run / "best.json") if (run / "best.json").exists() else result_of_run(run)
    if result.latency_unit != "ms":
        raise InvalidInput(
            f"the latencies of {run} are in '{result.latency_unit}', of an abstract device; what is measured in ms "
            "goes with a search for a --target"
        )
    points = _front_points(run)
    if not points:
        return result, _ranked(run, result)[:count]
    places = np.unique(np.linspace(0, len(points) - 1, min(count, len(points))).round().astype(int)).tolist()
    spread = [points[place] for place in places]
    answer = [one for one in points if one.digest == result.arch.digest]
    return result, [*answer, *(one for one in spread if one not in answer)][:count]


def _front_points(run: Path) -> list[Candidate]:
    """Return the networks of a whole front from the fastest on, each with the budget that it answers; else nothing."""
    front = load_front(run)
    if front is None:
        return []
    return [
        Candidate(one.digest, one.latency, one.top1, front.accuracy_kind, one.latency_budget, one.spec)
        for one in front.networks
    ]


def _ranked(run: Path, result: Result) -> list[Candidate]:
    """Return the networks of a search for one latency: the answer, then others of its kind of accuracy, then the rest.

    Each kind has the most accurate first, of equals the fastest; all keep the bounds, and the budget nearly.
    """
    budget, own = result.latency_budget, result.accuracy.kind.stored_label()
    answer = Candidate(result.arch.digest, result.latency, result.accuracy.top1, own, budget, spec_path(result.arch))
    known: dict[str, Candidate] = {}
    for one in _all_of(run, result):
        if one.predicted_ms <= budget * (1 + NEAR) and (one.digest not in known or one.kind == own):
            known[one.digest] = one
    known.pop(answer.digest, None)
    return [answer, *sorted(known.values(), key=lambda one: (one.kind != own, -one.top1, one.predicted_ms, one.digest))]


def _all_of(run: Path, result: Result) -> Iterator[Candidate]:
    """Yield what the files of a run say of its networks; some come twice, with accuracies of several kinds."""
    budget, config = result.latency_budget, SearchConfig.from_dict(read_experiment(run).get("settings"))
    shared = (result.supernet_accuracy or result.accuracy).kind.stored_label()
    for row in rows_of(run / "evaluated.csv") if (run / "evaluated.csv").exists() else ():
        genotype = row.get("genotype") or ""
        if row["latency"] and (row["spec"] or genotype) and (row["on_front"] or _keeps_bounds(config, row)):
            kind = row.get("accuracy_kind") or shared
            yield Candidate(row["digest"], row["latency"], row["top1"], kind, budget, row["spec"], genotype)
    if picks := load_picks(run):
        for pick in picks.picks:
            yield Candidate(pick.digest, pick.latency, pick.top1, picks.accuracy_kind, budget, pick.spec)


def _keeps_bounds(config: SearchConfig, row: Mapping[str, Any]) -> bool:
    """Return whether a row of evaluated.csv keeps the hard bounds; False where that cannot be told."""
    if config.forest_bounds:
        return False
    limits = {column: getattr(config, name) for name, column in BOUNDS.items() if getattr(config, name) is not None}
    return all(row.get(column) is not None and row[column] <= most for column, most in limits.items())


def table_of(run: Path, runtime: str) -> Path:
    """Return the table of what a runtime measured of a run."""
    return run / f"measured-{re.sub(r'[^0-9A-Za-z.-]+', '-', runtime)}.csv"


def target_of(run: Path) -> Target | None:
    """Return the target of a run, None for an abstract device; raises as `load_target`."""
    config = SearchConfig.from_dict(read_experiment(run).get("settings"))
    return None if config.target is None or config.ridge_point is not None else load_target(config.target)


def measure_top(
    run: Path, count: int, runtime: Runtime, config: BenchmarkConfig, *, out: Path | None = None, advance: Advance
) -> MeasuredTop:
    """Measure up to `count` of the last candidates of a finished run, into its folder or into the table `out`.

    Goes on where an earlier call was interrupted. The images at once are those of the predicted latency, whatever
    `config` says. Raises as `last_candidates` and `nas.measure.benchmark.measure`.
    """
    result, candidates = last_candidates(run, count)
    target, table = target_of(run), out or table_of(run, runtime.name)
    with locked(run):
        archs = {os.path.relpath(path, table.parent): arch for path, arch in _specs(run, result, candidates)}
        measure(archs, runtime, replace(config, batch=target.batch if target else 1), table, advance=advance)
        found = measured_top(run, table)
        _write_answer(run, found)
    return found


def _specs(run: Path, result: Result, candidates: Sequence[Candidate]) -> Iterator[tuple[Path, ArchSpec]]:
    """Yield the spec file in the run, written where it is missing, and the architecture of each candidate."""
    subfolder(run, "specs")
    space = None
    for one in candidates:
        path = run / "specs" / f"{one.digest[:12]}.json"
        if one.digest == result.arch.digest:
            arch: ArchSpec | None = result.arch
        elif path.exists():
            arch = load_arch(path)
        else:
            space = space or space_of_run(run, result)
            arch = of_genotype(space, one.digest, one.genotype)
        if arch is None or arch.digest != one.digest:
            raise InvalidInput(f"a table in {run} and {path} do not match: the files were altered")
        if not path.exists():
            save_arch(arch, path)
        yield path, arch


def measured_top(run: Path, table: Path) -> MeasuredTop:
    """Return what a table of `measure_top` holds of a run's networks, the answer first, then as they were ranked."""
    result = load_result(run / "best.json")
    candidates = _front_points(run) or _ranked(run, result)
    rows = {row.digest: row for row in read_measurements(table)}
    known = sorted((one for one in candidates if one.digest in rows), key=lambda one: one.digest != result.arch.digest)
    if not known:
        raise InvalidInput(f"{table} holds none of the networks of {run}; measure them: nas measure {run} --top 5")
    named = [replace(one, spec=f"specs/{one.digest[:12]}.json") for one in known]
    archs = tuple(load_arch(run / one.spec) for one in named)
    found = (MeasuredCandidate(one, rows[one.digest], one.digest == result.arch.digest) for one in named)
    return MeasuredTop(result, tuple(found), archs, load_front(run) is not None)


def tables_of(run: Path) -> list[Path]:
    """Return the tables of measured candidates in a run folder, of one runtime each."""
    return sorted(run.glob(TABLES))


def _write_answer(run: Path, found: MeasuredTop) -> None:
    """Write the measured latency of the answer into best.json, and the report that shows it."""
    row = next((one.row for one in found.candidates if one.is_answer), None)
    if row is None:
        return
    threads = f"{row.threads} thread{'s' if row.threads > 1 else ''}"
    how = f"{row.runtime} ({row.versions}), {threads}, {row.machine}"
    result = replace(found.result, measured_latency_ms=row.latency_ms, measured_on=how)
    if result != found.result:
        save_result(result, run / "best.json")
        write_report(run, default_settings())
