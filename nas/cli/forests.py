"""nas calibrate --model forest: a random forest from a table of measurements, beside simpler forms."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.cli.listing import show
from nas.errors import InvalidInput

if TYPE_CHECKING:
    from rich.console import Group

    from latency_models.calibration.forest_fit import ForestReport

FOREST_SUFFIX = ".forest.json"


def run_forest(args: argparse.Namespace, path: Path) -> None:
    """Grow a forest and write it to `path`."""
    from latency_models.calibration.forest_fit import forest_of
    from latency_models.calibration.measurements import read_measurements
    from latency_models.forest import forest_text
    from nas.files import write_whole

    if given := [flag for flag, value in (("--like", args.like), ("--dtype", args.dtype)) if value is not None]:
        raise InvalidInput(f"{given[0]} belongs to a roofline; a forest counts elements, so it has no use for it")
    report = forest_of(read_measurements(Path(args.measurements)), args.of or "latency")
    write_whole(path, forest_text(report.forest))
    show(args, forest_json(report, path), lambda _: forest_tables(report, path))


def forest_json(report: "ForestReport", path: Path) -> dict[str, Any]:
    """Return what came out as plain JSON values."""
    forest = report.forest
    return {
        "file": str(path),
        "of": forest.of,
        "unit": forest.unit,
        "batch": forest.batch,
        "networks": forest.networks,
        "range": list(report.range),
        "features": len(forest.features),
        "trees": len(forest.trees),
        "scores": {form: vars(each) for form, each in report.scores.items()},
    }


def forest_tables(report: "ForestReport", path: Path) -> "Group":
    """Return what a person wants to see of it."""
    from rich.console import Group
    from rich.text import Text

    from nas.cli.live import aligned_table

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
        lines.append(f"warning: '{best}' has the smaller held-out error; prefer it, or measure more networks")
    return Group(table, Text("\n".join([*lines, f"wrote {path}"])))
