"""Quantities with units as people write them, 4ms, 320KiB, 5mJ, 3M: how much of a dimension's own unit a text says."""

import re
from collections.abc import Mapping
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


def read_quantity(text: str, dimension: Dimension) -> Decimal | None:
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
