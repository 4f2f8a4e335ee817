"""Handwritten digits: 1,797 grey 8 x 8 images that come with scikit-learn, so no file is needed.

Alpaydin and Kaynak, 1998, https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits (its test
part). Values 0..16 are scaled to 0..255; the stratified split into 1,437 for training and 360 for test is ours, fixed
by `SPLIT_SEED`.
"""

from pathlib import Path

import numpy as np

from nas.data.dataset import Augmentation, Dataset, Labelled, build_dataset
from nas.data.split import stratified_split

SPLIT_SEED = 0
TEST_IMAGES = 360


def load_digits(folder: Path) -> Dataset:
    """Return the digits that come with scikit-learn; `folder` is not used."""
    from sklearn import datasets

    bunch = datasets.load_digits()
    x, y = np.rint(bunch.images * (255 / 16)).astype(np.uint8), bunch.target
    train, test = stratified_split(y, TEST_IMAGES, SPLIT_SEED)
    return build_dataset(
        "digits", Labelled(x[train], y[train]), Labelled(x[test], y[test]), augmentation=Augmentation(flip=False)
    )
