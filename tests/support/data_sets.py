"""Small data sets for tests: arrays, .npz files, and what they load as."""

from pathlib import Path
from typing import Any

import numpy as np

from nas.data import Dataset, Labelled, build_dataset


def arrays(per_class: int = 4, classes: int = 3, side: int = 6, channels: int = 1) -> dict[str, Any]:
    """Return the four arrays of a small data set with random pixels."""
    rng = np.random.default_rng(0)
    y = np.tile(np.arange(classes), per_class)
    x = rng.integers(0, 256, (len(y), side, side, channels), dtype=np.uint8)
    return {"x_train": x, "y_train": y, "x_test": x[:classes], "y_test": y[:classes]}


def save(folder: Path, values: dict[str, Any], name: str = "set.npz") -> str:
    """Write `values` as an .npz file (objects pickled, to see them refused) and return its path."""
    path = folder / name
    np.savez(path, **values)
    return str(path)


def small(**changes: Any) -> Dataset:
    """Return a small data set."""
    values = arrays(**changes)
    return build_dataset(
        "small", Labelled(values["x_train"], values["y_train"]), Labelled(values["x_test"], values["y_test"])
    )
