"""Weights cut out of a supernet: for a supernet over a smaller space, or for the stand-alone network of a genotype.

An architecture uses the first entries of every array, so both are prefix slices.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import jax
import numpy as np
from jax import Array
from numpy.typing import NDArray

from nas.errors import InvalidInput
from nas.ops import family_of
from nas.space.staged import StagedSpace
from nas.supernet.blocks.base import SearchableOp
from nas.supernet.stage_forms import member_path
from nas.supernet.supernet import HEAD, Params, block_path, parameter_name

TENSORS = ("weight", "scale", "bias")
Weights = dict[str, NDArray[np.float32]]


def inherited(fresh: Params, trained: Params) -> Params:
    """Return `fresh` with the first entries of every array that `trained` has too, as many as both have."""
    return {name: _overlaid(value, trained[name]) if name in trained else value for name, value in fresh.items()}


def _overlaid(value: Array, other: Array) -> Array:
    """Return `value` with the first entries of `other` along each axis, as many as both have, in place of its own."""
    common = tuple(slice(min(sizes)) for sizes in zip(value.shape, other.shape, strict=True))
    taken = np.asarray(other)[common]
    if taken.shape != value.shape:
        whole = np.array(value)
        whole[common] = taken
        taken = whole
    return jax.device_put(taken)


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
    layers = dict(_layers(space, genotype))
    for kernel in space.decode(genotype).kernels:
        if not kernel.params:
            continue
        op_name = kernel.name.rpartition(".")[0]
        family, path, position = layers[op_name]
        layer = family.layer_of(kernel)
        inside = tuple(layer.split(".")) if layer else ()
        for tensor in TENSORS:
            array = parameter_name((*path, *inside, tensor))
            if array in params:
                block = () if position is None else (position,)
                yield f"{kernel.name}.{tensor}", array, (*block, *family.slice_of(kernel, tensor))
            elif tensor == "weight":  # the others a layer may be without
                raise InvalidInput(f"the supernet's weights lack '{array}'; they belong to another space")


class _HeadLayers(SearchableOp):
    """The layers of the head behind its tail."""

    LAYERS: ClassVar = {"classifier": ""}


def _layers(
    space: StagedSpace, genotype: Sequence[int]
) -> Iterator[tuple[str, tuple[type[SearchableOp], tuple[str, ...], int | None]]]:
    """Yield the position of each op in the network, its family's searchable form, the path of that, and its place."""
    count = dict[int, int]()
    for block in space.active_blocks(genotype):
        path, position = block_path(space, block)
        choices, stage = block.position.block, space.arch_stages[block.stage]
        members = [(g, m) for g, group in enumerate(choices.groups) for m in range(len(group))]
        for (g, m), op in zip(members, space.slots_of(genotype, block), strict=True):
            if op is not None:
                number = count[stage] = count.get(stage, -1) + 1
                inside = member_path(choices.is_single, g, m)
                yield f"{stage}.{number}", (family_of(op).load_searchable(), (*path, *inside), position)
    yield HEAD, (_HeadLayers, (HEAD,), None)
