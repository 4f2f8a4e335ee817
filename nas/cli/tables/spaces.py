"""The search spaces as a table."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from nas.cli.console import aligned_table


def spaces_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return the spaces, a row each, with the range of latencies where a device was named."""
    numbers = ["decisions", "architectures", "coarse decisions", "coarse architectures"]
    ranges = [f"{row['cheapest']:.3f} to {row['dearest']:.3f} {row['latency_unit']}" for row in rows if "target" in row]
    if ranges:
        numbers.append(f"latency on {rows[0]['target']}")
    where = f"at {rows[0]['resolution']} px, {rows[0]['num_classes']:,} classes" if rows else ""
    table = aligned_table(f"search spaces {where}", ("name",), numbers)
    for row, *latency in zip(rows, *([ranges] if ranges else []), strict=True):
        coarse = (f"{row[key]:,}" if row[key] is not None else "-" for key in ("coarse_decisions", "coarse_size"))
        sizes = (f"{row['size']:,} = {row['size']:.1e}", *coarse)
        table.add_row(row["name"], str(row["decisions"]), *sizes, *latency)
    return table
