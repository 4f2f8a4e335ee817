"""nas calibrate: a target from a table of measured latencies."""

import argparse
import shlex
from pathlib import Path
from typing import Any

from latency_models.calibration.calibrate import CalibrationReport, calibrate
from latency_models.calibration.doubts import refuse_chance
from latency_models.calibration.measurements import read_measurements
from latency_models.target_file import target_toml
from nas.cli.console import show_whole
from nas.cli.flags.calibrate import TARGET_SUFFIX
from nas.cli.new_target import like_and_dtype, new_file
from nas.cli.output import show
from nas.files import write_whole
from nas.report.describe import target_rows


def run(args: argparse.Namespace) -> None:
    """Fit and write a target."""
    path = new_file(args, TARGET_SUFFIX, "target")
    like, dtype = like_and_dtype(args)
    name = args.name or path.stem
    report = calibrate(read_measurements(Path(args.measurements)), name, like=like, dtype=dtype)
    refuse_chance(report.doubt, path, args.force)
    write_whole(path, target_toml(report.target, path.stem))
    show(args, report_json(report, path), "nas.cli.tables.calibration:calibration_tables", report, path)
    if not args.json:
        target = str(path) if path.parent != Path() else f"./{path}"
        show_whole([f"wrote {path}", f"next: {shlex.join(('nas', 'search', '--target', target))}"])


def report_json(report: CalibrationReport, path: Path) -> dict[str, Any]:
    """Return a calibration as plain JSON values."""
    calibration = report.target.calibration
    assert calibration is not None
    energy = report.energy
    return {
        "file": str(path),
        **next(iter(target_rows([report.target]))),
        "calibration": {k: list(v) if isinstance(v, tuple) else v for k, v in vars(calibration).items()},
        "overlap": report.model.overlap,
        "batch": report.model.batch,
        "scores": {form: vars(each) for form, each in report.scores.items()},
        "residuals": [vars(residual) for residual in report.residuals],
        "warnings": list(report.warnings),
        "energy": energy
        and {**vars(energy), "scores": vars(energy.scores), "ridge_regression": vars(energy.ridge_regression)},
    }
