"""The mobile multi-query attention block (MobileNetV4)."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from nas.nn.layers import Depthwise, Linear, Norm, Normalise


class MobileMQABlock(nnx.Module):
    """Mobile multi-query attention: one key and one value head over all positions, arXiv 2404.10518, Eq. 2."""

    def __init__(
        self,
        in_channels: int,
        heads: int,
        key_dim: int,
        value_dim: int,
        kv_stride: int = 1,
        residual: bool = True,
        layer_scale: bool = True,
        **common: Any,
    ) -> None:
        self.heads, self.residual = heads, residual
        rngs, strided = common["rngs"], kv_stride > 1
        self.norm = Norm(in_channels, norm_eps=common["norm_eps"])
        self.query = Linear(in_channels, heads * key_dim, rngs=rngs)
        self.key_dw = Depthwise(in_channels, 3, kv_stride, **common) if strided else None
        self.key = Linear(in_channels, key_dim, rngs=rngs)
        self.value_dw = Depthwise(in_channels, 3, kv_stride, **common) if strided else None
        self.value = Linear(in_channels, value_dim, rngs=rngs)
        self.output = Linear(heads * value_dim, in_channels, rngs=rngs, layer_scale=layer_scale)

    def __call__(self, x: Array, normalise: Normalise) -> Array:
        n, height, width, _ = x.shape
        normed = self.norm(x, normalise)
        query = self.query(normed).reshape(n, height * width, self.heads, -1)
        key = self.key(normed if self.key_dw is None else self.key_dw(normed, normalise))
        value = self.value(normed if self.value_dw is None else self.value_dw(normed, normalise))
        key, value = (one.reshape(n, -1, one.shape[-1]) for one in (key, value))
        # Contracted indices last, and outputs in the order of the inputs, so that XLA inserts no transpose.
        scores = jnp.einsum("bnhk,bmk->bnhm", query, key) * key.shape[-1] ** -0.5
        attention = jax.nn.softmax(scores.astype(jnp.float32)).astype(x.dtype)
        mixed = jnp.einsum("bnhm,bmv->bnhv", attention, value)
        y = self.output(mixed.reshape(n, height, width, -1))
        return x + y if self.residual else y
