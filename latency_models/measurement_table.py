"""Read a table of measurements as a spreadsheet saves it: any usual separator, encoding, decimal sign and line end.

The separator, a comma, a semicolon or a tab, is the one between which the first line names the required columns, or the
one of a line `sep=;` before it. The decimal sign is that of all numbers of the table together; a table that can be read
in two ways is refused, as a latency that is wrong by a factor of 1000 would be worse than none.
"""

import codecs
import csv
import io
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nas.errors import InvalidInput
from nas.files import LARGEST_TEXT, of_cell, read_bytes

ENDINGS = (".csv", ".tsv", ".txt")  # of tables, in lower case; Excel saves "Unicode text" as .txt
SEPARATORS = {"\t": "tabs", ";": "semicolons", ",": "commas"}
SEPARATOR_LINE = re.compile(r'\s*"?sep=([^\w\s"]|\t)"?\s*$', re.IGNORECASE)  # the first line that Excel understands
LINE_END = re.compile(r"\r\n|\r|\n")
WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # first bytes of .xlsx and .ods, of .xls
BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
NEUTRAL_GROUPING = re.compile("(?<=\\d)[ \u00a0\u202f'\u2019](?=\\d{3}(?!\\d))")  # signs between thousands
# Numbers by decimal sign: digits, or thousands with the other sign between them; decimals; exponent.
NUMBERS = {
    sign: re.compile(rf"[+-]?(\d+|[1-9]\d{{0,2}}({other}\d{{3}})+)?({re.escape(sign)}\d+)?(e[+-]?\d+)?", re.IGNORECASE)
    for sign, other in ((".", ","), (",", r"\."))
}


@dataclass(frozen=True)
class TableRow:
    """A row of a table: where it stands, for messages, and its cells by name of the column."""

    where: str  # "measured.csv, line 3"
    cells: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        """The text in a column."""
        return self.cells[column]

    def positive(self, column: str) -> float:
        """Return the number in a column; `InvalidInput` where it is not positive and finite."""
        try:
            value = float(self[column])
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value > 0):
            remedy = "" if self[column] else "; fill the cell, or remove the row"
            raise InvalidInput(f"{self.where}: {column} must be positive and finite, got '{self[column]}'{remedy}")
        return value


@dataclass(frozen=True)
class Table:
    """A table: the names of its columns in lower case, and its rows, empty ones left out."""

    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]


def is_table(text: str) -> bool:
    """Return whether `text` is named as a table is, by its ending."""
    return text.lower().endswith(ENDINGS)


def read_table(path: Path, required: Sequence[str], numbers: Collection[str] = (), *, strip: bool = True) -> Table:
    """Return the table in the file `path`, which must have the `required` columns.

    The cells of the columns `numbers` are returned as `float` reads them: 26,165 as 26.165. What is no number there, an
    empty cell too, stays as it is. Blanks around cells are left out unless `strip` is False. Raises `InvalidInput` in
    one line for what is no table, or can be read in two ways.
    """
    separators, lines, first = _separator_line(LINE_END.split(_text(path)))
    separator, header = _header(path, separators, lines, required)
    _check_names(path, header, (*required, *numbers))
    _, *rows = _records(path, separator, lines, first, strip)
    named = [_row(f"{path}, line {line}", row, header, separator, required) for line, row in rows]
    sign = _decimal_sign(path, [(row, row[name]) for row in named for name in numbers if name in header], separator)
    read = tuple(
        TableRow(row.where, {name: _plain(cell, sign) if name in numbers else cell for name, cell in row.cells.items()})
        for row in named
    )
    return Table(tuple(name for name in header if name), read)


def _text(path: Path) -> str:
    """Return the text in a file of UTF-8, UTF-16, or the code page 1252 in which Windows saves plain CSV files."""
    data = read_bytes(path, LARGEST_TEXT)
    if data.startswith(WORKBOOKS):
        raise InvalidInput(f"{path} is no CSV file but a workbook; save its sheet as CSV, and name that file")
    mark = next((mark for mark in BYTE_ORDER_MARKS if data.startswith(mark)), b"")
    encoding = BYTE_ORDER_MARKS.get(mark) or _encoding_without_mark(data)
    try:
        text = data.removeprefix(mark).decode(encoding)
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is no CSV file: it is not UTF-8 text, and not UTF-16") from error
    if "\0" in text:
        raise InvalidInput(f"{path} is no CSV file: it is not UTF-8 text, and not UTF-16")
    if not text.strip():
        raise InvalidInput(f"{path} is no CSV file: it holds no text; write it again or name another file")
    return text


def _encoding_without_mark(data: bytes) -> str:
    """Return the encoding of a text without a byte order mark: every other byte of ASCII in UTF-16 is zero."""
    if b"\0" in data:
        return "utf-16-le" if data[1::2].count(0) > data[::2].count(0) else "utf-16-be"
    try:
        data.decode("utf-8")
        return "utf-8"
    except UnicodeDecodeError:
        return "cp1252"


def _separator_line(lines: list[str]) -> tuple[Sequence[str], list[str], int]:
    """Return the separators that may be meant, the lines of the table, and the number of the first of them."""
    if stated := SEPARATOR_LINE.match(lines[0]):
        return stated[1], lines[1:], 2
    return [*SEPARATORS], lines, 1


