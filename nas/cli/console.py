"""The terminal: the console that results are printed to, its tables, and numbers with their units as text."""

from collections.abc import Iterable
from typing import IO

from rich.console import Console
from rich.table import Table

PLAIN_WIDTH = 200  # columns where the output is no terminal: wide enough that no table folds


def console(file: IO[str] | None = None) -> Console:
    """Return the console for results; it never colours or wraps what goes into a file or a pipe."""
    plain = Console(file=file, highlight=False)
    return plain if plain.is_terminal else Console(file=file, highlight=False, width=PLAIN_WIDTH)


def aligned_table(title: str, left: Iterable[str], right: Iterable[str]) -> Table:
    """Return an empty table with columns of text, then of numbers."""
    table = Table(title=title, title_justify="left")
    for name in left:
        table.add_column(name, overflow="fold")
    for name in right:
        table.add_column(name, justify="right", overflow="fold")
    return table


def duration(seconds: float) -> str:
    """Return seconds as "1:02:03", or "2:03" below an hour."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def latency_text(latency: float, unit: str) -> str:
    """Return a latency with its unit: "1.234 ms", or "0.871 x mobilenetv4-conv-s"."""
    return f"{latency:.3f} {unit}"
