"""Reinforce a data set: teachers say what augmented images are, once for all trainings of small networks on them.

Each part of the data set (nas.data.reinforced) is drawn, replayed and shown to the teachers on its own, so that a
stopped work goes on with the next part. What teachers say is averaged over them, as probabilities.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.data import Dataset, resize
from nas.data.input_spec import Signature
from nas.data.pipeline import signature
from nas.data.reinforced import Reinforcement, Teacher, begin, missing_parts, write_part
from nas.data.replay import PixelSamples, Recipe, Samples, draw, in_pixels, replayed
from nas.errors import InvalidInput
from nas.export.weight_files import read_weights
from nas.nn.network import abstract_network, set_weights
from nas.nn.weight_file import digest_of
from nas.ops import Size
from nas.progress.stop import raise_if_stopped
from nas.records.locks import locked
from nas.records.networks import arch_of, is_run, is_training
from nas.records.signatures import signature_of
from nas.records.trainings import training_of_run
from nas.training.teaching import Teacher as TrainingTeacher
from nas.training.teaching import Teaching
from nas.training.two_teachers import TwoTeachers

BATCH = 256  # augmented images at once
WEIGHTS_SIGN = "="  # NETWORK=FILE: a network with the weights in a file


@dataclass(frozen=True)
class ReinforceConfig:
    """What is asked for: the teachers, and how many samples of each image with how many probabilities."""

    teachers: tuple[str, ...]
    samples: int = 16
    top_k: int = 10
    recipe: Recipe = field(default_factory=Recipe)
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.teachers:
            raise InvalidInput("a data set is reinforced by a teacher; name one with --teacher")


@dataclass(frozen=True)
class LoadedTeacher:
    """A teacher ready to be asked."""

    about: Teacher
    arch: ArchSpec
    weights: dict[str, NDArray[np.float32]]
    signature: Signature


def load_teacher(text: str, dataset: Dataset) -> LoadedTeacher:
    """Return the teacher that `text` names: a training, a run whose network was trained, or NETWORK=FILE of weights.

    `InvalidInput` where it has other classes than `dataset`, or takes other channels.
    """
    network, _, file = text.partition(WEIGHTS_SIGN)
    source = Path(file or network)
    if not file and is_run(network) and not is_training(network):
        found = training_of_run(Path(network))
        if found is None:
            raise InvalidInput(f"the network of {network} was not trained; train it first: nas train {network}")
        source, network = found, str(found)
    if not file and not is_training(network):
        raise InvalidInput(
            f"a teacher must be a training, a run, or NETWORK{WEIGHTS_SIGN}FILE of weights, got '{text}'"
        )
    arch = arch_of(network)
    if arch.num_classes != dataset.num_classes:
        raise InvalidInput(
            f"the teacher {text} knows {arch.num_classes} classes, {dataset.name} has {dataset.num_classes}; train it "
            "on these first: nas train NETWORK --weights FILE"
        )
    channels = arch.input_shape.channels
    if dataset.channels not in (1, channels):
        raise InvalidInput(f"the teacher {text} takes {channels} channels, {dataset.name} has {dataset.channels}")
    weights = read_weights(source, arch)[0]
    known = (signature_of(source) if source.is_dir() else None) or signature(dataset, arch.input_shape)
    about = Teacher(arch.name or Path(network).name, arch.digest, digest_of(weights), str(arch.input_shape.size.json))
    return LoadedTeacher(about, arch, weights, known)


def teacher_of(text: str, dataset: Dataset, share: float, temperature: float) -> TrainingTeacher:
    """Return the teacher that `text` names for a training on `dataset`; see `load_teacher`."""
    found = load_teacher(text, dataset)
    return TrainingTeacher(Teaching(found.arch, share, temperature), found.weights, found.signature.input)


def two_teachers_of(tough: str, tolerant: str, dataset: Dataset) -> TwoTeachers:
    """Return the tough and the tolerant teacher of a training of regression on `dataset`."""
    found = TwoTeachers(*(teacher_of(text, dataset, 1.0, 1.0) for text in (tough, tolerant)))
    found.check(dataset.task)
    return found


def reinforcement(
    data: str, dataset: Dataset, config: ReinforceConfig, teachers: Sequence[LoadedTeacher]
) -> Reinforcement:
    """Return what the reinforced data set will be of; `InvalidInput` for data that are no images in arrays."""
    if not dataset.is_images or not isinstance(dataset.x_train, np.ndarray):
        raise InvalidInput(
            f"{dataset.name} holds {dataset.kind if not dataset.is_images else 'image files'}; images in arrays are "
            "reinforced: make an .npz file of them"
        )
    return Reinforcement(
        data, dataset.digest, len(dataset.y_train), dataset.num_classes, str(dataset.resolution),
        tuple(one.about for one in teachers), config.recipe, config.samples, min(config.top_k, dataset.num_classes),
        config.seed,
    )  # fmt: skip


def reinforce(
    about: Reinforcement, dataset: Dataset, teachers: Sequence[LoadedTeacher], out: Path,
    advance: Callable[[int, int, str], None] = lambda *_: None,
) -> None:  # fmt: skip
    """Write the parts of the reinforced data set `about` that are missing in `out`; `advance` hears of each."""
    out.mkdir(parents=True, exist_ok=True)
    with locked(out):
        begin(out, about)
        missing = missing_parts(out, about)
        ask = [_asked(one, dataset) for one in teachers] if missing else []
        for part in missing:
            raise_if_stopped()
            samples = draw(about.recipe, about.rows(part), about.images, about.samples, about.seed)
            write_part(out, about, part, samples, _probabilities(about.rows(part), samples, dataset, ask))
            left = len(missing_parts(out, about))
            advance(about.parts - left, about.parts, f"{len(samples.share) * about.samples:,} samples written")


Ask = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def _asked(teacher: LoadedTeacher, dataset: Dataset) -> Ask:
    """Return the function that gives a teacher's probabilities [B, classes] of images [B, H, W, C] uint8."""
    network = abstract_network(teacher.arch)
    set_weights(network, teacher.weights)
    graph, state = nnx.split(network)
    size, channels = teacher.arch.input_shape.size, teacher.arch.input_shape.channels

    @jax.jit
    def softmax(state: Any, x: jax.Array) -> jax.Array:
        return jax.nn.softmax(nnx.merge(graph, state)(x).astype(np.float32))

    def ask(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        shown = np.asarray(resize(images, size))
        shown = shown if shown.shape[-1] == channels else shown.repeat(channels, axis=-1)
        return np.asarray(softmax(state, teacher.signature.input.normalised(shown)))

    return ask


_replayed = jax.jit(replayed)


def _probabilities(rows: NDArray[Any], samples: Samples, dataset: Dataset, ask: Sequence[Ask]) -> NDArray[np.float32]:
    """Return what the teachers say of all samples [n, S] of the images `rows`: [n, S, classes]."""
    images = np.asarray(dataset.x_train)
    own = in_pixels(samples, Size(*images.shape[1:3]))
    flat = PixelSamples._make(np.reshape(each, (-1, *each.shape[2:])) for each in own)
    numbers = np.repeat(rows, samples.share.shape[1])
    found = []
    for start in range(0, len(numbers), BATCH):
        take = np.minimum(np.arange(start, start + BATCH), len(numbers) - 1)  # one shape: the last batch is filled up
        part = PixelSamples._make(np.asarray(each)[take] for each in flat)
        shown = np.asarray(_replayed(images[numbers[take]], images[part.partner], part))
        said = np.stack([one(shown) for one in ask]).mean(axis=0, dtype=np.float32)
        found.append(said[: len(numbers) - start])
    return np.concatenate(found).reshape(*samples.share.shape, -1)
