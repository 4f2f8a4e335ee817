"""Corrections of a target's rates by the shape of a kernel: size of the map, output channels, kernel size.

A roofline has one rate per kind of kernel. Real devices are not that even: a depthwise convolution at 7 x 7 pixels may
take half of its bytes' time again, a pool at 112 x 112 six times. A `Correction` multiplies the compute time and the
memory time of the kernels of one kind in a range of shapes; the factors of a fit come from
`latency_models.calibration.shape_fit`. The latency stays a sum over kernels.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latency_models.sourced_values import SourcedValue, check_key, kind_names, sourced_value
from nas.errors import InvalidInput
from nas.ops import KINDS, Kernel, Kind

Factors = tuple[float, float]  # of the compute time and of the memory time
NO_CORRECTION: Factors = (1.0, 1.0)
LARGEST = 1e6  # factor, and 1 / LARGEST the smallest: no time vanishes and none is infinite
MOST_PIXELS = 2**40  # of a map, or channels


@dataclass(frozen=True)
class Correction:
    """Factors on the times of kernels of one kind whose shape lies in all of the ranges, both ends included."""

    kind: Kind
    pixels: tuple[int, int]  # height x width of the larger of the maps read and written
    channels: tuple[int, int] | None = None  # written; None: any
    kernel_size: int | None = None  # None: any
    compute: float = 1.0
    memory: float = 1.0

    def applies(self, kind: Kind, pixels: int, channels: int, kernel_size: int) -> bool:
        """Return whether a kernel of this kind and shape is corrected."""
        return (
            kind == self.kind
            and self.pixels[0] <= pixels <= self.pixels[1]
            and (self.channels is None or self.channels[0] <= channels <= self.channels[1])
            and self.kernel_size in (None, kernel_size)
        )

    def to_json(self) -> dict[str, Any]:
        """Return the correction as plain values, as it stands in a target file."""
        ranges = {key: list(value) for key in ("pixels", "channels") if (value := getattr(self, key)) is not None}
        size = {} if self.kernel_size is None else {"kernel_size": self.kernel_size}
        return {"kind": self.kind, **ranges, **size, "compute": self.compute, "memory": self.memory}


def pixels_of(kernel: Kernel) -> int:
    """Return the pixels of the larger of the maps that a kernel reads and writes: a pool writes a single one."""
    read, written = kernel.in_shape, kernel.out_shape
    return max(read.height * read.width, written.height * written.width)


class FactorTable:
    """The factors of kernels by kind and shape; of several corrections that apply, the first counts."""

    def __init__(self, corrections: Iterable[Correction]) -> None:
        rows = tuple(corrections)
        self._finest = tuple(row for row in rows if row.channels is not None) or rows
        self._of_kind: dict[Kind, list[Correction]] = {kind: [] for kind in KINDS}
        for correction in rows:
            self._of_kind[correction.kind].append(correction)
        self._known: dict[tuple[Kind, int, int, int], Factors] = {}

    def of(self, kernel: Kernel) -> Factors:
        """Return the factors on the compute and on the memory time of a kernel."""
        return self.at(kernel.kind, pixels_of(kernel), kernel.out_shape.channels, kernel.kernel_size)

    def at(self, kind: Kind, pixels: int, channels: int, kernel_size: int) -> Factors:
        """Return the factors of a kind and shape."""
        key = kind, pixels, channels, kernel_size
        found = self._known.get(key)
        if found is None:
            rows = (row for row in self._of_kind[kind] if row.applies(*key))
            first = next(rows, None)
            found = self._known[key] = NO_CORRECTION if first is None else (first.compute, first.memory)
        return found

    def measured(self, kernel: Kernel) -> bool:
        """Return whether a correction of the finest kind applies to a kernel; True where there are none at all.

        A fit has such a row for every shape that it has seen; those without channels are for others of their size.
        """
        return self.measured_at(kernel.kind, pixels_of(kernel), kernel.out_shape.channels, kernel.kernel_size)

    def measured_at(self, kind: Kind, pixels: int, channels: int, kernel_size: int) -> bool:
        """Return `measured` for a kind and shape."""
        return not self._finest or any(row.applies(kind, pixels, channels, kernel_size) for row in self._finest)

    def of_all(self, kernels: Iterable[Kernel]) -> NDArray[np.float64]:
        """Return the factors [K, 2] of kernels."""
        return np.array([self.of(kernel) for kernel in kernels], np.float64).reshape(-1, 2)


def parse_corrections(table: Any, where: str) -> SourcedValue[tuple[Correction, ...]]:
    """Return the sourced corrections in a TOML table; raises `InvalidInput` with the row that does not fit."""
    found = sourced_value(table, "corrections", where)
    if not (isinstance(found.value, list) and all(isinstance(row, dict) for row in found.value)):
        raise InvalidInput(f"{where}: corrections must be a list of tables, got {found.value!r:.60}")
    rows = tuple(_correction(row, f"{where}: corrections, row {number}") for number, row in enumerate(found.value, 1))
    return SourcedValue(rows, found.source, found.confidence)


def _correction(row: Mapping[str, Any], where: str) -> Correction:
    for key in row:
        check_key(key, ("kind", "pixels", "channels", "kernel_size", "compute", "memory"), "entry", where)
    if missing := [key for key in ("kind", "pixels") if key not in row]:
        raise InvalidInput(f"{where} lacks the entry '{missing[0]}'")
    (kind,) = kind_names([row["kind"]] if isinstance(row["kind"], str) else row["kind"], f"{where}.kind")
    size = row.get("kernel_size")
    if size is not None and (type(size) is not int or not 1 <= size <= MOST_PIXELS):
        raise InvalidInput(f"{where}.kernel_size must be a whole number of at least 1, got {size!r:.60}")
    return Correction(
        kind=kind,
        pixels=_range(row["pixels"], f"{where}.pixels"),
        channels=_range(row["channels"], f"{where}.channels") if "channels" in row else None,
        kernel_size=size,
        compute=_factor(row.get("compute", 1.0), f"{where}.compute"),
        memory=_factor(row.get("memory", 1.0), f"{where}.memory"),
    )


def _factor(value: Any, where: str) -> float:
    if type(value) not in (int, float) or not 1 / LARGEST <= value <= LARGEST:
        raise InvalidInput(f"{where} must be a number from {1 / LARGEST:g} to {LARGEST:g}, got {value!r:.60}")
    return float(value)


def _range(value: Any, where: str) -> tuple[int, int]:
    whole = isinstance(value, list) and len(value) == 2 and all(type(item) is int for item in value)
    if not (whole and 0 <= value[0] <= value[1] <= MOST_PIXELS):
        raise InvalidInput(f"{where} must be a list of the first and the last, whole and rising, got {value!r:.60}")
    return value[0], value[1]
