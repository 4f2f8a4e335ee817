"""Accuracy class by class, and balanced accuracy, their mean: a top-1 says little of a rare class."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nas.records.typed import Fraction, PositiveCount, value_of

ROW: dict[str, Any] = {"class": str, "top1": Fraction, "images": PositiveCount}  # of train.json
SHOWN = 3  # classes of lowest accuracy in a line of text


@dataclass(frozen=True)
class ClassAccuracy:
    """How many of the test images of each class a network classifies correctly; classes without images have none."""

    names: tuple[str, ...]
    correct: tuple[int, ...]
    images: tuple[int, ...]

    @classmethod
    def of(cls, names: tuple[str, ...], labels: npt.NDArray[Any], predicted: npt.NDArray[Any]) -> "ClassAccuracy":
        """Return the accuracies of predictions [N] on images with `labels` [N]."""
        images = np.bincount(labels, minlength=len(names))
        correct = np.bincount(labels[labels == predicted], minlength=len(names))
        return cls(names, tuple(correct.tolist()), tuple(images.tolist()))

    @classmethod
    def stated_by(cls, training: Any) -> "ClassAccuracy | None":
        """Return the accuracies that the content of a train.json states; None for a training of release 0.1."""
        try:
            stated = [
                [value_of(kind, row[key], key) for key, kind in ROW.items()] for row in training["class_accuracy"]
            ]
        except (KeyError, TypeError):
            return None
        rows = [(name, round(top1 * images), images) for name, top1, images in stated]
        return cls(*zip(*rows, strict=True)) if rows else None

    @property
    def balanced(self) -> float:
        """The mean of the accuracies of all classes that have images, a fraction."""
        return float(np.mean([top1 for _, top1, _ in self.rows()]))

    def rows(self) -> Iterator[tuple[str, float, int]]:
        """Yield name, accuracy and number of images of each class that has images, in the order of the outputs."""
        for name, correct, images in zip(self.names, self.correct, self.images, strict=True):
            if images:
                yield name, correct / images, images

    def lowest(self) -> str:
        """Return the classes of lowest accuracy in words."""
        ranked = sorted(self.rows(), key=lambda row: row[1])[:SHOWN]
        return ", ".join(f"'{name}' {top1:.1%} of {images:,}" for name, top1, images in ranked)

    def to_dict(self) -> dict[str, Any]:
        """Return the keys of train.json."""
        each = [{"class": name, "top1": top1, "images": images} for name, top1, images in self.rows()]
        return {"balanced_accuracy": self.balanced, "class_accuracy": each}
