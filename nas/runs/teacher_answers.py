"""What teachers say of the augmented images of a part of a reinforced data set, in this process or on a worker.

A part follows from the numbers of its images and the payload alone, so it has the same bytes wherever it is made.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, Self

import jax
import numpy as np
from flax import nnx
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.data import ImageFiles, resize
from nas.data.input_spec import Signature
from nas.data.reinforced import Reinforcement, Teacher, stored_part
from nas.data.replay import PixelSamples, Samples, draw, in_pixels, replayed
from nas.nn.network import abstract_network, set_weights
from nas.ops import Size
from nas.progress.stop import raise_if_stopped
from nas.training.replays import decoded_once

BATCH = 256  # augmented images at once
Ask = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True)
class LoadedTeacher:
    """A teacher ready to be asked."""

    about: Teacher
    arch: ArchSpec
    weights: dict[str, NDArray[np.float32]]
    signature: Signature


@dataclass(frozen=True)
class TeachingPayload:
    """All that a part follows from, beside its images; it can be sent to a worker."""

    about: Reinforcement
    images: NDArray[np.uint8] | ImageFiles  # [N, H, W, C]: the training set
    teachers: tuple[LoadedTeacher, ...]

    @classmethod
    def of(
        cls, about: Reinforcement, images: NDArray[np.uint8] | ImageFiles, teachers: Sequence[LoadedTeacher]
    ) -> "TeachingPayload":
        """Return the payload of these images and teachers."""
        return cls(about, images, tuple(teachers))


class PartMaker:
    """Makes parts: draws the samples of their images, replays them and asks the teachers."""

    def __init__(self, payload: TeachingPayload) -> None:
        self.payload, self.ask = payload, [_asked(one) for one in payload.teachers]

    def part(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return the records [n, S] of the images `rows` of a part, as they are stored."""
        about = self.payload.about
        samples = draw(about.recipe, rows, about.images, about.samples, about.seed)
        return stored_part(about, samples, self._probabilities(rows, samples))

    def _probabilities(self, rows: NDArray[np.int64], samples: Samples) -> NDArray[np.float32]:
        """Return what the teachers say of all samples [n, S] of the images `rows`: [n, S, classes]."""
        images = self.payload.images
        own = in_pixels(samples, Size(*images.shape[1:3]))
        flat = PixelSamples._make(np.reshape(each, (-1, *each.shape[2:])) for each in own)
        numbers = np.repeat(rows, samples.share.shape[1]).astype(np.int32)
        found = []
        for start in range(0, len(numbers), BATCH):
            # One shape: the last batch is filled up.
            take = np.minimum(np.arange(start, start + BATCH), len(numbers) - 1)
            part = PixelSamples._make(np.asarray(each)[take] for each in flat)
            seen = decoded_once(images, np.concatenate([numbers[take], np.asarray(part.partner)]))
            shown = np.asarray(_replayed(seen[:BATCH], seen[BATCH:], part))
            said = np.stack([one(shown) for one in self.ask]).mean(axis=0, dtype=np.float32)
            found.append(said[: len(numbers) - start])
        return np.concatenate(found).reshape(*samples.share.shape, -1)


_replayed = jax.jit(replayed)


def _asked(teacher: LoadedTeacher) -> Ask:
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


# ------------------------------------------------------------------------------------------------ where parts are made


class Makers(Protocol):
    """Makes parts, here or on workers; a part is asked for by the numbers of its images."""

    def evaluate(self, batches: Sequence[NDArray[np.int64]]) -> Iterator[NDArray[Any] | None]:
        """Yield the records of each part in order, None for one that was given up."""
        ...


OpenMakers = Callable[[TeachingPayload], AbstractContextManager[Makers]]


def made(maker: PartMaker, rows: NDArray[np.int64]) -> NDArray[Any]:
    """Return the records of the part of the images `rows`."""
    return maker.part(rows)


class InProcessMakers:
    """Makes parts in this process, one after the other."""

    def __init__(self, payload: TeachingPayload) -> None:
        self.maker = PartMaker(payload)

    def evaluate(self, batches: Sequence[NDArray[np.int64]]) -> Iterator[NDArray[Any] | None]:
        """Yield the records of each part in order."""
        for rows in batches:
            raise_if_stopped()
            yield made(self.maker, rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass
