"""The data set of every loader: `Dataset`, and `build_dataset`, which checks arrays of any origin and makes one."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nas.data.arrays import (
    DataKind,
    channel_statistics,
    check_kind,
    checked_images,
    checked_numbers,
    checked_waveforms,
    told_kind,
)
from nas.data.image_files import ImageFiles
from nas.data.input_spec import Framing
from nas.data.reinforced import Replays
from nas.data.split import Indices, grouped_split
from nas.errors import InvalidInput
from nas.ops import Size
from nas.tasks import CLASSIFICATION, Task, checked_targets, task_of
from nas.tasks.targets import TARGETS_OF, check_task, told_task
from nas.tasks.task import outputs_text

Array = npt.NDArray[Any]
Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int32]
Groups = Mapping[str, Array]  # what the training examples belong to, such as speakers: key -> name of each [N]
FEWEST_EXAMPLES = 4  # of a training set without classes
IMBALANCE = 10  # of the largest class to the smallest, from which it is worth a note
SAMPLE_IMAGES = 32  # that are looked at for images that are all alike
STATISTICS_IMAGES = 8192  # of sets too large to keep decoded, evenly spaced, give the mean and the deviation
BATCH_IMAGES = 1024  # at once on the host
LARGEST_RATE = 1_000_000  # Hz


class Labelled(NamedTuple):
    """Images [N, H, W] or [N, H, W, C] with their targets, before or after the checks of `build_dataset`.

    Targets are labels [N], numbers [N] or [N, K], or 0 and 1 [N, K] (nas/tasks/targets.py).
    """

    x: Array | ImageFiles
    y: Array


@dataclass(frozen=True)
class Augmentation:
    """Augmentation of training examples: shifts by up to a fraction of each side, and mirroring left to right.

    Waveforms are shifted in time, made louder or quieter by up to `gain_db`, get white noise of a standard deviation of
    up to `noise` (1 is full scale), and lose one span of time and one of frequencies, each of up to a fraction of the
    whole: the masks of SpecAugment (arXiv 1904.08779), cut out of the waveform, so that they reach any front end; maps
    of time x bands lose rows and columns.
    """

    shift_px_fraction: float = 0.125
    flip: bool = False
    gain_db: float = 0.0
    noise: float = 0.0
    time_mask: float = 0.0
    band_mask: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a shift that could move an image out of sight, and masks that could hide all of it."""
        for name in ("shift_px_fraction", "time_mask", "band_mask"):
            if not 0 <= (value := getattr(self, name)) <= 0.5:
                raise InvalidInput(f"{name} must lie between 0 and 0.5, got {value}")
        for name, most in (("gain_db", 40), ("noise", 1)):
            if not 0 <= (value := getattr(self, name)) <= most:
                raise InvalidInput(f"{name} must lie between 0 and {most}, got {value}")

    @property
    def has_masks(self) -> bool:
        """Whether spans of time or of bands are hidden."""
        return self.time_mask > 0 or self.band_mask > 0

    @property
    def is_of_images(self) -> bool:
        """Whether nothing but shifts and mirroring is asked for."""
        return not (self.gain_db or self.noise or self.has_masks)


