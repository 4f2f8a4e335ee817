"""Numbers with units as people write them: 4ms, 250us, 320KiB, 5mJ, 3M. Each function returns an argument's type.

A number without a unit is in the unit that its flag has always had.
"""

import argparse
import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import NamedTuple

QUANTITY = re.compile(r"\s*(?P<number>[+-]?(?:[\d_]+\.?[\d_]*|\.\d+)(?:e[+-]?\d+)?)\s*(?P<unit>[^\s\d.]*)\s*", re.I)
LETTERS = str.maketrans({"µ": "u", "μ": "u"})  # two signs for micro


class Dimension(NamedTuple):
    """Units of one kind with how much of the flag's own unit each is; `own` is the unit of a bare number."""

    noun: str
    own: str
    example: str
    units: Mapping[str, Decimal]
    any_case: bool = False


def _units(**units: str) -> Mapping[str, Decimal]:
    return MappingProxyType({unit: Decimal(value) for unit, value in units.items()})


def _bytes() -> Mapping[str, Decimal]:
    """Return the units of memory in KiB."""
    kib = {"B": Decimal(1) / 1024}
    for power, letter in enumerate("KMG"):
        kib[f"{letter}B"] = Decimal(1000) ** (power + 1) / 1024
        kib[f"{letter}iB"] = Decimal(1024) ** power
    return MappingProxyType(kib)


TIME = Dimension("a time", "ms", "4ms", _units(ns="1e-6", us="1e-3", ms="1", s="1e3"))
MEMORY = Dimension("a size in memory", "KiB", "320KiB", _bytes(), any_case=True)
ENERGY = Dimension("an energy", "mJ", "5mJ", _units(nJ="1e-6", uJ="1e-3", mJ="1", J="1e3"))
COUNT = Dimension("a count", "", "3M", _units(k="1e3", K="1e3", M="1e6", G="1e9", T="1e12"))
DIMENSIONS = (TIME, MEMORY, ENERGY, COUNT)


def milliseconds(text: str) -> float:
    """Return the positive time in `text` in ms: "4ms", "250us", "0.004s", "4"."""
    return _positive(text, TIME)


def milliseconds_each(text: str) -> tuple[float, ...]:
    """Return the positive times in ms in the comma-separated `text`."""
    return tuple(milliseconds(part) for part in text.split(","))


def latency_ranges(text: str) -> tuple["LatencyRange", ...]:
    """Return the ranges in the comma-separated `text`: "0.5..4", "500us..4ms", "0.5..", "..4ms", ".." for all."""
    return tuple(map(_latency_range, text.split(",")))


class LatencyRange(NamedTuple):
    """Latencies from and to, None for as far as the space goes; `has_unit` where one is stated, so that it is ms."""

    low: float | None = None
    high: float | None = None
    has_unit: bool = False


def _latency_range(text: str) -> LatencyRange:
    ends = text.strip().split("..")
    if len(ends) != 2:
        raise argparse.ArgumentTypeError(
            f"must be a range of latencies such as 0.5..4, 500us..4ms, 0.5.. or ..4, got '{text}'"
        )
    low, high = (milliseconds(end) if end.strip() else None for end in ends)
    if low is not None and high is not None and low >= high:
        raise argparse.ArgumentTypeError(f"must go from a latency to a larger one, got '{text}'")
    return LatencyRange(low, high, any(end.strip()[-1:].isalpha() for end in ends))


def kibibytes(text: str) -> float:
    """Return the positive size in `text` in KiB: "320KiB", "320KB" (320,000 bytes), "2MB", "320"."""
    return _positive(text, MEMORY)


def millijoules(text: str) -> float:
    """Return the positive energy in `text` in mJ: "5mJ", "800uJ", "5"."""
    return _positive(text, ENERGY)


def count(text: str) -> int:
    """Return the whole number of at least 1 in `text`: "3M", "1.5G", "128", "1_000", "4e6"."""
    return int(_checked(text, COUNT, lambda value: value >= 1 and value == int(value), "a whole number of at least 1"))


def _positive(text: str, dimension: Dimension) -> float:
    return float(_checked(text, dimension, lambda value: value > 0, "positive and finite"))


def _checked(text: str, dimension: Dimension, holds: Callable[[Decimal], bool], words: str) -> Decimal:
    """Return the number in `text` in the unit of a bare one; raises `ArgumentTypeError` in one line."""
    value = _read(text, dimension)
    if value is None or not holds(value) or not math.isfinite(float(value)):
        raise argparse.ArgumentTypeError(
            f"must be {words}, got '{text}'" + (_hint(text, dimension) if not value else "")
        )
    return value


def _hint(text: str, dimension: Dimension) -> str:
    """Return what units there are, and what the unit of `text` is one of."""
    other = next((f", {one.noun}" for one in DIMENSIONS if one is not dimension and _read(text, one)), "")
    own = f"; bare: {dimension.own}" if dimension.own else ""
    return f"{other} (write {dimension.example}; units: {', '.join(dimension.units)}{own})"


def _read(text: str, dimension: Dimension) -> Decimal | None:
    """Return the number in `text` in the dimension's own unit, None where it is none."""
    found = QUANTITY.fullmatch(text.translate(LETTERS))
    if found is None:
        return None
    units = {_spelling(unit, dimension): size for unit, size in dimension.units.items()}
    size = Decimal(1) if not found["unit"] else units.get(_spelling(found["unit"], dimension))
    try:
        return None if size is None else Decimal(found["number"]) * size
    except InvalidOperation:
        return None


def _spelling(unit: str, dimension: Dimension) -> str:
    return unit.lower() if dimension.any_case else unit
