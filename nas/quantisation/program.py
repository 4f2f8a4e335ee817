"""A network as a list of steps on tensors that int8 files name alike: `ProgramWriter`, a `nas.ops.graph.Writer`.

A step is one operator of an int8 file with the activation that is fused into it. The steps hold no numbers: `folded`
gives the weights of an architecture, normalisation folded in, to the steps that have some.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.nn.layers import ACTS, GATES
from nas.nn.lowering import lower
from nas.nn.primitives import conv2d, depthwise, pointwise
from nas.ops.fields import Act, Gate
from nas.ops.graph import Array as AnyArray
from nas.ops.graph import Axis, EvoNormNumbers, Padding, Side, Strides, Tensors, Value, both, padding_of
from nas.ops.kernels import Shape
from nas.quantisation.grid import Range

INPUT = "pictures"  # the name of the images in files
FUSED: tuple[Act, ...] = ("none", "relu", "relu6")  # activations of the operator in front of them
LOGISTIC_RANGE: Range = (0.0, 255 / 256)  # LiteRT wants the scale 1/256
UNIT_RANGE: Range = (0.0, 1.0)
CLIPPED_RANGE: Range = (0.0, 6.0)
AXES: dict[Axis, int] = {"height": 1, "width": 2, "channels": 3}
Kind = Literal["linear", "product", "sum", "mean", "function"]
"""How a step computes: four kinds whose whole numbers are known to an int8 file, and functions of real numbers. The
`run` of a mean is the sum over what it is the mean of."""
Scheme = Literal["integers", "functions"]
"""Which operators a file has. "integers": those of full-integer files alone, so that a hard swish is three, each of
which rounds, and a dense layer has one scale. "functions": activations and gates in floats between int8 tensors."""
SCHEMES: tuple[Scheme, ...] = ("integers", "functions")
Folded = dict[str, tuple[Any, Any]]  # layer -> weight [..., out] and bias [out]


@dataclass(frozen=True)
class Step:
    """One operator: its output tensor, the tensors that it reads, and what it computes in real numbers.

    `layer` is the layer that it is part of: in int8 as a whole, or in floats. Views and a front end have none.
    """

    name: str
    inputs: tuple[str, ...]
    run: Callable[..., Any]  # arrays [N, H, W, C] of the inputs -> array; of a linear step with its weight behind
    layer: str | None = None
    kind: Kind = "function"
    act: Act = "none"  # fused into it; of a linear step, behind its bias
    constant: float | None = None  # of a sum or a product: a second input
    per_channel: bool = True  # of a linear step: its weight has one scale per output channel
    rounds: bool = True  # its output is rounded to a grid; that of a view lies on one
    is_entry: bool = False  # from a front end, in floats, to the grid of its result


@dataclass(frozen=True)
class Program:
    """The steps of a network, in order; `roots` of tensors that share one grid, and the fixed ranges of some."""

    steps: tuple[Step, ...]
    output: str
    roots: Mapping[str, str]  # tensor -> the one whose range it has
    fixed: Mapping[str, Range]
    shapes: Mapping[str, Shape]
    scheme: Scheme = "integers"

    def averaged(self, step: Step) -> int:
        """Return how many elements of its input each element of the output of a mean is the mean of."""
        return self.shapes[step.inputs[0]].elements // self.shapes[step.name].elements

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers in order: each can be in int8 or in floats."""
        return tuple(dict.fromkeys(step.layer for step in self.steps if step.layer is not None))

    @property
    def weighted_layers(self) -> tuple[str, ...]:
        """The layers with weights, in order; between int8 ones the others gain nothing by floats."""
        return tuple(
            dict.fromkeys(step.layer for step in self.steps if step.kind == "linear" and step.layer is not None)
        )

    @property
    def observed(self) -> tuple[str, ...]:
        """The tensors whose ranges are to be calibrated, in order."""
        names = dict.fromkeys(self.roots[name] for name in (INPUT, *(step.name for step in self.steps)))
        behind = {self.roots[step.name] for step in self.steps if step.layer is not None or not step.rounds}
        used = behind | {self.roots[name] for step in self.steps if step.layer is not None for name in step.inputs}
        return tuple(name for name in names if name in used and name not in self.fixed)

    def in_int8(self, floats: frozenset[str] = frozenset()) -> frozenset[str]:
        """Return the tensors with a grid, by their roots, where the layers `floats` stay in floats.

        A tensor has one where a layer in int8 writes or reads it. A file of integers takes and gives int8 numbers
        whatever is between.
        """
        found = {
            self.roots[name]
            for step in self.steps
            if step.layer is not None and step.layer not in floats
            for name in (step.name, *step.inputs)
        }
        if found and self.scheme == "integers":
            found |= {self.roots[name] for name in (INPUT, self.output)} & set(self.observed)
        return frozenset(found)