OF_WAVEFORMS = Augmentation(0.1, gain_db=6.0, noise=0.003, time_mask=0.1, band_mask=0.1)  # for speech of a second


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set: images, maps or sequences with the targets of a task, for training and for test.

    `build_dataset` makes it; its arrays are read-only. Images are arrays, or files that are decoded when rows of them
    are asked for (nas.data.image_files). Maps and sequences are arrays of numbers of any range (nas.data.arrays).

    `digest` is the SHA-256 over the shapes and bytes of the four arrays, or over the files; `notes` says in sentences
    what a reader of results must know (a test set that was split off, files of unknown origin).
    """

    name: str
    x_train: Array | ImageFiles  # [N, H, W, C]: images uint8 with C = 1 or 3, maps float32, sequences with W = 1
    y_train: Array  # int32 [N], 0..K-1, every class at least twice; float32 [N, K] where the task is another
    x_test: Array | ImageFiles  # [M, H, W, C]
    y_test: Array  # [M], or [M, K]
    class_names: tuple[str, ...]  # [K], of the outputs: classes, labels or targets
    digest: str
    augmentation: Augmentation
    notes: tuple[str, ...] = ()
    class_weights: tuple[float, ...] = ()  # [K], of the training's loss; empty: all classes count alike
    sample_rate: int | None = None  # of waveforms, in Hz
    groups: Groups = field(default_factory=dict)
    group: str | None = None  # key of `groups`: a search's validation set holds other groups than its training set
    validation: npt.NDArray[np.bool_] | None = None  # [N], which training examples the data's authors validate with
    background: tuple[Array, ...] = ()  # recordings of noise, int16, at the sample rate
    task: Task = CLASSIFICATION
    test_groups: Groups = field(default_factory=dict)  # of the test examples, by the keys that are known of them
    replays: Replays | None = None  # of a reinforced data set: they take the place of augmentation and of labels
    data_dir: str | None = None  # where its published files were found, an absolute path; None for the usual places

    @property
    def num_classes(self) -> int:
        """The number K of classes, or of outputs for another task."""
        return len(self.class_names)

    @property
    def has_classes(self) -> bool:
        """Whether each example is of one of several classes."""
        return self.task.outputs == "classes"

    @property
    def outputs_text(self) -> str:
        """What a network gives in words: "10 classes", "3 labels", "1 target"."""
        return outputs_text(self.task.outputs, self.num_classes)

    @property
    def kind(self) -> DataKind:
        """Whether these are images, maps, sequences or waveforms."""
        if self.x_train.dtype == np.uint8:
            return "images"
        if self.x_train.dtype == np.int16:
            return "waveforms"
        return "sequences" if self.size.is_sequence else "maps"

    @property
    def is_waveforms(self) -> bool:
        """Whether these are waveforms: int16, at a known rate."""
        return self.kind == "waveforms"

    @property
    def size_text(self) -> str:
        """The size of an example in messages; of waveforms the rate and the duration too."""
        if self.sample_rate is None:
            return self.size.text
        samples, rate = self.size.height, self.sample_rate
        return f"waveforms of {samples:,} samples at {rate:,} Hz ({samples / rate:.3g} s)"

    @property
    def is_images(self) -> bool:
        """Whether these are images: uint8, from 0 to 255."""
        return self.kind == "images"

    @property
    def size(self) -> Size:
        """Height and width; of sequences their steps and 1."""
        return Size(*map(int, self.x_train.shape[1:3]))

    @property
    def resolution(self) -> int | str:
        """The side of square images in pixels, else "96x128"."""
        return self.size.json

    @property
    def channels(self) -> int:
        """1 for grey images, 3 for colour; of maps and sequences any number."""
        return int(self.x_train.shape[3])

    @property
    def framing(self) -> Framing | None:
        """How image files get the proportions of the input; None for images that came as arrays."""
        return self.x_train.store.framing if isinstance(self.x_train, ImageFiles) else None

    @cached_property
    def channel_stats(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """The mean and the standard deviation [C] of the training set: of pixels in units of full scale (255 = 1).

        Sums are exact, in whole numbers; a deviation below one grey level (1/255) counts as one, so that a channel
        without contrast is not blown up. Of files too many to be kept decoded, `STATISTICS_IMAGES` evenly spaced ones
        are taken. Waveforms stay as they are, within [-1, 1]: mean 0, deviation 1.
        """
        images, count = self.x_train, 0
        if self.kind == "waveforms":
            return np.zeros(1, np.float32), np.ones(1, np.float32)
        if isinstance(images, np.ndarray) and not self.is_images:
            return channel_statistics(images, BATCH_IMAGES)
        total, squares = np.zeros(self.channels, np.int64), np.zeros(self.channels, np.int64)
        if isinstance(images, ImageFiles) and not images.kept:
            images = images.take(evenly_spaced(len(images), STATISTICS_IMAGES))
        for start in range(0, len(images), BATCH_IMAGES):
            pixels = images[start : start + BATCH_IMAGES].reshape(-1, self.channels)
            total += pixels.sum(axis=0, dtype=np.int64)
            squares += np.square(pixels, dtype=np.int32).sum(axis=0, dtype=np.int64)
            count += len(pixels)
        mean = total / count
        std = np.sqrt(np.maximum(squares / count - mean**2, 1))
        return (mean / 255).astype(np.float32), (std / 255).astype(np.float32)


def build_dataset(
    name: str,
    train: Labelled,
    test: Labelled | None,
    *,
    class_names: tuple[str, ...] = (),
    augmentation: Augmentation | None = None,
    test_fraction: float = 0.1,
    notes: tuple[str, ...] = (),
    digest: str | None = None,
    kind: DataKind | None = None,
    sample_rate: int | None = None,
    groups: Groups | None = None,
    group: str | None = None,
    test_groups: Groups | None = None,
    task: Task | str | None = None,
) -> Dataset:
    """Return a checked data set; without `test`, a fixed `test_fraction` of `train` becomes the test set, stratified.

    Images: uint8, other integers within 0..255, square floats within [0, 1] (scaled to 0..255), or files. Other floats
    are maps or sequences; `kind` says what arrays are where that is not told by their shape (`told_kind`). With a
    `sample_rate` in Hz they are waveforms [N, T], int16 or floats within [-1, 1]. `groups` say
    what the training examples belong to, `test_groups` the test examples; with a `group`, a test set that is split off
    holds other ones.
    `class_names` defaults to the labels in digits, `digest` to that of the arrays, `augmentation` to shifts of images
    and `OF_WAVEFORMS`; maps and sequences have none, nor have images with numbers as targets, which may be places in
    them. `task` is one of `nas.tasks.TASKS`, by default what type and shape of the targets tell (`told_task`), or a
    task of your own. Raises `InvalidInput`, which begins with `name`, for anything that cannot be used.
    """
    check_kind(kind)
    kind = _kind_with_rate(name, kind, sample_rate)
    own = None if task is None or isinstance(task, str) else task
    asked = task if isinstance(task, str) else None
    check_task(asked)
    if not isinstance(train.x, ImageFiles):
        kind = kind or told_kind(f"{name}: x_train", np.asarray(train.x))
    targets = TARGETS_OF[own.outputs] if own else asked or told_task(f"{name}: y_train", np.asarray(train.y))
    train = _checked(name, "train", train, kind, targets)
    classes = targets == "classification"
    if classes:
        num_classes = _class_count(name, train.y, class_names, smallest=2 if test else 3)
    else:
        num_classes = train.y.shape[1]
        _check_examples(name, train)
    found = own or task_of(targets, train.y)
    if test is None:
        whole, of = train, checked_group(name, groups or {}, group)
        rows = split_rows(found, whole.y, round(test_fraction * len(whole.y)), 0, of, f"{name}: {group}")
        train, test = (Labelled(take(whole.x, one), whole.y[one]) for one in rows)
        groups, test_groups = ({key: values[one] for key, values in (groups or {}).items()} for one in rows)
        if of is None:
            how = f"a fixed {'stratified' if classes else 'random'} {test_fraction:.0%} of it was"
        else:
            kept, held = (len(np.unique(of[one])) for one in rows)
            how = f"all of {held} of {kept + held} in '{group}', {len(test.y):,} examples, were"
        notes += (f"no test set came with the data: {how} set aside as one",)
        found = own or task_of(targets, train.y)  # means and deviations are those of the training set
    else:
        test = _checked(name, "test", test, kind, targets)
        _check_same_kind(name, train, test)
    class_names = class_names or default_names(num_classes, classes=classes)
    if len(class_names) != num_classes:
        what = f"class names came with labels of {num_classes} classes"
        if not classes:
            what = f"target names came with targets of {num_classes} columns"
        raise InvalidInput(f"{name}: {len(class_names)} {what}")
    arrays = (train.x, train.y, test.x, test.y)
    for array in arrays:
        if isinstance(array, np.ndarray):
            array.setflags(write=False)
    of_targets = imbalance_note(train.y, class_names) if classes else _constant_note(train.y, class_names)
    notes = tuple(dict.fromkeys((*notes, *of_targets, *_alike_note(train.x))))
    digest = digest or digest_of(tuple(map(np.asarray, arrays)))
    usual = {np.uint8: Augmentation(), np.int16: OF_WAVEFORMS}.get(train.x.dtype.type, Augmentation(0.0))
    if train.x.dtype == np.uint8 and found.outputs == "numbers":
        usual = Augmentation(0.0)
    augmentation = augmentation or usual
    return Dataset(
        name,
        train.x,
        train.y,
        test.x,
        test.y,
        class_names,
        digest,
        augmentation,
        notes,
        sample_rate=sample_rate,
        groups=dict(groups or {}),
        group=group,
        test_groups=dict(test_groups or {}),
        task=found,
    )


def _kind_with_rate(name: str, kind: DataKind | None, sample_rate: int | None) -> DataKind | None:
    """Return the kind of data, waveforms where a rate is known; `InvalidInput` for a rate that does not go with it."""
    if (kind == "waveforms" and sample_rate is None) or (kind not in (None, "waveforms") and sample_rate is not None):
        raise InvalidInput(
            f"{name}: waveforms, and they alone, have a sample_rate in Hz, got {sample_rate} for {kind}; put the whole "
            "number 'sample_rate' into the file, or leave it out"
        )
    if sample_rate is not None and not 1 <= sample_rate <= LARGEST_RATE:
        raise InvalidInput(f"{name}: the sample_rate must be from 1 to {LARGEST_RATE:,} Hz, got {sample_rate}")
    return kind if sample_rate is None else "waveforms"


def default_names(count: int, *, classes: bool) -> tuple[str, ...]:
    """Return the names of outputs that came without: the labels of classes in digits, "target 0" and so on."""
    return tuple(str(output) if classes else f"target {output}" for output in range(count))


def with_replays(dataset: Dataset, replays: Replays, note: str = "") -> Dataset:
    """Return `dataset` with training images that are replayed and learnt from a teacher; its digest is another."""
    digest = sha256(f"{dataset.digest} {replays.digest}".encode()).hexdigest()
    notes = (*dataset.notes, note) if note else dataset.notes
    return replace(dataset, replays=replays, digest=digest, notes=notes, augmentation=Augmentation(0.0))


def take(images: Array | ImageFiles, rows: npt.NDArray[Any]) -> Array | ImageFiles:
    """Return a selection of images; files are not decoded."""
    return images.take(rows) if isinstance(images, ImageFiles) else images[rows]


def evenly_spaced(count: int, most: int) -> Indices:
    """Return up to `most` different numbers below `count`, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int32))


