"""Costs of a network per kernel, the reference networks and the targets, as tables for a terminal."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from latency_models.energy import COMPUTED_ENERGY
from latency_models.latency_error import COMPUTED, LatencyError, percent_text
from nas.ops import Shape
from nas.report.describe import Description
from nas.report.terminal_table import FittedTable, columns, short_number, unit_text

BYTES = ("B", "KiB", "MiB", "GiB")


def description_table(description: Description) -> FittedTable:
    """Return the description as a table: a row per kernel, then the launch overhead and the total."""
    unit = unit_text(description.unit, description.batch)
    table = FittedTable(
        f"{description.name} on {description.target}, {_shape(description.input_shape)}, "
        f"{description.num_classes:,} classes" + (f", batch of {description.batch}" if description.batch > 1 else ""),
        columns(
            ("kernel", "kind", "in", "out", "k/s"),
            ("MACs", "bytes", "MACs/byte", "bound", unit, "share"),
            {"in": 6, "MACs/byte": 5, "k/s": 4, "bytes": 3, "out": 2, "bound": 1},
            fold=("kernel",),
        ),
    )
    for row in description.kernels:
        intensity = "-" if row.macs_per_byte is None else f"{row.macs_per_byte:.1f}"
        table.add_row(
            row.name, row.kind, _shape(row.in_shape), _shape(row.out_shape), f"{row.kernel_size}/{row.stride}",
            short_number(row.macs), bytes_text(row.bytes), intensity, row.bound, f"{row.latency:.4f}",
            f"{row.share:.1%}",
        )  # fmt: skip
    table.add_section()
    if overhead := description.launch_overhead:
        table.add_row("launch overhead", *[""] * 8, f"{overhead:.4f}", f"{overhead / description.latency:.1%}")
    moved = bytes_text(sum(row.bytes for row in description.kernels))
    macs = short_number(description.macs * description.batch)
    table.add_row("total", *[""] * 4, macs, moved, "", "", f"{description.latency:.4f}", "")
    error, setup = description.latency_error, f" for {description.setup}" if description.setup else ""
    lines = [
        f"{error.of(description.latency, unit)} predicted{setup}",
        error.explained if error.percent is not None else "",
        f"{description.params:,} parameters, {bytes_text(description.weight_bytes)} of weights, "
        f"at most {bytes_text(description.peak_activation_bytes)} of activations at once",
        description.caution or "",
    ]
    table.caption = "\n".join(filter(None, lines))
    return table


def zoo_table(rows: Iterable[Mapping[str, Any]]) -> FittedTable:
    """Return the rows of `zoo_rows` as a table."""
    table = FittedTable(
        "reference networks",
        columns(("name", "paper"), ("px", "parameters", "MACs", "ImageNet top-1 %"), {"paper": 1}),
    )
    for row in rows:
        counts = short_number(row["params"]), short_number(row["macs"])
        name = row["name"] if row["width"] == 1 else f"{row['name']} (at width {row['width']:g})"
        top1 = "-" if row["top1_percent"] is None else f"{row['top1_percent']:.1f}"
        table.add_row(name, row["url"], str(row["resolution"]), *counts, top1)
    return table


def target_table(rows: Iterable[Mapping[str, Any]]) -> FittedTable:
    """Return the rows of `target_rows` as a table without sources, which `target_sources` has."""
    table = FittedTable(
        "targets",
        columns(
            ("name", "unit", "type", "runtime"),
            (
                "error",
                "ranks by",
                "energy",
                "latency of",
                "GMACs/s",
                "GB/s",
                "ridge point",
                "published",
                "launch ms",
                "us/kernel",
                "confidence",
            ),
            {
                "published": 9,
                "us/kernel": 8,
                "launch ms": 7,
                "ridge point": 6,
                "confidence": 5,
                "GB/s": 4,
                "GMACs/s": 4,
                "unit": 3,
                "latency of": 2,
                "energy": 1,
            },
            fold=("name", "unit", "runtime"),
        ),
    )
    for row in rows:
        values = row["figures"]
        terms = ("published_ridge_point", "floor_ms", "time_per_kernel_us")
        table.add_row(
            " = ".join([row["name"], *row["aliases"]]),
            row["unit"],
            row["dtype"],
            _runtime(row),
            _error_cell(row["latency_error"], row["error_kinds"]),
            "MACs" if row["ranks_by_macs"] else "-",
            _energy_cell(row["energy_error"]),
            f"{row['batch']} image{'s' if row['batch'] > 1 else ''}",
            f"{values['peak_gmacs_per_s']['value']:,g}",
            f"{values['bandwidth_gb_per_s']['value']:,g}",
            f"{row['ridge_point']:.1f}",
            *[f"{values[term]['value']:g}" if term in values else "-" for term in terms],
            values["peak_gmacs_per_s"]["confidence"],
        )
    table.caption = (
        "error: 90 % of unseen networks were measured within (*: networks without depthwise convolutions; of others it "
        "is not known); no number: computed, a lower bound. Ranks by MACs: it orders networks as their number of "
        "multiply-accumulates does, so a search for it is one for few MACs. Energy: its error, not known where it is "
        "computed; -: no energy is known of the target"
    )
    return table


def _runtime(row: Mapping[str, Any]) -> str:
    """Return runtime and threads of a target, as far as they are known."""
    threads = "" if row["threads"] is None else f"{row['threads']} thread{'' if row['threads'] == '1' else 's'}"
    return ", ".join(part for part in (row["runtime"], threads) if part) or "-"


def _energy_cell(error: Mapping[str, Any] | None) -> str:
    """Return what is known of the energies of a target as a cell of a table."""
    if error is None:
        return "-"
    if error["percent"] is not None:
        return f"± {percent_text(error['percent'])} %"
    return "computed" if error["basis"] == COMPUTED_ENERGY else "± ?"


def _error_cell(error: Mapping[str, Any], kinds: Sequence[str] | None) -> str:
    """Return the error of a target as a cell of a table; with a star where no depthwise convolution was measured."""
    if error["basis"] == COMPUTED:
        return "lower bound"
    star = "" if kinds is None or "depthwise" in kinds else " *"
    return LatencyError(error["percent"], "not known").text.strip("()") + star


def target_sources(rows: Iterable[Mapping[str, Any]]) -> FittedTable:
    """Return one row of `target_rows` as a table: its values with confidence and source, then what it does not run."""
    (row,) = rows
    table = FittedTable(
        f"{' = '.join([row['name'], *row['aliases']])}: {row['unit']}, {row['dtype']}, batch of {row['batch']}",
        columns(("value", "is", "confidence", "source"), (), {"confidence": 1}, fold=("is", "source")),
    )
    for name, value in row["figures"].items():
        shown = value["value"]
        text = ", ".join(shown) if isinstance(shown, list) else f"{shown:,g}"
        table.add_row(name, text or "none", value["confidence"], value["source"])
    table.add_section()
    error, mean = row["latency_error"], row["latency_error"]["mean_percent"]
    known = LatencyError(error["percent"], error["basis"], mean)
    on_average = "" if mean is None else f"; {mean:.2g} % on average"
    shown = known.basis if known.percent is None else f"{known.text}{on_average}"
    table.add_row("error", shown, "", row["error_source"] or error["basis"])
    energy = row["energy_error"]
    stated = "not known: networks have no energy on it" if energy is None else energy["basis"]
    table.add_row("energies", "none" if energy is None else _energy_cell(energy), "", stated)
    table.add_row("runs with", _runtime(row), "", f"found by: {', '.join(row['search_words']) or row['name']}")
    rho = f"rank correlation of latency with MACs {row['macs_correlation']:.4f}, over the reference networks"
    table.add_row("ranks by MACs", "yes" if row["ranks_by_macs"] else "no", "", rho)
    if row["unsupported"]:
        table.add_section()
    for entry in row["unsupported"]:
        kind, words = ("op", "op") if "op" in entry else ("act", "activation")
        becomes = "to the CPU" if entry["falls_back"] else "refused"
        table.add_row(f"runs no {words}", entry[kind], becomes, entry["source"])
    return table


def bytes_text(count: float) -> str:
    """Return a number of bytes for a reader: "3.60 MiB", "735 KiB", "312 B"."""
    power = 0
    while count >= 1023.5 and power < len(BYTES) - 1:
        count, power = count / 1024, power + 1
    return f"{count:.{0 if power == 0 or count >= 99.95 else 1}f} {BYTES[power]}"


def _shape(shape: Shape) -> str:
    return "x".join(str(size) for size in shape)
