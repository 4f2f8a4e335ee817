"""Images for int8 export: some to calibrate the ranges of the activations, others to check int8 against float32.

They are normalised as in training: by the mean and the standard deviation of the data set's training images.
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
from nas.progress.stop import raise_if_stopped

CALIBRATION_IMAGES = 256
CHECK_IMAGES = 512
BATCH = 4  # images at once: all tensors of the network are kept
LARGEST_NORMALISED = 1 << 28  # elements of normalised images held at once; a network of larger input gets fewer
LARGEST_RESIZED = 1 << 30  # bytes of resized images held at once

Images = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Int8Calibration:
    """Normalised images [N, H, W, C]: `images` for the ranges of the activations, `check_images` for the check.

    `check_labels` is None where the data set has not as many classes as the network.
    """

    data: str
    data_digest: str
    mean: tuple[float, ...]  # in units of full scale, per channel of the data set
    std: tuple[float, ...]
    images: Images
    check_images: Images
    check_labels: NDArray[np.int32] | None

    def batches(self) -> Iterator[Images]:
        """Yield the calibration images, `BATCH` at a time."""
        for start in range(0, len(self.images), BATCH):
            raise_if_stopped()
            yield self.images[start : start + BATCH]

    def provenance(self) -> dict[str, str]:
        """Return the provenance of the quantisation for the metadata of a file: images and normalisation."""
        return {
            "calibration": f"{len(self.images)} training images of {self.data}",
            "calibration_data_digest": self.data_digest,
            "input_mean": " ".join(f"{value:.6g}" for value in self.mean),
            "input_std": " ".join(f"{value:.6g}" for value in self.std),
        }


def load_calibration(
    arch: ArchSpec, data: str, data_dir: Path | None = None, *, check_images: int = CHECK_IMAGES
) -> Int8Calibration:
    """Return the calibration images for `arch` from a data set named as in `nas.data.load`.

    Raises `InvalidInput` or `UnknownName` where there is no such data set or its images do not fit the network.
    """
    return build_calibration(arch, load(data, data_dir), check_images=check_images)


def build_calibration(arch: ArchSpec, dataset: Dataset, *, check_images: int = CHECK_IMAGES) -> Int8Calibration:
    """Return evenly spaced training images of `dataset` for the ranges, and evenly spaced test images for the check."""
    height, width, channels = arch.input_shape
    if height != width:
        raise InvalidInput(f"the spec takes images of {height} x {width} pixels, but data sets have square ones")
    if dataset.channels not in (1, channels):
        raise InvalidInput(f"the spec takes {channels} channels, but {dataset.name} has {dataset.channels}")
    most = max(1, LARGEST_NORMALISED // (height * width * channels))
    resized = _evenly_spaced(len(dataset.x_train), LARGEST_RESIZED // (height * width * dataset.channels))
    train = resize(dataset.x_train[resized], height)
    mean, std = channel_stats(replace(dataset, x_train=train))  # of the resized images, as in training

    def normalised(images: NDArray[np.uint8]) -> Images:
        scaled = (images.astype(np.float32) / 255 - mean) / std
        return np.repeat(scaled, channels // dataset.channels, axis=-1).astype(np.float32)

    rows = _evenly_spaced(len(train), min(CALIBRATION_IMAGES, most))
    test_rows = _evenly_spaced(len(dataset.x_test), min(check_images, most))
    fits = dataset.num_classes == arch.num_classes
    return Int8Calibration(
        dataset.name, dataset.digest, tuple(map(float, mean)), tuple(map(float, std)),
        normalised(train[rows]), normalised(resize(dataset.x_test[test_rows], height)),
        dataset.y_test[test_rows] if fits else None,
    )  # fmt: skip


def _evenly_spaced(count: int, most: int) -> NDArray[Any]:
    """Return up to `most` different numbers below `count`, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))
