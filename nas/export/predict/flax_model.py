"""The Flax model in model.py for predict.py."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx


def open_model(path: Path) -> tuple[dict[str, str], Callable[[Any], Any]]:
    """Return the metadata of the model with the weights in `path`, and the function from its input to its logits."""
    sys.path.insert(0, str(path.parent))
    source = import_module("model")
    model, run = source.load(path), nnx.jit(lambda network, x: network(x))
    return source.PROVENANCE, lambda images: np.asarray(run(model, images))
