"""Data sets in numpy's .npz files: the keys x_train, y_train, x_test, y_test.

If wanted, class_names or target_names (of classes; of the columns of y), data_kind and task, each a text. With a whole
number sample_rate, in Hz, the arrays are waveforms [N, T]. Any further key NAME_train of shape [N] says
what the training examples belong to, such as speakers, NAME_test what the test examples do: `--group NAME`.
"""

import io
import math
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZipFile

import numpy as np

from nas.data.arrays import DATA_KINDS, DataKind
from nas.data.dataset import Array, Dataset, Groups, Labelled, build_dataset
from nas.errors import InvalidInput
from nas.files import check_memory, read_bytes
from nas.tasks import TASKS

KEYS = (
    "x_train", "y_train", "x_test", "y_test", "class_names", "target_names", "data_kind", "task", "sample_rate",
)  # fmt: skip
OF_TRAIN, OF_TEST = "_train", "_test"  # at the end of the key of a group
LARGEST_GROUP = 1 << 28  # bytes


HEADERS: dict[tuple[int, int], Any] = {  # of arrays: what reads each version of their format
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class Archive(NamedTuple):
    """The arrays of one .npz file whose keys are in `KEYS`, and the SHA-256 of the file."""

    path: Path
    arrays: dict[str, Array]
    sha256: str
    groups: Groups
    test_groups: Groups

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
        with ZipFile(io.BytesIO(data)) as members:
            sizes = {key: _declared_bytes(members, key) for key in KEYS if f"{key}.npy" in members.namelist()}
            check_memory(sum(sizes.values()), str(path))
            known = [name.removesuffix(".npy") for name in members.namelist()]
            extra = [key for key in known if key.endswith((OF_TRAIN, OF_TEST)) and key not in KEYS]
            extra = [key for key in extra if _declared_bytes(members, key) <= LARGEST_GROUP]
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in KEYS if key in archive}
            found = {key: archive[key] for key in extra}
            groups, test_groups = (_groups(found, part, arrays.get(f"y{part}")) for part in (OF_TRAIN, OF_TEST))
    except InvalidInput:
        raise
    except Exception as error:  # numpy and zipfile fail on broken bytes in any way, and each means the same to the user
        if "Object arrays" in str(error):
            raise InvalidInput(f"{path} holds Python objects, which are never unpickled; save plain numbers") from error
        raise InvalidInput(f"{path} is damaged: {str(error) or type(error).__name__}; write it again") from error
    for key, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise InvalidInput(f"{path} is damaged: {key} is not an array; write it again")
    return Archive(path, arrays, sha256(data).hexdigest(), groups, test_groups)


def _groups(found: dict[str, Any], part: str, targets: Array | None) -> Groups:
    """Return the arrays of the `part` "_train" or "_test" that say what its examples belong to, by their names."""
    count = len(targets) if targets is not None and targets.ndim else -1
    named = {key.removesuffix(part): of for key, of in found.items() if key.endswith(part)}
    return {key: of for key, of in named.items() if of.shape == (count,) and of.dtype.kind in "iuU"}


def _declared_bytes(members: ZipFile, key: str) -> int:
    """Return the bytes that the header of an array declares; `ValueError` where its content has another size."""
    info = members.getinfo(f"{key}.npy")
    with members.open(info) as file:
        version = np.lib.format.read_magic(file)
        if version not in HEADERS:
            raise ValueError(f"{key} is of version {version} of the format")
        shape, _, dtype = HEADERS[version](file)
        declared, stored = math.prod(shape) * dtype.itemsize, info.file_size - file.tell()
    if declared != stored and not dtype.hasobject:
        raise ValueError(f"{key} declares {declared:,} bytes and has {stored:,}")
    return stored


def load_npz(path: Path, kind: DataKind | None = None, group: str | None = None, task: str | None = None) -> Dataset:
    """Return the data set in the .npz file `path`; without x_test, a fixed 10 % becomes the test set.

    With a `group`, such as "speaker", these are other groups than those of the training set (of a test set that is in
    the file see `nas.data.grouped`).

    `kind` says whether its arrays are images, maps or sequences; by default its `data_kind`, else their shape and type.
    `task` says what its targets are; by default its own `task`, else their shape and type.
    """
    archive = read_archive(path)
    test = archive.labelled("test") if archive.has("test") else None
    names = archive.arrays.get("target_names", archive.arrays.get("class_names", np.array([], dtype=str)))
    return build_dataset(
        str(path), archive.labelled("train"), test, class_names=tuple(str(name) for name in names.ravel()),
        kind=kind or _stated(archive, "data_kind", DATA_KINDS), sample_rate=stated_rate(archive),
        groups=archive.groups, group=group, test_groups=archive.test_groups,
        task=task or _stated(archive, "task", TASKS),
    )  # fmt: skip


def stated_rate(archive: Archive) -> int | None:
    """Return the rate of waveforms in Hz that the file states, None where it states none."""
    stated = archive.arrays.get("sample_rate")
    if stated is None:
        return None
    if stated.size != 1 or stated.dtype.kind not in "iuf" or float(stated.ravel()[0]) % 1:
        raise InvalidInput(f"{archive.path}: sample_rate must be one whole number, in Hz")
    return int(stated.ravel()[0])


def _stated(archive: Archive, key: str, known: tuple[str, ...]) -> Any:
    """Return the text `key` of the file, None where it has none."""
    stated = archive.arrays.get(key)
    if stated is None:
        return None
    if stated.size != 1 or stated.dtype.kind != "U":
        raise InvalidInput(f"{archive.path}: {key} must be one text: {', '.join(known)}")
    return str(stated.ravel()[0])
