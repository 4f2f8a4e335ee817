"""The search spaces as a table."""

from collections.abc import Mapping, Sequence
from typing import Any

from latency_models.latency_error import error_from
from nas.cli.console import aligned_table
from nas.ops import Size
from nas.report.terminal_table import FittedTable, short_number


def spaces_table(rows: Sequence[Mapping[str, Any]]) -> FittedTable:
    """Return the spaces, a row each, with the range of latencies where a device was named."""
    numbers = ["decisions", "architectures", "coarse decisions", "coarse architectures"]
    ranges = [f"{row['cheapest']:.3f} to {row['dearest']:.3f} {row['latency_unit']}" for row in rows if "target" in row]
    if ranges:
        numbers.append(f"latency on {rows[0]['target']}")
    where = f"at {Size.of(rows[0]['resolution']).text}, {rows[0]['num_classes']:,} classes" if rows else ""
    drop = {"coarse decisions": 3, "decisions": 2, "coarse architectures": 1}
    table = aligned_table(f"search spaces {where}", ("name",), numbers, drop)
    for row, *latency in zip(rows, *([ranges] if ranges else []), strict=True):
        coarse = (_size(row[key]) if row[key] is not None else "-" for key in ("coarse_decisions", "coarse_size"))
        sizes = (_size(row["size"]), *coarse)
        table.add_row(row["name"], str(row["decisions"]), *sizes, *latency)
    if ranges:
        table.caption = f"latencies on {rows[0]['target']}: {error_from(rows[0]['latency_error']).explained}"
    return table


def _size(count: int) -> str:
    """Return a number of architectures: "1.5e+25", "384"."""
    return short_number(count) if count < 1e12 else f"{count:.1e}"
