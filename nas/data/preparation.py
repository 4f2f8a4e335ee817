"""What a user may ask of the images of a training or a search, beyond the name of the data set."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from nas.data.arrays import DataKind, check_kind
from nas.data.dataset import Augmentation, Dataset
from nas.data.input_spec import Fit, Framing
from nas.errors import InvalidInput

ClassWeights = Literal["balanced"]


@dataclass(frozen=True)
class Preparation:
    """What the data are and how they become inputs: kind, framing of image files, augmentation, weights of classes.

    None leaves it to the data set, but for `fit`, where it reads folders as release 0.1 did.
    """

    fit: Fit | None = "crop"
    background: int = 255
    augment_shift: float | None = None  # fraction of each side
    flip: bool | None = None
    class_weights: ClassWeights | None = None
    data_kind: DataKind | None = None  # images, maps or sequences

    def __post_init__(self) -> None:
        """Refuse what no image can be prepared by."""
        if self.class_weights not in (None, "balanced"):
            raise InvalidInput(f"class weights must be 'balanced' or be left out, got {self.class_weights!r}")
        check_kind(self.data_kind)
        Framing(self.fit or "crop", self.background)
        Augmentation(self.augment_shift or 0)

    @property
    def framing(self) -> Framing | None:
        """How image files get the proportions of the input; None for folders as release 0.1 read them."""
        return None if self.fit is None else Framing(self.fit, self.background)

    def apply(self, dataset: Dataset) -> Dataset:
        """Return `dataset` with the augmentation and the class weights that were asked for.

        `InvalidInput` where it is of another kind than was asked for.
        """
        if self.data_kind not in (None, dataset.kind):
            raise InvalidInput(
                f"{dataset.name} holds {dataset.kind}, not {self.data_kind}; leave the kind of data out, or give an "
                ".npz file"
            )
        asked = {"shift_px_fraction": self.augment_shift, "flip": self.flip}
        changes: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        weights = balanced_weights(dataset) if self.class_weights else ()
        if not changes and not weights:
            return dataset
        return replace(dataset, augmentation=replace(dataset.augmentation, **changes), class_weights=weights)


def balanced_weights(dataset: Dataset) -> tuple[float, ...]:
    """Return the weight of each class in the loss: inverse to its number of training images, 1 on average over them."""
    counts = np.bincount(dataset.y_train, minlength=dataset.num_classes)
    return tuple((len(dataset.y_train) / (dataset.num_classes * counts)).tolist())
