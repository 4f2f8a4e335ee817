"""What searchable blocks share: their base class, and a depthwise convolution whose kernel size is an input."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from itertools import product
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array, lax

from nas.errors import InvalidInput
from nas.nn.layers import ACTS, EVONORMS
from nas.nn.primitives import batch_norm
from nas.ops import Kernel, Op
from nas.supernet.layers import Activation, BlockContext, ChannelCount, ConvBN, norm_act, window_on
from nas.supernet.rounding import depthwise
from nas.supernet.tables import IN_CHANNELS, Chosen, GenotypeReader, Number, PossibleOps, SlotTable

Option = Array | int  # the number of a depthwise option
Index = tuple[Any, ...]
Sizes = tuple[int, ...]  # kernel sizes that share the channels of a depthwise convolution; () for none


class SearchableOp(nnx.Module):
    """Base of the searchable form of a family: shared weights for all ops that it may have to be, or a stack of them.

    Weights have the largest sizes, and the fields of the op are inputs of the program (`Chosen`). A subclass names the
    fields that it reads: `COUNTS` of channels, `NUMBERS` all others, `SWITCHED` kernel sizes of which 0 is none,
    `FIXED` those of one value in all ops. Another value than the default of any other field is refused.
    """

    COUNTS: ClassVar[tuple[str, ...]] = ()
    NUMBERS: ClassVar[tuple[str, ...]] = ("act", "residual")
    SWITCHED: ClassVar[tuple[str, ...]] = ()
    FIXED: ClassVar[tuple[str, ...]] = ()
    PARTS: ClassVar[Mapping[str, tuple[str, ...]]] = {}  # property of the op among those above -> its fields
    TAKES_EVONORM: ClassVar[bool] = False  # whether `behind` stands behind its layers
    IS_SIZED: ClassVar[bool] = False  # whether it runs on the first channels with the first entries of its arrays alone
    LAYERS: ClassVar[dict[str, str]] = {}  # kernel of the op -> path of the layer, where that is another

    def __init__(self, ops: PossibleOps, rng: np.random.Generator, stack: tuple[int, ...] = ()) -> None:
        self._check(ops)
        self.acts = tuple(ops.values("act")) if "act" in self.NUMBERS else ()
        self.adds = tuple(ops.values("residual")) if "residual" in self.NUMBERS else (False,)
        self.evonorm = _has_evonorm(ops)
        if self.evonorm and not self.TAKES_EVONORM:
            raise InvalidInput(f"a {ops.ops[0].tag} with EvoNorm cannot be searched; leave it out of the activations")

    def _check(self, ops: PossibleOps) -> None:
        """Raise `InvalidInput` where an op has what no searchable form of its family would run."""
        read = {*self.COUNTS, *self.NUMBERS, *self.SWITCHED, *self.FIXED, "out_channels", "stride"}
        read |= {part for field in read for part in self.PARTS.get(field, ())}
        for op, field in product(ops.ops, fields(ops.ops[0])):
            if field.name not in read and (value := getattr(op, field.name)) != field.default:
                raise InvalidInput(
                    f"a search takes no {op.tag} with {field.name} {value}; leave it at {field.default} in the space"
                )

    def __call__(self, x: Array, op: Chosen, stride: int, context: BlockContext) -> Array:
        """Apply the op to x [N,H,W,C]."""
        raise NotImplementedError

    @classmethod
    def numbered(cls, ops: PossibleOps) -> dict[str, list[Any]]:
        """Return the values of the fields that are numbered, by field."""
        switched = {field: [none_of(ops, field), *(one for one in ops.values(field) if one)] for field in cls.SWITCHED}
        return {field: ops.values(field) for field in cls.NUMBERS} | switched

    @classmethod
    def chosen(cls, reader: GenotypeReader, tables: Sequence[SlotTable]) -> tuple[Chosen, Chosen]:
        """Return what a genotype chooses at the positions of `tables`; see `GenotypeReader.chosen`."""
        ops = PossibleOps.of(tables)
        filters = ("out_channels",) if _has_evonorm(ops) else ()
        return reader.chosen(tables, (IN_CHANNELS, *cls.COUNTS, *filters), cls.numbered(ops))

    def filters(self, op: Chosen) -> ChannelCount:
        """Return how many channels the op has behind it, for an EvoNorm there; None where none can be."""
        return op["out_channels"] if self.evonorm else None

    def act(self, op: Chosen) -> Activation:
        """Return the activation that is chosen."""
        return chosen_act(op["act"], self.acts)

    def behind(self, op: Chosen, layer: ConvBN, used: ChannelCount, context: BlockContext) -> Activation:
        """Return what stands behind `layer`: its normalisation and the activation that is chosen, or an EvoNorm."""
        return self.behind_of(op, layer.scale[...], layer.bias[...], layer.slopes, used, context)

    def behind_of(
        self, op: Chosen, scale: Array, bias: Array, v: Array | None, used: ChannelCount, context: BlockContext
    ) -> Activation:
        """Return the same of the arrays of a layer."""
        if not self.evonorm:
            return lambda z: self.act(op)(batch_norm(z, scale, bias, context.eps))
        runs: list[Activation] = [
            partial(norm_act, act=act, scale=scale, bias=bias, v=v, used=used, context=context) for act in self.acts
        ]
        number = op["act"]
        return runs[number] if isinstance(number, int) else lambda z: lax.switch(number, runs, z)

    def behind_all(self, op: Chosen, used: ChannelCount, context: BlockContext) -> "Behind":
        """Return what stands behind each kernel size of a depthwise convolution with so many channels in use."""
        return Behind(
            lambda unit: self.behind(op, unit, used, context),
            lambda scale, bias, v: self.behind_of(op, scale, bias, v, used, context),
        )

    def add_slopes_to(self, *layers: nnx.Module | None) -> None:
        """Add the slopes of EvoNorm to layers with an activation behind them, where it is an option."""
        for layer in layers if self.evonorm else ():
            if getattr(layer, "is_mixed", False) and "evonorm_s0" in self.acts:  # its groups are of each share alone
                raise InvalidInput("a search takes no EvoNorm-S0 behind kernel sizes that share channels")
            for unit in [layer] if isinstance(layer, ConvBN) else getattr(layer, "units", {}).values():
                unit.add_slopes()

    def add_input(self, op: Chosen, x: Array, y: Array) -> Array:
        """Return the output `y` of the block, with its input `x` added where the op has a residual."""
        if len(self.adds) == 1:
            return x + y if self.adds[0] else y
        return jnp.where(op["residual"] > 0, x + y, y)

    @classmethod
    def layer_of(cls, kernel: Kernel) -> str:
        """Return the path of the layer with the weights of a kernel, "" for the module itself."""
        layer = layer_name(kernel)
        path = cls.LAYERS.get(layer, layer)
        # Depthwise weights lie by kernel size: each size has its own.
        return f"{path}.{kernel.kernel_size}" if kernel.kind == "depthwise" else path

    @classmethod
    def slice_of(cls, op: Op, kernel: Kernel, tensor: str, first: int = 0) -> Index:
        """Return which entries of the layer's tensor a network uses, the first ones along the axes of channels.

        `kernel` is one of `op`; the index is that of one block, where the tensor holds a stack of them. `first` is the
        first of its output channels: of kernels side by side, each has a share of the layer's.
        """
        # The last axis of every tensor is output channels; weights that mix channels have the inputs before it.
        mixes_channels = tensor == "weight" and kernel.kind != "depthwise"
        inputs = (slice(kernel.in_shape.channels),) * mixes_channels
        # On sequences a network has the column of the window that meets the map.
        height, width = kernel.window
        middle = (slice(height // 2, height // 2 + 1),) * (tensor == "weight" and width < height)
        return (..., *middle, *inputs, slice(first, first + kernel.out_shape.channels))


def none_of(ops: PossibleOps, field: str) -> int | Sizes:
    """Return the value of a field of kernel sizes that says that there is none: 0, or of several sizes ()."""
    return 0 if isinstance(ops.values(field)[0], int) else ()


def _has_evonorm(ops: PossibleOps) -> bool:
    """Return whether an EvoNorm is the activation of some of the ops."""
    return any(getattr(op, "act", None) in EVONORMS for op in ops.ops)


def chosen_act(number: Number, acts: tuple[str, ...]) -> Activation:
    """Return the activation `number` of `acts`."""
    if isinstance(number, int):
        return ACTS[acts[number]]
    return lambda x: lax.switch(number, [ACTS[act] for act in acts], x)


def layer_name(kernel: Kernel) -> str:
    """Return the name of the layer of a kernel, without the number that one of several side by side has."""
    *_, before, last = kernel.name.split(".")
    return before if last.isdigit() else last


def zero_scale(layer: ConvBN) -> None:
    """Set the scale of a normalisation to 0, so that a block with a skip begins as the identity.

    After arXiv 1706.02677, section 5.1: so deep architectures have no handicap at first.
    """
    layer.scale.set_value(jax.device_put(np.zeros(layer.scale.shape, np.float32)))


class Behind(NamedTuple):
    """What stands behind a layer, normalisation included: of the layer, or of its scale, bias and slopes."""

    of: Callable[[ConvBN], Activation]
    of_arrays: Callable[[Array, Array, Array], Activation]


class SwitchableDepthwise(nnx.Module):
    """The depthwise options at one position of a block: none, or one of several kernel sizes, each with its weights.

    Option 0 is "none", option i the i-th that is a convolution. One number more is the average of all options that are
    allowed, which TuNAS uses to warm up (Bender et al. 2020, https://arxiv.org/abs/2008.06120). An option of several
    kernel sizes shares the channels among them (MixConv, arXiv 1907.09595); a size has one weight in all options.
    """

    def __init__(
        self, options: tuple[int | Sizes, ...], channels: int, rng: np.random.Generator, stack: tuple[int, ...] = ()
    ) -> None:
        """Sample weights for each kernel size that occurs; a 0 or () among the ascending options allows "none"."""
        sizes = [(one,) if isinstance(one, int) else one for one in options]
        self.options = tuple(one for one in sizes if one and one != (0,))
        self.optional = len(self.options) < len(sizes)
        self.is_mixed = any(len(one) > 1 for one in self.options)
        occurring = sorted({size for one in self.options for size in one})
        self.units = nnx.Dict({str(k): ConvBN((k, k, channels), rng, stack) for k in occurring})

    def __call__(
        self, x: Array, option: Option, stride: int, act: Activation | Behind, context: BlockContext,
        used: ChannelCount = None,
    ) -> Array:  # fmt: skip
        """Apply the option numbered `option` to x [N,H,W,C]; with a stride above 1 "none" is not allowed.

        `act` stands behind the normalisation, or is what `Behind` says of each kernel size. The first `used` channels
        are in use, which matters where they are shared.
        """

        def branch(sizes: Sizes) -> Activation:
            def run(z: Array) -> Array:
                if len(sizes) > 1:
                    return self._mixed(z, sizes, stride, act, context, used)
                unit = self.units[str(sizes[0])]
                weight = window_on(z, unit.weight[...].astype(z.dtype))
                y = depthwise(z, weight, stride, context.padding)
                return act.of(unit)(y) if isinstance(act, Behind) else act(unit.norm(y, context))

            return run

        convolutions = [branch(sizes) for sizes in self.options]
        allowed = ([identity] if self.optional and stride == 1 else []) + convolutions
        if len(allowed) < 2:  # nothing to choose: no switch to compile
            return (allowed or [identity])[0](x)

        def average(z: Array) -> Array:
            return sum((run(z) for run in allowed[1:]), start=allowed[0](z)) / len(allowed)

        # The position in this list is the option number, so there is always an entry 0: "none", or where that is not
        # allowed the smallest kernel in its stead. The switch compiles every branch and runs one. That needs a scalar
        # option: under vmap all branches would run, which is why architectures are evaluated one after the other.
        branches = [allowed[0], *convolutions, *([average] if context.averages else [])]
        return lax.switch(jnp.asarray(option), branches, x)

    def _mixed(
        self, x: Array, sizes: Sizes, stride: int, act: Activation | Behind, context: BlockContext, used: ChannelCount
    ) -> Array:
        """Return the convolution with several kernel sizes, in one pass: small windows lie in the largest."""
        largest, channels = max(sizes), x.shape[-1]
        share = share_of_channels(channels if used is None else used, len(sizes), channels)
        weight, scale, bias, v = (jnp.zeros(()),) * 4
        for number, size in enumerate(sizes):
            unit, rim, mine = self.units[str(size)], (largest - size) // 2, share == number
            window = jnp.pad(unit.weight[...], ((rim, rim), (rim, rim), (0, 0)))
            weight, scale, bias = (
                jnp.where(mine, own, rest)
                for own, rest in ((window, weight), (unit.scale[...], scale), (unit.bias[...], bias))
            )
            v = v if unit.slopes is None else jnp.where(mine, unit.slopes, v)
        y = depthwise(x, window_on(x, weight.astype(x.dtype)), stride, context.padding)
        if isinstance(act, Behind):
            return act.of_arrays(scale, bias, v)(y)
        return act(batch_norm(y, scale, bias, context.eps))


def share_of_channels(used: Array | int, shares: int, channels: int) -> Array:
    """Return the number of the share [channels] that each channel falls in, of `used` ones in equal `shares`.

    The remainder is in the first, as in `nas.ops.kernels.split_channels`; channels beyond those are in the last.
    """
    each = jnp.maximum(used // shares, 1)
    first = used - each * (shares - 1)
    behind = jnp.arange(channels) - first
    return jnp.where(behind < 0, 0, jnp.minimum(1 + behind // each, shares - 1))


def identity(x: Array) -> Array:
    """Return `x`: the option "none", and the activation of a convolution that has none."""
    return x
