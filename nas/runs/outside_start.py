"""The supernet of a search that starts from outside weights: `nas search --weights`."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nas.arch import ArchSpec, load_arch
from nas.errors import InvalidInput
from nas.export.weight_files import read_weights
from nas.files import read_bytes
from nas.records.networks import arch_of, is_training
from nas.space.staged import StagedSpace
from nas.supernet.outside import OutsideStart, as_params, started_from
from nas.supernet.supernet import Params

SIGN = "="  # NETWORK=FILE


def outside_source(text: str) -> tuple[ArchSpec, Path]:
    """Return the network and the file that `text` names: a training, or NETWORK=FILE of weights."""
    network, sign, file = text.partition(SIGN)
    if sign and file:
        path = Path(file)
        if not path.is_file():
            raise InvalidInput(f"there is no file of weights {file}")
        return arch_of(network), path
    if not is_training(text):
        raise InvalidInput(f"weights to start from are those of a training, or NETWORK{SIGN}FILE, got '{text}'")
    return load_arch(Path(text) / "arch.json"), Path(text) / "weights.safetensors"


def outside_digest(text: str) -> str:
    """Return the SHA-256 of the file of weights, and of what it is of."""
    arch, path = outside_source(text)
    return hashlib.sha256(arch.digest.encode() + read_bytes(path)).hexdigest()


def outside_start(text: str, space: StagedSpace, fresh: Params | dict[str, Any]) -> OutsideStart:
    """Return the arrays `fresh` of a supernet over `space` with the weights that `text` names laid over them."""
    arch, path = outside_source(text)
    return started_from(fresh, space, arch, read_weights(path, arch)[0])


def start_params(text: str | None, space: StagedSpace, fresh: Params) -> Params:
    """Return the arrays that a supernet starts from: `fresh` ones where no outside weights are named."""
    return fresh if text is None else as_params(outside_start(text, space, fresh))


def absolute_source(text: str | None) -> str | None:
    """Return `text` with the path in it as an absolute one, as settings keep it."""
    if text is None:
        return None
    network, sign, file = text.partition(SIGN)
    return f"{network}{sign}{Path(file).absolute()}" if sign else str(Path(text).absolute())


def outside_lines(text: str | None, space: StagedSpace, shapes: Callable[[], dict[str, tuple[int, ...]]]) -> list[str]:
    """Return lines on what a supernet over `space`, with arrays of these `shapes`, takes of outside weights."""
    if text is None:
        return []
    empty = {name: np.zeros(shape, np.float32) for name, shape in shapes().items()}
    return list(outside_start(text, space, empty).lines(text))
