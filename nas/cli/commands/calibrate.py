"""nas calibrate: a target from a table of measured latencies, and one anew with further measurements."""

import argparse
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from latency_models.calibration.agreement import Agreement, agreement
from latency_models.calibration.calibrate import OUTLIER, CalibrationReport, calibrate
from latency_models.calibration.doubts import refuse_chance
from latency_models.calibration.kept import KeptMeasurements, kept_file, load_kept, save_calibrated
from latency_models.calibration.measurements import Measurement, read_measurements
from latency_models.calibration.suspicion import Fitted, suspicions
from latency_models.latency_error import LatencyError, error_of
from latency_models.target import Target
from nas.cli.again import again, reach_of
from nas.cli.console import console, show_whole
from nas.cli.flags.calibrate import TARGET_SUFFIX
from nas.cli.folders import holds_run
from nas.cli.new_target import like_and_dtype, new_file
from nas.cli.output import show
from nas.cli.tables.measured import agreement_lines, error_lines, predicted_and_measured
from nas.measure.dtypes import dtype_doubt, dtype_measured
from nas.report.describe import target_rows

NO_PREDICTION = 99.9  # percent below what was measured: a fit that predicts next to nothing explains nothing


@dataclass(frozen=True)
class Addition:
    """Further measurements of a target, beside what it predicted before it was fitted to them."""

    earlier: Target
    measured: tuple[Measurement, ...]
    fitted: tuple[Measurement, ...]  # what the earlier target was fitted to

    @property
    def predicted_ms(self) -> list[float]:
        """What the earlier target predicted, each at the batch that was measured."""
        return self._predicted(self.measured)

    def _predicted(self, measured: Sequence[Measurement]) -> list[float]:
        """Return what the earlier target predicts of some networks."""
        model = self.earlier.model()
        return [replace(model, batch=one.batch).predict_ms(one.arch) for one in measured]

    @property
    def errors(self) -> list[LatencyError]:
        """What the earlier target stated of the errors of its predictions."""
        return [error_of(self.earlier, one.arch) for one in self.measured]

    @property
    def measured_ms(self) -> list[float]:
        """What was measured."""
        return [one.latency_ms for one in self.measured]

    @property
    def agreement(self) -> Agreement:
        """How both agree."""
        return agreement(self.predicted_ms, self.measured_ms, [one.spread for one in self.measured])

    @property
    def suspicions(self) -> tuple[str, ...]:
        """What may explain measurements far above the prediction."""
        archs, percent = [one.arch for one in self.measured], self.earlier.latency_error.percent
        added = {(one.arch.digest, one.batch) for one in self.measured}
        before = [one for one in self.fitted if (one.arch.digest, one.batch) not in added]
        fitted = [one.arch for one in before], self._predicted(before), [one.latency_ms for one in before]
        return suspicions(
            archs, self.predicted_ms, self.measured_ms,
            interval=None if percent is None else percent / 100, unsupported=self.earlier.unsupported,
            fitted=Fitted(*fitted),
        )  # fmt: skip


def run(args: argparse.Namespace) -> None:
    """Fit and write a target, and its measurements beside it."""
    path = new_file(args, TARGET_SUFFIX, "target")
    kept, addition = _measurements(args)
    name = args.name or path.stem
    report = calibrate(kept.measured, name, like=kept.like, dtype=kept.dtype, with_peers=True)
    if doubt := dtype_doubt(kept.measured.provenance.get("runtime"), kept.dtype):
        report = replace(report, warnings=(*report.warnings, doubt))
    refuse_chance(report.doubt, path, args.force)
    save_calibrated(report.target, kept, path)
    suspected = _left_out_suspicions(report, kept)
    value = report_json(report, path) | {"suspicions": list(suspected)}
    value |= {"added": _addition_json(addition)} if addition else {}
    if addition and not args.json:
        _show_addition(addition, report)
    show(args, value, "nas.cli.tables.calibration:calibration_tables", report, path)
    if not args.json:
        show_whole(() if addition and addition.suspicions else suspected)
        wrote = [f"wrote {kept_file(path)}: what it was fitted on", f"wrote {path}"]
        show_whole([*wrote, *_next_lines(args, path)])


