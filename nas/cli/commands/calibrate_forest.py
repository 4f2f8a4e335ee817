"""nas calibrate --model forest: a random forest from a table of measurements, beside simpler forms."""

import argparse
import shlex
from pathlib import Path
from typing import Any

from latency_models.calibration.doubts import refuse_chance
from latency_models.calibration.forest_fit import ForestReport, forest_of
from latency_models.calibration.measurements import read_measurements
from latency_models.forest import forest_text
from nas.cli.console import show_whole
from nas.cli.flags.calibrate import FOREST_SUFFIX
from nas.cli.new_target import new_file
from nas.cli.output import show
from nas.files import write_whole


def run(args: argparse.Namespace) -> None:
    """Grow and write a forest."""
    path = new_file(args, FOREST_SUFFIX, "forest")
    report = forest_of(read_measurements(Path(args.measurements)), args.of or "latency")
    refuse_chance(report.doubt, path, args.force)
    write_whole(path, forest_text(report.forest))
    show(args, forest_json(report, path), "nas.cli.tables.forest:forest_tables", report, path)
    if not args.json:
        show_whole([f"next: {shlex.join(('nas', 'search', '--algorithm', 'hybrid', '--minimize', str(path)))}"])


def forest_json(report: ForestReport, path: Path) -> dict[str, Any]:
    """Return a forest and its errors as plain JSON values."""
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
        "warnings": list(report.warnings),
    }
