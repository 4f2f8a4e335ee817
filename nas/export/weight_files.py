"""Weights of a network from any file that holds some: this package's, a state dict of timm's or EfficientNet-PyTorch's.

Files are safetensors, or what `torch.save` wrote, which is read without torch (nas.nn.torch_file). A training can start
from the weights of another network: what has the same name and shape is taken, the rest begins at random.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.export.provenance import folder_provenance
from nas.export.timm.state_dict import Translated, from_state_dict
from nas.export.weights import FILE
from nas.files import read_bytes
from nas.nn.network import get_weights, load_weights, random_network, weight_shapes
from nas.nn.torch_file import is_torch_file, read_torch_file
from nas.nn.weight_file import read_tensors

SHOWN = 3  # names of tensors in a line


@dataclass(frozen=True)
class StartWeights:
    """The weights [all tensors by name] that a training starts from, and lines that say where they come from."""

    weights: dict[str, NDArray[np.float32]]
    lines: tuple[str, ...]
    random: tuple[str, ...] = ()  # names of those that are none of the file's


def read_weights(source: Path, arch: ArchSpec) -> tuple[dict[str, NDArray[np.float32]], dict[str, str]]:
    """Return all weights of `arch` in a file or the folder of a training, with their provenance.

    `InvalidInput` where the file holds other weights, or lacks some.
    """
    path = _file_of(source)
    if _is_own(path):
        weights, origin = load_weights(path, arch)
    else:
        found = _translated(path, arch)
        if found.missing:
            raise InvalidInput(
                f"{path} lacks {_named(found.missing)} of the network {arch.name or arch.digest[:12]}; to train on "
                "from such weights: nas train --weights"
            )
        weights, origin = found.weights, "translated from a state dict of PyTorch"
    trained = folder_provenance(path.parent) if (path.parent / "train.json").is_file() else {}
    return weights, trained | {"arch": arch.digest, "origin": origin, "file": path.name}


def start_weights(source: Path, arch: ArchSpec, seed: int) -> StartWeights:
    """Return weights for a training of `arch` to start from: those that fit of a file or of a training's folder.

    What is not there, as the classifier of other classes, is that of the random initialisation of `seed`. Raises
    `InvalidInput` where nothing fits.
    """
    path = _file_of(source)
    found = _by_name(path, arch) if _is_own(path) else _translated(path, arch)
    start: dict[str, Any] = dict(found.weights)
    total = len(weight_shapes(arch))
    if len(start) < total:
        start = get_weights(random_network(arch, seed)) | start
    lines = [f"weights of {source}: {len(found.weights)} of {total} tensors taken", *found.notes]
    if found.missing:
        lines.append(f"begin at random: {_named(found.missing)}")
    if found.unused:
        lines.append(f"not used: {_named(found.unused)} of the file")
    whole = {name: np.asarray(start[name], np.float32) for name in weight_shapes(arch)}
    return StartWeights(whole, tuple(lines), tuple(name for name in whole if name not in found.weights))


def _file_of(source: Path) -> Path:
    """Return the file of weights that `source` names: itself, or that in the folder of a training."""
    return source / FILE if source.is_dir() else source


def _is_own(path: Path) -> bool:
    """Return whether a file is one of this package, by the name of the spec in it."""
    return not is_torch_file(read_bytes(path)) and "arch" in read_tensors(path)[1]


def _translated(path: Path, arch: ArchSpec) -> Translated:
    """Return the weights in a state dict of PyTorch."""
    tensors = read_torch_file(path) if is_torch_file(read_bytes(path)) else read_tensors(path)[0]
    try:
        return from_state_dict(arch, tensors)
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error}") from error


def _by_name(path: Path, arch: ArchSpec) -> Translated:
    """Return the weights of a file of this package that have a name and a shape of `arch`."""
    tensors, shapes = read_tensors(path)[0], weight_shapes(arch)
    fitting = {name: value for name, value in tensors.items() if shapes.get(name) == value.shape}
    if not fitting:
        raise InvalidInput(f"{path} holds no weights that fit the network {arch.name or arch.digest[:12]}")
    missing = tuple(name for name in shapes if name not in fitting)
    return Translated(fitting, missing, tuple(name for name in tensors if name not in fitting))


def _named(names: tuple[str, ...]) -> str:
    """Return names for a line: "classifier.weight, classifier.bias", or the first ones and how many more."""
    more = f" and {len(names) - SHOWN:,} more tensors" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