def _measurements(args: argparse.Namespace) -> tuple[KeptMeasurements, Addition | None]:
    """Return what is fitted; with --add all that the target was fitted on and the tables given, and these alone."""
    if not args.add:
        like, dtype = like_and_dtype(args)
        measured = read_measurements(Path(args.measurements))
        chosen = like.dtype if like else args.dtype or dtype_measured(measured.provenance.get("runtime")) or dtype
        return KeptMeasurements(measured, chosen, like), None
    earlier, kept = load_kept(args.target)
    before = kept.measured.networks
    added: dict[tuple[str, int], Measurement] = {}
    for table in args.add:
        more = read_measurements(Path(table))
        kept = kept.with_more(more, table)
        added |= {(one.arch.digest, one.batch): one for one in more.networks}
    return kept, Addition(earlier, tuple(added.values()), before)


def _left_out_suspicions(report: CalibrationReport, kept: KeptMeasurements) -> tuple[str, ...]:
    """Return what may explain networks that take far longer than a fit without them predicts.

    They are far from it as the warnings of a fit have it: the interval alone would be as wide as they are slow.
    """
    archs = {one.name: one.arch for one in kept.measured.networks}
    known = report.target.calibration
    assert known is not None
    rows = [row for row in report.residuals if row.left_out_percent > -NO_PREDICTION]
    percent = min(known.interval_90_percent, OUTLIER * median(abs(row.left_out_percent) for row in report.residuals))
    return suspicions(
        [archs[row.name] for row in rows],
        [row.measured_ms * (1 + row.left_out_percent / 100) for row in rows],
        [row.measured_ms for row in rows],
        interval=percent / 100, unsupported=report.target.unsupported,
    )  # fmt: skip


def _show_addition(addition: Addition, report: CalibrationReport) -> None:
    """Print what the earlier target had predicted for what was measured since."""
    names = [one.name for one in addition.measured]
    title = f"added to {addition.earlier.name}, beside its prediction"
    both, errors = (addition.predicted_ms, addition.measured_ms), addition.errors
    console().print(predicted_and_measured(title, names, *both, errors=errors))
    before, now = addition.earlier.calibration, report.target.calibration
    lines = error_lines(addition.earlier, errors, *both)
    lines += agreement_lines(addition.agreement, addition.suspicions)
    if before and now:
        lines.append(
            f"90 % interval: +- {before.interval_90_percent:.1f} % from {before.networks} networks, now +- "
            f"{now.interval_90_percent:.1f} % from {now.networks}"
        )
    show_whole(lines)


def _next_lines(args: argparse.Namespace, path: Path) -> Iterator[str]:
    """Yield the commands that go on: for measurements of a run its search again, else a search on the new target."""
    target = str(path) if path.parent != Path() else f"./{path}"
    runs = [Path(table).parent for table in args.add if holds_run(str(Path(table).parent))]
    for folder in dict.fromkeys(runs):
        found = again(folder, target, reach_of(folder, target))
        yield from [found.note] if found.note else []
        yield f"next: {found.command}"
    if not runs:
        yield f"next: {shlex.join(('nas', 'search', '--target', target))}"


def _addition_json(addition: Addition) -> dict[str, Any]:
    """Return what was added as plain JSON values."""
    rows = zip(addition.measured, addition.predicted_ms, strict=True)
    return {
        "target": addition.earlier.name,
        "networks": [
            {"arch": one.name, "predicted_ms": predicted, "measured_ms": one.latency_ms} for one, predicted in rows
        ],
        "agreement": vars(addition.agreement),
        "suspicions": list(addition.suspicions),
    }


def report_json(report: CalibrationReport, path: Path) -> dict[str, Any]:
    """Return a calibration as plain JSON values."""
    calibration = report.target.calibration
    assert calibration is not None
    energy = report.energy
    return {
        "file": str(path),
        **next(iter(target_rows([report.target]))),
        "calibration": asdict(calibration),
        "overlap": report.model.overlap,
        "batch": report.model.batch,
        "form": report.form,
        "scores": {form: vars(each) for form, each in report.scores.items()},
        "residuals": [vars(residual) for residual in report.residuals],
        "warnings": list(report.warnings),
        "energy": energy
        and {**vars(energy), "scores": vars(energy.scores), "ridge_regression": vars(energy.ridge_regression)},
    }
