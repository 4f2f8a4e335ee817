"""Images whose brightness and slope are to be predicted: as numbers in their own units, or as labels."""

from pathlib import Path
from typing import Any

import numpy as np

NAMES = ("brightness", "slope")
MEAN, STD = (200.0, -3.0), (40.0, 0.5)  # of the numbers


def target_arrays(count: int = 160, side: int = 8, labels: bool = False) -> dict[str, Any]:
    """Return arrays of an .npz file: grey images, a fifth of them for the test, and their targets [N, 2]."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(count, 2))
    ramp = np.linspace(-1, 1, side)[None, None]
    x = 128 + 30 * hidden[:, :1, None] + 40 * hidden[:, 1:, None] * ramp + rng.normal(0, 3, (count, side, side))
    y = (hidden > 0).astype(np.int64) if labels else (hidden * STD + MEAN).astype(np.float32)
    held_out, x = count // 5, np.clip(x, 0, 255).astype(np.uint8)
    return {
        "x_train": x[held_out:], "y_train": y[held_out:], "x_test": x[:held_out], "y_test": y[:held_out],
        "target_names": np.array(NAMES),
    }  # fmt: skip


def save_target_data(path: Path, **kwargs: Any) -> Path:
    """Write such a file and return its path."""
    np.savez(path, **target_arrays(**kwargs))
    return path
