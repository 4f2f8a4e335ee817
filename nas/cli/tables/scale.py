"""A network before and after compound scaling, side by side."""

from latency_models.latency_error import percent_text
from latency_models.roofline import Roofline
from nas.report.compound import ScaledCosts
from nas.report.known_error import NINETY
from nas.report.terminal_table import FittedTable, columns, short_number, unit_text
from nas.space.compound import Coefficients


def scale_table(
    before: ScaledCosts, after: ScaledCosts, phi: float, base: Coefficients, model: Roofline
) -> FittedTable:
    """Return the table: a row per cost, before, after, and how many times as much."""
    scale, archs = base.to_the(phi), (before.arch, after.arch)
    table = FittedTable(
        f"{before.arch.name} scaled by phi {phi:g}: depth x {scale.depth:.3g}, width x {scale.width:.3g}, "
        f"resolution x {scale.resolution:.3g}",
        columns(("cost",), ("before", "after", "times"), fold=("cost",)),
    )
    sides = [arch.input_shape.height for arch in archs]
    table.add_row("input", *("x".join(map(str, arch.input_shape)) for arch in archs), _times(*sides))
    table.add_row("ops", str(before.ops), str(after.ops), _times(before.ops, after.ops))
    for label, counts in (("parameters", [arch.params for arch in archs]), ("MACs", [arch.macs for arch in archs])):
        table.add_row(label, *map(short_number, counts), _times(*counts))
    latencies = before.latency, after.latency
    unit = unit_text(model.unit, model.batch)
    table.add_row(f"{unit} on {model.name}", *map(_latency, (before, after)), _times(*latencies))
    cautions = [f"{arch.name}: {caution}" for arch in archs if (caution := model.caution(arch))]
    known = any(one.interval_percent is not None for one in (before, after))
    notes = [NINETY] if known else []
    table.caption = "\n".join([f"MACs by the coefficients alone: x {base.macs**phi:.3g}", *notes, *cautions])
    return table


def _latency(costs: ScaledCosts) -> str:
    error = costs.interval_percent
    return f"{costs.latency:.4g}" + ("" if error is None else f" ± {percent_text(error)} %")


def _times(before: float, after: float) -> str:
    return f"{after / before:.2f}" if before else ""
