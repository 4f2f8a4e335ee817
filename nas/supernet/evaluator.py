"""Accuracy of architectures under shared weights on validation images."""

from dataclasses import dataclass

import jax
import numpy as np
from flax import nnx
from jax import Array
from numpy.typing import NDArray

from nas.data import to_input
from nas.space.staged import StagedSpace
from nas.supernet.supernet import Params, Supernet, with_parameters
from nas.training.devices import compute_dtype


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SearchImages:
    """Pictures on the device: uint8 [N,H,W,C] with labels [N], to train on and held out, and channel statistics."""

    x_train: Array
    y_train: Array
    x_held: Array
    y_held: Array
    mean: Array
    std: Array


class SupernetEvaluator:
    """Top-1 of architectures under shared weights on fixed held-out pictures: the search's `Evaluator`.

    Normalisation takes the statistics of each batch of `batch` pictures, so an accuracy depends on the architecture,
    the weights and the pictures alone, never on what was evaluated before.
    """

    def __init__(self, space: StagedSpace, graph: "nnx.GraphDef[Supernet]", pictures: SearchImages, batch: int) -> None:
        """Evaluate on the held-out `pictures`, cut to whole batches; `params` are still to be set."""
        self.params: Params = {}
        self.batch = min(batch, len(pictures.y_held))
        self.count = self.whole_batches(len(pictures.y_held))

        def right(params: Params, genotype: Array, x: Array, labels: Array) -> Array:
            x = to_input(x, pictures.mean, pictures.std, space.input_shape.channels).astype(compute_dtype())
            return (with_parameters(graph, params)(x, genotype).argmax(-1) == labels).sum()

        self._right = jax.jit(right)
        x, y = np.asarray(pictures.x_held), np.asarray(pictures.y_held)  # cut on the host, where nothing is compiled
        starts = range(0, self.count, self.batch)
        self._batches = [jax.device_put((x[i : i + self.batch], y[i : i + self.batch])) for i in starts]

    def whole_batches(self, pictures: int) -> int:
        """Return how many of `pictures` fill whole batches, at least one."""
        return max(1, pictures // self.batch) * self.batch

    def correct(self, genotype: NDArray[np.int32], most: int | None = None) -> int:
        """Return how many of the first `most` pictures (whole batches) the architecture `genotype` [D] gets right."""
        batches = self._batches if most is None else self._batches[: self.whole_batches(most) // self.batch]
        chosen = jax.device_put(np.asarray(genotype, np.int32))
        return sum(int(n) for n in [self._right(self.params, chosen, *batch) for batch in batches])

    def accuracy(self, genotypes: NDArray[np.int32]) -> NDArray[np.float64]:
        """Return the top-1 of genotypes [N, D] as fractions [N]."""
        return np.array([self.correct(genotype) / self.count for genotype in genotypes])
