"""Weights handed down: from a supernet to one over a smaller space, and to the stand-alone network of one architecture.

An architecture uses the first entries of every array, so both are prefix slices.
"""

from collections.abc import Sequence
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
    """Return `fresh` with every array that `trained` has too, cut to its size; the rest stays as drawn."""
    return {
        name: jax.device_put(np.asarray(trained[name])[tuple(map(slice, value.shape))]) if name in trained else value
        for name, value in fresh.items()
    }


def network_weights(params: Params, space: StagedSpace, genotype: Sequence[int]) -> Weights:
    """Return the weights of the stand-alone network of `space.decode(genotype)`, keyed "<kernel>.<tensor>".

    `space` is the one the supernet was built over. Normalisation statistics are not part of them: a supernet has none.
    """
    arch = space.decode(genotype)
    weights: Weights = {}
    for kernel in arch.kernels:
        if not kernel.params:
            continue
        source, at = _source(kernel.name, len(space.stages))
        for tensor in TENSORS:
            name = f"{source}.{kernel.kernel_size}.{tensor}" if kernel.kind == "depthwise" else f"{source}.{tensor}"
            if name not in params:
                if (source, tensor) == ("head", "scale"):
                    continue  # the classifier has a bias and no normalisation
                raise InvalidInput(f"the supernet's weights lack '{name}'; they belong to another space")
            array = np.asarray(params[name])[... if at is None else at]
            mixes = tensor == "weight" and kernel.kind != "depthwise"
            sizes = (kernel.in_shape.channels,) * mixes + (kernel.out_shape.channels,)
            cut: Any = (..., *(slice(n) for n in sizes))
            weights[f"{kernel.name}.{tensor}"] = array[cut]
    return weights


def _source(kernel: str, stages: int) -> tuple[str, int | None]:
    """Return the supernet's name for the unit behind the kernel "stage.op.layer", and its place in a stack."""
    place, _, layer = kernel.rpartition(".")
    if place == "head":
        return {"hidden": "head.hidden", "classifier": "head"}[layer], None
    s, i = (int(n) for n in place.split("."))
    if s == 0:
        return ("stem" if i == 0 else f"fused_{layer}"), None
    if s == stages + 1:
        return "head.features", None
    unit = {"start_dw": "start.units", "middle_dw": "middle.units"}.get(layer, layer)
    block = "first" if i == 0 else "rest"
    return f"stages.{s - 1}.{block}.{unit}", (None if i == 0 else i - 1)
