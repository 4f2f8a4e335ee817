"""A data set: stripes in four directions, made here; yours would read files from `folder`."""

from pathlib import Path

import numpy as np

from nas.data import Dataset, Labelled, build_dataset


def load_stripes(folder: Path) -> Dataset:
    """Return grey 16 x 16 images of stripes; the class is the direction. `folder` is --data-dir."""
    return build_dataset("stripes", _images(240, seed=0), _images(80, seed=1), class_names=("-", "|", "/", "\\"))


def _images(count: int, seed: int) -> Labelled:
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[0:16, 0:16]
    waves = np.stack([row, column, row + column, row - column])
    labels = np.arange(count) % 4
    phase = rng.uniform(0, 2 * np.pi, (count, 1, 1))
    x = 127 + 100 * np.sin(waves[labels] * 0.9 + phase) + rng.normal(0, 20, (count, 16, 16))
    return Labelled(np.clip(x, 0, 255).astype(np.uint8), labels.astype(np.int32))