def _header(
    path: Path, separators: Sequence[str], lines: Iterable[str], required: Sequence[str]
) -> tuple[str, tuple[str, ...]]:
    """Return the separator between which the first line names the required columns, and its names in lower case."""
    first = next((line for line in lines if line.strip()), "")
    headers = {separator: _names(first, separator) for separator in separators}
    found = max(headers, key=lambda separator: (set(required) <= {*headers[separator]}, len(headers[separator])))
    missing = [name for name in required if name not in headers[found]]
    if not missing:
        return found, headers[found]
    cells = [cell for names in headers.values() for cell in names]
    merged = [cell for cell in cells if any({*required} <= {*_names(cell, other)} for other in SEPARATORS)]
    between = f", between {_separator_name(found)}" if len(headers[found]) > 1 else ""
    remedy = f"; '{merged[0]}' is one cell of it: split it into columns, then save" if merged else ""
    raise InvalidInput(
        f"{path} lacks the column '{missing[0]}'; its first line must name the columns {' and '.join(required)}, and "
        f"has{between}: {first.strip()[:80]}{remedy}"
    )


def _separator_name(separator: str) -> str:
    return SEPARATORS.get(separator, f"'{separator}'")


def _names(line: str, separator: str) -> tuple[str, ...]:
    """Return the names of columns in the first line, in lower case; trailing ones that are empty are left out."""
    names = [cell.strip().lower() for cell in next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])]
    while names and not names[-1]:
        names.pop()
    return tuple(names)


def _check_names(path: Path, header: Sequence[str], used: Iterable[str]) -> None:
    if twice := [name for name in used if header.count(name) > 1]:
        raise InvalidInput(f"{path} has the column '{twice[0]}' twice; keep one of them")


def _records(path: Path, separator: str, lines: Iterable[str], first: int, strip: bool) -> list[tuple[int, list[str]]]:
    """Return the cells of the rows that are not empty, and the number of the line on which each ends."""
    text = io.StringIO("\n".join(lines))
    reader = csv.reader(text, delimiter=separator, skipinitialspace=strip, strict=True)
    try:
        rows = [(reader.line_num + first - 1, row) for row in reader]
    except csv.Error as error:
        raise InvalidInput(f"{path} is no CSV file: line {reader.line_num + first - 1}: {error}") from error
    kept = [(line, row) for line, row in rows if any(cell.strip() for cell in row)]
    return [(line, [cell.strip() for cell in row]) for line, row in kept] if strip else kept


def _row(where: str, cells: Sequence[str], header: Sequence[str], separator: str, required: Sequence[str]) -> TableRow:
    """Return the cells of a row by name; a spreadsheet may leave empty ones at the end of a row out, or add some."""
    missing = [name for name in header[len(cells) :] if name in required]
    if missing or any(cells[len(header) :]):
        remedy = "; where a comma is the decimal sign, put semicolons between the cells" if separator == "," else ""
        raise InvalidInput(
            f"{where} has another number of cells ({len(cells)}) than the first line ({len(header)}){remedy}"
        )
    padded = [*cells, *[""] * (len(header) - len(cells))]
    return TableRow(where, {name: of_cell(cell) for name, cell in zip(header, padded, strict=False) if name})


def _decimal_sign(path: Path, cells: Iterable[tuple[TableRow, str]], separator: str) -> str:
    """Return the decimal sign of the numbers in a table; `InvalidInput` where they contradict or could be either.

    A number with both signs, or with one of them twice, settles it: 1.234,5. Without such a number a sign that occurs
    alone is the decimal one, with one exception: commas before exactly three digits, 26,165 in every cell, may stand
    between thousands too, unless semicolons separate the cells, which spreadsheets use because the comma is taken.
    """
    marked = [(row, cell) for row, cell in cells if {*cell} & {*".,"} and _readings(cell)]
    settled = [(row, cell) for row, cell in marked if sum(map(cell.count, ".,")) > 1]
    dots, commas = ([pair for pair in marked if sign in pair[1]] for sign in ".,")
    if settled:
        sign = _readings(settled[0][1])[0]
        if other := [pair for pair in marked if sign not in _readings(pair[1])]:
            raise _mixed(path, settled[0], other[0])
        return sign
    if dots and commas:
        raise _mixed(path, dots[0], commas[0])
    if commas and separator != ";" and all(len(_readings(cell)) == 2 for _, cell in commas):
        row, cell = commas[0]
        raise InvalidInput(
            f"{row.where}: '{cell}' may be {cell.replace(',', '.')} or {cell.replace(',', '')}, and no other number "
            f"says which (the cells are separated by {_separator_name(separator)}); write decimals with a dot, or put "
            "semicolons between the cells"
        )
    return "," if commas else "."


def _mixed(path: Path, one: tuple[TableRow, str], other: tuple[TableRow, str]) -> InvalidInput:
    places = " and ".join(f"'{cell}' ({row.where.removeprefix(f'{path}, ')})" for row, cell in (one, other))
    return InvalidInput(f"{path}: {places} have different decimal signs; use one in the whole table, best the dot")


def _readings(cell: str) -> list[str]:
    """Return the decimal signs with which `cell` is a number."""
    text = NEUTRAL_GROUPING.sub("", cell)
    return [sign for sign, pattern in NUMBERS.items() if text and pattern.fullmatch(text)]


def _plain(cell: str, sign: str) -> str:
    """Return a number with the decimal sign `sign` as `float` reads it; anything else unchanged."""
    if sign not in _readings(cell):
        return cell
    text = NEUTRAL_GROUPING.sub("", cell)
    return text.replace(",", "") if sign == "." else text.replace(".", "").replace(",", ".")
