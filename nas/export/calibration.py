"""Pictures that say how large the numbers inside a network are, for int8, and others on which int8 is held to float32.

Normalised as in training: by the mean and the deviation of the data set's own training pictures.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.data import Dataset, channel_stats, load, resize
from nas.errors import InvalidInput

CALIBRATION_PICTURES = 256
CHECK_PICTURES = 512
BATCH = 4  # at once: all tensors of the network are kept
LARGEST_NORMALISED = 1 << 28  # elements of normalised pictures held at once; a network of larger input gets fewer
LARGEST_RESIZED = 1 << 30  # bytes of resized pictures held at once

Pictures = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Int8Calibration:
    """Normalised pictures [N, H, W, C] for the ranges, others with their labels for the check.

    `labels` is None where the data set's classes are not as many as the network's.
    """

    data: str
    data_digest: str
    mean: tuple[float, ...]  # in units of full scale, per channel of the data set
    std: tuple[float, ...]
    pictures: Pictures
    check: Pictures
    labels: NDArray[np.int32] | None

    def batches(self) -> Iterator[Pictures]:
        """Yield the pictures for the ranges, `BATCH` at a time."""
        for start in range(0, len(self.pictures), BATCH):
            yield self.pictures[start : start + BATCH]

    def provenance(self) -> dict[str, str]:
        """Return what a file says of the data that it was quantised with."""
        return {
            "calibration": f"{len(self.pictures)} training pictures of {self.data}",
            "calibration_data_digest": self.data_digest,
            "input_mean": " ".join(f"{value:.6g}" for value in self.mean),
            "input_std": " ".join(f"{value:.6g}" for value in self.std),
        }


def load_calibration(
    arch: ArchSpec, data: str, data_dir: Path | None = None, *, check_pictures: int = CHECK_PICTURES
) -> Int8Calibration:
    """Return the calibration of `arch` with a data set named as in `nas.data.load`.

    Raises `InvalidInput` or `UnknownName` where there is no such data set or its pictures do not fit the network.
    """
    return calibration(arch, load(data, data_dir), check_pictures=check_pictures)


def calibration(arch: ArchSpec, dataset: Dataset, *, check_pictures: int = CHECK_PICTURES) -> Int8Calibration:
    """Return the calibration of `arch` with `dataset`: training and test pictures, evenly spaced."""
    height, width, channels = arch.input_shape
    if height != width:
        raise InvalidInput(f"the spec takes pictures of {height} x {width} pixels, but data sets have square ones")
    if dataset.channels not in (1, channels):
        raise InvalidInput(f"the spec takes {channels} channels, but {dataset.name} has {dataset.channels}")
    most = max(1, LARGEST_NORMALISED // (height * width * channels))
    resized = _spaced(len(dataset.x_train), LARGEST_RESIZED // (height * width * dataset.channels))
    train = resize(dataset.x_train[resized], height)
    mean, std = channel_stats(replace(dataset, x_train=train))  # of the resized pictures, as in training

    def normalised(pictures: NDArray[np.uint8]) -> Pictures:
        scaled = (pictures.astype(np.float32) / 255 - mean) / std
        return np.repeat(scaled, channels // dataset.channels, axis=-1).astype(np.float32)

    rows = _spaced(len(train), min(CALIBRATION_PICTURES, most))
    test_rows = _spaced(len(dataset.x_test), min(check_pictures, most))
    fits = dataset.num_classes == arch.num_classes
    return Int8Calibration(
        dataset.name, dataset.digest, tuple(map(float, mean)), tuple(map(float, std)),
        normalised(train[rows]), normalised(resize(dataset.x_test[test_rows], height)),
        dataset.y_test[test_rows] if fits else None,
    )  # fmt: skip


def _spaced(count: int, wanted: int) -> NDArray[Any]:
    """Return up to `wanted` different numbers below `count`, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, wanted)).astype(np.int64))
