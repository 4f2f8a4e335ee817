"""Accuracy of architectures under shared weights, on validation images."""

from dataclasses import dataclass

import jax
import numpy as np
from flax import nnx
from jax import Array
from numpy.typing import NDArray

from nas.data import to_input
from nas.progress.stop import raise_if_stopped
from nas.space.staged import StagedSpace
from nas.supernet.supernet import Params, Supernet, with_parameters
from nas.training.devices import compute_dtype


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SearchImages:
    """The images of a search on the device: training and validation sets, and the statistics of their channels.

    Images are uint8 [N,H,W,C] with labels [N]; mean and standard deviation [C] are in units of full scale (255 = 1).
    """

    x_train: Array
    y_train: Array
    x_val: Array
    y_val: Array
    mean: Array
    std: Array


class SupernetEvaluator:
    """Top-1 of architectures under shared weights on fixed validation images: the search's `Evaluator`.

    Normalisation takes the statistics of each batch of `batch` images, so an accuracy depends on the architecture,
    the weights and the images alone, never on what was evaluated before. One compilation serves all architectures and
    all weights: both are inputs of the program.
    """

    def __init__(self, space: StagedSpace, graph: "nnx.GraphDef[Supernet]", images: SearchImages, batch: int) -> None:
        """Evaluate on the validation set of `images`, cut to whole batches; `params` are to be set before use."""
        self.params: Params = {}
        self.batch = min(batch, len(images.y_val))
        self.count = self.whole_batches(len(images.y_val))  # images that an accuracy is taken on

        def is_correct(params: Params, genotype: Array, x: Array, labels: Array) -> Array:
            x = to_input(x, images.mean, images.std, space.input_shape.channels).astype(compute_dtype())
            return with_parameters(graph, params)(x, genotype).argmax(-1) == labels

        self._is_correct = jax.jit(is_correct)
        x, y = np.asarray(images.x_val), np.asarray(images.y_val)  # cut on the host, where nothing is compiled
        starts = range(0, self.count, self.batch)
        self._batches = [jax.device_put((x[i : i + self.batch], y[i : i + self.batch])) for i in starts]

    def whole_batches(self, images: int) -> int:
        """Return how many of `images` fill whole batches, one batch at least."""
        return max(1, images // self.batch) * self.batch

    def hits(self, genotype: NDArray[np.int32], limit: int | None = None) -> NDArray[np.bool_]:
        """Return which images the architecture `genotype` [D] classifies correctly, of all or the first `limit`.

        `limit` is rounded to whole batches.
        """
        raise_if_stopped()
        batches = self._batches if limit is None else self._batches[: self.whole_batches(limit) // self.batch]
        chosen = jax.device_put(np.asarray(genotype, np.int32))
        # All batches are dispatched before the first result is waited for.
        return np.concatenate(jax.device_get([self._is_correct(self.params, chosen, *batch) for batch in batches]))

    def correct(self, genotype: NDArray[np.int32], limit: int | None = None) -> int:
        """Return how many images the architecture `genotype` [D] classifies correctly; `limit` as for `hits`."""
        return int(self.hits(genotype, limit).sum())

    def accuracy(self, genotypes: NDArray[np.int32]) -> NDArray[np.float64]:
        """Return the top-1 of genotypes [N, D] as fractions [N]."""
        return np.array([self.correct(genotype) / self.count for genotype in genotypes])
