"""Predicted beside measured latencies of some networks, and what follows from them."""

from collections.abc import Sequence

from latency_models.calibration.agreement import Agreement
from latency_models.latency_error import LatencyError
from latency_models.target import Target
from nas.cli.console import aligned_table
from nas.report.terminal_table import FittedTable


def predicted_and_measured(
    title: str, names: Sequence[str], predicted_ms: Sequence[float], measured_ms: Sequence[float],
    spread: Sequence[float] = (), scores: Sequence[str] = (), title_of_scores: str = "top-1 %",
    errors: Sequence[LatencyError] = (),
) -> FittedTable:  # fmt: skip
    """Return a row per network: predicted latency and its error, the measured one, the gap, spread and score."""
    headings = ["predicted ms", "measured ms", "off by"]
    headings += ["spread"] * bool(spread) + [title_of_scores] * bool(scores)
    table = aligned_table(title, ("network",), headings)
    for i, (name, predicted, measured) in enumerate(zip(names, predicted_ms, measured_ms, strict=True)):
        known = f" {errors[i].text}" if errors and errors[i].percent is not None else ""
        cells = [f"{predicted:.4g}{known}", f"{measured:.4g}", f"{measured / predicted - 1:+.1%}"]
        cells += [f"{spread[i]:.1%}"] if spread else []
        cells += [scores[i]] if scores else []
        table.add_row(name, *cells)
    return table


def error_lines(
    target: Target, errors: Sequence[LatencyError], predicted_ms: Sequence[float], measured_ms: Sequence[float]
) -> list[str]:
    """Return lines: what the predictions are for and how well they are known, and how many of the measured keep it."""
    rows = zip(errors, predicted_ms, measured_ms, strict=True)
    ranges = [(found, measured) for error, predicted, measured in rows if (found := error.range(predicted))]
    inside = sum(low <= measured <= high for (low, high), measured in ranges)
    held = [f"{inside} of {len(ranges)} measured latencies lie within the error stated of them"] if ranges else []
    return [f"predicted for {target.setup}: {target.latency_error.explained}", *held]


def agreement_lines(found: Agreement, suspected: Sequence[str]) -> list[str]:
    """Return the lines under such a table."""
    return [*found.sentences(), *suspected]
