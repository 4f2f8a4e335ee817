"""How runs stand: many as a table, one as a line."""

from collections.abc import Sequence
from pathlib import Path

from latency_models.latency_error import percent_text
from nas.cli.console import aligned_table, latency_text
from nas.cli.models import images_in_latency
from nas.records.named_code import resume_command
from nas.records.results import TOP1
from nas.report.terminal_table import FittedTable, unit_text
from nas.runs.listing import Run
from nas.tasks import METRICS


def runs_table(runs: Sequence[Run]) -> FittedTable:
    """Return the runs, a row each."""
    drop = {"preset": 4, "kind": 3, "at": 2, "target": 1}
    words = ("run", "kind", "state", "target", "preset", "at")
    score = "best top-1" if all(run.metric == TOP1 for run in runs) else "best score"
    table = aligned_table("runs", words, ("best latency", score), drop)
    for run in runs:
        latency = _latency(run, unit_text(run.latency_unit, images_in_latency(run.target or "")))
        texts = (run.path, run.kind, run.state, run.target or "-", run.preset or "-", place(run))
        table.add_row(*texts, latency, "-" if run.top1 is None else _score(run))
    return table


def _score(run: Run) -> str:
    """Return the best score: top-1 in percent, of another task with the name of its metric."""
    assert run.top1 is not None
    if run.metric == TOP1:
        return f"{run.top1:.1%}"
    return f"{METRICS[run.metric].title if run.metric in METRICS else run.metric} {run.top1:.3f}"


def _latency(run: Run, unit: str) -> str:
    """Return the latency of the best architecture with the error of its prediction, as far as both are known."""
    if run.latency is None:
        return "-"
    error = run.latency_error_percent
    return latency_text(run.latency, unit) + ("" if error is None else f" ± {percent_text(error)} %")


def place(run: Run) -> str:
    """Return how far a run is: "fine 120/240"."""
    if run.stage is None or run.step is None:
        return "-"
    return f"{run.stage} {run.step}" + (f"/{run.steps}" if run.steps else "")


def ending(run: Run) -> str:
    """Return how a run stands in one line."""
    parts = [f"{run.path}: {run.state}" + (f" ({run.holder})" if run.holder else ""), f"{run.kind}"]
    parts += [run.note] if run.note else []
    parts += [f"at {place(run)}"] if run.stage else []
    parts += [_latency(run, run.latency_unit)] if run.latency is not None else []
    named = "top-1 " if run.metric == TOP1 else ""
    parts += [f"{named}{_score(run)}"] if run.top1 is not None else []
    if run.state == "interrupted":
        resume = resume_command(Path(run.path))
        parts.append("the command that began it goes on" if run.kind == "training" else f"go on with: {resume}")
    return ", ".join(parts)
