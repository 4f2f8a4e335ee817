"""Tables for a terminal that fit its width: headings wrap, texts fold, then columns go; numbers are short."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

LEAST = 4  # characters of a column where nothing else helps
LEAST_TEXT = 14  # characters, by default
Cell = str | Text


@dataclass(frozen=True)
class Column:
    """A column: its heading, on which side its cells stand, whether they may fold, and when it is left out.

    Where the terminal is too narrow the column with the highest `drop` goes first; one with 0 always stays.
    """

    name: Cell
    right: bool = False
    fold: bool = False
    drop: int = 0
    least: int = LEAST_TEXT  # characters to which it is narrowed before others are left out, where it may fold


class FittedTable:
    """A table that a rich console prints within its width. Cells are plain text: nothing in them is markup."""

    def __init__(self, title: str, columns: Iterable[Column], *, caption: str = "", heading: bool = True) -> None:
        self.title, self.columns, self.caption, self.heading = title, list(columns), caption, heading
        self.rows: list[list[Text]] = []
        self.sections: set[int] = set()  # rows with a line below

    def add_row(self, *cells: Cell) -> None:
        """Add a row; cells that are not given are empty."""
        padded = [*cells, *[""] * (len(self.columns) - len(cells))]
        self.rows.append([cell if isinstance(cell, Text) else Text(cell) for cell in padded])

    def add_section(self) -> None:
        """Draw a line below the last row."""
        self.sections.add(len(self.rows) - 1)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield a rich table of the columns that find room, and the names of those that do not."""
        kept, widths = self.fit(options.max_width)
        table = Table(
            title=Text(self.title) if self.title else None, title_justify="left", caption_justify="left",
            show_header=self.heading, caption=Text(self._caption(kept)) if self._caption(kept) else None,
        )  # fmt: skip
        for number, width in zip(kept, widths, strict=True):
            column = self.columns[number]
            justify = "right" if column.right else "left"
            table.add_column(column.name, justify=justify, overflow="fold", width=width)  # type: ignore[arg-type]
        for number, row in enumerate(self.rows):
            table.add_row(*(row[column] for column in kept), end_section=number in self.sections)
        yield table

    def _caption(self, kept: Sequence[int]) -> str:
        left_out = [_text(column.name) for number, column in enumerate(self.columns) if number not in kept]
        note = [f"no room for: {', '.join(' '.join(name.split()) for name in left_out)}"] if left_out else []
        return "\n".join([self.caption] * bool(self.caption) + note)

    def fit(self, width: int) -> tuple[list[int], list[int]]:
        """Return the numbers of the columns that fit into `width` characters, and their widths."""
        kept = list(range(len(self.columns)))
        while sum(map(self._least, kept)) + _frame(kept) > width:
            dropped = max(kept, key=lambda number: (self.columns[number].drop, number))
            if self.columns[dropped].drop == 0:
                break
            kept.remove(dropped)
        widths = {number: max(self._content(number), len(_text(self.columns[number].name))) for number in kept}
        excess = _narrowed(widths, {number: self._least(number) for number in kept}, width - _frame(kept))
        if excess:
            _narrowed(widths, dict.fromkeys(kept, LEAST), width - _frame(kept))
        return kept, [widths[number] for number in kept]

    def _content(self, number: int) -> int:
        """Return the width of the widest cell, and of the widest word of the heading."""
        words = _text(self.columns[number].name).split() if self.heading else []
        cells = (line for row in self.rows for line in row[number].plain.splitlines())
        return max([Text(text).cell_len for text in (*words, *cells)], default=1)

    def _least(self, number: int) -> int:
        """Return the width below which a column is not narrowed."""
        words = _text(self.columns[number].name).split() if self.heading else []
        content = self._content(number)
        return (
            max(min(content, self.columns[number].least), *map(len, words), 1) if self.columns[number].fold else content
        )


def _narrowed(widths: dict[int, int], least: Mapping[int, int], room: int) -> bool:
    """Narrow the widest columns until all fit into `room`, none below `least`; return whether it did not suffice."""
    while sum(widths.values()) > room:
        free = [number for number in widths if widths[number] > least[number]]
        if not free:
            return True
        widths[max(free, key=lambda number: (widths[number], number))] -= 1
    return False


def _text(name: Cell) -> str:
    return name.plain if isinstance(name, Text) else name


def _frame(kept: Sequence[int]) -> int:
    """Return how many characters lines and blanks between the columns take."""
    return 3 * len(kept) + 1


def columns(
    left: Iterable[str], right: Iterable[str], drop: Mapping[str, int] | None = None, fold: Iterable[str] = ()
) -> list[Column]:
    """Return columns of text, then of numbers; `drop` holds the priorities, `fold` the names of those that may fold."""
    sides = [*((name, False) for name in left), *((name, True) for name in right)]
    return [Column(name, right, name in fold, (drop or {}).get(name, 0)) for name, right in sides]


def short_number(value: float) -> str:
    """Return a count in three digits for a reader: "186 M", "3.77 M", "55.5 M", "988 k", "12"."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size * 0.9995:
            return f"{_three_digits(value / size)} {letter}"
    return f"{value:,.0f}"


def _three_digits(value: float) -> str:
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f}"


def unit_text(unit: str, batch: int) -> str:
    """Return the unit of a latency, with the number of images where they are several: "ms per batch of 128"."""
    return unit if batch == 1 else f"{unit} per batch of {batch}"
