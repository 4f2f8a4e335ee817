"""Weights cut out of a supernet: for a supernet over a smaller space, or for the stand-alone network of a genotype.

An architecture uses the first entries of every array, so both are prefix slices.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from nas.errors import InvalidInput
from nas.space.staged import StagedSpace
from nas.supernet.supernet import Params

TENSORS = ("weight", "scale", "bias")
Weights = dict[str, NDArray[np.float32]]


def inherited(fresh: Params, trained: Params) -> Params:
    """Return `fresh` with every array that `trained` has too replaced by a slice of it; the others stay as sampled."""
    return {
        name: jax.device_put(np.asarray(trained[name])[tuple(map(slice, value.shape))]) if name in trained else value
        for name, value in fresh.items()
    }


def network_weights(params: Params, space: StagedSpace, genotype: Sequence[int]) -> Weights:
    """Return the weights of the stand-alone network of `space.decode(genotype)`, keyed "<kernel>.<tensor>".

    `space` is the one the supernet was built over. Normalisation statistics are not part of them: a supernet has none.
    """
    return {name: np.asarray(params[layer])[index] for name, layer, index in _places(params, space, genotype)}


def embedded_weights(
    weights: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], space: StagedSpace, genotype: Sequence[int]
) -> Weights:
    """Return arrays of a supernet's `shapes` that hold the `weights` of a stand-alone network, and 0 elsewhere."""
    params = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    for name, layer, index in _places(shapes, space, genotype):
        params[layer][index] = weights[name]
    return params


def _places(
    params: Collection[str], space: StagedSpace, genotype: Sequence[int]
) -> Iterator[tuple[str, str, tuple[Any, ...]]]:
    """Yield each tensor of the stand-alone network, the supernet's array that holds it, and where in this array."""
    for kernel in space.decode(genotype).kernels:
        if not kernel.params:
            continue
        layer, position = _supernet_layer(kernel.name, len(space.stages))
        for tensor in TENSORS:
            # Depthwise weights lie by kernel size: each size has its own.
            depthwise = kernel.kind == "depthwise"
            name = f"{layer}.{kernel.kernel_size}.{tensor}" if depthwise else f"{layer}.{tensor}"
            if name not in params:
                if (layer, tensor) == ("head", "scale"):
                    continue  # the classifier has a bias and no normalisation
                raise InvalidInput(f"the supernet's weights lack '{name}'; they belong to another space")
            # The last axis of every tensor is output channels; weights that mix channels have the inputs before it.
            mixes_channels = tensor == "weight" and not depthwise
            sizes = (kernel.in_shape.channels,) * mixes_channels + (kernel.out_shape.channels,)
            block = () if position is None else (position,)
            yield f"{kernel.name}.{tensor}", name, (*block, ..., *(slice(n) for n in sizes))


def _supernet_layer(kernel: str, stages: int) -> tuple[str, int | None]:
    """Return the name in `Params` of the layer behind a kernel, and its position in a stack, None outside of stacks.

    Kernels are called "stage.op.layer" ("2.0.expand"), where stage 0 is the stem and the fused block and the last one
    the head's features, or "head.hidden" and "head.classifier".
    """
    op_name, _, layer = kernel.rpartition(".")
    if op_name == "head":
        return {"hidden": "head.hidden", "classifier": "head"}[layer], None
    s, i = (int(n) for n in op_name.split("."))
    if s == 0:
        return ("stem" if i == 0 else f"fused_{layer}"), None
    if s == stages + 1:
        return "head.features", None
    name = {"start_dw": "start.units", "middle_dw": "middle.units"}.get(layer, layer)
    block = "first" if i == 0 else "rest"
    return f"stages.{s - 1}.{block}.{name}", (None if i == 0 else i - 1)
