"""Calibration: the range of every tensor of a network on images, by one of the methods of the registry."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.ops.graph import Tensors
from nas.progress.stop import raise_if_stopped
from nas.quantisation.forward import NO_RANGES, float_tensors_of, numbers_of, on_device
from nas.quantisation.grid import Range
from nas.quantisation.histogram import Histogram, Method
from nas.quantisation.program import Program, folded, program_of
from nas.registry import CALIBRATION_METHODS, load, made


def calibrated_ranges(
    arch: ArchSpec, tensors: Tensors, batches: Iterable[NDArray[np.float32]], method: str = "max"
) -> dict[str, Range]:
    """Return the range of every tensor of the network by name, over `batches` of normalised images [N, H, W, C].

    `method` is a name of `nas.registry.CALIBRATION_METHODS`. Any number of batches takes the same memory.
    """
    return ranges_of(program_of(arch), histograms(arch, tensors, batches), method)


def histograms(arch: ArchSpec, tensors: Tensors, batches: Iterable[NDArray[np.float32]]) -> dict[str, Histogram]:
    """Return a histogram of every calibrated tensor of the float32 network on `batches` of images."""
    program = program_of(arch)
    numbers = on_device(numbers_of(program, folded(arch, tensors), NO_RANGES, program.layers))
    found = {name: Histogram() for name in program.observed}
    for batch in batches:
        raise_if_stopped()
        for name, values in float_tensors_of(arch, numbers, batch).items():
            found[name].add(values)
    return found


def ranges_of(program: Program, found: dict[str, Histogram], method: str) -> dict[str, Range]:
    """Return the ranges by tensor that a method reads off the histograms."""
    reads = load("calibration method", CALIBRATION_METHODS, method)
    return for_all_tensors(program, {name: _checked(method, reads, one) for name, one in found.items()})


def _checked(method: str, reads: Method, histogram: Histogram) -> Range:
    """Return the range that a method reads off a histogram; `InvalidInput` where it is none."""
    found: Any = made("calibration method", method, reads, histogram)
    try:
        low, high = (float(value) for value in found)
    except (TypeError, ValueError):
        low, high = math.nan, math.nan
    if not -math.inf < low <= 0 <= high < math.inf:
        raise InvalidInput(f"the calibration method '{method}' must return a range around 0, but it returned {found!r}")
    return low, high


def for_all_tensors(program: Program, ranges: dict[str, Any]) -> dict[str, Any]:
    """Return the ranges of all tensors by name, from those of their roots."""
    known = {name: ranges[root] for name, root in program.roots.items() if root in ranges}
    behind_front = {step.inputs[0]: known[step.name] for step in program.steps if step.is_entry}
    return known | behind_front