def imbalance_note(labels: Labels, names: tuple[str, ...]) -> Iterator[str]:
    """Yield the note on classes of very different sizes; none for targets [N, K]."""
    if labels.ndim > 1:
        return
    counts = np.bincount(labels)
    if counts.max() > IMBALANCE * counts.min():
        largest, smallest = int(counts.argmax()), int(counts.argmin())
        yield (
            f"the classes are imbalanced: '{names[largest]}' has {counts[largest]:,} training images, "
            f"'{names[smallest]}' {counts[smallest]:,}; beside top-1 see the balanced accuracy, and "
            "--class-weights balanced"
        )


def _constant_note(targets: Array, names: tuple[str, ...]) -> Iterator[str]:
    """Yield the note on columns of targets that are the same for all training examples."""
    if constant := [names[column] for column in np.flatnonzero((targets == targets[:1]).all(0))]:
        yield f"the same in all training examples: {', '.join(constant)}; nothing can be learnt of that"


def _alike_note(images: Array | ImageFiles) -> Iterator[str]:
    """Yield the note on images that are all alike, by a sample of them."""
    rows = evenly_spaced(len(images), SAMPLE_IMAGES)
    seen = images.decoded(rows) if isinstance(images, ImageFiles) else images[rows]
    if len(seen) > 1 and (seen == seen[:1]).all():
        yield f"all {len(seen)} training images looked at are the same image; are these the right files?"
    elif (seen == seen[:, :1, :1]).all() and seen.dtype != np.uint8:
        yield f"all {len(seen)} training examples looked at have one value per channel each; are they read right?"
    elif (seen == seen[:, :1, :1]).all():
        yield f"all {len(seen)} training images looked at are of one colour each, without content; are they read right?"


