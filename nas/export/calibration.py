"""Images for int8 export: some to calibrate the ranges of the activations, others to check int8 against float32.

They are normalised as in training: by the mean and the standard deviation that it states. Where it states none (release
0.1), by those of the data set's training images.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.data import Dataset, Preparation, at_resolution, load
from nas.data import signature as signature_of_data
from nas.data.input_spec import CLASSES, InputSpec, Signature
from nas.data.keywords import SILENCE, UNKNOWN
from nas.errors import InvalidInput, UnknownName
from nas.progress.stop import raise_if_stopped
from nas.quantisation.config import DEFAULT, QuantisationConfig
from nas.quantisation.grid import Range
from nas.tasks import TASKS
from nas.tasks.task import Meaning

CALIBRATION_IMAGES = 256
CHECK_IMAGES = 512
BATCH = 4  # images at once: all tensors of the network are kept
LARGEST_NORMALISED = 1 << 28  # elements of normalised images held at once; a network of larger input gets fewer
LARGEST_RESIZED = 1 << 30  # bytes of resized images held at once
CHOICE_IMAGES = 512  # on which layers to keep in float32 are chosen
NAMED_CLASSES = 5  # in a line about other classes

Images = Any  # float32 [N, H, W, C], or what gives slices of that (`NormalisedRows`)
NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, eq=False)
class Int8Calibration:
    """Normalised images [N, H, W, C]: `images` for the ranges of the activations, `check_images` for the check.

    `check_labels` is None where their data set has not the classes of the network. `notes` say where these are not the
    images of the training.
    """

    data: str
    data_digest: str
    mean: tuple[float, ...]  # per channel; of images in units of full scale
    std: tuple[float, ...]
    images: Images
    check_images: Images
    check_labels: NDArray[np.int32] | None
    check_data: str = ""  # where the check images are not of `data`
    notes: tuple[str, ...] = ()
    data_notes: tuple[str, ...] = ()  # of `data`, whatever it was trained on
    outputs: Meaning = "classes"  # what those of the network mean
    choice_images: Images = None  # other training images, to choose layers by that stay in float32
    choice_labels: NDArray[np.int32] | None = None
    config: QuantisationConfig = DEFAULT
    ranges: Mapping[str, Range] | None = None  # of the tensors, where the network was trained for int8 with them

    @property
    def is_plain(self) -> bool:
        """Whether all layers are int8 in the ranges of the extremes, as each format's own tool does it."""
        return self.config == DEFAULT and self.ranges is None

    def batches(self) -> Iterator[Images]:
        """Yield the calibration images, `BATCH` at a time."""
        for start in range(0, len(self.images), BATCH):
            raise_if_stopped()
            yield self.images[start : start + BATCH]

    @property
    def ranges_text(self) -> str:
        """Where the ranges of the activations come from."""
        method = self.config.method
        if self.ranges is not None and method is None:
            return "those of the quantisation-aware training"
        return f"{len(self.images)} training images of {self.data}" + (f", {method}" if method else "")

    def provenance(self) -> dict[str, str]:
        """Return the provenance of the quantisation for the metadata of a file: ranges, images and normalisation."""
        return {
            "calibration": self.ranges_text,
            "calibration_data_digest": self.data_digest,
            "input_mean": " ".join(f"{value:.6g}" for value in self.mean),
            "input_std": " ".join(f"{value:.6g}" for value in self.std),
        }


