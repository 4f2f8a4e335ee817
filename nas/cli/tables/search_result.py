"""What a search found: the summary of one target, the table of several, and the regrets of one network for all."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from nas.cli.console import aligned_table, latency_text
from nas.records.networks import UNIVERSAL
from nas.records.results import Accuracy, Result
from nas.runs.multi_target import MultiTargetResult

FILES = (
    ("best.json", "the architecture with all its numbers"),
    ("coarse.json", "what the coarse stage found"),
    ("front.csv", "the front of accuracy against latency, specs beside it"),
    ("evaluated.csv", "every architecture evaluated at the end"),
    ("report.html", "plots of all this"),
    ("supernet.safetensors", "the supernet's weights, for nas search --from"),
    ("experiment.json", "settings, seed and versions"),
    ("journal.jsonl", "the history of the search"),
)


def summary(result: Result, run: Path, chosen_by: str | None = None) -> Table:
    """Return what a search found as a table of two columns; `chosen_by` says what chose it where no policy did."""
    accuracy, shared, gap = result.accuracy, result.supernet_accuracy, result.latency / result.latency_budget - 1
    entropy = f"policy entropy {result.policy_entropy:.0%} of uniform"
    converged = "converged" if result.converged else "not converged"
    table = Table(title=f"found in {result.space} for {result.target}", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    rows = [
        ("predicted latency", f"{latency_text(result.latency, result.latency_unit)} ({result.latency_model})"),
        ("latency budget", f"{latency_text(result.latency_budget, result.latency_unit)}, gap {gap:+.2%}"),
        ("MACs, parameters", f"{result.macs:,}, {result.params:,}"),
        (
            "memory",
            f"{result.weight_bytes:,} bytes of weights, {result.peak_activation_bytes:,} of activations at once",
        ),
        ("proxy top-1", accuracy_text(accuracy)),
        ("accuracy of", f"{accuracy.kind.label()}; not of the target network"),
        *([("in the supernet", accuracy_text(shared))] if shared not in (None, accuracy) else []),
        ("search", f"{chosen_by or f'{converged}, {entropy}'}, seed {result.seed}"),
        *(("note", note) for note in result.notes),
        *((str(run / name), words) for name, words in FILES if (run / name).exists()),
        *(("next", command) for command in next_commands(result, run)),
    ]
    for name, value in rows:
        table.add_row(Text(name), Text(value))
    return table


def accuracy_text(accuracy: Accuracy) -> str:
    """Return a top-1 accuracy with its standard error."""
    error = f"{100 * accuracy.standard_error:.2f} points (standard error, {accuracy.images:,} images)"
    return f"{accuracy.top1:.2%} +- {error}"


def next_commands(result: Result, run: Path) -> tuple[str, ...]:
    """Return the commands that go on from a finished search."""
    device = "edgetpu" if result.target.startswith("ridge-point") else result.target
    return (
        f"nas compare {run} --targets {device}",
        f"nas train {run} --proxy --from-supernet --out {run}-trained",
        f"nas export {run} --format json --out {run}.json",
    )


def print_multi_target(found: MultiTargetResult, run: Path, out: Console) -> None:
    """Print the summary of one target, or a table of several and the accuracy gap of one network for all."""
    if len(found.results) == 1:
        result = next(iter(found.results.values()))
        out.print(summary(result, run, chosen_by=None if result.policy_entropy else "the best that was evaluated"))
        return
    out.print(results_table(found.results))
    folders = list(found.folders.values())
    if found.universal is not None:
        out.print(regrets_table(found.regrets, found.results))
    for folder in folders:
        out.print(f"wrote {folder}: best.json, front.csv, evaluated.csv, report.html", markup=False)
    if found.universal is not None:
        folders.append(run / UNIVERSAL)
        out.print(f"wrote {folders[-1]}: best.json, report.html; {run / 'universal.json'}: the regrets", markup=False)
    out.print(f"next: nas compare {' '.join(map(str, folders))} --targets {','.join(found.results)}")


def results_table(results: Mapping[str, Result]) -> Table:
    """Return the network found for each target, a row each."""
    table = aligned_table("found", ("target",), ("latency", "latency budget", "proxy top-1 %", "MACs", "parameters"))
    for name, result in results.items():
        top1 = f"{100 * result.accuracy.top1:.2f} +- {100 * result.accuracy.standard_error:.2f}"
        latency_budget = latency_text(result.latency_budget, result.latency_unit)
        latency = latency_text(result.latency, result.latency_unit)
        table.add_row(name, latency, latency_budget, top1, f"{result.macs:,}", f"{result.params:,}")
    return table


def regrets_table(data: Mapping[str, Any], results: Mapping[str, Result]) -> Table:
    """Return the table of regrets per target, in points of top-1: specialists, then the network for all."""

    def cell(row: Mapping[str, Any], target: str) -> str:
        latency = latency_text(row["latency"][target], results[target].latency_unit)
        if not row["keeps_bounds"][target]:
            return f"over, {latency}"
        return f"{100 * row['regret'][target]:.2f}{'*' if row['on_front'][target] else ''} at {latency}"

    targets = data["targets"]
    table = aligned_table("regret in points of top-1", ("network",), ("top-1 %", *targets, "worst"))
    for row in data["networks"]:
        worst = row["worst_regret"]
        cells = [cell(row, target) for target in targets]
        table.add_row(row["name"], f"{100 * row['top1']:.2f}", *cells, "-" if worst is None else f"{100 * worst:.2f}")
    table.caption = f"regret: {data['regret']}; over: takes more than is allowed there; *: on the front at its latency"
    return table
