"""The network as a training with more than the plain loss runs it: dropout, stochastic depth, frozen stages.

Sources: dropout in front of the classifier; stochastic depth, arXiv 1603.09382: the branch of a residual block is left
out for some examples, at a rate that grows with the depth, and counts more for the others.
"""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.nn.layers import ACTS, Convolution, batch_statistics, stored_statistics
from nas.nn.network import Network

DROPOUT = 1 << 20  # number of its stream of random numbers; those below are of blocks


@dataclass(frozen=True)
class Regularisation:
    """Rates of dropout and stochastic depth; the default has neither."""

    dropout: float = 0.0  # in front of the classifier
    stochastic_depth: float = 0.0  # of the last block; those before have less, in proportion to their number
    depth_schedule: Literal["linear", "flat"] = "linear"  # flat: all blocks have the same rate

    def __post_init__(self) -> None:
        for name in ("dropout", "stochastic_depth"):
            if not 0 <= (value := getattr(self, name)) <= 0.9:
                raise InvalidInput(f"{name} must lie between 0 and 0.9, got {value}")

    @property
    def is_none(self) -> bool:
        """Whether nothing is left out."""
        return not (self.dropout or self.stochastic_depth)

    def depth_rates(self, arch: ArchSpec) -> tuple[float, ...]:
        """Return the rate of each block, 0 for those without a residual."""
        ops = [op for _, op, _ in arch.iter_ops()]
        last = max(1, len(ops) - 1)
        shares = (1.0 if self.depth_schedule == "flat" else number / last for number in range(len(ops)))
        residual = (bool(getattr(op, "residual", False)) for op in ops)
        return tuple(self.stochastic_depth * share * has for share, has in zip(shares, residual, strict=True))


def regularised(network: Network, x: Array, key: Array, rates: Regularisation, frozen: int = 0) -> Array:
    """Return the logits [N, K] for x [N, H, W, C] with blocks and features left out at random, from `key`.

    Normalisation is by the statistics of the batch, in the first `frozen` stages by the stored ones. In those nothing
    is left out.
    """
    number, depth_rates = 0, rates.depth_rates(network.arch)
    for index, stage in enumerate(network.stages):
        for block in stage:
            y = block(x, stored_statistics if index < frozen else batch_statistics)
            if depth_rates[number] and index >= frozen:
                y = x + (y - x) * _kept(jax.random.fold_in(key, number), depth_rates[number], (len(x), 1, 1, 1)).astype(
                    x.dtype
                )
            x, number = y, number + 1
    head = network.head
    y = x.mean((1, 2), keepdims=True)
    if isinstance(head.hidden, Convolution):
        y = head.hidden(y, batch_statistics)
    elif head.hidden is not None:
        y = ACTS[head.act](head.hidden(y))
    if rates.dropout:
        y = y * _kept(jax.random.fold_in(key, DROPOUT), rates.dropout, y.shape).astype(y.dtype)
    return head.classifier(y[:, 0, 0]).astype(jnp.float32)


def _kept(key: Array, rate: float, shape: tuple[int, ...]) -> Array:
    """Return 0 with the probability `rate`, else what makes the mean 1."""
    return jax.random.bernoulli(key, 1 - rate, shape) / (1 - rate)