@dataclass(frozen=True, eq=False)
class NormalisedRows:
    """Some images of an array or of files, normalised as a slice of them is asked for."""

    x: Any  # uint8 [N, H, W, C], or `ImageFiles`
    rows: NDArray[Any]
    spec: InputSpec

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: slice) -> NDArray[np.float32]:
        return self.spec.normalised(self.x[self.rows[at]])

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all the images: [N, H, W, C]."""
        return len(self.rows), *self.x.shape[1:3], self.spec.channels


def pixels_of(images: Images, spec: InputSpec) -> NDArray[np.uint8]:
    """Return normalised images [N, H, W, C] as the pixels that they were: the inverse of `InputSpec.normalised`."""
    return (
        np.rint((images * np.array(spec.std, np.float32) + np.array(spec.mean, np.float32)) * 255)
        .clip(0, 255)
        .astype(np.uint8)
    )


def load_calibration(
    arch: ArchSpec,
    data: str,
    data_dir: Path | None = None,
    *,
    check_images: int = CHECK_IMAGES,
    signature: Signature | None = None,
    provenance: Mapping[str, str] = NOTHING,
    images: int | None = None,
    choice_images: int | None = None,
    config: QuantisationConfig = DEFAULT,
    ranges: Mapping[str, Range] | None = None,
    training_dir: Path | None = None,
) -> Int8Calibration:
    """Return the calibration images for `arch` from a data set named as in `nas.data.load`; see `build_calibration`.

    `training_dir` is where the data of the training were found; other published files lie in `data_dir`. Raises
    `InvalidInput` or `UnknownName` where there is no such data set or its images do not fit the network.
    """
    own = data_dir or training_dir
    dataset = _load_as_trained(arch, data, own if data == provenance.get("data") else data_dir, signature, provenance)
    trained_on = _training_data(arch, dataset, own, signature, provenance)
    return build_calibration(
        arch, dataset, check_images=check_images, signature=signature, trained_on=trained_on, images=images,
        choice_images=choice_images, config=config, ranges=ranges,
    )  # fmt: skip


@dataclass(frozen=True)
class TrainingData:
    """The data of a training: its name, whether the calibration images are of it, else its images where they are found.

    `missing` says why they were not.
    """

    name: str
    is_calibration: bool
    dataset: Dataset | None = None
    missing: str = ""


def build_calibration(
    arch: ArchSpec,
    dataset: Dataset,
    *,
    check_images: int = CHECK_IMAGES,
    signature: Signature | None = None,
    trained_on: TrainingData | None = None,
    images: int | None = None,
    choice_images: int | None = None,
    config: QuantisationConfig = DEFAULT,
    ranges: Mapping[str, Range] | None = None,
) -> Int8Calibration:
    """Return evenly spaced training images of `dataset` for the ranges, and evenly spaced test images for the check.

    The normalisation is that of `signature`. The check images are those of the training's data, where they were found.
    `images` is how many the ranges are taken from, by default `CALIBRATION_IMAGES`, fewer where they are large;
    `choice_images` how many others there are to choose layers by.
    """
    sized = _sized(arch, dataset)
    spec = signature.input if signature else signature_of_data(sized, arch.input_shape).input
    checked = _sized(arch, trained_on.dataset) if trained_on and trained_on.dataset else sized
    rows = _evenly_spaced(len(sized.x_train), images or min(CALIBRATION_IMAGES, _most_images(arch)))
    others = np.setdiff1d(np.arange(len(sized.x_train)), rows)
    others = others if len(others) else rows
    choice = others[_evenly_spaced(len(others), min(choice_images or CHOICE_IMAGES, _most_images(arch)))]
    test_rows = _evenly_spaced(len(checked.x_test), min(check_images, _most_images(arch)))
    known = signature.class_names if signature else None
    fits = checked.num_classes == arch.num_classes and known in (None, checked.class_names)
    meaning = signature.outputs.meaning if signature else "classes"
    fits &= checked.task.outputs == meaning == "classes"
    own = fits and sized.num_classes == arch.num_classes and known in (None, sized.class_names)
    return Int8Calibration(
        dataset.name, sized.digest, *_statistics(spec, sized.channels),
        NormalisedRows(sized.x_train, rows, spec), spec.normalised(checked.x_test[test_rows]),
        checked.y_test[test_rows] if fits else None,
        "" if checked is sized else checked.name, tuple(_notes(sized, signature, trained_on)),
        sized.notes, meaning, NormalisedRows(sized.x_train, choice, spec), sized.y_train[choice] if own else None,
        config, ranges,
    )  # fmt: skip


def _statistics(spec: InputSpec, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and std, one number where the images are grey and all channels of the network get the same."""
    same = len(set(zip(spec.mean, spec.std, strict=True))) == 1
    count = channels if same else spec.channels
    return spec.mean[:count], spec.std[:count]


