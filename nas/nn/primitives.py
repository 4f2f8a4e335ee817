"""Convolutions and batch normalisation that train fast on CPU, NHWC, importing nothing but jax.

XLA:CPU runs grouped convolutions 20 to 30 times slower than a plain sum of shifted products, and the automatic
derivatives of that sum lose most of the gain; so the primitives carry their own derivative rules here. Convolutions
have two routes: one for CPU, and plain ``lax`` for GPU and TPU. Where jax has nothing but a CPU, the first is taken;
elsewhere ``lax.platform_dependent`` picks between them when the program is lowered, when the device is known: it is
right under ``jax.default_device`` and ``jit`` onto another backend too, and the route not taken is traced but never
compiled. A program for other platforms than this process has, by ``jax.export``, is traced in `for_every_platform()`.
The other primitives are the same matrix products and sums everywhere.

The custom derivatives are reverse mode only: ``jax.grad`` and ``jax.vjp`` work (twice as well), ``jax.jvp`` does not.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from itertools import product
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import Array, lax

Padding = Literal["symmetric", "same"]
PADDINGS: tuple[Padding, ...] = ("symmetric", "same")

_DIMENSIONS = ("NHWC", "HWIO", "NHWC")
_EVERY_PLATFORM = ContextVar("every_platform", default=False)
FEW_PRODUCTS = 40  # taps times input channels: as many or fewer, and a CPU convolves by a sum of shifted products
BY_IMAGE = 512  # pixels of an output from which on a CPU computes a convolution's gradients image by image
LARGE_BYTES, PART_BYTES = 1 << 25, 1 << 22  # a larger batch is convolved on a CPU in parts of at most so much


def _pads(size: int, k: int, stride: int, padding: Padding) -> tuple[int, int, int]:
    """Return output size, zeros before and zeros after for one spatial axis of `size` elements."""
    if padding == "symmetric":
        low = high = (k - 1) // 2
        return (size + low + high - k) // stride + 1, low, high
    out = -(-size // stride)
    total = max((out - 1) * stride + k - size, 0)
    return out, total // 2, total - total // 2


def _pads_of(
    shape: tuple[int, ...], window: tuple[int, ...], stride: int, padding: Padding
) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Return `_pads` of height and width of an x of `shape` [N,H,W,C] under a window (kh, kw)."""
    height, width = (_pads(size, k, stride, padding) for size, k in zip(shape[1:3], window, strict=True))
    return height, width


@contextmanager
def for_every_platform() -> Iterator[None]:
    """Trace programs that hold the routes of every platform, whatever this process has."""
    token = _EVERY_PLATFORM.set(True)
    try:
        yield
    finally:
        _EVERY_PLATFORM.reset(token)


def _route(cpu: Callable[..., Any], other: Callable[..., Any], *args: Array) -> Any:
    """Return `cpu(*args)` where the program is lowered for a CPU, `other(*args)` elsewhere."""
    if jax.default_backend() == "cpu" and not _EVERY_PLATFORM.get():
        return cpu(*args)  # the other would be traced for nothing
    return lax.platform_dependent(*args, cpu=cpu, default=other)


def _lax_conv(x: Array, weight: Array, stride: int, padding: Padding, groups: int = 1) -> Array:
    """Return the convolution of x [N,H,W,C] with weight [kh,kw,C/groups,D] by plain lax: [N,H',W',D]."""
    pads = [one[1:] for one in _pads_of(x.shape, weight.shape[:2], stride, padding)]
    return lax.conv_general_dilated(
        x, weight, (stride, stride), pads, dimension_numbers=_DIMENSIONS, feature_group_count=groups
    )


# --- depthwise ------------------------------------------------------------------------------------------------------


def _lax_depthwise(x: Array, weight: Array, stride: int, padding: Padding) -> Array:
    """Return `depthwise` computed as a grouped convolution."""
    return _lax_conv(x, weight[:, :, None, :], stride, padding, groups=x.shape[-1])


def _tap(x: Array, i: int, j: int, stride: int, out: tuple[int, int]) -> Array:
    """Return the elements of padded x [..., H, W, C] that tap (i, j) of the window meets: [..., out[0], out[1], C]."""
    lead = x.ndim - 3
    start = (0,) * lead + (i, j, 0)
    stop = (*x.shape[:lead], i + (out[0] - 1) * stride + 1, j + (out[1] - 1) * stride + 1, x.shape[-1])
    return lax.slice(x, start, stop, (1,) * lead + (stride, stride, 1))


