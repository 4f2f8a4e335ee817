"""The files of a comparison: an HTML page, tables as CSV and JSON, plots as PNG and SVG."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from nas.compare.compare import Comparison
from nas.compare.page import html
from nas.files import as_cell, dump_json, write_whole

SCHEMA = "nas.comparison"
VERSION = 1


def write(comparison: Comparison, out: Path) -> list[Path]:
    """Write the comparison into the existing folder `out` and return the paths.

    compare.html (the page), comparison.json (all tables), comparison.csv, hypervolume.csv, optimal.csv and regret.csv
    (those of `Comparison`), compare.png and compare.svg. Page and plots show the networks of most interest.
    """
    from nas.compare.plot import comparison_plot  # loads matplotlib

    shown = comparison.of_most_interest()
    texts: dict[str, str | bytes] = {
        "compare.html": html(shown),
        "comparison.json": dump_json(to_json(comparison)),
        "comparison.csv": csv_text(comparison.rows),
        "hypervolume.csv": csv_text(comparison.hypervolumes),
        "optimal.csv": csv_text(comparison.optimal),
    }
    if len(comparison.regrets):
        texts["regret.csv"] = csv_text(comparison.regrets)
    texts |= {f"compare.{form}": comparison_plot(shown, form) for form in ("png", "svg")}
    for name, content in texts.items():
        write_whole(out / name, content)
    return [out / name for name in texts]


def csv_text(table: pd.DataFrame) -> str:
    """Return a table as CSV in which no name is a formula."""
    text = table.select_dtypes(exclude="number").columns
    return table.assign(**{name: table[name].map(as_cell) for name in text}).to_csv(index=False)


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Return the comparison as plain JSON values, None where a table has no number."""
    tables = ("rows", "hypervolumes", "optimal", "regrets")
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "targets": list(comparison.targets),
        "latency_model": comparison.latency_model,
        "accuracy_kinds": list(comparison.kinds),
        "latency_errors": {
            target: {**error.to_json(), "setup": setup}
            for target, error, setup in zip(comparison.targets, comparison.errors, comparison.setups, strict=True)
        },
        "notes": list(comparison.notes),
        **{
            name: json.loads(getattr(comparison, name).to_json(orient="records", double_precision=15))
            for name in tables
        },
    }
