"""The interface of a family: architectures that one compiled program trains, each with weights of its own."""

from typing import Any, Protocol

import numpy as np
from jax import Array
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.nn.network import Weights
from nas.training.packing import Packing


class Family(Protocol):
    """Architectures that one compiled program trains; hashable, as a static argument of it."""

    @property
    def arch(self) -> ArchSpec: ...  # one of them, for what all share: input and classes
    @property
    def packing(self) -> Packing: ...  # of the arrays of the largest sizes
    def genotype(self, arch: ArchSpec) -> NDArray[np.int32]: ...  # the input that stands for `arch`
    def embedded(self, arch: ArchSpec, params: Weights) -> dict[str, Any]: ...  # into the arrays of the largest sizes
    def cut(self, arch: ArchSpec, tensors: dict[str, Any]) -> Weights: ...  # the inverse
    def logits(self, tensors: dict[str, Any], genotype: Array, x: Array) -> Array: ...
