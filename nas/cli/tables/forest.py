"""A random forest that was grown: its errors beside those of simpler forms."""

from pathlib import Path

from rich.console import Group
from rich.text import Text

from latency_models.calibration.forest_fit import ForestReport
from nas.cli.console import aligned_table


def forest_tables(report: ForestReport, path: Path) -> Group:
    """Return what a person wants to see of a forest that was written to `path`."""
    forest, (low, high) = report.forest, report.range
    table = aligned_table(
        f"{forest.of} of networks left out of the fit", ("form",), ("Spearman", "Kendall", "MAPE %", "R2")
    )
    for form, each in report.scores.items():
        ranks = ["-" if value is None else f"{value:.3f}" for value in (each.spearman, each.kendall)]
        table.add_row(form, *ranks, f"{each.mape_percent:.1f}", "-" if each.r2 is None else f"{each.r2:.3f}")
    lines = [
        f"{len(forest.trees)} trees on {len(forest.features)} counts of kernels, grown on {forest.networks} networks "
        f"of {low:.4g} to {high:.4g} {forest.unit}; no prediction leaves that range",
    ]
    best = min(report.scores, key=lambda form: report.scores[form].mape_percent)
    if best != next(iter(report.scores)):
        lines.append(
            f"warning: '{best}' has the smaller error on networks left out; prefer it, or measure more networks"
        )
    lines += [f"warning: {warning}" for warning in report.warnings]
    return Group(table, Text("\n".join([*lines, f"wrote {path}"])))
