"""The classification head."""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax import Array

from nas.nn.layers import ACTS, Convolution, Linear, Normalise

CLASSIFIER_STD = 0.01


class HeadBlock(nnx.Module):
    """Average pool, optional hidden layer, classifier: [N, H, W, C] -> float32 logits [N, classes]."""

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        hidden: int = 0,
        hidden_norm: bool = True,
        act: str = "relu",
        **common: Any,
    ) -> None:
        self.act, rngs = act, common["rngs"]
        layer: Convolution | Linear | None = None
        if hidden and hidden_norm:
            layer = Convolution(in_channels, hidden, act=act, **common)
        elif hidden:
            layer = Linear(in_channels, hidden, bias=True, rngs=rngs)
        self.hidden = layer
        self.classifier = Linear(hidden or in_channels, num_classes, bias=True, std=CLASSIFIER_STD, rngs=rngs)

    def __call__(self, x: Array, normalise: Normalise) -> Array:
        y = x.mean((1, 2), keepdims=True)
        if isinstance(self.hidden, Convolution):
            y = self.hidden(y, normalise)
        elif self.hidden is not None:
            y = ACTS[self.act](self.hidden(y))
        return self.classifier(y[:, 0, 0]).astype(jnp.float32)
