"""Weights of a network under timm's names, or EfficientNet-PyTorch's, turned into those of this package.

`timm_network` says which numbers of ours stand where in timm's tensors. Here it is asked with numbers that count the
elements of each tensor in place of weights: so one translation serves both ways, and what cannot be exported to timm
cannot be read from it either.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.export.timm.blocks import TimmNetwork, timm_network
from nas.nn.network import weight_shapes
from nas.ops import UIB, MobileMQA

Array = NDArray[Any]
GAMMA = ".gamma"  # of a layer scale of ours
STEM = "conv_stem.weight"
COUNTER = ".num_batches_tracked"  # of torch's normalisations; says nothing of the network
PREFIXES = ("module.", "model.", "net.", "backbone.")  # of all names, where a network was wrapped
CONSTANT = 1  # the number of what is 1 in every network: tensors of ours are numbered from the next on
LUKEMELAS = {  # EfficientNet-PyTorch (lukemelas), names outside the blocks -> timm's
    "_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier",
}  # fmt: skip
LUKEMELAS_PARTS = {  # within a block: name there -> (of a block that expands, of one that does not)
    "_expand_conv": ("conv_pw", None), "_bn0": ("bn1", None), "_depthwise_conv": ("conv_dw", "conv_dw"),
    "_bn1": ("bn2", "bn1"), "_project_conv": ("conv_pwl", "conv_pw"), "_bn2": ("bn3", "bn2"),
    "_se_reduce": ("se.conv_reduce", "se.conv_reduce"), "_se_expand": ("se.conv_expand", "se.conv_expand"),
}  # fmt: skip


@dataclass(frozen=True)
class Translated:
    """Weights by this package's names, what of the network was not in the file, and what of the file was not taken."""

    weights: dict[str, NDArray[np.float32]]
    missing: tuple[str, ...]  # timm's names
    unused: tuple[str, ...]
    notes: tuple[str, ...] = ()


def from_state_dict(arch: ArchSpec, tensors: Mapping[str, Array]) -> Translated:
    """Return the weights of `arch` that are in a state dict of timm or EfficientNet-PyTorch, as far as shapes fit.

    A classifier of another number of classes is missing then. Of a stem for colour images the channels are added up
    where the network takes grey ones. Raises `InvalidInput` where timm cannot build `arch`, where no tensor fits, or
    where a tensor that must be 1 in this network is not.
    """
    names, notes = weight_shapes(arch), []
    folded = _folded(arch, names)
    owners, places = _numbered(arch, names, folded)
    found = _timm_names(_without_prefix(tensors), owners.tensors)
    shapes = {name: values.shape for name, values in owners.tensors.items() if not name.endswith(COUNTER)}
    if _is_colour_stem(found.get(STEM)) and shapes.get(STEM, (0, 0))[1] == 1:
        found[STEM] = found[STEM].sum(axis=1, keepdims=True)
        notes.append("the weights of the stem for three colours are added up for one channel")
    fitting = [name for name, shape in shapes.items() if name in found and found[name].shape == shape]
    if not fitting:
        raise InvalidInput(
            f"none of its {len(tensors)} tensors fits the network {arch.name or arch.digest[:12]}, the first is "
            f"'{next(iter(tensors), '')}'; name the network that the weights are of"
        )
    flat = {number: np.full(int(np.prod(shape)), np.nan) for number, shape in enumerate(names.values(), CONSTANT + 1)}
    for name in fitting:
        _place(name, found[name], owners.tensors[name], places.tensors[name], flat)
    weights = {name: np.ones(names[name], np.float32) for name in folded}
    for number, (name, shape) in enumerate(names.items(), CONSTANT + 1):
        if name not in folded and np.isfinite(flat[number]).all():
            weights[name] = flat[number].astype(np.float32).reshape(shape)
    unused = tuple(name for name in found if name not in fitting and not name.endswith(COUNTER))
    return Translated(weights, tuple(name for name in shapes if name not in fitting), unused, tuple(notes))


def _numbered(arch: ArchSpec, names: Mapping[str, tuple[int, ...]], folded: set[str]) -> tuple[TimmNetwork, ...]:
    """Return timm's tensors filled with the number of our tensor at each place, and with the place in that tensor.

    Layer scales in `folded` are factors of timm's tensors: here they are 1.
    """
    numbers = {name: i for i, name in enumerate(names, start=CONSTANT + 1)}

    def owner(name: str, _: tuple[int, ...]) -> Array:
        return np.full(names[name], CONSTANT if name in folded else numbers[name], np.float32)

    def place(name: str, _: tuple[int, ...]) -> Array:
        count = int(np.prod(names[name], dtype=int))  # exact up to 2^24, more than any layer has
        return np.ones(names[name], np.float32) if name in folded else np.arange(count).reshape(names[name])

    return timm_network(arch, owner), timm_network(arch, place)


def _folded(arch: ArchSpec, names: Mapping[str, tuple[int, ...]]) -> set[str]:
    """Return the layer scales that timm has no tensor for."""
    settings = timm_network(arch, lambda name, _: np.ones(names[name], np.float32)).settings
    own = [position for position, op, _ in arch.iter_ops() if isinstance(op, UIB | MobileMQA)]
    kept = {f"{position}." for position in own} if "layer_scale_init_value" in settings else set()
    return {name for name in names if name.endswith(GAMMA) and not name.startswith(tuple(kept))}


def _place(name: str, values: Array, owners: Array, places: Array, flat: Mapping[int, Array]) -> None:
    """Put the values of timm's tensor `name` where they belong in ours, which are `flat`, by number."""
    numbers, where, given = owners.astype(int).ravel(), places.astype(int).ravel(), values.ravel()
    if (given[numbers == CONSTANT] != 1).any():
        raise InvalidInput(f"the tensor '{name}' must be 1 everywhere: the network has no layer scale there")
    for number in set(numbers.tolist()) - {CONSTANT}:
        rows = numbers == number
        flat[number][where[rows]] = given[rows]


def _is_colour_stem(values: Array | None) -> bool:
    return values is not None and values.ndim == 4 and values.shape[1] == 3


def _timm_names(tensors: Mapping[str, Array], theirs: Collection[str]) -> dict[str, Array]:
    """Return the tensors under timm's names, which `theirs` are; those of EfficientNet-PyTorch are turned into them."""
    if "_conv_stem.weight" not in tensors:
        return dict(tensors)
    places = list(dict.fromkeys(match[0] for name in theirs if (match := re.match(r"blocks\.\d+\.\d+\.", name))))
    found = {}
    for name, values in tensors.items():
        match = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
        module, _, end = name.rpartition(".")
        new = f"{LUKEMELAS[module]}.{end}" if module in LUKEMELAS else name
        if match and int(match[1]) < len(places) and match[2] in LUKEMELAS_PARTS:
            place = places[int(match[1])]
            part = LUKEMELAS_PARTS[match[2]][f"{place}conv_pwl.weight" not in theirs]
            new = f"{place}{part}.{match[3]}" if part else name
        found[new] = values
    return found


def _without_prefix(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Return the tensors without a prefix that all names share."""
    found = dict(tensors)
    for prefix in PREFIXES:
        if found and all(name.startswith(prefix) for name in found):
            found = {name.removeprefix(prefix): value for name, value in found.items()}
    return found
