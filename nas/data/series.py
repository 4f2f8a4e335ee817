"""Data sets of sensor series in a .csv file: one row a time step, one column a channel.

Three columns have a meaning by their names: `series`, which series a row belongs to, `label`, its class, the same in
all its rows, and, if wanted, `part`, "train" or "test". Further columns of texts are groups, such as the wearer of a
sensor (`--group`), all others channels. Rows of a series stand in the order of time.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nas.data.dataset import Dataset, Labelled, build_dataset
from nas.errors import InvalidInput
from nas.files import read_bytes

SERIES, LABEL, PART = "series", "label", "part"
TEST_FRACTION = 0.2  # where no test series come with the file


class Series(NamedTuple):
    """One series: its numbers [T, C] and the texts of its other columns."""

    values: NDArray[np.float32]
    texts: Mapping[str, str]


def load_series(path: Path, group: str | None = None) -> Dataset:
    """Return the series in the .csv file `path` as sequences [N, T, 1, C] with their classes, in sorted order.

    T is the median length: of longer series the middle is taken, shorter ones keep their last values on. Without test
    series, a fixed 20 % becomes the test set: stratified, or with a `group` other groups than those of the training
    set. Raises `InvalidInput`, naming the line or column at fault.
    """
    found = _read(path)
    names = tuple(sorted({one.texts[LABEL] for one in found}))
    length = int(np.median([len(one.values) for one in found]))
    x = np.stack([_of_length(one.values, length) for one in found])
    y = np.array([names.index(one.texts[LABEL]) for one in found], np.int32)
    is_test = np.array([_is_test(path, one.texts) for one in found])
    other = sum(len(one.values) != length for one in found)
    note = f"{other:,} of {len(found):,} series of other lengths are cut or held on to {length} steps, the median"
    keys = [key for key in found[0].texts if key not in (SERIES, LABEL, PART)]
    every = {key: np.array([one.texts[key] for one in found]) for key in keys}
    groups, test_groups = ({key: of[one] for key, of in every.items()} for one in (~is_test, is_test))
    return build_dataset(
        str(path), Labelled(x[~is_test], y[~is_test]), Labelled(x[is_test], y[is_test]) if is_test.any() else None,
        class_names=names, test_fraction=TEST_FRACTION, notes=(note,) if other else (), kind="sequences",
        groups=groups, group=group, test_groups=test_groups,
    )  # fmt: skip


def _read(path: Path) -> list[Series]:
    """Return the series in a file, in the order of their first rows."""
    try:
        rows = list(csv.reader(io.StringIO(read_bytes(path).decode("utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"{path} is no .csv file in UTF-8: {error}") from error
    header = [name.strip() for name in rows[0]] if rows else []
    if missing := [name for name in (SERIES, LABEL) if name not in header]:
        raise InvalidInput(f"{path} lacks the column '{missing[0]}'; series have {SERIES}, {LABEL} and channels")
    if len(set(header)) < len(header) or not all(header):
        raise InvalidInput(f"{path}: every column needs a name of its own, got {', '.join(header)}")
    body = [row for row in rows[1:] if row]
    for line, row in enumerate(body, start=2):
        if len(row) != len(header):
            raise InvalidInput(f"{path}, row {line}: {len(header)} columns are named, got {len(row)}")
    channels = [i for i, name in enumerate(header) if name not in (SERIES, LABEL, PART) and _is_number(body, i)]
    if not channels or not body:
        raise InvalidInput(f"{path} holds no channel: columns of numbers beside {SERIES}, {LABEL} and {PART}")
    texts = [i for i in range(len(header)) if i not in channels]
    at = header.index(SERIES)
    of_series: dict[str, list[Sequence[str]]] = {}
    for row in body:
        of_series.setdefault(row[at].strip(), []).append(row)
    return [_series(path, header, name, own, channels, texts) for name, own in of_series.items()]


def _is_number(body: Sequence[Sequence[str]], column: int) -> bool:
    """Return whether the first row has a number in a column, which then is a channel."""
    try:
        float(body[0][column])
    except (ValueError, IndexError):
        return False
    return True


def _series(
    path: Path, header: Sequence[str], name: str, rows: Sequence[Sequence[str]], channels: Sequence[int],
    texts: Sequence[int],
) -> Series:  # fmt: skip
    """Return one series of its rows; `InvalidInput` where a text changes within it or a channel is no number."""
    stated = {header[i]: rows[0][i].strip() for i in texts}
    for i in texts:
        if any(row[i].strip() != stated[header[i]] for row in rows):
            raise InvalidInput(f"{path}: '{header[i]}' changes within the series '{name:.40}'")
    try:
        values = np.array([[float(row[i]) for i in channels] for row in rows], np.float32)
    except ValueError as error:
        raise InvalidInput(f"{path}: series '{name:.40}' has a channel that is no number: {error}") from error
    return Series(values, stated)


def _of_length(values: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """Return a series [T, C] of another length: the middle of a longer one, of a shorter one the last values held."""
    if len(values) >= length:
        start = (len(values) - length) // 2
        return values[start : start + length]
    return np.pad(values, ((0, length - len(values)), (0, 0)), mode="edge")


def _is_test(path: Path, texts: Mapping[str, str]) -> bool:
    """Return whether a series is of the test set."""
    part = texts.get(PART, "train").lower()
    if part not in ("train", "test"):
        raise InvalidInput(f"{path}: '{PART}' must be train or test, got '{part:.40}'")
    return part == "test"
