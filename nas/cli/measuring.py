"""The last candidates of a search measured on this host: for `nas search --measure-top` and `nas measure RUN --top`."""

import argparse
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

from latency_models.calibration.kept import keeps_measurements
from latency_models.latency_error import error_of
from latency_models.target import Target
from nas.cli.console import console
from nas.cli.live import LiveReporter
from nas.cli.signals import interruptible
from nas.cli.tables.measured import agreement_lines, error_lines, predicted_and_measured
from nas.measure.benchmark import BenchmarkConfig, BenchmarkRow, busy_caution, machine_name, spread_caution
from nas.ops import Size
from nas.records.experiment import read_experiment
from nas.records.named_code import command_on
from nas.records.results import TOP1, metric_of, result_of_run, share_text, title_by_name
from nas.registry import RUNTIMES, load
from nas.runs.measured_top import MeasuredTop, measure_top, measured_top, table_of, tables_of, target_of
from nas.runs.settings import IMAGENET_PX, SearchConfig

DEFAULT_RUNTIME = "onnxruntime"
ENOUGH = 20  # proposals for a host that no target is calibrated for


@dataclass(frozen=True)
class Conditions:
    """How candidates are measured: a runtime, threads, and the benchmark's turns."""

    runtime: str
    config: BenchmarkConfig

    @classmethod
    def of(
        cls, run: Path, runtime: str | None, threads: int | None, rounds: int = 40, repeats: int = 5
    ) -> "Conditions":
        """Return the conditions asked for; where none are, those that the target of the run was calibrated under."""
        target = target_of(run)
        known = target.calibration if target else None
        stated = known.runtime if known and known.runtime in RUNTIMES else None
        chosen = runtime or stated or DEFAULT_RUNTIME
        if threads is None:
            said = known.threads if known and chosen == stated else None
            threads = int(said) if said and said.isdecimal() else 1
        return cls(chosen, BenchmarkConfig(threads, 1, rounds, repeats))


def measure_candidates(
    args: argparse.Namespace, run: Path, count: int, how: Conditions, out: Path | None = None
) -> tuple[MeasuredTop, Path]:
    """Measure the last candidates of a run under a live display, and return them and the table that keeps them.

    Started again, it goes on.
    """
    runtime = load("runtime", RUNTIMES, how.runtime)
    table = out or table_of(run, runtime.name)

    def advice() -> str:
        kept = f"{table} has what was measured" if table.exists() else "nothing was measured yet"
        return f"the search is finished, and {kept}; go on with: {command_of(run, count, how, out)}"

    shown_on = sys.stderr if getattr(args, "json", False) else None
    if (caution := busy_caution()) and shown_on is None:
        console().print(caution, markup=False)
    with interruptible(advice), LiveReporter(shown_on) as reporter:
        found = measure_top(
            run, count, runtime, how.config, out=out, advance=lambda *state: reporter.advance("measure", *state)
        )
    return found, table


def command_of(run: Path, count: int, how: Conditions, out: Path | None = None) -> str:
    """Return the command that measures the last candidates of a run."""
    words = ["measure", str(run), "--top", str(count), "--runtime", how.runtime, "--threads", str(how.config.threads)]
    words += ["--out", str(out)] if out else []
    return command_on(run, *words, settings=["space", "target"])


def show_measured(run: Path, found: MeasuredTop, table: Path) -> None:
    """Print predicted beside measured latencies, what follows, and the commands that go on."""
    out, target, row = console(), target_of(run), found.candidates[0].row
    names = [f"{one.candidate.name}{' (answer)' if one.is_answer else ''}" for one in found.candidates]
    metrics = [metric_of(one.candidate.kind) for one in found.candidates]
    pairs = zip(found.candidates, metrics, strict=True)
    scores = [share_text(one.candidate.top1, metric).rstrip("%") for one, metric in pairs]
    heading = " or ".join(dict.fromkeys("top-1 %" if one == TOP1 else title_by_name(one) for one in metrics))
    title = f"{found.result.target}: predicted, and measured with {row.runtime}"
    errors = [error_of(target, arch) for arch in found.archs] if target else []
    both = found.predicted_ms, found.measured_ms
    out.print(predicted_and_measured(title, names, *both, found.spread, scores, heading, errors))
    lines = [f"{row.versions}; threads: {row.threads}; images per run: {row.batch}; {row.machine}"]
    other = _other_device(target, row)
    lines += filter(None, [spread_caution([one.row for one in found.candidates]), other])
    lines += error_lines(target, errors, *both)[: 1 if other else None] if target else []
    lines += [*agreement_lines(found.agreement, () if other else found.suspicions(target))]
    lines.append(f"{'where it is this device: ' if other else ''}{found.conclusion()}")
    for line in (*lines, f"wrote {table}", *(f"next: {command}" for command in next_commands(run, table, target))):
        out.print(Text(line), soft_wrap=True)


def show_all_measured(run: Path) -> None:
    """Print what a run folder holds of its candidates' measured latencies, runtime by runtime."""
    for table in tables_of(run):
        show_measured(run, measured_top(run, table), table)


def all_measured_json(run: Path) -> list[dict[str, Any]]:
    """Return the same as plain JSON values."""
    return [measured_json(measured_top(run, table), table, target_of(run)) for table in tables_of(run)]


def _other_device(target: Target | None, row: BenchmarkRow) -> str | None:
    """Return a line where the target was not measured as these latencies are; None where it was."""
    known = target.calibration if target else None
    name = target.name if target else "an abstract device"
    if known is None or known.machine is None:
        return f"{name} was not calibrated on this machine: where it is another device, the order alone compares"
    if (known.machine, known.runtime, known.threads) != (machine_name(), row.runtime, str(row.threads)):
        setup = f"{known.runtime}, threads: {known.threads}; {known.machine}"
        return f"{name} was calibrated under other conditions ({setup}): the order alone compares"
    return None


def next_commands(run: Path, table: Path, target: Target | None) -> Iterator[str]:
    """Yield the command that takes the measurements back: into the target, or into proposals for a new one."""
    settings = SearchConfig.from_dict(read_experiment(run).get("settings"))
    name = settings.target or ""
    if target and keeps_measurements(target):
        yield shlex.join(("nas", "calibrate", "--add", str(table), "--target", name))
        return
    like = ("--like", name) if target and ":" not in name else ()
    found = result_of_run(run).arch.input_shape  # the proposals have the input of what was found
    size = Size(found.height, found.width)
    resolution = () if size == (IMAGENET_PX, IMAGENET_PX) else ("--resolution", str(size))
    where = ("--space", settings.space, *resolution, *like, "--out", f"{run}-to-measure")
    yield shlex.join(("nas", "calibrate", "--propose", str(ENOUGH), "--add", str(table), *where))


def measured_json(found: MeasuredTop, table: Path, target: Target | None) -> dict[str, Any]:
    """Return measured candidates as plain JSON values."""
    best = found.best_measured
    return {
        "table": str(table),
        "runtime": found.candidates[0].row.runtime,
        "networks": [
            {
                "spec": one.candidate.spec, "answer": one.is_answer, "predicted_ms": one.candidate.predicted_ms,
                "measured_ms": one.row.latency_ms, "spread": one.row.spread, "top1": one.candidate.top1,
                "within_budget": one.within_budget,
            }
            for one in found.candidates
        ],
        "agreement": vars(found.agreement),
        "suspicions": list(found.suspicions(target)),
        "conclusion": found.conclusion(),
        "answer_by_measurement": best.candidate.spec if best and not found.is_front else None,
    }  # fmt: skip