def _shift_and_add(padded: Array, weight: Array, stride: int, out: tuple[int, int]) -> Array:
    """Return a depthwise convolution without padding, as a sum of shifted products.

    XLA fuses the sum into one vectorised loop.
    """
    rows, columns = weight.shape[:2]
    return sum(
        (_tap(padded, i, j, stride, out) * weight[i, j] for i in range(rows) for j in range(columns)),
        start=jnp.zeros((), padded.dtype),
    )


def _cpu_depthwise(x: Array, weight: Array, stride: int, padding: Padding) -> Array:
    """Return `depthwise` as a sum of shifted products, in float32."""
    (h, *ph), (w, *pw) = _pads_of(x.shape, weight.shape[:2], stride, padding)
    padded = jnp.pad(x.astype(jnp.float32), ((0, 0), ph, pw, (0, 0)))
    return _shift_and_add(padded, weight.astype(jnp.float32), stride, (h, w)).astype(x.dtype)


def _cpu_depthwise_dx(x_shape: tuple[int, ...], weight: Array, g: Array, stride: int, padding: Padding) -> Array:
    """Return the input gradient: for every pixel of x the sum over the elements of g that it had a part in.

    With a stride s, a block of s x s pixels of x had parts in the same elements of g, each pixel by a tap of its own.
    So it is a sum over shifts of g against the blocks, by weights [s,s,C] that are zeros where a pixel has no part: 9
    products for a window of 5 with stride 2, where g with zeros between its elements takes 25.
    """
    axes, config = [], []
    sides = _pads_of(x_shape, weight.shape[:2], stride, padding)
    for size, k, (out, low, _) in zip(x_shape[1:3], weight.shape[:2], sides, strict=True):
        # pixel s q + r of x has its part in element q + shift of g by tap r + low - s shift
        first, last, blocks = -((k - 1 - low) // stride), (stride - 1 + low) // stride, -(-size // stride)
        axes.append((blocks, [low - stride * shift for shift in range(first, last + 1)]))
        config.append((-first, blocks - 1 + last - (out - 1), 0))
    around = stride  # taps outside the window are less far from it
    taps = jnp.pad(weight.astype(jnp.float32), ((around, around), (around, around), (0, 0)))
    padded = lax.pad(g.astype(jnp.float32), jnp.zeros((), jnp.float32), [(0, 0, 0), *config, (0, 0, 0)])
    (rows, row_taps), (columns, column_taps) = axes
    total = jnp.zeros((), jnp.float32)
    for (i, row), (j, column) in product(enumerate(row_taps), enumerate(column_taps)):
        own = taps[around + row :, around + column :][:stride, None, :stride]
        total += padded[:, i : i + rows, None, j : j + columns, None] * own
    pixels = total.reshape(-1, rows * stride, columns * stride, g.shape[-1])
    return pixels[:, : x_shape[1], : x_shape[2]].astype(g.dtype)


def _cpu_depthwise_dw(x: Array, g: Array, window: tuple[int, ...], stride: int, padding: Padding) -> Array:
    """Return the weight gradient [kh,kw,C]: for each tap the sum over images and pixels of (shifted x) * g.

    A loop over the images keeps one accumulator [H',kw,C] for each row of the window; one fused loop adds to it the
    products of all output columns, written out as W' terms. So x and g come from cache and the inner loop runs over C,
    vectorised; as sums over N, H, W the taps would be k*k passes over memory that XLA does not vectorise. The image
    of the next turn travels in the carry: indexed inside the fused loop, its position is read again for every element,
    and that keeps LLVM from vectorising.
    """
    (h, *ph), (w, *pw) = _pads_of(x.shape, window, stride, padding)
    rows_of_window, k = window
    padded = jnp.pad(x.astype(jnp.float32), ((0, 0), ph, pw, (0, 0)))
    g = g.astype(jnp.float32)
    n, c = x.shape[0], x.shape[-1]

    def column(image: Array, grad: Array, i: int, j: int) -> Array:
        rows = lax.slice(image, (i, j * stride, 0), (i + (h - 1) * stride + 1, j * stride + k, c), (stride, 1, 1))
        return rows * grad[:, j : j + 1]

    def add(turn: Array, carry: tuple[tuple[Array, ...], Array, Array]) -> tuple[tuple[Array, ...], Array, Array]:
        sums, image, grad = carry
        sums = tuple(sum((column(image, grad, i, j) for j in range(w)), start=s) for i, s in enumerate(sums))
        following = jnp.minimum(turn + 1, n - 1)
        return sums, padded[following], g[following]

    zero = jnp.zeros((h, k, c), jnp.float32)
    sums, _, _ = lax.fori_loop(0, n, add, ((zero,) * rows_of_window, padded[0], g[0]))
    return jnp.stack([s.sum(0) for s in sums])


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def depthwise(x: Array, weight: Array, stride: int = 1, padding: Padding = "symmetric") -> Array:
    """Return the depthwise convolution of x [N,H,W,C] with weight [kh,kw,C], both odd: [N,H',W',C].

    `symmetric` pads (k-1)/2 zeros on every side (as PyTorch does), `same` pads as TensorFlow's SAME.
    """
    generic = partial(_lax_depthwise, stride=stride, padding=padding)
    y: Array = _route(partial(_cpu_depthwise, stride=stride, padding=padding), generic, x, weight)
    return y


def _depthwise_fwd(x: Array, weight: Array, stride: int, padding: Padding) -> tuple[Array, tuple[Array, Array]]:
    return depthwise(x, weight, stride, padding), (x, weight)


def _depthwise_bwd(stride: int, padding: Padding, saved: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    """Return the gradients of x and weight of a depthwise convolution from that of its output."""

    def cpu(x: Array, weight: Array, g: Array) -> tuple[Array, Array]:
        dw = _cpu_depthwise_dw(x, g, weight.shape[:2], stride, padding)
        return _cpu_depthwise_dx(x.shape, weight, g, stride, padding).astype(x.dtype), dw.astype(weight.dtype)

    def other(x: Array, weight: Array, g: Array) -> tuple[Array, Array]:
        dx, dw = jax.vjp(partial(_lax_depthwise, stride=stride, padding=padding), x, weight)[1](g)
        return dx, dw

    dx, dw = _route(cpu, other, *saved, g)
    return dx, dw


depthwise.defvjp(_depthwise_fwd, _depthwise_bwd)


# --- dense ----------------------------------------------------------------------------------------------------------


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def conv2d(x: Array, weight: Array, stride: int = 1, padding: Padding = "symmetric") -> Array:
    """Return the convolution of x [N,H,W,Cin] with weight [kh,kw,Cin,Cout], both odd: [N,H',W',Cout]; as `depthwise`.

    Inside a loop XLA:CPU runs the plain derivatives of a convolution up to 70 times slower than outside. So there the
    weight gradient is a matrix product, and the input gradient a convolution of stride 1, or one matrix product and a
    sum of shifted parts of it.
    """
    generic = partial(_lax_conv, stride=stride, padding=padding)
    y: Array = _route(partial(_cpu_conv2d, stride=stride, padding=padding), generic, x, weight)
    return y


def _conv2d_fwd(x: Array, weight: Array, stride: int, padding: Padding) -> tuple[Array, tuple[Array, Array]]:
    return conv2d(x, weight, stride, padding), (x, weight)


def _cpu_conv2d(x: Array, weight: Array, stride: int, padding: Padding) -> Array:
    """Return `conv2d`: of few input channels as a sum of shifted products, of a large batch in parts.

    A product of a channel of x and a row of the weight, for each tap and channel, fuses to one loop over the output
    channels, vectorised: in a training step 3 to 7 times as fast on images of 3 channels as XLA:CPU's convolution. That
    takes twice as long for an image where the batch is larger than 32 MiB.
    """
    if math.prod(weight.shape[:3]) <= FEW_PRODUCTS:
        (h, *ph), (w, *pw) = _pads_of(x.shape, weight.shape[:2], stride, padding)
        padded, rows = jnp.pad(x.astype(jnp.float32), ((0, 0), ph, pw, (0, 0))), weight.astype(jnp.float32)
        total = jnp.zeros((), jnp.float32)
        for i, j, channel in product(*map(range, weight.shape[:3])):
            total += _tap(padded, i, j, stride, (h, w))[..., channel : channel + 1] * rows[i, j, channel]
        return total.astype(x.dtype)
    is_symbolic = not isinstance(x.shape[0], int)  # of an export for any batch
    if is_symbolic or (size := x.size * x.dtype.itemsize) <= LARGE_BYTES:
        return _lax_conv(x, weight, stride, padding)
    counts = (count for count in range(1, len(x)) if len(x) % count == 0 and size <= count * PART_BYTES)
    count = next(counts, len(x))
    parts = lax.map(lambda part: _lax_conv(part, weight, stride, padding), x.reshape(count, -1, *x.shape[1:]))
    return parts.reshape(len(x), *parts.shape[2:])


def _weight_gradient(x: Array, g: Array) -> Array:
    """Return the product x' g of inputs [P,a] and gradients of outputs [P,b]: [a,b].

    XLA:CPU takes up to twice as long with the wider one on the left; the barrier keeps it from turning them back.
    """
    return x.T @ g if x.shape[1] <= g.shape[1] else lax.optimization_barrier(g.T @ x).T


def _cpu_conv2d_dw(x: Array, g: Array, window: tuple[int, ...], stride: int, padding: Padding) -> Array:
    """Return the weight gradient [kh,kw,Cin,Cout]: the product of the pixels in all taps with g."""
    (h, *ph), (w, *pw) = _pads_of(x.shape, window, stride, padding)
    padded = jnp.pad(x, ((0, 0), ph, pw, (0, 0)))
    taps = jnp.concatenate([_tap(padded, i, j, stride, (h, w)) for i, j in product(*map(range, window))], -1)
    dw = _weight_gradient(taps.reshape(-1, taps.shape[-1]), g.reshape(-1, g.shape[-1]))
    return dw.reshape(*window, x.shape[-1], g.shape[-1])


def _spread(g: Array, x_shape: tuple[int, ...], window: tuple[int, ...], stride: int, padding: Padding) -> Array:
    """Return the gradient g of an output with zeros between and around its elements.

    A convolution of it with stride 1 and no padding then gives the gradient of x (a transposed convolution).
    """
    config = []
    for size, k, (out, low, _) in zip(x_shape[1:3], window, _pads_of(x_shape, window, stride, padding), strict=True):
        before = k - 1 - low
        # zeros before, zeros after (so that the convolution ends at the size of x), zeros between neighbours
        config.append((before, size + k - 1 - before - ((out - 1) * stride + 1), stride - 1))
    return lax.pad(g, jnp.zeros((), g.dtype), [(0, 0, 0), *config, (0, 0, 0)])


def _cpu_conv2d_dx(x_shape: tuple[int, ...], weight: Array, g: Array, stride: int, padding: Padding) -> Array:
    """Return the input gradient: the stride 1 convolution of g, spread out by the stride, with the window mirrored."""
    turned = weight[::-1, ::-1].transpose(0, 1, 3, 2)
    spread = _spread(g, x_shape, weight.shape[:2], stride, padding)
    return lax.conv_general_dilated(spread, turned, (1, 1), "VALID", dimension_numbers=_DIMENSIONS)


def _cpu_conv2d_scattered(x_shape: tuple[int, ...], weight: Array, g: Array, stride: int, padding: Padding) -> Array:
    """Return `_cpu_conv2d_dx` by one matrix product, which gives each pixel of g its share in each tap's pixel of x.

    With a stride it computes 1 / stride^2 of what the convolution of the spread gradient does.
    """
    rows, columns = weight.shape[:2]
    (h, *_), (w, *_) = sides = _pads_of(x_shape, weight.shape[:2], stride, padding)
    products = g.reshape(-1, g.shape[-1]) @ weight.transpose(3, 0, 1, 2).reshape(g.shape[-1], -1)
    taps = products.reshape(-1, h, w, rows, columns, x_shape[-1])

    def back(i: int, j: int) -> Array:
        config = []
        for at, size, (out, low, _) in zip((i, j), x_shape[1:3], sides, strict=True):
            config.append((at - low, size + low - at - ((out - 1) * stride + 1), stride - 1))
        return lax.pad(taps[:, :, :, i, j], jnp.zeros((), g.dtype), [(0, 0, 0), *config, (0, 0, 0)])

    return sum((back(i, j) for i in range(rows) for j in range(columns)), start=jnp.zeros((), g.dtype))


def _cpu_conv2d_bwd(x: Array, weight: Array, g: Array, stride: int, padding: Padding) -> tuple[Array, Array]:
    """Return the gradients of x and weight.

    Large images one by one, as the taps and products of one image stay in the cache, those of a batch do not.
    """
    window = weight.shape[:2]
    if g.shape[1] * g.shape[2] < BY_IMAGE:
        gradient_of_x = _cpu_conv2d_dx if stride == 1 else _cpu_conv2d_scattered
        dw = _cpu_conv2d_dw(x, g, window, stride, padding)
        return gradient_of_x(x.shape, weight, g, stride, padding), dw.astype(weight.dtype)

    def add(dw: Array, image: tuple[Array, Array]) -> tuple[Array, Array]:
        x, g = image[0][None], image[1][None]
        own = _cpu_conv2d_dw(x, g, window, stride, padding).astype(dw.dtype)
        return dw + own, _cpu_conv2d_scattered(x.shape, weight, g, stride, padding)[0]

    dw, dx = lax.scan(add, jnp.zeros(weight.shape, jnp.float32), (x, g))
    return dx, dw.astype(weight.dtype)


def _conv2d_bwd(stride: int, padding: Padding, saved: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    """Return the gradients of x and weight of a convolution from that of its output."""

    def other(x: Array, weight: Array, g: Array) -> tuple[Array, Array]:
        dx, dw = jax.vjp(partial(_lax_conv, stride=stride, padding=padding), x, weight)[1](g)
        return dx, dw

    dx, dw = _route(partial(_cpu_conv2d_bwd, stride=stride, padding=padding), other, *saved, g)
    return dx, dw


conv2d.defvjp(_conv2d_fwd, _conv2d_bwd)


@jax.custom_vjp
def pointwise(x: Array, weight: Array) -> Array:
    """Return the 1x1 convolution of x [N,H,W,Cin] with weight [Cin,Cout] as a matrix product: [N,H,W,Cout].

    On the flattened [N*H*W, Cin]: as ``x @ weight`` its weight gradient contracts three axes, for which XLA:CPU writes
    transposed copies of x and g and runs what computes them column by column, a third of a whole training step.
    """
    return jnp.matmul(x.reshape(-1, x.shape[-1]), weight).reshape(*x.shape[:-1], weight.shape[1])


def _pointwise_fwd(x: Array, weight: Array) -> tuple[Array, tuple[Array, Array]]:
    return pointwise(x, weight), (x, weight)


def _pointwise_bwd(saved: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    """Return the gradients of x and weight of a 1x1 convolution from that of its output."""
    x, weight = saved
    dx = jnp.matmul(g.reshape(-1, g.shape[-1]), weight.T).reshape(x.shape)
    return dx, _weight_gradient(x.reshape(-1, x.shape[-1]), g.reshape(-1, g.shape[-1]))


pointwise.defvjp(_pointwise_fwd, _pointwise_bwd)


# --- batch normalisation --------------------------------------------------------------------------------------------


def batch_moments(x: Array) -> tuple[Array, Array]:
    """Return mean [C] and biased variance [C] of x [N,H,W,C] in float32.

    Two passes: as accurate as float32 allows at any mean, and no slower than the sums of x and x*x, for which XLA:CPU
    reads x twice as well.
    """
    x = x.astype(jnp.float32)
    mean = x.mean((0, 1, 2))
    return mean, jnp.square(x - mean).mean((0, 1, 2))


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def batch_norm(x: Array, scale: Array, bias: Array, eps: float = 1e-5) -> Array:
    """Return x [N,H,W,C] normalised by mean and biased variance of the batch; scale, bias [C]; no running state.

    The variance is the mean square less the squared mean, as Flax takes it by default, so that x is never written out
    centred, which takes a tenth of a forward pass on a CPU. Its relative error is about 2e-7 (1 + mean^2 / variance):
    use `batch_moments` where the mean may be hundreds of standard deviations.
    """
    return _batch_norm_fwd(x, scale, bias, eps)[0]


def _batch_norm_fwd(x: Array, scale: Array, bias: Array, eps: float) -> tuple[Array, tuple[Array, ...]]:
    """Return the normalised x, and what the backward pass needs: x, scale, bias, mean, 1 / standard deviation."""
    x32 = x.astype(jnp.float32)
    mean = x32.mean((0, 1, 2))
    variance = jnp.maximum(jnp.square(x32).mean((0, 1, 2)) - jnp.square(mean), 0)
    inv = lax.rsqrt(variance + eps)
    y = (x32 - mean) * (inv * scale.astype(jnp.float32)) + bias.astype(jnp.float32)
    return y.astype(x.dtype), (x, scale, bias, mean, inv)


def _batch_norm_bwd(eps: float, saved: tuple[Array, ...], g: Array) -> tuple[Array, Array, Array]:
    """Return the gradients of x, scale and bias, in closed form: two sums and one pass over g and x."""
    x, scale, bias, mean, inv = saved
    g32, x32 = g.astype(jnp.float32), x.astype(jnp.float32)
    dbias = g32.sum((0, 1, 2))
    dscale = ((g32 * x32).sum((0, 1, 2)) - mean * dbias) * inv
    count = g.size // g.shape[-1]
    dx = (scale.astype(jnp.float32) * inv) * (g32 - dbias / count - (x32 - mean) * (inv * dscale / count))
    return dx.astype(g.dtype), dscale.astype(scale.dtype), dbias.astype(bias.dtype)


batch_norm.defvjp(_batch_norm_fwd, _batch_norm_bwd)