def _checked(name: str, part: str, data: Labelled, kind: DataKind | None, task: str) -> Labelled:
    """Return `data` as contiguous uint8 or float32 [N, H, W, C] with the targets of `task`; `part`: "train", "test"."""
    x: Array | ImageFiles = data.x
    if isinstance(x, ImageFiles):
        if kind not in (None, "images"):
            raise InvalidInput(f"{name} holds image files, which are no {kind}; leave the kind of data out")
    elif kind == "waveforms":
        x = checked_waveforms(f"{name}: x_{part}", x)
    elif kind in (None, "images"):
        x = checked_images(f"{name}: x_{part}", x)
    else:
        x = checked_numbers(f"{name}: x_{part}", x, kind)
    y = checked_targets(f"{name}: y_{part}", np.asarray(data.y), task)
    if len(x) != len(y):
        raise InvalidInput(f"{name}: x_{part} has {len(x)} images, but y_{part} has {len(y)} labels")
    return Labelled(x, y)


def _check_examples(name: str, train: Labelled) -> None:
    """Raise where there are too few training examples to set some aside."""
    if len(train.y) < FEWEST_EXAMPLES:
        raise InvalidInput(f"{name}: {FEWEST_EXAMPLES} training examples are needed at least, got {len(train.y)}")


def _class_count(name: str, labels: Labels, names: tuple[str, ...], smallest: int) -> int:
    """Return the number K of classes, which must be 0..K-1 with at least `smallest` images each."""
    found, counts = np.unique(labels, return_counts=True)
    if len(found) < 2:
        raise InvalidInput(f"{name}: y_train holds one class only ({found[0]}); classification needs two or more")
    if found[-1] != len(found) - 1:
        raise InvalidInput(
            f"{name}: y_train must hold labels 0..K-1 without gaps, "
            f"got {len(found)} different ones from {found[0]} to {found[-1]}; renumber them"
        )
    if counts.min() < smallest:
        why = "" if smallest == 2 else " where no test set comes with the data"
        rarest = int(counts.argmin())
        called = f"'{names[rarest]}'" if rarest < len(names) else str(rarest)
        raise InvalidInput(
            f"{name}: every class needs at least {smallest} training images{why}, class {called} has {counts.min()}"
        )
    return len(found)


