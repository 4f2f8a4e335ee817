"""Costs of a network per kernel, the reference networks and the targets, as rich tables for a terminal."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table

from nas.ops import Shape
from nas.report.describe import Description


def description_table(description: Description) -> Table:
    """Return the description as a table: a row per kernel, then the launch overhead and the total."""
    table = _empty_table(
        f"{description.name} on {description.target}, {_shape(description.input_shape)}, "
        f"{description.num_classes:,} classes" + (f", batch of {description.batch}" if description.batch > 1 else ""),
        ("kernel", "kind", "in", "out", "k/s"),
        ("MACs", "bytes", "MACs/byte", "bound", description.unit, "share"),
    )
    for row in description.kernels:
        intensity = "-" if row.macs_per_byte is None else f"{row.macs_per_byte:.1f}"
        table.add_row(
            row.name, row.kind, _shape(row.in_shape), _shape(row.out_shape), f"{row.kernel_size}/{row.stride}",
            f"{row.macs:,}", f"{row.bytes:,.0f}", intensity, row.bound, f"{row.latency:.4f}", f"{row.share:.1%}",
        )  # fmt: skip
    table.add_section()
    if overhead := description.launch_overhead:
        table.add_row("launch overhead", *[""] * 8, f"{overhead:.4f}", f"{overhead / description.latency:.1%}")
    moved = f"{sum(row.bytes for row in description.kernels):,.0f}"
    table.add_row(
        "total", *[""] * 4, f"{description.macs * description.batch:,}", moved, "", "", f"{description.latency:.4f}", ""
    )
    table.caption = (
        f"{description.params:,} parameters, {description.weight_bytes:,.0f} bytes of weights, "
        f"at most {description.peak_activation_bytes:,.0f} bytes of activations at once"
    ) + (f"\n{description.caution}" if description.caution else "")
    return table


def zoo_table(rows: Iterable[Mapping[str, Any]]) -> Table:
    """Return the rows of `zoo_rows` as a rich table."""
    table = _empty_table("reference networks", ("name", "paper"), ("px", "parameters", "MACs", "ImageNet top-1 %"))
    for row in rows:
        counts = f"{row['params']:,}", f"{row['macs']:,}"
        name = row["name"] if row["width"] == 1 else f"{row['name']} (at width {row['width']:g})"
        table.add_row(name, row["url"], str(row["resolution"]), *counts, f"{row['top1_percent']:.1f}")
    return table


def target_table(rows: Iterable[Mapping[str, Any]]) -> Table:
    """Return the rows of `target_rows` as a rich table; sources are in the JSON form and in the files only."""
    table = _empty_table(
        "targets",
        ("name", "unit", "type"),
        ("GMACs/s", "GB/s", "ridge point", "published", "launch ms", "us/kernel", "confidence"),
    )
    for row in rows:
        values = row["figures"]
        terms = ("published_ridge_point", "floor_ms", "time_per_kernel_us")
        table.add_row(
            " = ".join([row["name"], *row["aliases"]]),
            row["unit"],
            row["dtype"],
            f"{values['peak_gmacs_per_s']['value']:,g}",
            f"{values['bandwidth_gb_per_s']['value']:,g}",
            f"{row['ridge_point']:.1f}",
            *[f"{values[term]['value']:g}" if term in values else "-" for term in terms],
            values["peak_gmacs_per_s"]["confidence"],
        )
    return table


def _shape(shape: Shape) -> str:
    return "x".join(str(size) for size in shape)


def _empty_table(title: str, left: Iterable[str], right: Iterable[str]) -> Table:
    """Return an empty rich table with columns of text, then of numbers."""
    table = Table(title=title, title_justify="left", caption_justify="left")
    for name in left:
        table.add_column(name, overflow="fold")
    for name in right:
        table.add_column(name, justify="right", overflow="fold")
    return table
