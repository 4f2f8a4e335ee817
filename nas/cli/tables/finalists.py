"""Candidates that were trained alone, as a table; from memory, or from finalists.csv."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nas.cli.console import aligned_table, latency_text
from nas.errors import InvalidInput
from nas.report.terminal_table import FittedTable

NUMBERS = {
    "place": int, "latency": float, "supernet_top1": float, "alone_top1": float, "epochs": int, "supernet_place": int,
    "gained": int,
}  # fmt: skip
Row = Mapping[str, Any]  # the fields of nas.training.candidates.CandidateRow


def read_finalists(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a finalists.csv; `InvalidInput` where it is none."""
    try:
        with path.open(newline="") as file:
            return [row | {name: kind(row[name]) for name, kind in NUMBERS.items()} for row in csv.DictReader(file)]
    except (OSError, KeyError, ValueError) as error:
        raise InvalidInput(f"{path} is no table of finalists ({error}); train them again: nas finalists") from error


def finalists_table(rows: Sequence[Row]) -> FittedTable:
    """Return the finalists, a row each, best first."""
    found = aligned_table(
        "finalists trained alone",
        ["place", "network", "state"],
        ["epochs", "latency", "supernet", "alone", "gained"],
        {"gained": 2, "epochs": 1},
    )
    for row in rows:
        found.add_row(
            str(row["place"]), row["digest"][:12], row["error"] or row["state"], str(row["epochs"]),
            latency_text(row["latency"], row["latency_unit"]), f"{row['supernet_top1']:.2%}",
            f"{row['alone_top1']:.2%}", f"{row['gained']:+d}",
        )  # fmt: skip
    return found
