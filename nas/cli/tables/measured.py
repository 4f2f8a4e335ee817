"""Predicted beside measured latencies of some networks, and what follows from them."""

from collections.abc import Sequence

from latency_models.calibration.agreement import Agreement
from nas.cli.console import aligned_table
from nas.report.terminal_table import FittedTable


def predicted_and_measured(
    title: str, names: Sequence[str], predicted_ms: Sequence[float], measured_ms: Sequence[float],
    spread: Sequence[float] = (), scores: Sequence[str] = (), title_of_scores: str = "top-1 %",
) -> FittedTable:  # fmt: skip
    """Return a row per network: predicted and measured latency, by how much that is off, spread and score."""
    headings = ["predicted ms", "measured ms", "off by"]
    headings += ["spread"] * bool(spread) + [title_of_scores] * bool(scores)
    table = aligned_table(title, ("network",), headings)
    for i, (name, predicted, measured) in enumerate(zip(names, predicted_ms, measured_ms, strict=True)):
        cells = [f"{predicted:.4g}", f"{measured:.4g}", f"{measured / predicted - 1:+.1%}"]
        cells += [f"{spread[i]:.1%}"] if spread else []
        cells += [scores[i]] if scores else []
        table.add_row(name, *cells)
    return table


def agreement_lines(found: Agreement, suspected: Sequence[str]) -> list[str]:
    """Return the lines under such a table."""
    return [*found.sentences(), *suspected]
