"""The fake-quantised forward pass of a network: the one definition of int8, for training, for search and for files.

Each step takes int8 numbers as whole numbers in float32, whose products and sums are exact, and rounds its result to
the grid of its output, as integer kernels do (Jacob et al., arXiv 1712.05877, section 2.2). Which layers are in int8
are numbers too, so that one compilation serves all choices of layers.
"""

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.ops.graph import Tensors
from nas.quantisation.grid import Grid, Range, fake_quantised, grid_of, int_weights, to_whole
from nas.quantisation.program import INPUT, Folded, Program, Scheme, activated, folded, program_of

BATCH = 64  # images at once
Ranges = Mapping[str, Range]
NO_RANGES: Ranges = {}


class LayerNumbers(NamedTuple):
    """What a weighted step computes with: whole numbers and their scales, or of a layer in floats its weights."""

    weight: Any
    bias: Any
    input_scale: Any
    scale: Any  # of the sums of products, [out]
    on: Any  # whether in int8: a bool, or an array of one


class TensorNumbers(NamedTuple):
    """The grid of a tensor, and whether it is rounded to it."""

    grid: Grid
    on: Any


class Numbers(NamedTuple):
    """All numbers of a network in int8 or in part: of its weighted steps and of its tensors by root."""

    layers: dict[str, LayerNumbers]
    tensors: dict[str, TensorNumbers]


def numbers_of(program: Program, weights: Folded, ranges: Ranges, floats: Collection[str] = ()) -> Numbers:
    """Return what a forward pass computes with: `weights` as from `folded`, `ranges` of the tensors by name.

    The layers `floats` stay in floats. In double precision, rounded to float32 as a file holds it; arrays of jax, which
    may be traced, stay float32.
    """
    kept = frozenset(floats)
    in_int8 = program.in_int8(kept)
    grids = {name: grid_of(*(program.fixed.get(name) or ranges[name])) for name in in_int8}
    tensors = {
        name: TensorNumbers(grids[name], True) if name in in_int8 else TensorNumbers(Grid(1.0, 0.0), False)
        for name in dict.fromkeys(program.roots.values())
    }
    layers = {}
    for step in program.steps:
        if not step.weighted:
            continue
        weight, bias = weights[step.name]
        if step.layer is None or step.layer in kept:
            layers[step.name] = LayerNumbers(weight, bias, 1.0, np.ones(weight.shape[-1]), False)
            continue
        scale = grids[program.roots[step.inputs[0]]].scale
        ints = int_weights(weight, bias, scale, per_channel=step.per_channel)
        of_sums = ints.scale + jnp.zeros_like(bias) if isinstance(weight, Array) else ints.scale + np.zeros(len(bias))
        layers[step.name] = LayerNumbers(ints.weight, ints.bias, scale, of_sums, True)
    return Numbers(layers, tensors)


Seen = dict[str, tuple[Array, Array]]  # root of a tensor -> its smallest and largest value before it was rounded


def run(program: Program, numbers: Numbers, images: Array, *, keep: bool = False, seen: Seen | None = None) -> Any:
    """Return the logits [N, outputs] for normalised images [N, H, W, C]; with `keep` all tensors by name instead.

    The extremes of all tensors, 0 among them, are added to `seen`.
    """
    images = images.astype(jnp.float32)
    _see(program, seen, INPUT, images)
    values = {INPUT: _on_grid(program, numbers, INPUT, images)}
    for step in program.steps:
        inputs = [values[name] for name in step.inputs]
        if step.weighted:
            y = activated(_linear(step.run, numbers.layers[step.name], inputs[0]), step.act)
        else:
            y = step.run(*inputs)
        if step.rounds:
            _see(program, seen, step.name, y)
        values[step.name] = _on_grid(program, numbers, step.name, y) if step.rounds else y
    return values if keep else values[program.output].reshape(len(images), -1)


def _see(program: Program, seen: Seen | None, name: str, y: Array) -> None:
    """Add the extremes of a tensor to those of its root."""
    if seen is not None:
        low, high = seen.get(program.roots[name], (jnp.float32(0), jnp.float32(0)))
        seen[program.roots[name]] = jnp.minimum(low, y.min()), jnp.maximum(high, y.max())


def _on_grid(program: Program, numbers: Numbers, name: str, y: Array) -> Array:
    """Return a tensor on its grid, where it has one."""
    tensor = numbers.tensors[program.roots[name]]
    return _chosen(tensor.on, lambda: fake_quantised(y, tensor.grid), lambda: y)


def _linear(linear: Any, layer: LayerNumbers, x: Array) -> Array:
    """Return the linear map of a layer: sums of products of whole numbers, times their scale."""
    steps = _chosen(layer.on, lambda: to_whole(x / layer.input_scale), lambda: x)
    return (linear(steps, layer.weight) + layer.bias) * layer.scale


def _chosen(on: Any, then: Any, otherwise: Any) -> Array:
    """Return one of two arrays, chosen by a bool at once and by an array where the program runs."""
    if isinstance(on, bool):
        return then() if on else otherwise()
    found: Array = jnp.where(on, then(), otherwise())
    return found


def composed(program: Program, in_int8: Numbers, in_floats: Numbers, floats: Collection[str]) -> Numbers:
    """Return the numbers of a network whose layers `floats` stay in floats, from those of all in int8 and of none."""
    kept = frozenset(floats)
    roots = program.in_int8(kept)
    layer_of = {step.name: step.layer for step in program.steps}
    layers = {
        name: in_floats.layers[name] if layer_of[name] in kept else layer for name, layer in in_int8.layers.items()
    }
    tensors = {name: tensor if name in roots else in_floats.tensors[name] for name, tensor in in_int8.tensors.items()}
    return Numbers(layers, tensors)


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
