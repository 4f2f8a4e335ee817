"""Values of the kinds that annotations declare, read from JSON files and tables that may have been altered.

A kind is what stands behind the colon of a field of a frozen data class: a plain type, `float | None`,
`tuple[int, ...]`, `dict[str, float]`, a `Literal`, another data class, or a number within a `Range`: `Fraction`,
`Positive`, `NonNegative`, `Count`. Numbers are finite. Whatever is something else is a `TypeError` in one line.
"""

import csv
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from nas.errors import InvalidInput
from nas.files import LARGEST_TEXT, read_bytes, read_json, whole_number

Record = TypeVar("Record")
NO_VALUE = ("", "nan")  # of cells
AGAIN = "run the search again"
Read = Callable[[Any], Any]  # the value of a kind in what a file holds; `TypeError` where it is another


class Range(NamedTuple):
    """From `least` to `most`, both included, `least` not where it must be exceeded."""

    least: float = -math.inf
    most: float = math.inf
    exceeded: bool = False

    def __contains__(self, value: object) -> bool:
        if not isinstance(value, int | float):
            return False
        return self.least <= value <= self.most and not (self.exceeded and value == self.least)

    def __str__(self) -> str:
        least = f"above {self.least:g}" if self.exceeded else f"at least {self.least:g}"
        return least if math.isinf(self.most) else f"{least} and at most {self.most:g}"


class Oblong:
    """Sizes of two different sides as texts: "96x128"."""

    def __contains__(self, value: object) -> bool:
        from nas.ops.size import Size  # imports numpy, which --help does without

        try:
            return isinstance(value, str) and not Size.of(value).is_square
        except InvalidInput:
            return False

    def __str__(self) -> str:
        return "a size such as 96x128"


Fraction = Annotated[float, Range(0, 1)]
Positive = Annotated[float, Range(0, exceeded=True)]
NonNegative = Annotated[float, Range(0)]
Count = Annotated[int, Range(0, 2**63 - 1)]
PositiveCount = Annotated[int, Range(1, 2**63 - 1)]
Resolution = PositiveCount | Annotated[str, Oblong()]  # `Size.json`: the side of a square, else "96x128"
PLAIN: dict[Any, tuple[type, ...]] = {
    str: (str,), bool: (bool,), int: (int,), float: (int, float), NoneType: (NoneType,),
}  # fmt: skip


def typed(cls: type[Record], data: Mapping[str, Any]) -> Record:
    """Return the `cls` with the fields in `data`, each of its kind; one with a default may be missing.

    `KeyError` for a field that is missing, `TypeError` for a value of another kind and for a field that is none.
    """
    if not isinstance(data, Mapping):
        raise TypeError(f"no object but {data!r:.60}")
    kinds = kinds_of(cls)
    if extra := sorted(set(data) - set(kinds)):
        raise TypeError(f"{extra[0]} is no field of it")
    required = {f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING}  # type: ignore[arg-type]
    for name in sorted(required - set(data)):
        raise KeyError(name)
    return cls(**{name: value_of(kinds[name], value, name) for name, value in data.items()})


def value_of(kind: Any, value: Any, name: str) -> Any:
    """Return `value` as one of this kind; `TypeError` names the field where it is none."""
    try:
        return _reader(kind)(value)
    except TypeError as error:
        raise TypeError(f"{name} is {error}") from error


def check_fields(record: Mapping[str, Any], kinds: Mapping[str, Any]) -> None:
    """Raise `TypeError` where a field that `kinds` has is of another kind; other fields may hold anything."""
    for name, value in record.items():
        if name in kinds:
            value_of(kinds[name], value, name)


@contextmanager
def refused(path: Path, what: str, remedy: str = AGAIN) -> Iterator[None]:
    """Turn the errors of a file that was altered into one `InvalidInput`: which file holds no `what`, and why."""
    try:
        yield
    except (AttributeError, IndexError, LookupError, OverflowError, TypeError, ValueError, csv.Error) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        if isinstance(error, InvalidInput) and str(path) in reason:
            raise
        raise InvalidInput(f"{path} does not hold {what} ({reason}); {remedy}") from error


def read_versioned(path: Path, schema: str, version: int) -> dict[str, Any]:
    """Return the object in the JSON file `path` without its schema and version; `KeyError` where these are others."""
    data = read_json(path)
    if not isinstance(data, dict):
        raise TypeError("it is no object")
    if (data.pop("schema"), data.pop("version")) != (schema, version):
        raise KeyError("schema")
    return data


def read_object(
    path: Path, kinds: Mapping[str, Any], what: str, remedy: str = "run the search again"
) -> dict[str, Any]:
    """Return the object in the JSON file `path` whose fields are of `kinds`, where it has them.

    `InvalidInput` where it holds no `what`.
    """
    data = read_json(path)
    with refused(path, what, remedy):
        if not isinstance(data, dict):
            raise TypeError(f"no object but {data!r:.60}")
        check_fields(data, kinds)
    return data


