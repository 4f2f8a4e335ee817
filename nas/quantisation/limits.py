"""Ranges as integer runtimes take them: widened where one tensor is too small beside another one.

A tensor that is 0 on all calibration images, a dead branch, would have a grid so fine that one of the sum that it is
rounded from is worth thousands of its steps. XNNPACK refuses such an operator, and LiteRT ends with it: factors must
lie below 2^8, those of a sum of two at 2^-10 or above (xnn_create_convolution2d_nhwc_qs8, xnn_create_add_nd_qs8).
"""

from collections.abc import Mapping

import numpy as np

from nas.quantisation.grid import HIGH, LARGEST_BIAS, LOW, Range, grid_of
from nas.quantisation.program import Folded, Program, Step

LARGEST_FACTOR = 2.0**7
SMALLEST_FACTOR = 2.0**-9  # of a sum of two


def usable_ranges(program: Program, weights: Folded, ranges: Mapping[str, Range]) -> dict[str, Range]:
    """Return `ranges` with those widened that runtimes would refuse; `weights` as from `folded`.

    A range is widened to either side by the same factor, one of zeros above 0. Tensors without a range are left out.
    """
    roots = program.roots
    known = {roots.get(name, name): range_ for name, range_ in ranges.items()} | dict(program.fixed)
    scales = {name: float(grid_of(*range_).scale) for name, range_ in known.items()}
    first = dict(scales)
    largest = {name: tuple(float(np.abs(each).max(initial=0)) for each in pair) for name, pair in weights.items()}
    steps = [
        step for step in program.steps
        if step.kind != "function" and step.layer is not None
        and all(roots[name] in scales for name in (step.name, *step.inputs))
    ]  # fmt: skip
    for _ in steps:
        before = dict(scales)
        for step in steps:
            _widen(program, step, largest, scales)
        if scales == before:
            break
    changed = {name for name, scale in scales.items() if scale != first[name] and name not in program.fixed}
    return {
        name: _widened(range_, scales[root]) if (root := roots.get(name, name)) in changed else range_
        for name, range_ in ranges.items()
    }


def _widen(
    program: Program, step: Step, largest: Mapping[str, tuple[float, ...]], scales: dict[str, float]
) -> None:  # fmt: skip
    """Make the scale of a step's output, and those of the inputs of a sum of two, as large as they must be.

    `largest` has the largest weight and bias of the linear steps.
    """
    output, *inputs = (program.roots[name] for name in (step.name, *step.inputs))
    worth = scales[inputs[0]]
    if step.kind == "linear":
        weight, bias = largest[step.name]
        worth = max(worth * weight / HIGH, bias / LARGEST_BIAS)  # as in `grid.int_weights`
    elif step.kind == "product":
        worth *= (step.constant or 0) / HIGH if len(inputs) == 1 else scales[inputs[1]]
    elif step.kind == "sum":
        worth = max(scales[name] for name in inputs)
    scales[output] = max(scales[output], worth / LARGEST_FACTOR)
    if step.kind == "sum":
        for name in inputs:
            scales[name] = max(scales[name], scales[output] * SMALLEST_FACTOR)


def _widened(range_: Range, scale: float) -> Range:
    low, high = range_
    span = scale * (HIGH - LOW)
    if high <= low:
        return 0.0, span
    return low * span / (high - low), high * span / (high - low)
