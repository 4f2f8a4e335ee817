"""The searchable log-mel front end: it has no weights, and every option of it is a program of its own."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from nas.nn.layers import stored_statistics
from nas.nn.network import block_of
from nas.ops import Op
from nas.supernet.blocks.base import SearchableOp
from nas.supernet.layers import BlockContext
from nas.supernet.tables import Chosen, PossibleOps


class SearchableLogMel(SearchableOp):
    """A front end with its options; see `nas.ops.log_mel.LogMel`.

    Its options differ in the size of their output, which a compiled program has to know: the supernet runs each as a
    branch (`front`), whose op is a Python value.
    """

    NUMBERS = ()

    def __init__(self, ops: PossibleOps, rng: np.random.Generator, stack: tuple[int, ...] = ()) -> None:
        """Take the options; nothing is sampled."""
        self.ops = ops.ops
        self.channels = 1 if ops.values("layout") == ["map"] else ops.most("bands")

    def __call__(self, x: Array, op: Chosen, stride: int, context: BlockContext) -> Array:
        """Apply the only option there is."""
        (only,) = self.ops
        return self.front(x, only)

    def front(self, x: Array, op: Op) -> Array:
        """Return the waveform x [N, T, 1, 1] behind the option `op`; its bands as channels padded to the most."""
        common: dict[str, Any] = {"padding": "symmetric", "norm_eps": 1e-5, "rngs": nnx.Rngs(0)}
        y = block_of(op, x.shape[-1], **common)(x, stored_statistics)
        return jnp.pad(y, ((0, 0),) * 3 + ((0, self.channels - y.shape[-1]),))
