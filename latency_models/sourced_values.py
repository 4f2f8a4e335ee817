"""`SourcedValue`: a value of a target file with its source and confidence; strict parsers, one line per error."""

import math
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, get_args

from nas.errors import InvalidInput, unknown_name
from nas.ops import KINDS, Kind

Confidence = Literal["measured", "fitted", "published", "vendor", "estimated"]
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class SourcedValue(Generic[T_co]):
    """A value of a target with where it comes from and how far it can be trusted."""

    value: T_co
    source: str
    confidence: Confidence


def sourced_value(table: Any, field: str, where: str) -> SourcedValue[Any]:
    """Return the sourced value in a TOML table of exactly value, source and confidence."""
    if not isinstance(table, dict) or set(table) != {"value", "source", "confidence"}:
        raise InvalidInput(f"{where}: {field} must be a table of exactly value, source and confidence")
    if table["confidence"] not in get_args(Confidence):
        allowed = ", ".join(get_args(Confidence))
        raise InvalidInput(f"{where}: confidence of {field} must be one of {allowed}, got {table['confidence']!r:.60}")
    return SourcedValue(table["value"], text(table["source"], f"{where}: source of {field}"), table["confidence"])


def number(
    table: Any, field: str, where: str, *, positive: bool = False, most: float = math.inf
) -> SourcedValue[float]:
    """Return the sourced value of a table with a finite number from 0 (above 0 where `positive`) to `most`."""
    found = sourced_value(table, field, where)
    value = found.value
    if type(value) not in (int, float):
        raise InvalidInput(f"{where}: {field} must be a number, got {value!r:.60}")
    if not (math.isfinite(value) and 0 <= value <= most and not (positive and value == 0)):
        allowed = "positive and finite" if positive else "between 0 and 1" if most == 1 else "0 or more and finite"
        raise InvalidInput(f"{where}: {field} must be {allowed}, got {value}")
    return SourcedValue(float(value), found.source, found.confidence)


def kinds(table: Any, field: str, where: str) -> SourcedValue[tuple[Kind, ...]]:
    """Return the sourced value of a table with a list of kernel kinds, in the order of `KINDS`."""
    found = sourced_value(table, field, where)
    return SourcedValue(kind_names(found.value, f"{where}: {field}"), found.source, found.confidence)


def kind_names(value: Any, where: str) -> tuple[Kind, ...]:
    """Return the kernel kinds in a list of names, in the order of `KINDS`."""
    names = strings(value, where)
    for name in names:
        check_key(name, KINDS, "kind of kernel", where.partition(":")[0])
    return tuple(kind for kind in KINDS if kind in names)


def check_key(name: str, known: Any, what: str, where: str) -> None:
    """Raise `InvalidInput` with the nearest known name where `name` is not `known`."""
    if name not in known:
        raise InvalidInput(f"{where}: {unknown_name(what, name, known)}")


def strings(value: Any, where: str) -> list[str]:
    """Return `value` after checking that it is a list of strings."""
    if not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
        raise InvalidInput(f"{where} must be a list of strings, got {value!r:.60}")
    return value


def text(value: Any, where: str) -> str:
    """Return `value` after checking that it is a non-empty string."""
    if not (isinstance(value, str) and value.strip()):
        raise InvalidInput(f"{where} must be a non-empty text, got {value!r:.60}")
    return value
