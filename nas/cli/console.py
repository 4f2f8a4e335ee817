"""The terminal: the console that results are printed to, its tables, and numbers with their units as text."""

import os
from collections.abc import Iterable, Mapping
from typing import IO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from nas.cli.printable import HIDDEN
from nas.report.terminal_table import FittedTable, columns

PLAIN_WIDTH = 200  # columns where the output is no terminal: wide enough that no table folds


class PlainConsole(Console):
    """A console on which text is text: no markup in it counts, and no control character of it reaches the terminal."""

    def __init__(self, file: IO[str] | None = None, width: int | None = None) -> None:
        super().__init__(file=file, width=width, highlight=False, markup=False, emoji=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of `renderable`, those of text with a mark in place of every control character."""
        for segment in super().render(renderable, options):
            plain = segment.control or not HIDDEN.search(segment.text)
            yield segment if plain else Segment(HIDDEN.sub("\N{REPLACEMENT CHARACTER}", segment.text), segment.style)


def console(file: IO[str] | None = None) -> Console:
    """Return the console for results; it never colours what goes into a file or a pipe, nor wraps it before COLUMNS."""
    plain = PlainConsole(file)
    asked = os.environ.get("COLUMNS", "")
    width = int(asked) if asked.isdecimal() and int(asked) else PLAIN_WIDTH
    return plain if plain.is_terminal else PlainConsole(file, width)


def aligned_table(
    title: str, left: Iterable[str], right: Iterable[str], drop: Mapping[str, int] | None = None
) -> FittedTable:
    """Return an empty table with columns of text, which may fold, then of numbers; `drop` says which go first."""
    left = list(left)
    return FittedTable(title, columns(left, right, drop, fold=left))


def show_whole(lines: Iterable[str], file: IO[str] | None = None) -> None:
    """Print lines that are neither wrapped nor cut, so that they can be copied: commands and paths."""
    for line in lines:
        console(file).print(Text(line), soft_wrap=True)


def duration(seconds: float) -> str:
    """Return seconds as "1:02:03", or "2:03" below an hour."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def latency_text(latency: float, unit: str) -> str:
    """Return a latency with its unit: "1.234 ms", or "0.871 x mobilenetv4-conv-s"."""
    return f"{latency:.3f} {unit}"
