"""Networks worth measuring, as a table."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.text import Text

from nas.cli.console import aligned_table


def proposals_table(rows: Sequence[Mapping[str, Any]], table: Path, known: int, width: float) -> Group:
    """Return the proposed networks, a row each, and what to do with the CSV `table`.

    `known` networks are measured already; `width` is what the proposals are expected to leave of an interval.
    """
    shown = aligned_table("networks worth measuring", ("spec",), ("M MACs", "kernels", "against the fastest"))
    least = min(row["expected"] for row in rows)
    for row in rows:
        times = f"{row['expected'] / least:.2f} x"
        shown.add_row(row["arch"], f"{row['macs'] / 1e6:,.0f}", str(row["kernels"]), times)
    todo = Text(f"measure them on the device and fill in latency_ms of {table}, then:")
    if not known:
        return Group(shown, todo)
    narrower = f"beside {known} that are measured: expected to narrow predictions by {1 - width:.0%}"
    return Group(shown, Text(narrower), todo)
