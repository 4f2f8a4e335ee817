"""Weights cut out of a supernet: for a supernet over a smaller space, or for the stand-alone network of a genotype.

An architecture uses the first entries along every axis of an array, so both are prefix slices.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import jax
import numpy as np
from jax import Array
from numpy.typing import NDArray

from nas.errors import InvalidInput
from nas.nn.layers import EVONORMS
from nas.ops import Op, family_of
from nas.space.staged import StagedSpace
from nas.supernet.blocks.base import Index, SearchableOp, layer_name
from nas.supernet.blocks.conv import UNITS
from nas.supernet.stage_forms import member_path
from nas.supernet.supernet import HEAD, Params, block_path, parameter_name, parameter_path

OF_PLAIN_ACTS = ("weight", "scale", "bias", "gamma", "shift")
TENSORS = (*OF_PLAIN_ACTS, "v")  # v: slopes of EvoNorm
Weights = dict[str, NDArray[np.float32]]


def inherited(fresh: Params, trained: Params) -> Params:
    """Return `fresh` with the first entries of every array that `trained` has too, as many as both have."""
    sources = {name: _counterpart(name, fresh, trained) for name in fresh}
    return {
        name: value if (source := sources[name]) is None else _overlaid(value, trained[source])
        for name, value in fresh.items()
    }


def _counterpart(name: str, fresh: Params, trained: Params) -> str | None:
    """Return the array of `trained` for that of `fresh`, None where there is none.

    One has the same name, but where one supernet has one kernel size of a convolution and the other has several.
    """
    if name in trained:
        return name
    *layer, tensor = parameter_path(name)
    if layer[-2:-1] == [UNITS]:
        size, layer = layer[-1], layer[:-2]
        weight = trained.get(parameter_name((*layer, "weight")))
    else:
        weight = fresh.get(parameter_name((*layer, "weight")))
        size = None if weight is None else _window(weight)
        layer = [*layer, UNITS, size]
    found = parameter_name((*layer, tensor))
    return found if found in trained and weight is not None and _window(weight) == size else None


def _window(weight: Any) -> int:
    """Return the kernel size of the weight of a convolution that is not depthwise, [..., k, k, in, out] or 1x1."""
    return int(weight.shape[-3]) if weight.ndim > 3 else 1


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
    return {
        name: _of_block(np.asarray(params[layer]), position)[index]
        for name, layer, position, index in places_of(params, space, genotype)
    }


def embedded_weights(
    weights: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], space: StagedSpace, genotype: Sequence[int]
) -> Weights:
    """Return arrays of a supernet's `shapes` that hold the `weights` of a stand-alone network, and 0 elsewhere."""
    params = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    for name, layer, position, index in places_of(shapes, space, genotype):
        _of_block(params[layer], position)[index] = weights[name]
    return params


def _of_block(array: NDArray[np.float32], position: int | None) -> NDArray[np.float32]:
    """Return a view of the entries of one block in the array of a stack, or of an array that is no stack's."""
    return array if position is None else array[position]


def places_of(
    params: Collection[str], space: StagedSpace, genotype: Sequence[int]
) -> Iterator[tuple[str, str, int | None, Index]]:
    """Yield each tensor of the stand-alone network, the supernet's array of it, the place in its stack, and in that."""
    layers = dict(_layers(space, genotype))
    taken = dict[tuple[str, str], int]()  # op and layer -> output channels of its kernels so far
    for kernel in space.decode(genotype).kernels:
        if not kernel.params:
            continue
        op_name = _op_name(kernel.name)
        op, family, path, position = layers[op_name]
        shared = op_name, layer_name(kernel)
        first = taken.get(shared, 0)
        taken[shared] = first + kernel.out_shape.channels
        layer = family.layer_of(kernel)
        inside = (*path, *(layer.split(".") if layer else ()))
        for tensor in TENSORS if getattr(op, "act", None) in EVONORMS else OF_PLAIN_ACTS:
            array = parameter_name((*inside, tensor))
            if array not in params:  # a layer of several kernel sizes has an array for each
                array = parameter_name((*inside, UNITS, str(kernel.kernel_size), tensor))
            if array in params:
                yield f"{kernel.name}.{tensor}", array, position, family.slice_of(op, kernel, tensor, first)
            elif tensor == "weight" and kernel.kind != "elementwise":  # the others a layer may be without
                lacking = parameter_name((*inside, tensor))
                raise InvalidInput(f"the supernet's weights lack '{lacking}'; they belong to another space")


def _op_name(kernel_name: str) -> str:
    """Return the name of the op of a kernel: number of its stage and position there, or the head's."""
    keys = kernel_name.split(".")
    return HEAD if keys[0] == HEAD else ".".join(keys[:2])


class _HeadLayers(SearchableOp):
    """The layers of the head behind its tail."""

    LAYERS: ClassVar = {"classifier": ""}


def _layers(
    space: StagedSpace, genotype: Sequence[int]
) -> Iterator[tuple[str, tuple[Op, type[SearchableOp], tuple[str, ...], int | None]]]:
    """Yield the position of each op in the network, the op, its searchable form, the path of that, and its place."""
    count = dict[int, int]()
    for block in space.active_blocks(genotype):
        path, position = block_path(space, block)
        choices, stage = block.position.block, space.arch_stages[block.stage]
        members = [(g, m) for g, group in enumerate(choices.groups) for m in range(len(group))]
        for (g, m), op in zip(members, space.slots_of(genotype, block), strict=True):
            if op is not None:
                number = count[stage] = count.get(stage, -1) + 1
                inside = member_path(choices.is_single, g, m)
                yield f"{stage}.{number}", (op, family_of(op).load_searchable(), (*path, *inside), position)
    yield HEAD, (space.scaled_head, _HeadLayers, (HEAD,), None)
