"""Numbers with units as people write them: 4ms, 250us, 320KiB, 5mJ, 3M. Each function returns an argument's type.

A number without a unit is in the unit that its flag has always had.
"""

import argparse
import math
from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

from nas.records.units import COUNT, DIMENSIONS, ENERGY, MEMORY, TIME, Dimension, read_quantity


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
    value = read_quantity(text, dimension)
    if value is None or not holds(value) or not math.isfinite(float(value)):
        raise argparse.ArgumentTypeError(
            f"must be {words}, got '{text}'" + (_hint(text, dimension) if not value else "")
        )
    return value


def _hint(text: str, dimension: Dimension) -> str:
    """Return what units there are, and what the unit of `text` is one of."""
    other = next((f", {one.noun}" for one in DIMENSIONS if one is not dimension and read_quantity(text, one)), "")
    own = f"; bare: {dimension.own}" if dimension.own else ""
    return f"{other} (write {dimension.example}; units: {', '.join(dimension.units)}{own})"