def _check_same_kind(name: str, train: Labelled, test: Labelled) -> None:
    """Raise where the test images differ in size or channels from the training ones, or bring new classes."""
    if train.x.shape[1:] != test.x.shape[1:]:
        raise InvalidInput(
            f"{name}: x_test must hold images of shape {list(train.x.shape[1:])} like x_train, "
            f"got {list(test.x.shape[1:])}"
        )
    if test.y.ndim == 2:
        if test.y.shape[1] != train.y.shape[1]:
            raise InvalidInput(
                f"{name}: y_test must have {train.y.shape[1]} columns like y_train, got {test.y.shape[1]}"
            )
    elif test.y.max() > train.y.max():
        raise InvalidInput(f"{name}: y_test holds the label {test.y.max()}, which no training image has")


def checked_group(name: str, groups: Groups, group: str | None) -> Array | None:
    """Return the group of each example, None where none is asked for; `InvalidInput` for a key that there is not."""
    if group is None:
        return None
    if group not in groups:
        has = f"it has {', '.join(sorted(groups))}" if groups else "it has none; an .npz file needs the key {}_train"
        raise InvalidInput(f"{name} has no groups '{group:.40}'; {has.format(group[:40])}")
    return groups[group]


def split_rows(
    task: Task, targets: Array, count: int, seed: int, of: Array | None, what: str
) -> tuple[Indices, Indices]:
    """Return the indices of two parts, the second of about `count`: as the task splits, or of other groups `of` [N]."""
    if of is None:
        return task.split(targets, count, seed)
    labels = targets if task.outputs == "classes" else np.zeros(len(targets), np.int32)
    return grouped_split(of, labels, count, seed, what)


def digest_of(arrays: tuple[Array, ...]) -> str:
    """Return the SHA-256 over the arrays' types, shapes and bytes, the same on every machine."""
    digest = sha256()
    for array in arrays:
        little_endian = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        digest.update(f"{little_endian.dtype.str}{list(array.shape)}".encode())
        digest.update(little_endian.data)
    return digest.hexdigest()


def split_for_search(dataset: Dataset, validation_fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Return (train, validation) indices into the training set, as its task splits it: ascending, together all of it.

    With a `group` the validation set holds other groups, such as speakers, than the training set; else it is the one
    that came with the data, where one did. The validation images are for the search's rewards; the test set is never
    touched. `InvalidInput` unless the fraction lies between 0 and 1, both excluded.
    """
    if not 0 < validation_fraction < 1:
        raise InvalidInput(f"the validation fraction must lie between 0 and 1 (such as 0.1), got {validation_fraction}")
    of = checked_group(dataset.name, dataset.groups, dataset.group)
    if of is None and dataset.validation is not None:
        train, val = (np.flatnonzero(one).astype(np.int32) for one in (~dataset.validation, dataset.validation))
        return train, val
    count = round(validation_fraction * len(dataset.y_train))
    return split_rows(dataset.task, dataset.y_train, count, seed, of, f"{dataset.name}: {dataset.group}")


def validation_view(dataset: Dataset, fraction: float, seed: int) -> Dataset:
    """Return the data set with the search's validation images in place of the test images, which are not seen.

    `fraction` and `seed` are those of the search's split of the training set.
    """
    train, val = split_for_search(dataset, fraction, seed)
    x, y = dataset.x_train, dataset.y_train
    of = "" if dataset.group is None else f" {dataset.group}"
    digest = sha256(f"{dataset.digest} {fraction} {seed}{of}".encode()).hexdigest()
    return replace(
        dataset, x_train=take(x, train), y_train=y[train], x_test=take(x, val), y_test=y[val], digest=digest,
        groups={}, group=None, validation=None, replays=dataset.replays and dataset.replays.of_rows(train),
    )  # fmt: skip