def read_table(path: Path, kinds: Mapping[str, Any], what: str) -> list[dict[str, Any]]:
    """Return the rows of a CSV file that this package wrote, its columns in `kinds` as values of their kind.

    An empty cell is None where the kind allows it. Other columns stay texts. `InvalidInput` with the line for a row
    of another length, for a cell of another kind, and where a column without None is missing.
    """
    with refused(path, what):
        text = io.StringIO(read_bytes(path, LARGEST_TEXT).decode(), newline="")
        header, *rows = [row for row in csv.reader(text, strict=True) if row]
        if missing := [name for name, kind in kinds.items() if name not in header and not _may_be_none(kind)]:
            raise TypeError(f"it has no column {missing[0]}")
        columns = [(name, _cell_reader(kinds.get(name, str))) for name in header]
        return [_row(f"row {number}", columns, row) for number, row in enumerate(rows, start=1)]


def _row(where: str, columns: Sequence[tuple[str, Read]], row: Sequence[str]) -> dict[str, Any]:
    """Return the values of a row by column; `TypeError` says where it is broken."""
    if len(row) != len(columns):
        raise TypeError(f"{where} has {len(row)} cells, and the first line {len(columns)}")
    found = {}
    for (name, read), cell in zip(columns, row, strict=True):
        try:
            found[name] = read(cell)
        except (TypeError, ValueError) as error:
            raise TypeError(f"{where}: {name} is {cell!r:.60}") from error
    return found


def _cell_reader(kind: Any) -> Read:
    """Return the function from a cell to its value: a text, or the number or truth value that it writes."""
    read, plain = _reader(kind), set(_parts(kind))
    convert: Read = str
    if bool in plain:
        convert = {"True": True, "False": False}.get
    elif float in plain:
        convert = float
    elif int in plain:
        convert = whole_number
    if NoneType in plain:
        return lambda cell: None if cell in NO_VALUE else read(convert(cell))
    return lambda cell: read(convert(cell))


def _parts(kind: Any) -> Iterator[Any]:
    """Yield the plain types in a kind."""
    origin = get_origin(kind)
    if origin is Annotated:
        yield from _parts(get_args(kind)[0])
    elif origin in (Union, UnionType):
        for part in get_args(kind):
            yield from _parts(part)
    else:
        yield kind


def _may_be_none(kind: Any) -> bool:
    return NoneType in _parts(kind)


def kinds_of(cls: Any) -> dict[str, Any]:
    """Return the fields of a data class with their kinds."""
    return _kinds_of(cls)


@cache
def _kinds_of(cls: Any) -> dict[str, Any]:
    hints = get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in fields(cls)}


@cache
def _reader(kind: Any) -> Read:
    """Return the function that reads values of a kind; a kind that is no such thing takes anything."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        plain = _reader(parts[0])
        return lambda value: _within(plain(value), parts[1])
    if origin is Literal:
        return lambda value: _one_of(value, parts)
    if origin in (Union, UnionType):
        return lambda value: _any_of(value, parts)
    if origin is tuple and parts[1:] == (...,):
        return _tuples(parts[0])
    if origin is tuple:
        return lambda value: _tuple_of(value, parts)
    if origin in (dict, Mapping):
        return lambda value: _mapping(value, parts[1])
    if kind in PLAIN:
        return lambda value: _plain(value, kind)
    if is_dataclass(kind) and isinstance(kind, type):
        return lambda value: value if isinstance(value, kind) else typed(kind, value)
    if isinstance(kind, type) and kind is not Any:
        return lambda value: _instance(value, kind)
    return lambda value: value


def _plain(value: Any, kind: Any) -> Any:
    if not isinstance(value, PLAIN[kind]) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"{value!r:.60}")
    if isinstance(value, float) and not math.isfinite(value):
        raise TypeError(f"{value!r}")
    return value


def _instance(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r:.60}")
    return value


def _within(value: Any, bounds: Range | Oblong) -> Any:
    if value not in bounds:
        raise TypeError(f"{value!r:.60}, and must be {bounds}")
    return value


def _one_of(value: Any, members: tuple[Any, ...]) -> Any:
    if not isinstance(value, str | int | NoneType) or value not in members:
        raise TypeError(f"{value!r:.60}, none of {', '.join(map(str, members))}")
    return value


def _any_of(value: Any, kinds: tuple[Any, ...]) -> Any:
    errors = []
    for kind in kinds:
        try:
            return _reader(kind)(value)
        except TypeError as error:
            errors.append(error)
    raise errors[0]


def _sequence(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        raise TypeError(f"{value!r:.60}")
    return value


def _tuples(kind: Any) -> Read:
    """Return what reads tuples of any length; of many numbers only the least and the largest are looked at."""
    item, plain = _reader(kind), get_args(kind)[0] if get_origin(kind) is Annotated else kind
    numbers = {*PLAIN[plain]} if plain in (int, float) else set()

    def read(value: Any) -> tuple[Any, ...]:
        items = _sequence(value)
        if len(items) > 2 and numbers.issuperset(map(type, items)) and not any(map(math.isnan, items)):
            item(min(items)), item(max(items))
            return tuple(items)
        return tuple(map(item, items))

    return read


def _tuple_of(value: Any, kinds: tuple[Any, ...]) -> tuple[Any, ...]:
    items = _sequence(value)
    if len(items) != len(kinds):
        raise TypeError(f"{value!r:.60}, not {len(kinds)} values")
    return tuple(_reader(kind)(item) for kind, item in zip(kinds, items, strict=True))


def _mapping(value: Any, kind: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise TypeError(f"{value!r:.60}")
    return {key: _reader(kind)(one) for key, one in value.items()}
