"""The confusion matrix of a trained classifier on the test images: confusion.csv, a row for each true class."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.files import LARGEST_TEXT, as_cell, of_cell, read_bytes, write_whole
from nas.records.typed import refused

FILE = "confusion.csv"
CORNER = "true \\ predicted"
MOST_CLASSES = 1000  # a file of more would be larger than the weights


@dataclass(frozen=True)
class Confusion:
    """How often images of each class were given each class: `counts[true][predicted]`."""

    names: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, names: tuple[str, ...], labels: NDArray[Any], predicted: NDArray[Any]) -> "Confusion":
        """Return the matrix of predictions [N] on images with `labels` [N]."""
        size = len(names)
        counts = np.bincount(labels.astype(np.int64) * size + predicted, minlength=size * size).reshape(size, size)
        return cls(names, tuple(map(tuple, counts.tolist())))

    @property
    def images(self) -> int:
        """The number of images."""
        return sum(map(sum, self.counts))

    def worst(self, most: int = 3) -> list[tuple[str, str, int]]:
        """Return the most frequent mistakes: true class, predicted class and how often, the most frequent first."""
        wrong = [
            (self.names[i], self.names[j], count)
            for i, row in enumerate(self.counts)
            for j, count in enumerate(row)
            if i != j and count
        ]
        return sorted(wrong, key=lambda one: -one[2])[:most]


def save_confusion(folder: Path, confusion: Confusion) -> None:
    """Write confusion.csv whole; of more than `MOST_CLASSES` classes none."""
    if len(confusion.names) > MOST_CLASSES:
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([CORNER, *map(as_cell, confusion.names)])
    for name, row in zip(confusion.names, confusion.counts, strict=True):
        writer.writerow([as_cell(name), *row])
    write_whole(folder / FILE, text.getvalue())


def load_confusion(folder: Path) -> Confusion | None:
    """Return the matrix in the folder of a training, None where there is none; `InvalidInput` where it was altered."""
    path = folder / FILE
    if not path.is_file():
        return None
    with refused(path, "the confusion matrix of a training", "train again with: nas train"):
        header, *rows = csv.reader(io.StringIO(read_bytes(path, LARGEST_TEXT).decode()))
        names = tuple(map(of_cell, header[1:]))
        counts = tuple(tuple(map(_count, row[1:])) for row in rows)
        if tuple(of_cell(row[0]) for row in rows) != names or any(len(row) != len(names) for row in counts):
            raise ValueError("its rows and columns are of different classes")
    return Confusion(names, counts)


def _count(text: str) -> int:
    if not text.isdecimal() or len(text) > 15:
        raise ValueError(f"'{text:.20}' is no number of images")
    return int(text)
