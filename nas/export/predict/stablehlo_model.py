"""A StableHLO program, with its metadata in NAME.json, for predict.py."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.export
import numpy as np


def open_model(path: Path) -> tuple[dict[str, str], Callable[[Any], Any]]:
    """Return the metadata of the model in `path`, and the function from its input to its logits."""
    program = jax.export.deserialize(bytearray(path.read_bytes()))
    return json.loads(path.with_name(f"{path.name}.json").read_text()), lambda images: np.asarray(program.call(images))
