"""Data sets in numpy's .npz files, with the keys x_train, y_train, x_test, y_test and, if wanted, class_names."""

import io
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nas.data.dataset import Array, Dataset, Labelled, build_dataset
from nas.errors import InvalidInput
from nas.files import read_bytes

KEYS = ("x_train", "y_train", "x_test", "y_test", "class_names")


class Archive(NamedTuple):
    """The arrays of one .npz file whose keys are in `KEYS`, and the SHA-256 of the file."""

    path: Path
    arrays: dict[str, Array]
    sha256: str

    def has(self, part: str) -> bool:
        """Return whether any array of the `part` "train" or "test" is there."""
        return f"x_{part}" in self.arrays or f"y_{part}" in self.arrays

    def labelled(self, part: str) -> Labelled:
        """Return the images and labels of the `part` "train" or "test"; `InvalidInput` names a missing key."""
        absent = [key for key in (f"x_{part}", f"y_{part}") if key not in self.arrays]
        if absent:
            present = ", ".join(self.arrays) or "none of them"
            raise InvalidInput(
                f"{self.path} lacks {' and '.join(absent)}; of the keys {', '.join(KEYS[:4])} it has {present}"
            )
        return Labelled(self.arrays[f"x_{part}"], self.arrays[f"y_{part}"])


def read_archive(path: Path) -> Archive:
    """Return the arrays of the .npz file `path`, never unpickling; `InvalidInput` where it is no such file."""
    data = read_bytes(path)
    if not data.startswith(b"PK"):
        raise InvalidInput(f"{path} is not an .npz file; write it with numpy.savez")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in KEYS if key in archive}
    except Exception as error:  # numpy and zipfile fail on broken bytes in any way, and each means the same to the user
        if "Object arrays" in str(error):
            raise InvalidInput(f"{path} holds Python objects, which are never unpickled; save plain numbers") from error
        raise InvalidInput(f"{path} is damaged: {str(error) or type(error).__name__}; write it again") from error
    for key, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise InvalidInput(f"{path} is damaged: {key} is not an array; write it again")
    return Archive(path, arrays, sha256(data).hexdigest())


def load_npz(path: Path) -> Dataset:
    """Return the data set in the .npz file `path`; without x_test, a fixed stratified 10 % becomes the test set."""
    archive = read_archive(path)
    test = archive.labelled("test") if archive.has("test") else None
    names = archive.arrays.get("class_names", np.array([], dtype=str))
    return build_dataset(
        str(path), archive.labelled("train"), test, class_names=tuple(str(name) for name in names.ravel())
    )