def _most_images(arch: ArchSpec) -> int:
    """Return how many normalised images may be held at once."""
    return max(1, LARGEST_NORMALISED // arch.input_shape.elements)


def _sized(arch: ArchSpec, dataset: Dataset) -> Dataset:
    """Return `dataset` at the resolution of `arch`, of many images some, evenly spaced; `InvalidInput` if none fit."""
    size, channels = arch.input_shape.size, arch.input_shape.channels
    if dataset.channels not in ((1, channels) if dataset.is_images else (channels,)):
        raise InvalidInput(f"the spec takes {channels} channels, but {dataset.name} has {dataset.channels}")
    most = max(1, LARGEST_RESIZED // (size.positions * dataset.channels * dataset.x_train.dtype.itemsize))
    if dataset.size != size and isinstance(dataset.x_train, np.ndarray) and len(dataset.x_train) > most:
        kept, kept_test = (_evenly_spaced(len(x), most) for x in (dataset.x_train, dataset.x_test))
        dataset = replace(
            dataset, x_train=dataset.x_train[kept], y_train=dataset.y_train[kept],
            x_test=dataset.x_test[kept_test], y_test=dataset.y_test[kept_test],
        )  # fmt: skip
    return at_resolution(dataset, size)


def _load_as_trained(
    arch: ArchSpec, data: str, data_dir: Path | None, signature: Signature | None, provenance: Mapping[str, str]
) -> Dataset:
    """Return the data set prepared as for the training where some preparation gives its digest; else as it comes.

    A training states neither its keywords nor its group. Keywords are among the names of its classes, and of groups
    there are few.
    """
    prepared, size = _preparation(signature, provenance), arch.input_shape.size
    if signature is not None and signature.input.is_waveform and Path(data).expanduser().is_dir():
        rate = signature.input.sample_rate
        prepared = replace(prepared, sample_rate=rate, clip_seconds=signature.input.height / rate)
    plain = load(data, data_dir, preparation=prepared, proportions=size)
    digest, words = provenance.get("data_digest"), () if signature is None else signature.class_names
    if digest is None or not (plain.groups or plain.is_waveforms) or _sized(arch, plain).digest == digest:
        return plain
    kept = tuple(word for word in words if word not in (UNKNOWN, SILENCE)) if UNKNOWN in words else ()
    spotted = plain.is_waveforms and words != plain.class_names
    found = replace(prepared, keywords=kept, silence=SILENCE in words) if spotted else prepared
    for group in (None, *plain.groups):
        with suppress(InvalidInput, UnknownName):
            one = load(data, data_dir, preparation=replace(found, group=group), proportions=size)
            if _sized(arch, one).digest == digest:
                return one
    return plain


def _preparation(signature: Signature | None, provenance: Mapping[str, str]) -> Preparation:
    """Return how the training's data became inputs; one of release 0.1 states no signature, and had its own way."""
    if signature is not None and signature.input.is_waveform:
        return Preparation(data_kind="waveforms")
    if signature is not None and not signature.input.is_image:
        kind: Any = "sequences" if signature.input.size.is_sequence else "maps"
        return Preparation(data_kind=kind, task=_task(signature))
    if signature is not None:
        return Preparation(signature.input.fit, signature.input.background, task=_task(signature))
    return Preparation(fit=None) if "data_digest" in provenance else Preparation()


def _task(signature: Signature) -> str | None:
    """Return the task to read the data with, None where their targets tell it."""
    return signature.outputs.kind if signature.outputs.kind in TASKS and signature.outputs != CLASSES else None


def _training_data(
    arch: ArchSpec, dataset: Dataset, data_dir: Path | None, signature: Signature | None, provenance: Mapping[str, str]
) -> TrainingData | None:
    """Return the data of the training that `provenance` states, None where it states none."""
    name, digest = provenance.get("data"), provenance.get("data_digest")
    if name is None or digest is None:
        return None
    if _sized(arch, dataset).digest == digest:
        return TrainingData(name, is_calibration=True)
    try:
        found = _load_as_trained(arch, name, data_dir, signature, provenance)
        if _sized(arch, found).digest == digest:
            return TrainingData(name, is_calibration=False, dataset=found)
        return TrainingData(name, is_calibration=False, missing="it has changed since")
    except (InvalidInput, UnknownName):
        return TrainingData(name, is_calibration=False, missing="it was not found here")


def _notes(dataset: Dataset, signature: Signature | None, trained_on: TrainingData | None) -> Iterator[str]:
    """Yield what a reader must know where the calibration images are not those of the training."""
    if trained_on is not None and not trained_on.is_calibration:
        yield (
            f"calibrated with {dataset.name}, which is not the data of the training ({trained_on.name}): the ranges of "
            "the activations may be others"
        )
        if trained_on.dataset is None:
            yield (
                f"not checked on the test images of the training's data, {trained_on.name}: {trained_on.missing}; the "
                f"images of the check are of {dataset.name}"
            )
    if signature is not None and signature.class_names != dataset.class_names:
        yield (
            f"{dataset.name} has other classes than the network: {_listed(dataset.class_names)}; the network has "
            f"{_listed(signature.class_names)}"
        )
    if trained_on is not None and signature is None and not trained_on.is_calibration:
        yield f"the normalisation of the training is not known: that of {dataset.name} was used"


def _listed(names: tuple[str, ...]) -> str:
    """Return how many classes there are, and the names of the first."""
    more = ", ..." if len(names) > NAMED_CLASSES else ""
    return f"{len(names)} ({', '.join(names[:NAMED_CLASSES])}{more})"


def _evenly_spaced(count: int, most: int) -> NDArray[Any]:
    """Return up to `most` different numbers below `count`, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))
