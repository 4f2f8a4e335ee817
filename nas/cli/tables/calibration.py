"""A calibrated target as tables: the rates that kernels reach, and the errors of its predictions."""

from pathlib import Path
from typing import Any

from rich.console import Group
from rich.text import Text

from latency_models.calibration.calibrate import CalibrationReport
from latency_models.calibration.fit import efficiencies
from nas.cli.console import aligned_table
from nas.ops import KINDS
from nas.report.terminal_table import FittedTable

NO_MACS = ("pool", "elementwise")  # kinds of kernels that do not multiply
WORST = 5  # residuals that are shown


def calibration_tables(report: CalibrationReport, path: Path) -> Group:
    """Return what a person wants to see of a calibration that was written to `path`."""
    calibration = report.target.calibration
    assert calibration is not None
    parts: list[Any] = [_rates(report), _scores(report)]
    if report.energy:
        parts.append(_energy(report))
    parts.append(_residuals(report))
    low, high = calibration.latency_ms
    model = report.model
    fits = f"; times corrected for {len(model.corrections)} kinds and shapes" if model.corrections else ""
    words = "the longer of computing and moving bytes" if model.overlap else "computing, then moving bytes"
    images = "an image" if model.batch == 1 else f"a batch of {model.batch} images"
    lines = [
        f"a kernel takes {words}, plus {model.time_per_kernel_us:.4g} us; "
        f"{images} {model.launch_overhead_ms:.4g} ms more; ridge point {model.ridge_point:.4g} MACs per byte{fits}",
        f"90 % of new networks like these lie within {calibration.interval_90_percent:.1f} % of the prediction; "
        f"measured: {calibration.networks} networks, {low:.4g} to {high:.4g} ms",
        *_energy_line(report),
        *(f"warning: {warning}" for warning in report.warnings),
    ]
    return Group(*parts, Text("\n".join(lines)))


def _rates(report: CalibrationReport) -> FittedTable:
    model, calibration = report.model, report.target.calibration
    assert calibration is not None
    table = aligned_table(f"{report.target.name}: rates that kernels reach", ("kind",), ("GMACs/s", "GB/s"))
    for kind, of_peak, of_bandwidth in zip(KINDS, *efficiencies(model), strict=True):
        if kind in calibration.kinds:
            peak, bandwidth = model.peak_gmacs_per_s * of_peak, model.bandwidth_gb_per_s * of_bandwidth
            table.add_row(kind, "-" if kind in NO_MACS else f"{peak:,.4g}", f"{bandwidth:,.4g}")
    table.add_row("all together", f"{model.peak_gmacs_per_s:,.4g}", f"{model.bandwidth_gb_per_s:,.4g}")
    return table


def _scores(report: CalibrationReport) -> FittedTable:
    table = aligned_table(
        "latency of networks left out of the fit", ("form",), ("Spearman", "Kendall", "MAPE %", "within 10 %")
    )
    for form, each in report.scores.items():
        ranks = ["-" if value is None else f"{value:.3f}" for value in (each.spearman, each.kendall)]
        written = " (written)" if form == report.form else ""
        table.add_row(f"{form}{written}", *ranks, f"{each.mape_percent:.1f}", f"{each.within_10_percent:.0f} %")
    return table


def _energy(report: CalibrationReport) -> FittedTable:
    energy = report.energy
    assert energy is not None
    table = aligned_table(f"energy of {energy.networks} networks, left out", ("form",), ("Spearman", "MAPE %"))
    for form, each in (("power, MACs, bytes", energy.scores), ("ridge regression", energy.ridge_regression)):
        rank = "-" if each.spearman is None else f"{each.spearman:.3f}"
        table.add_row(form, rank, f"{each.mape_percent:.1f}")
    return table


def _energy_line(report: CalibrationReport) -> list[str]:
    if report.energy is None:
        return []
    energy = report.energy
    watts, picojoules = f"{energy.power_w:.4g} W while it runs", f"{energy.pj_per_mac:.4g} pJ per MAC"
    within = f"90 % of new networks like these lie within {energy.interval_90_percent:.1f} % of the prediction"
    return [f"energy: {watts}, {picojoules}, {energy.pj_per_byte:.4g} pJ per byte; {within}"]


def _residuals(report: CalibrationReport) -> FittedTable:
    table = aligned_table("worst residuals", ("network",), ("measured ms", "fitted ms", "left out, error %"))
    for row in report.residuals[:WORST]:
        table.add_row(row.name, f"{row.measured_ms:.4g}", f"{row.fitted_ms:.4g}", f"{row.left_out_percent:+.1f}")
    return table