@lru_cache(maxsize=64)
def program_of(arch: ArchSpec, scheme: Scheme = "integers") -> Program:
    """Return the steps of the network of `arch`; `InvalidInput` where an op has no int8 form."""
    zeros: Tensors = lambda _, shape: np.broadcast_to(np.zeros((), np.float32), shape)  # noqa: E731
    return _written(arch, scheme, zeros, in_double=True).program()


def folded(arch: ArchSpec, tensors: Tensors, *, in_double: bool = True) -> Folded:
    """Return weight and bias of each weighted step, with normalisation folded in: w * gamma / sqrt(var + eps).

    `tensors` returns weights and statistics by name and shape; in double precision, or as they are, under a trace.
    """
    return _written(arch, "integers", tensors, in_double=in_double).folded


def _written(arch: ArchSpec, scheme: Scheme, tensors: Tensors, *, in_double: bool) -> "ProgramWriter":
    writer = ProgramWriter(arch, scheme)
    writer.output = lower(arch, tensors, writer, in_double=in_double).name
    return writer


@dataclass
class ProgramWriter:
    """Collects the steps of a network, and the weights that are folded into them."""

    arch: ArchSpec
    scheme: Scheme
    steps: list[Step] = field(default_factory=list)
    folded: Folded = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    fixed: dict[str, Range] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    layers: list[str] = field(default_factory=list)
    in_front: bool = False  # whether what is added is a front end, in floats
    output: str = ""

    def program(self) -> Program:
        """Return what was collected."""

        def root(name: str) -> str:
            while name in self.aliases:
                name = self.aliases[name]
            return name

        roots = {name: root(name) for name in self.shapes}
        return Program(tuple(self.steps), self.output, roots, self.fixed, self.shapes, self.scheme)

    def _layer(self, name: str) -> str | None:
        """Return the layer that the operator `name` is part of: one that its name begins with, or its own."""
        if self.in_front:
            return None
        found = next((layer for layer in self.layers if name == layer or name.startswith(f"{layer}.")), None)
        if found is None:
            self.layers.append(name)
        return found or name

    def _step(self, name: str, inputs: Sequence[Value], run: Callable[..., Any], shape: Shape, **more: Any) -> Value:
        """Add a step that rounds its output."""
        names = tuple(value.name for value in inputs)
        self.steps.append(Step(name, names, run, self._layer(name), rounds=not self.in_front, **more))
        self.shapes[name] = shape
        return Value(name, shape)

    def _view(self, name: str, x: Value, run: Callable[[Any], Any], shape: Shape) -> Value:
        """Add a step whose output has the grid of its input."""
        self.steps.append(Step(name, (x.name,), run, rounds=False))
        self.aliases[name], self.shapes[name] = x.name, shape
        return Value(name, shape)

    def _weighted(
        self, name: str, x: Value, linear: Any, numbers: tuple[Any, Any], shape: Shape, act: Act, *,
        per_channel: bool = True,
    ) -> Value:  # fmt: skip
        """Add a linear map of (weight, bias) with its activation."""
        self.folded[name] = numbers
        fused: Act = act if act in FUSED or self.in_front else "none"
        y = self._step(name, [x], linear, shape, kind="linear", act=fused, per_channel=per_channel)
        return self._activated(name, y, act)

    def _activated(self, name: str, x: Value, act: Act) -> Value:
        """Add an activation that is not fused into the operator in front of it."""
        if act in FUSED:
            return x
        whole = f"{name}.{act}"
        if self.scheme == "functions" or act not in ("hswish", "swish"):
            return self._step(whole, [x], ACTS[act], x.shape)
        if act == "hswish":
            return self.multiply(whole, x, self.gate(f"{whole}.gate", x, "hard_sigmoid"))
        return self.multiply(whole, x, self.gate(f"{whole}.sigmoid", x, "sigmoid"))

    def input(self, shape: Shape) -> Value:
        """Add the images."""
        self.shapes[INPUT] = shape
        return Value(INPUT, shape)

    def pixels(self, shape: Shape) -> Value:
        """Refuse: a program takes normalised images."""
        raise NotImplementedError

    def conv(
        self, name: str, x: Value, weight: Any, bias: Any, *, stride: Strides, act: Act, padding: Padding | None = None
    ) -> Value:
        """Add a dense convolution with its activation."""
        height, width = (-(-size // step) for size, step in zip(x.shape.size, both(stride), strict=True))
        shift = np.zeros(weight.shape[-1]) if bias is None else bias
        linear = partial(_convolved, stride=stride, padding=padding or self.arch.padding)
        return self._weighted(name, x, linear, (weight, shift), Shape(height, width, weight.shape[-1]), act)

    def depthwise(self, name: str, x: Value, weight: Any, bias: Any, *, stride: int, act: Act) -> Value:
        """Add a depthwise convolution with its activation."""
        linear = partial(_depthwise, stride=stride, padding=self.arch.padding)
        return self._weighted(name, x, linear, (weight, bias), x.shape.strided(stride, x.shape.channels), act)

    def dense(self, name: str, x: Value, weight: Any, bias: Any, *, act: Act) -> Value:
        """Add a fully connected layer with its activation."""
        shape, each = Shape(1, 1, weight.shape[1]), self.scheme == "functions"
        return self._weighted(name, x, pointwise, (weight, bias), shape, act, per_channel=each)

    def affine(self, name: str, x: Value, factor: Any, bias: Any) -> Value:
        """Add a multiplication and an addition per channel as a 1 x 1 depthwise convolution: it rounds once."""
        return self.depthwise(name, x, factor[None, None], bias, stride=1, act="none")

    def frames(self, name: str, x: Value, weight: Any, *, hop: int) -> Value:
        """Add a convolution over time without padding."""
        window, out = weight.shape
        shape = Shape((x.shape.height - window) // hop + 1, 1, out)
        return self._step(name, [x], partial(_framed, weight=np.asarray(weight, np.float32), hop=hop), shape)

    def powers(self, name: str, x: Value, window: AnyArray, *, hop: int, fft_size: int, bins: range) -> Value:
        """Add the squared magnitudes of the real FFT of frames."""
        shape = Shape((x.shape.height - len(window)) // hop + 1, 1, len(bins))
        run = partial(_powers, window=np.asarray(window, np.float32), hop=hop, fft_size=fft_size, bins=bins)
        return self._step(name, [x], run, shape)

    def positions_to_channels(self, name: str, x: Value) -> Value:
        """Add a view of H x W x C as 1 x 1 x HWC."""
        shape = Shape(1, 1, x.shape.elements)
        return self._view(name, x, partial(_reshaped, shape=shape), shape)

    def max_pool(self, name: str, x: Value, window: tuple[int, int], *, stride: int) -> Value:
        """Add the maximum over windows, which lies on the grid of the map."""
        pads = tuple(padding_of(x.shape, window, stride, self.arch.padding))
        run = partial(_largest, window=window, stride=stride, pads=pads)
        return self._view(name, x, run, x.shape.strided(stride, x.shape.channels))

    def softmax_over_height(self, name: str, x: Value) -> Value:
        """Add a softmax over the height."""
        return self._step(name, [x], partial(jax.nn.softmax, axis=1), x.shape)

    def channel_products(self, name: str, x: Value) -> Value:
        """Add the products of all pairs of channels, summed over the positions."""
        return self._step(name, [x], _products, Shape(1, 1, x.shape.channels**2))

    def log(self, name: str, x: Value) -> Value:
        """Add a natural logarithm."""
        return self._step(name, [x], jnp.log, x.shape)

    def in_floats(self, name: str, x: Value, make: Callable[[Value], Value]) -> Value:
        """Add what `make` adds in floats, and a view of it on a grid."""
        self.in_front = True
        made = make(x)
        self.in_front = False
        self.steps.append(Step(name, (made.name,), _same, is_entry=True))
        self.shapes[name] = made.shape
        return made._replace(name=name)

    def channels_to_width(self, name: str, x: Value) -> Value:
        """Add a view of H x 1 x C as H x C x 1."""
        height, _, channels = x.shape
        shape = Shape(height, channels, 1)
        return self._view(name, x, partial(_reshaped, shape=shape), shape)

    def pool(self, name: str, x: Value) -> Value:
        """Add the mean over all positions."""
        total = partial(jnp.sum, axis=(1, 2), keepdims=True)
        return self._step(name, [x], total, Shape(1, 1, x.shape.channels), kind="mean")

    def flatten(self, name: str, x: Value) -> Value:
        """Return the 1 x 1 map as it is."""
        return x

    def gate(self, name: str, x: Value, gate: Gate) -> Value:
        """Add a gate's function; the hard sigmoid of integers is relu6(x + 3) / 6."""
        self.fixed[name] = LOGISTIC_RANGE if gate == "sigmoid" else UNIT_RANGE
        if gate == "hard_sigmoid" and self.scheme == "integers":
            clipped = f"{name}.clipped"
            self.fixed[clipped] = CLIPPED_RANGE
            layer = self._layer(name)
            self.steps.append(
                Step(clipped, (x.name,), jnp.add, layer, "sum", "relu6", constant=3.0, rounds=not self.in_front)
            )
            self.shapes[clipped] = x.shape
            return self._step(name, [Value(clipped, x.shape)], jnp.multiply, x.shape, kind="product", constant=1 / 6)
        return self._step(name, [x], GATES[gate], x.shape)

    def add(self, name: str, left: Value, right: Value) -> Value:
        """Add a sum."""
        return self._step(name, [left, right], jnp.add, left.shape, kind="sum")

    def multiply(self, name: str, x: Value, gate: Value, act: Act = "none") -> Value:
        """Add a product with its activation."""
        fused: Act = act if act in FUSED else "none"
        return self._activated(name, self._step(name, [x, gate], jnp.multiply, x.shape, kind="product", act=fused), act)

    def mean(self, name: str, x: Value, axis: Side) -> Value:
        """Add the mean over one side."""
        shape = x.shape._replace(**{axis: 1})
        return self._step(name, [x], partial(jnp.sum, axis=AXES[axis], keepdims=True), shape, kind="mean")

    def turn(self, name: str, x: Value) -> Value:
        """Add a view with height and width exchanged."""
        shape = Shape(x.shape.width, x.shape.height, x.shape.channels)
        return self._view(name, x, partial(_reshaped, shape=shape), shape)

    def split(self, name: str, x: Value, widths: Sequence[int], axis: Axis = "channels") -> list[Value]:
        """Add a view of each share of the channels or of a side."""
        found, start = [], 0
        for i, width in enumerate(widths):
            share = partial(jax.lax.slice_in_dim, start_index=start, limit_index=start + width, axis=AXES[axis])
            found.append(self._view(f"{name}.{i}", x, share, x.shape._replace(**{axis: width})))
            start += width
        return found

    def concat(self, name: str, parts: Sequence[Value], axis: Axis = "channels") -> Value:
        """Add a concatenation; all parts have its grid."""
        total = sum(getattr(part.shape, axis) for part in parts)
        shape = parts[0].shape._replace(**{axis: total})
        names = tuple(part.name for part in parts)
        self.steps.append(Step(name, names, partial(_joined, axis=AXES[axis]), rounds=False))
        self.shapes[name] = shape
        for part in names:
            while part in self.aliases:
                part = self.aliases[part]
            if part != name:
                self.aliases[part] = name
        return Value(name, shape)

    def evonorm(self, name: str, x: Value, numbers: EvoNormNumbers) -> Value:
        """Refuse: 8 bits do not hold the squares that its variances come from."""
        raise InvalidInput(f"{name} is an EvoNorm, whose variances int8 numbers do not hold; leave int8 out")

    def attention(self, name: str, query: Value, key: Value, value: Value) -> Value:
        """Add multi-query attention, in floats between int8 tensors."""
        size, depth = key.shape.channels, value.shape.channels
        heads = query.shape.channels // size
        run = partial(_attended, heads=heads)
        return self._step(f"{name}.mix", [query, key, value], run, query.shape._replace(channels=heads * depth))


def _same(x: Array) -> Array:
    return x


def _convolved(x: Array, weight: Array, *, stride: Strides, padding: Padding) -> Array:
    if not isinstance(stride, int):
        pads = padding_of(Shape(*x.shape[1:]), weight.shape[:2], stride, padding)
        return jax.lax.conv_general_dilated(x, weight, stride, pads, dimension_numbers=("NHWC", "HWIO", "NHWC"))
    if weight.shape[:2] == (1, 1):
        return pointwise(x[:, ::stride, ::stride], weight[0, 0])
    return conv2d(x, weight, stride, padding)


def _depthwise(x: Array, weight: Array, *, stride: int, padding: Any) -> Array:
    return depthwise(x, weight, stride, padding)


def _framed(x: Array, *, weight: AnyArray, hop: int) -> Array:
    kernel = jnp.asarray(weight)[:, None, None, :]
    return jax.lax.conv_general_dilated(x, kernel, (hop, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _powers(x: Array, *, window: AnyArray, hop: int, fft_size: int, bins: range) -> Array:
    starts = np.arange(0, x.shape[1] - len(window) + 1, hop)
    spectra = jnp.fft.rfft(x[:, starts[:, None] + np.arange(len(window)), 0, 0] * window, fft_size)
    kept = spectra[:, :, None, bins.start : bins.stop]
    return jnp.square(kept.real) + jnp.square(kept.imag)


def _largest(x: Array, *, window: tuple[int, int], stride: int, pads: tuple[tuple[int, int], ...]) -> Array:
    strides, sides = (1, stride, stride, 1), ((0, 0), *pads, (0, 0))
    return jax.lax.reduce_window(x, jnp.asarray(-jnp.inf, x.dtype), jax.lax.max, (1, *window, 1), strides, sides)


def _products(x: Array) -> Array:
    rows = x.reshape(len(x), -1, x.shape[-1])
    return jnp.einsum("npc,npd->ncd", rows, rows).reshape(len(x), 1, 1, -1)


def _reshaped(x: Array, *, shape: Shape) -> Array:
    return x.reshape(-1, *shape)


def _joined(*parts: Array, axis: int) -> Array:
    return jnp.concatenate(parts, axis)


def _attended(query: Array, key: Array, value: Array, *, heads: int) -> Array:
    """Return softmax(query key^T) value; one key and one value head serve all heads of the query."""
    count, height, width, _ = query.shape
    queries = query.reshape(count, height * width, heads, -1)
    keys, values = (each.reshape(count, -1, each.shape[-1]) for each in (key, value))
    weights = jax.nn.softmax(jnp.einsum("nphd,nkd->nphk", queries, keys))
    return jnp.einsum("nphk,nkd->nphd", weights, values).reshape(count, height, width, -1)
