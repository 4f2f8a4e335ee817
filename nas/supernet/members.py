"""The architectures of a staged space as members of one program, each with weights of its own.

The program is the supernet's, the weights are not shared: every member has arrays of the largest sizes for itself, in
which the weights of its stand-alone network lie where the supernet reads them.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax import Array
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.nn.network import Weights
from nas.space.staged import StagedSpace
from nas.supernet.buckets import buckets_for
from nas.supernet.inherit import embedded_weights, network_weights
from nas.supernet.supernet import Supernet, parameters, with_parameters
from nas.training.packing import Packing


@dataclass(frozen=True)
class SpaceFamily:
    """All architectures of `space`, which is one of proxies."""

    space: StagedSpace
    buckets: int = 1  # see `Supernet`

    @property
    def arch(self) -> ArchSpec:
        """An architecture of the space."""
        return self.space.decode((0,) * len(self.space.decisions))

    @property
    def packing(self) -> Packing:
        """The packing of the supernet's parameters."""
        return _definition(self.space, self.buckets)[1]

    def genotype(self, arch: ArchSpec) -> NDArray[np.int32]:
        """Return the genotype of `arch`; `InvalidInput` where it is not of the space."""
        return np.asarray(self.space.encode(arch), np.int32)

    def embedded(self, arch: ArchSpec, params: Weights) -> dict[str, Any]:
        """Return the parameters of `arch` in arrays of the supernet's shapes."""
        shapes = dict(self.packing.shapes)
        return dict(embedded_weights(params, shapes, self.space, self.space.encode(arch)))

    def cut(self, arch: ArchSpec, tensors: dict[str, Any]) -> Weights:
        """Return the parameters of `arch` out of such arrays."""
        return {**network_weights(tensors, self.space, self.space.encode(arch))}  # type: ignore[dict-item]

    def logits(self, tensors: dict[str, Any], genotype: Array, x: Array) -> Array:
        """Return the logits [N, classes] of images x [N,H,W,C]."""
        return with_parameters(_definition(self.space, self.buckets)[0], tensors)(x, genotype)


@lru_cache(maxsize=8)
def _definition(space: StagedSpace, buckets: int) -> tuple[Any, Packing]:
    """Return the graph of the supernet over `space`, and the packing of its parameters."""
    model = Supernet(space, np.random.default_rng(0), buckets)
    return nnx.graphdef(model), Packing.of(parameters(model))


def family_here(space: StagedSpace, *, short_steps: int = 0) -> SpaceFamily | None:
    """Return the family that trains the networks of `space` by one program, on an accelerator many at a time.

    None on a CPU, where each has a program of its own, unless their trainings are short: then compilation is most of
    them, and all have `short_steps` steps together. `experiments/benchmarks/candidates.py` compares both.
    """
    if jax.default_backend() == "cpu" and not short_steps:
        return None
    return SpaceFamily(space, buckets_for(short_steps))
