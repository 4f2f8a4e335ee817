"""The fake-quantised forward pass of a network: the one definition of int8, for training, for search and for files.

Each step takes int8 numbers as whole numbers in float32, whose products and sums are exact, and rounds its result to
the grid of its output (Jacob et al., arXiv 1712.05877, section 2.2) as `nas.quantisation.kernels` says. Which layers
are in int8 are numbers too, so that one compilation serves all choices of layers.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.ops.graph import Tensors
from nas.quantisation.grid import HIGH, LOW, Grid, Range, grid_of, int_weights, rounded, to_whole
from nas.quantisation.kernels import factor_of, sum_of_two
from nas.quantisation.limits import usable_ranges
from nas.quantisation.program import INPUT, Folded, Program, Scheme, Step, folded, program_of

BATCH = 64  # images at once
Ranges = Mapping[str, Range]
NO_RANGES: Ranges = {}


class StepNumbers(NamedTuple):
    """What a step computes with; `weight` and `bias` of a linear one alone, whole numbers where it is in int8."""

    on: Any  # whether in int8: a bool, or an array of one
    inputs: tuple[Any, ...]  # what a step of each input is worth; 1 in floats
    factors: tuple[Any, ...]  # what one of its sum is worth in steps of the output, or in floats: of a sum of two, two
    constant: Any = None  # its second input
    weight: Any = None
    bias: Any = None
    weight_scale: Any = None


class TensorNumbers(NamedTuple):
    """The grid of a tensor, and whether it is rounded to it."""

    grid: Grid
    on: Any


class Numbers(NamedTuple):
    """All numbers of a network in int8 or in part: of its steps that are no functions, and of its tensors by root."""

    steps: dict[str, StepNumbers]
    tensors: dict[str, TensorNumbers]


def numbers_of(program: Program, weights: Folded, ranges: Ranges, floats: Collection[str] = ()) -> Numbers:
    """Return what a forward pass computes with: `weights` as from `folded`, `ranges` of the tensors by name.

    The layers `floats` stay in floats. In double precision, rounded to float32 as a file holds it; arrays of jax, which
    may be traced, stay float32, and their ranges as they are: others are made `usable_ranges`.
    """
    kept = frozenset(floats)
    in_int8 = program.in_int8(kept)
    if in_int8 and not any(isinstance(each, Array) for pair in weights.values() for each in pair):
        ranges = usable_ranges(program, weights, ranges)
    grids = {name: grid_of(*(program.fixed.get(name) or ranges[name])) for name in in_int8}
    tensors = {
        name: TensorNumbers(grids[name], True) if name in in_int8 else TensorNumbers(Grid(1.0, 0.0), False)
        for name in dict.fromkeys(program.roots.values())
    }
    steps = {}
    for step in program.steps:
        if step.kind == "function":
            continue
        numbers = weights[step.name] if step.kind == "linear" else (None, None)
        if step.layer is None or step.layer in kept:
            steps[step.name] = _in_floats(program, step, numbers)
        else:
            scales = [tensors[program.roots[name]].grid.scale for name in (step.name, *step.inputs)]
            steps[step.name] = _in_int8(program, step, scales, numbers)
    return Numbers(steps, tensors)


def _in_floats(program: Program, step: Step, numbers: tuple[Any, Any]) -> StepNumbers:
    """Return what a step in floats computes with."""
    weight, bias = numbers
    inputs = (1.0,) * len(step.inputs)
    if step.kind == "linear":
        ones = np.ones(weight.shape[-1], np.float32)
        return StepNumbers(False, inputs, (ones,), None, weight, bias, ones)
    factor = 1 / program.averaged(step) if step.kind == "mean" else 1.0
    return StepNumbers(False, inputs, (factor, factor) if step.kind == "sum" else (factor,), step.constant)


def _in_int8(program: Program, step: Step, scales: Sequence[Any], numbers: tuple[Any, Any]) -> StepNumbers:
    """Return what a step in int8 with these scales of output and inputs computes with; a constant is `HIGH` steps."""
    output, *inputs = scales
    if step.kind == "linear":
        weight, bias = numbers
        ints = int_weights(weight, bias, inputs[0], per_channel=step.per_channel)
        each = ints.weight_scale + (jnp.zeros_like(bias) if isinstance(weight, Array) else np.zeros(len(bias)))
        factor = factor_of(inputs[0], output, each)
        return StepNumbers(True, tuple(inputs), (factor,), None, ints.weight, ints.bias, each)
    constant = None if step.constant is None else float(HIGH)
    worth = inputs if step.constant is None else [*inputs, step.constant / HIGH]
    if step.kind == "mean":
        factors = (factor_of(worth[0], output) / np.float32(program.averaged(step)),)
    elif step.kind == "product":
        factors = (factor_of(worth[0], output, worth[1]),)
    else:
        factors = tuple(factor_of(one, output) for one in worth)
    return StepNumbers(True, tuple(inputs), factors, constant)


Seen = dict[str, tuple[Array, Array]]  # root of a tensor -> its smallest and largest value before it was rounded


def run(program: Program, numbers: Numbers, images: Array, *, keep: bool = False, seen: Seen | None = None) -> Any:
    """Return the logits [N, outputs] for normalised images [N, H, W, C]; with `keep` all tensors by name instead.

    The extremes of all tensors, 0 among them, are added to `seen`.
    """
    images = images.astype(jnp.float32)
    _see(program, seen, INPUT, images)
    first = numbers.tensors[program.roots[INPUT]]
    values = {INPUT: _on_grid(first, images / first.grid.scale)}
    for step in program.steps:
        inputs = [values[name] for name in step.inputs]
        if step.kind == "function" and not step.rounds:
            values[step.name] = step.run(*inputs)
            continue
        tensor = numbers.tensors[program.roots[step.name]]
        y = _in_steps(program, step, numbers.steps.get(step.name), inputs, tensor.grid.scale)
        if step.rounds:
            _see(program, seen, step.name, y * tensor.grid.scale)
        values[step.name] = _on_grid(tensor, y)
    return values if keep else values[program.output].reshape(len(images), -1)


def _see(program: Program, seen: Seen | None, name: str, y: Array) -> None:
    """Add the extremes of a tensor to those of its root."""
    if seen is not None:
        low, high = seen.get(program.roots[name], (jnp.float32(0), jnp.float32(0)))
        seen[program.roots[name]] = jnp.minimum(low, y.min()), jnp.maximum(high, y.max())


def _on_grid(tensor: TensorNumbers, y: Array) -> Array:
    """Return a tensor from its values in steps, rounded where it has a grid; without one a step is 1."""
    low, high = (end - tensor.grid.zero for end in (LOW, HIGH))
    return _chosen(tensor.on, lambda: rounded(y, low, high), lambda: y) * tensor.grid.scale


def _in_steps(
    program: Program, step: Step, own: StepNumbers | None, inputs: Sequence[Array], output_scale: Any
) -> Array:  # fmt: skip
    """Return what a step computes in steps of its output, before it is rounded."""
    if own is None:
        found: Array = step.run(*inputs) / output_scale
        return found
    whole = [
        _chosen(own.on, partial(_to_steps, x, scale), lambda x=x: x)
        for x, scale in zip(inputs, own.inputs, strict=True)
    ]
    if own.constant is not None:
        whole.append(own.constant)
    if step.kind == "linear":
        y = (step.run(whole[0], own.weight) + own.bias) * own.factors[0]
    elif step.kind == "sum":
        y = _sum(own, *whole, fixed_point=program.scheme == "integers")
    else:
        y = step.run(*whole) * own.factors[0]
    y = _chosen(own.on, lambda: y, lambda: y / output_scale)
    if step.act == "none":
        return y
    return jax.nn.relu(y) if step.act == "relu" else jnp.minimum(jnp.maximum(y, 0), 6 / output_scale)


def _to_steps(x: Array, scale: Any) -> Array:
    return to_whole(x / scale)


def _sum(own: StepNumbers, x: Array, y: Any, *, fixed_point: bool) -> Array:
    """Return a sum of two in steps of its output."""
    x_factor, y_factor = own.factors
    real = x * x_factor + y * y_factor
    if not fixed_point:
        return real
    return _chosen(own.on, lambda: sum_of_two(x, jnp.asarray(y), x_factor, y_factor), lambda: real)


def _chosen(on: Any, then: Any, otherwise: Any) -> Array:
    """Return one of two arrays, chosen by a bool at once and by an array where the program runs."""
    if isinstance(on, bool):
        found: Array = then() if on else otherwise()
        return found
    return jnp.where(on, then(), otherwise())


def composed(program: Program, in_int8: Numbers, in_floats: Numbers, floats: Collection[str]) -> Numbers:
    """Return the numbers of a network whose layers `floats` stay in floats, from those of all in int8 and of none."""
    kept = frozenset(floats)
    roots = program.in_int8(kept)
    layer_of = {step.name: step.layer for step in program.steps}
    steps = {name: in_floats.steps[name] if layer_of[name] in kept else one for name, one in in_int8.steps.items()}
    tensors = {name: tensor if name in roots else in_floats.tensors[name] for name, tensor in in_int8.tensors.items()}
    return Numbers(steps, tensors)


def on_device(numbers: Numbers) -> Numbers:
    """Return the numbers as float32 arrays of the device, so that one compilation serves all."""
    return jax.tree.map(lambda x: jax.device_put(np.asarray(x, bool if isinstance(x, bool) else np.float32)), numbers)


@partial(jax.jit, static_argnames=("arch", "scheme"))
def _logits(arch: ArchSpec, scheme: Scheme, numbers: Numbers, images: Array) -> Array:
    found: Array = run(program_of(arch, scheme), numbers, images)
    return found


@partial(jax.jit, static_argnames=("arch", "scheme"))
def _tensors(arch: ArchSpec, scheme: Scheme, numbers: Numbers, images: Array) -> dict[str, Array]:
    program = program_of(arch, scheme)
    values = run(program, numbers, images, keep=True)
    return {name: values[name] for name in program.observed}


def outputs_of(
    arch: ArchSpec, numbers: Numbers, images: NDArray[np.float32], scheme: Scheme = "integers"
) -> NDArray[np.float32]:
    """Return the logits [N, outputs] for normalised images [N, H, W, C]; `numbers` as from `on_device`."""
    size = min(BATCH, len(images))
    found = []
    for start in range(0, len(images), size):
        batch = images[start : start + size]
        padded = np.pad(batch, [(0, size - len(batch)), (0, 0), (0, 0), (0, 0)])
        found.append(np.asarray(_logits(arch, scheme, numbers, jnp.asarray(padded)))[: len(batch)])
    return np.concatenate(found)


def fake_quantised_outputs(
    arch: ArchSpec, tensors: Tensors, ranges: Ranges, images: NDArray[np.float32], floats: Collection[str] = (),
    scheme: Scheme = "integers",
) -> NDArray[np.float32]:  # fmt: skip
    """Return the logits [N, outputs] that an int8 file with these ranges gives for normalised images [N, H, W, C].

    The layers `floats` are kept in float32. `tensors` returns weights and statistics by name and shape.
    """
    program = program_of(arch, scheme)
    return outputs_of(arch, on_device(numbers_of(program, folded(arch, tensors), ranges, floats)), images, scheme)


def output_step(arch: ArchSpec, ranges: Ranges, scheme: Scheme = "integers") -> float:
    """Return what a step of the int8 outputs of a network is worth."""
    program = program_of(arch, scheme)
    return float(grid_of(*ranges[program.roots[program.output]]).scale)


def float_tensors_of(
    arch: ArchSpec, numbers: Numbers, batch: NDArray[np.float32], scheme: Scheme = "integers"
) -> dict[str, NDArray[np.float32]]:
    """Return all calibrated tensors for normalised images [N, H, W, C] by name; `numbers` as from `on_device`."""
    return {name: np.asarray(value) for name, value in _tensors(arch, scheme, numbers, jnp.asarray(batch)).items()}
