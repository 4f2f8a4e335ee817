"""Candidates that were trained alone, as a table; from memory, or from finalists.csv."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nas.cli.console import aligned_table, latency_text
from nas.records.results import TOP1, share_text
from nas.records.tables import TRIALS
from nas.records.typed import read_table
from nas.report.terminal_table import FittedTable

Row = Mapping[str, Any]  # the fields of nas.training.candidates.CandidateRow


def read_finalists(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a finalists.csv; `InvalidInput` where it is none."""
    return read_table(path, TRIALS, "a table of finalists")


def finalists_table(rows: Sequence[Row], metric: str = TOP1) -> FittedTable:
    """Return the finalists, a row each, best first, with their scores by `metric`."""
    found = aligned_table(
        "finalists trained alone",
        ["place", "network", "state"],
        ["epochs", "latency", "supernet", "alone", "gained"],
        {"gained": 2, "epochs": 1},
    )
    for row in rows:
        found.add_row(
            str(row["place"]), row["digest"][:12], row["error"] or row["state"], str(row["epochs"]),
            latency_text(row["latency"], row["latency_unit"]), share_text(row["supernet_top1"], metric),
            share_text(row["alone_top1"], metric), f"{row['gained']:+d}",
        )  # fmt: skip
    return found
