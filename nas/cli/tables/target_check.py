"""What a target file means: its values in short, the latencies that it predicts, and what it leaves open."""

from collections.abc import Iterator
from typing import Any

from rich.text import Text

from latency_models.latency_error import error_of
from latency_models.macs_ranking import BY_MACS, macs_correlation
from latency_models.target import Target
from nas.report.terminal_table import Column, FittedTable
from nas.zoo import reference

SHOWN = ("mobilenetv4-conv-s", "mobilenetv2")  # reference networks whose latency is shown


def target_check(target: Target, file: str) -> dict[str, Any]:
    """Return what a target means as plain JSON values."""
    model = target.model()
    rho = macs_correlation(model)
    return {
        "file": file,
        "name": target.name,
        "unit": target.unit,
        "setup": target.setup,
        "batch": target.batch,
        "peak_gmacs_per_s": target.peak_gmacs_per_s.value,
        "bandwidth_gb_per_s": target.bandwidth_gb_per_s.value,
        "ridge_point": target.ridge_point,
        "latency_error": error_of(target).to_json(),
        "ranks_by_macs": rho >= BY_MACS,
        "macs_correlation": round(rho, 4),
        "latency_ms": {name: model.predict_ms(reference(name)) for name in SHOWN},
        "missing": list(_missing(target)),
    }


def check_table(target: Target, checked: dict[str, Any]) -> FittedTable:
    """Return what a target means as a table of two columns."""
    table = FittedTable(f"{checked['file']}: a target", (Column("what"), Column("is", fold=True)), heading=False)
    error = error_of(target)
    rho = f"rank correlation of latency with MACs {checked['macs_correlation']:.4f}, over the reference networks"
    by_macs = f"yes: a search for it is one for few MACs ({rho})" if checked["ranks_by_macs"] else f"no ({rho})"
    images = f", batch of {target.batch}" if target.batch > 1 else ""
    rows = [
        ("name", f"{target.name}: {target.unit}, {target.setup}{images}"),
        ("rates", f"{target.peak_gmacs_per_s.value:,g} GMACs/s, {target.bandwidth_gb_per_s.value:,g} GB/s"),
        ("ridge point", f"{target.ridge_point:.1f} MACs per byte: kernels of fewer are bound by memory"),
        ("error", error.explained),
        ("ranks by MACs", by_macs),
        *((name, error.of(latency)) for name, latency in checked["latency_ms"].items()),
        *(("left open", line) for line in checked["missing"]),
    ]
    for name, value in rows:
        table.add_row(Text(name, style="bold"), Text(value))
    return table


def _missing(target: Target) -> Iterator[str]:
    """Yield a line for each thing that the file could say, with what holds without it."""
    if error_of(target).percent is None:
        yield "its error: measure networks and run nas calibrate, or state that of a published fit in [error]"
    if not target.calibration and target.launch_overhead_ms is None and target.time_per_kernel_us is None:
        yield "floor_ms and time_per_kernel_us: no kernel takes time beside its work"
    if not target.kind_efficiency:
        yield "kind_efficiency: every kind of kernel reaches the full peak, depthwise convolutions too"
    if target.onchip_kb is None:
        yield "onchip_kb: nothing says what fits into the memory on the chip"
    if not target.unsupported:
        yield "[[unsupported]]: every op and activation is taken to run on it"
    if not target.energy:
        yield "[energy]: no --max-energy-mj, and no energy in comparisons"
    if target.measured_runtime is None:
        yield "runtime: what runs the network"
