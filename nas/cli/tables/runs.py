"""How runs stand: many as a table, one as a line."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from nas.cli.console import aligned_table, latency_text
from nas.runs.listing import Run


def runs_table(runs: Sequence[Run]) -> Table:
    """Return the runs, a row each."""
    table = aligned_table("runs", ("run", "kind", "state", "target", "preset", "at"), ("best latency", "best top-1"))
    for run in runs:
        latency = "-" if run.latency is None else latency_text(run.latency, run.latency_unit)
        words = (run.path, run.kind, run.state, run.target or "-", run.preset or "-", place(run))
        table.add_row(*map(Text, words), latency, "-" if run.top1 is None else f"{run.top1:.1%}")
    return table


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
    parts += [latency_text(run.latency, run.latency_unit)] if run.latency is not None else []
    parts += [f"top-1 {run.top1:.1%}"] if run.top1 is not None else []
    if run.state == "interrupted":
        again = "the command that began it goes on" if run.kind == "training" else f"go on with: nas resume {run.path}"
        parts.append(again)
    return ", ".join(parts)
