"""What a user may ask of the images of a training or a search, beyond the name of the data set."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from nas.data.arrays import DataKind, check_kind
from nas.data.dataset import Augmentation, Dataset
from nas.data.grouped import apart_in
from nas.data.input_spec import Fit, Framing
from nas.data.keywords import spotting
from nas.errors import InvalidInput
from nas.tasks.targets import check_task

ClassWeights = Literal["balanced"]
COORDINATES = ("_x", "_y")  # ends of the names of targets that are places in an image


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
    data_kind: DataKind | None = None  # images, maps, sequences or waveforms
    group: str | None = None  # key of the groups that validation and test sets share none of with the training set
    sample_rate: int | None = None  # Hz, that .wav files are resampled to
    clip_seconds: float | None = None  # of .wav files
    keywords: tuple[str, ...] = ()  # classes that stay, the others become "unknown"
    silence: bool = False  # as a class
    augment_gain_db: float | None = None
    augment_noise: float | None = None  # standard deviation, 1 is full scale
    augment_time_mask: float | None = None  # fraction of the time
    augment_band_mask: float | None = None  # fraction of the bands
    task: str | None = None  # one of `nas.tasks.TASKS`

    def __post_init__(self) -> None:
        """Refuse what no image can be prepared by."""
        if self.class_weights not in (None, "balanced"):
            raise InvalidInput(f"class weights must be 'balanced' or be left out, got {self.class_weights!r}")
        check_kind(self.data_kind)
        check_task(self.task)
        Framing(self.fit or "crop", self.background)
        replace(Augmentation(), **self._asked)

    @property
    def framing(self) -> Framing | None:
        """How image files get the proportions of the input; None for folders as release 0.1 read them."""
        return None if self.fit is None else Framing(self.fit, self.background)

    @property
    def _asked(self) -> dict[str, Any]:
        """The fields of `Augmentation` that were asked for."""
        fields = {
            "shift_px_fraction": self.augment_shift, "flip": self.flip, "gain_db": self.augment_gain_db,
            "noise": self.augment_noise, "time_mask": self.augment_time_mask, "band_mask": self.augment_band_mask,
        }  # fmt: skip
        return {name: value for name, value in fields.items() if value is not None}

    def apply(self, dataset: Dataset) -> Dataset:
        """Return `dataset` with the augmentation and the class weights that were asked for.

        `InvalidInput` where it is of another kind or of another task than was asked for, and where images would move
        and the places in them that are to be predicted would not.
        """
        if self.data_kind not in (None, dataset.kind):
            raise InvalidInput(
                f"{dataset.name} holds {dataset.kind}, not {self.data_kind}; leave the kind of data out, or give an "
                ".npz file"
            )
        if self.task not in (None, dataset.task.kind):
            raise InvalidInput(
                f"{dataset.name} is for {dataset.task.kind}, not {self.task}; leave the task out, or give an .npz file"
            )
        if self.class_weights and dataset.task.outputs != "classes":
            raise InvalidInput(f"{dataset.name} has no classes that could be weighted: it is for {dataset.task.kind}")
        self._check_places(dataset)
        changes = self._asked
        if dataset.replays is not None and changes:
            raise InvalidInput(
                f"{dataset.name} is reinforced: its images are replayed as they were augmented; leave augmentation out"
            )
        if dataset.sample_rate is None and (changes.get("gain_db") or changes.get("noise")):
            raise InvalidInput(f"gain and noise are for waveforms, {dataset.name} holds {dataset.kind}; leave them out")
        if dataset.is_images and (changes.get("time_mask") or changes.get("band_mask")):
            raise InvalidInput(f"masks of time and bands are for sounds, {dataset.name} holds images; leave them out")
        if self.sample_rate not in (None, dataset.sample_rate):
            raise InvalidInput(
                f"{dataset.name} has {dataset.sample_rate or 'no'} Hz, not {self.sample_rate}; folders of .wav files "
                "are resampled, other data are not: leave --sample-rate out"
            )
        if self.group is not None:
            dataset = apart_in(dataset, self.group)
        if self.keywords or self.silence:
            dataset = spotting(dataset, self.keywords, silence=self.silence)
        if self.group is not None:
            dataset = replace(dataset, group=self.group)
        weights = balanced_weights(dataset) if self.class_weights else ()
        if not changes and not weights:
            return dataset
        return replace(dataset, augmentation=replace(dataset.augmentation, **changes), class_weights=weights)

    def _check_places(self, dataset: Dataset) -> None:
        """Raise where images would be mirrored or shifted, and targets named as coordinates would stay."""
        places = [name for name in dataset.class_names if name.lower().endswith(COORDINATES)]
        if dataset.task.outputs == "numbers" and places and (self.flip or self.augment_shift):
            flag = "--flip" if self.flip else "--augment-shift"
            raise InvalidInput(
                f"{dataset.name}: {flag} would move images and not the coordinates in them ({places[0]}, ...); leave "
                "it out"
            )


def balanced_weights(dataset: Dataset) -> tuple[float, ...]:
    """Return the weight of each class in the loss: inverse to its number of training images, 1 on average over them."""
    counts = np.bincount(dataset.y_train, minlength=dataset.num_classes)
    return tuple((len(dataset.y_train) / (dataset.num_classes * counts)).tolist())
