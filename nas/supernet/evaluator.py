"""Accuracy of architectures under shared weights, on validation images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array, lax
from numpy.typing import NDArray

from nas.data import Augmentation, augmented_input, to_input
from nas.progress.stop import raise_if_stopped
from nas.search.selection import score_error, total
from nas.space.staged import StagedSpace
from nas.supernet.rounding import in_int8
from nas.supernet.supernet import Params, Supernet, with_parameters
from nas.tasks import CLASSIFICATION, Task, score_contributions
from nas.training.devices import compute_dtype
from nas.training.replays import ReplayTable

IMAGES_PER_CALL = 4096  # at most, of all architectures in a call together; one architecture at least


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SearchImages:
    """The examples of a search on the device: training and validation sets, and the statistics of their channels.

    Images are uint8 [N,H,W,C] with labels [N], or the targets [N,K] of another task; mean and standard deviation [C]
    are in units of full scale (255 = 1). Maps and sequences are float32, and so are their statistics.
    """

    x_train: Array
    y_train: Array
    x_val: Array
    y_val: Array
    mean: Array
    std: Array
    replays: ReplayTable | None = field(default=None, kw_only=True)  # of the training examples of a reinforced data set

    def training_inputs(self, key: Array, rows: Array, augmentation: Augmentation, space: StagedSpace) -> Array:
        """Return the training examples `rows` [B], augmented, as the input of networks of `space`."""
        channels = space.input_shape.channels
        x = augmented_input(key, self.x_train[rows], augmentation, self.mean, self.std, channels)
        return x if self.x_train.dtype == jnp.int16 else x.astype(compute_dtype())

    def batch(
        self, key: Array, rows: Array, augmentation: Augmentation, space: StagedSpace
    ) -> tuple[Array, Array, Array | None]:
        """Return the training examples `rows` [B] as inputs, their targets, and a teacher's where there are some.

        They are augmented, or replayed where the data set is reinforced.
        """
        if self.replays is None:
            return self.training_inputs(key, rows, augmentation, space), self.y_train[rows], None
        shown, soft = self.replays.batch(key, self.x_train, rows, space.num_classes)
        return self.inputs(shown, space), self.y_train[rows], soft

    def inputs(self, x: Array, space: StagedSpace) -> Array:
        """Return examples [B,H,W,C] as the input of networks of `space`, normalised, in the dtype of activations."""
        inputs = to_input(x, self.mean, self.std, space.input_shape.channels)
        return inputs if x.dtype == jnp.int16 else inputs.astype(compute_dtype())


class SupernetEvaluator:
    """Scores of architectures under shared weights on fixed validation images: the search's `Evaluator`.

    Of classification that is top-1. `hits` are what each image adds to it: whether it is classified correctly; of
    another task numbers with the score as their mean (`nas.tasks.score_contributions`).

    Normalisation takes the statistics of each batch of `batch` images, so an accuracy depends on the architecture,
    the weights and the images alone, never on what was evaluated before. One compilation serves all architectures and
    all weights: both are inputs of the program. A call of it evaluates several architectures on all batches: on a CPU
    every call gets fresh memory for its feature maps, and a call per batch spends a third of its time on that.
    """

    def __init__(
        self,
        space: StagedSpace,
        graph: "nnx.GraphDef[Supernet]",
        images: SearchImages,
        batch: int,
        task: Task = CLASSIFICATION,
        *,
        int8: bool = False,
    ) -> None:
        """Evaluate on the validation set of `images`, cut to whole batches; `params` are to be set before use.

        With `int8` weights and activations are rounded as in int8 (nas.supernet.rounding).
        """
        self.params: Params = {}
        self.task = task
        self.batch = min(batch, len(images.y_val))
        self.count = self.whole_batches(len(images.y_val))  # images that an accuracy is taken on
        self.together = max(1, IMAGES_PER_CALL // self.count)  # architectures in one call

        has_classes = task.outputs == "classes"  # then truth values leave the device, else all outputs

        def answers(params: Params, genotype: Array, x: Array, labels: Array) -> Array:
            x = images.inputs(x, space)
            with in_int8(int8):
                outputs = with_parameters(graph, params)(x, genotype)
            return outputs.argmax(-1) == labels if has_classes else outputs.astype(jnp.float32)

        def of_all(params: Params, genotypes: Array, count: int, batches: int, x: Array, labels: Array) -> Array:
            """Return the answers [G, B, batch] or [G, B, batch, K] of the first `count` genotypes on first batches."""

            def of_one(turn: Array, found: Array) -> Array:
                i, j = turn // batches, turn % batches
                return found.at[i, j].set(answers(params, genotypes[i], x[j], labels[j]))

            shape = labels.shape if has_classes else (*labels.shape[:2], space.num_classes)
            nothing = jnp.zeros((len(genotypes), *shape), bool if has_classes else jnp.float32)
            return lax.fori_loop(0, count * batches, of_one, nothing)

        self._of_all = jax.jit(of_all)
        x, y = np.asarray(images.x_val), np.asarray(images.y_val)  # cut on the host, where nothing is compiled
        shape = (self.count // self.batch, self.batch)
        self._targets = y[: self.count]
        self._batches = jax.device_put(tuple(a[: self.count].reshape(*shape, *a.shape[1:]) for a in (x, y)))

    def whole_batches(self, images: int) -> int:
        """Return how many of `images` fill whole batches, one batch at least."""
        return max(1, images // self.batch) * self.batch

    def hits_of_each(
        self, genotypes: Sequence[Sequence[int]] | NDArray[np.int32], limit: int | None = None
    ) -> Iterator[NDArray[Any]]:
        """Yield for each of genotypes [N, D] what each image adds to its score, of all or the first `limit`.

        `limit` is rounded to whole batches.
        """
        batches = (self.count if limit is None else min(self.count, self.whole_batches(limit))) // self.batch
        rows = np.asarray(genotypes, np.int32)
        for first in range(0, len(rows), self.together):
            raise_if_stopped()
            group = rows[first : first + self.together]
            full = np.concatenate([group, np.repeat(group[:1], self.together - len(group), 0)])
            found = jax.device_get(self._of_all(self.params, full, len(group), batches, *self._batches))
            for one in found[: len(group), :batches]:
                yield self._hits(one.reshape(batches * self.batch, -1))

    def _hits(self, answers: NDArray[Any]) -> NDArray[Any]:
        """Return what each image adds to the score: its truth value [N, 1], or what its outputs [N, K] come to."""
        if answers.dtype == np.bool_:
            return answers[:, 0]
        return score_contributions(self.task, answers, self._targets[: len(answers)])

    def hits(self, genotype: NDArray[np.int32], limit: int | None = None) -> NDArray[Any]:
        """Return what each image adds to the score of the architecture `genotype` [D]; `limit` as above."""
        return next(self.hits_of_each(genotype[None], limit))

    def correct(self, genotype: NDArray[np.int32], limit: int | None = None) -> float:
        """Return how many images the architecture `genotype` [D] classifies correctly, or the sum of its hits."""
        return total(self.hits(genotype, limit))

    def accuracy(self, genotypes: NDArray[np.int32]) -> NDArray[np.float64]:
        """Return the scores of genotypes [N, D] as fractions [N]."""
        return np.array([total(hits) / self.count for hits in self.hits_of_each(genotypes)])

    def scores(self, genotypes: NDArray[np.int32]) -> NDArray[np.float64]:
        """Return the scores of genotypes [N, D] with their standard errors [N, 2]; of classification scores alone [N].

        The error of a share follows from it and the number of images.
        """
        if self.task.outputs == "classes":
            return self.accuracy(genotypes)
        return np.array([(total(hits) / self.count, score_error(hits)) for hits in self.hits_of_each(genotypes)])
