"""Random weights and images for networks of which only the speed counts.

Their scale keeps activations in the range of normal floats: subnormal ones would be slow.
"""

import math

import numpy as np
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.files import check_memory

FLOAT32_BYTES = 4
CONSTANTS = {"scale": 1.0, "var": 1.0, "gamma": 1.0, "bias": 0.0, "mean": 0.0}  # by the last part of a tensor's name
DEPTHWISE_RANK = 3  # of weights [k, k, C], where every output channel has one input channel


def random_tensor(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the tensor `name` of nas.nn.network, the same one every time; weights are normal by He's rule."""
    check_memory(FLOAT32_BYTES * math.prod(shape), f"the tensor {name}")
    kind = name.rpartition(".")[2]
    if kind in CONSTANTS:
        return np.full(shape, CONSTANTS[kind], np.float32)
    inputs = math.prod(shape[:2]) if len(shape) == DEPTHWISE_RANK else math.prod(shape[:-1])
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32) * np.float32((2 / inputs) ** 0.5)


def random_images(arch: ArchSpec, batch: int) -> NDArray[np.float32]:
    """Return images [batch, H, W, C] of normal numbers, the same ones every time."""
    check_memory(FLOAT32_BYTES * batch * arch.input_shape.elements, f"a batch of {batch} images")
    return np.random.default_rng(1).standard_normal((batch, *arch.input_shape), dtype=np.float32)
