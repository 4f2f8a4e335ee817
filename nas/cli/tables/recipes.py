"""The recipes of trainings as a table."""

from collections.abc import Mapping, Sequence
from typing import Any

from nas.report.terminal_table import FittedTable, columns

NUMBERS = ("epochs", "batch", "learning rate")


def recipes_table(rows: Sequence[Mapping[str, Any]]) -> FittedTable:
    """Return the recipes, a row each."""
    shape = columns(("name", "for"), NUMBERS, {"learning rate": 2, "batch": 1}, fold=("for",))
    table = FittedTable("recipes of nas train --recipe", shape)
    for row in rows:
        numbers = f"{row['epochs']:,}", f"{row['batch_size']:,}", f"{row['learning_rate']:g}"
        table.add_row(row["name"], row["description"], *numbers)
    table.caption = "nas recipes R prints one, with its source; a .toml file of your own is a recipe too"
    return table
