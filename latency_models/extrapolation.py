"""`Extrapolation`: how unlike the measured networks another one is, and how much wider its interval is for that."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from latency_models.sourced_values import check_key
from nas.errors import InvalidInput
from nas.ops import KINDS, Kind

Cell = tuple[Kind, int]  # a kind of kernel and the size of its map, see `map_size`
Shares = tuple[tuple[float, ...], ...]  # a row per measured network, a column per cell
LARGEST_SIZE = 32
NUMBERS = ("usual_share", "far_share", "more_percent")
SHARES = ("macs", "bytes")


def map_size(pixels: int) -> int:
    """Return the size class of a map: 7 x 7 and 8 x 8 pixels are one, 14 x 14 the next, as of corrections by shape."""
    return pixels.bit_length() // 2


@dataclass(frozen=True)
class Extrapolation:
    """What makes the error of a network larger whose work lies in other kernels than that of the measured ones.

    Two networks are as far apart as the share of their work that lies in different cells, which are kinds of kernels
    on maps of a size: half the sum over cells of the difference of their shares, the mean of that for MACs and for
    bytes. What counts is the distance to the nearest measured network. Up to `usual_share` nothing happens; at
    `far_share` the half-width is `more_percent` larger, and beyond it no larger, as nothing farther was tried. The
    three numbers come from fits without groups of networks that resemble each other (`calibration.groups_out`).
    `macs` and `bytes` are the shares of the measured networks, or of as many as represent them.
    """

    usual_share: float
    far_share: float
    more_percent: float
    kinds: tuple[Kind, ...]  # of each cell
    sizes: tuple[int, ...]  # of each cell
    macs: Shares
    bytes: Shares

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells of the columns."""
        return tuple(zip(self.kinds, self.sizes, strict=True))

    def distance(self, macs: Mapping[Cell, float], moved: Mapping[Cell, float]) -> float:
        """Return the distance of a network to the nearest measured one, from its MACs and bytes by cell in any unit."""
        own = self._shares(macs), self._shares(moved)
        rows = zip(self.macs, self.bytes, strict=True)
        return min(sum(_apart(a, b) for a, b in zip(own, row, strict=True)) / len(own) for row in rows)

    def _shares(self, amounts: Mapping[Cell, float]) -> tuple[float, ...]:
        """Return the shares of the known cells, then that of all others."""
        total = sum(amounts.values()) or 1.0
        known = self.cells
        others = sum(value for cell, value in amounts.items() if cell not in known)
        return (*(amounts.get(cell, 0.0) / total for cell in known), others / total)

    def more_of(self, distance: float) -> float:
        """Return by how many percentage points the half-width of a network at this distance is larger."""
        if self.far_share <= self.usual_share:
            return 0.0
        return self.more_percent * min(1.0, max(0.0, distance - self.usual_share) / (self.far_share - self.usual_share))


def _apart(one: tuple[float, ...], row: tuple[float, ...]) -> float:
    """Return half the sum of the differences of shares; a measured network has none in cells that are not listed."""
    return sum(abs(a - b) for a, b in zip(one, (*row, 0.0), strict=True)) / 2


def parse_extrapolation(data: Any, place: str) -> Extrapolation:
    """Return the extrapolation in a TOML table; `InvalidInput` names the entry that does not fit."""
    where = f"{place}.extrapolation"
    keys = tuple(field.name for field in fields(Extrapolation))
    if not isinstance(data, dict):
        raise InvalidInput(f"{where} must be a table, got {data!r:.60}")
    for key in data:
        check_key(key, keys, "entry of extrapolation", place.partition(":")[0])
    if missing := [key for key in keys if key not in data]:
        raise InvalidInput(f"{where} lacks the entry '{missing[0]}'")
    numbers = {key: _number(data[key], f"{where}.{key}", math.inf) for key in NUMBERS}
    kinds, sizes = data["kinds"], data["sizes"]
    if not (isinstance(kinds, list) and kinds and all(isinstance(kind, str) for kind in kinds)):
        raise InvalidInput(f"{where}.kinds must be a list of kinds of kernels, got {kinds!r:.60}")
    for kind in kinds:
        check_key(kind, KINDS, "kind of kernel", place.partition(":")[0])
    right = isinstance(sizes, list) and all(type(size) is int and 0 <= size <= LARGEST_SIZE for size in sizes)
    if not right or len(set(zip(kinds, sizes, strict=False))) != len(kinds) or len(sizes) != len(kinds):
        raise InvalidInput(
            f"{where}.sizes must be a list of whole numbers from 0 to {LARGEST_SIZE}, one per kind and different ones "
            f"of the same kind, got {sizes!r:.60}"
        )
    macs, moved = (_rows(data[key], len(kinds), f"{where}.{key}") for key in SHARES)
    if len(macs) != len(moved):
        raise InvalidInput(f"{where} must have as many rows of macs as of bytes, got {len(macs)} and {len(moved)}")
    return Extrapolation(**numbers, kinds=tuple(kinds), sizes=tuple(sizes), macs=macs, bytes=moved)


def _rows(data: Any, columns: int, where: str) -> Shares:
    """Return the shares in a list of rows, at least one, of a number per kind."""
    if not (isinstance(data, list) and data and all(isinstance(row, list) and len(row) == columns for row in data)):
        raise InvalidInput(f"{where} must be a list of rows of {columns} shares, one per cell, got {data!r:.60}")
    return tuple(tuple(_number(value, where, 1.0) for value in row) for row in data)


def _number(value: Any, where: str, most: float) -> float:
    """Return a finite number from 0 to `most`."""
    if type(value) not in (int, float) or not (math.isfinite(value) and 0 <= value <= most):
        bounds = "from 0 to 1" if most == 1 else "of at least 0"
        raise InvalidInput(f"{where} must be a finite number {bounds}, got {value!r:.60}")
    return float(value)
