"""Plain and depthwise-separable convolution blocks."""

from typing import Any

from flax import nnx
from jax import Array

from nas.nn.blocks.excitation import squeeze_excite
from nas.nn.blocks.grouped import apply_grouped, mixed_depthwise
from nas.nn.layers import ACTS, Convolution, Linear, Normalise


class ConvBlock(nnx.Module):
    """k x k convolution, normalisation, activation."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        act: str = "relu",
        **common: Any,
    ) -> None:
        self.conv = Convolution(in_channels, out_channels, kernel_size, stride, act=act, **common)

    def __call__(self, x: Array, normalise: Normalise) -> Array:
        return self.conv(x, normalise)


class SeparableConvBlock(nnx.Module):
    """MobileNetV1 block: depthwise and 1 x 1 convolution, each with normalisation, [squeeze-excite] and activation."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        act: str = "relu",
        mix: tuple[int, ...] = (),
        depthwise_se_channels: int = 0,
        se_channels: int = 0,
        **common: Any,
    ) -> None:
        self.act, rngs = act, common["rngs"]
        acts = ["none" if inner else act for inner in (depthwise_se_channels, se_channels)]  # else behind the gate
        self.depthwise = mixed_depthwise(in_channels, (kernel_size, *mix), stride, act=acts[0], **common)
        inner = depthwise_se_channels
        self.depthwise_se_reduce = Linear(in_channels, inner, bias=True, rngs=rngs) if inner else None
        self.depthwise_se_expand = Linear(inner, in_channels, bias=True, rngs=rngs) if inner else None
        self.pointwise = Convolution(in_channels, out_channels, act=acts[1], **common)
        self.se_reduce = Linear(out_channels, se_channels, bias=True, rngs=rngs) if se_channels else None
        self.se_expand = Linear(se_channels, out_channels, bias=True, rngs=rngs) if se_channels else None

    def __call__(self, x: Array, normalise: Normalise) -> Array:
        y = apply_grouped(self.depthwise, x, normalise)
        y = self._gated(y, self.depthwise_se_reduce, self.depthwise_se_expand)
        return self._gated(self.pointwise(y, normalise), self.se_reduce, self.se_expand)

    def _gated(self, y: Array, reduce: Linear | None, expand: Linear | None) -> Array:
        """Return the map times its gate, activated; the map as it is where it has no gate."""
        if reduce is None or expand is None:
            return y
        return ACTS[self.act](squeeze_excite(y, reduce, expand, "relu", "sigmoid"))
