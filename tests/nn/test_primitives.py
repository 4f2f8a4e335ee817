"""The CPU routes of nas.nn.primitives obey the laws of the plain lax operations, values and gradients alike."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jax import Array, lax

from nas.nn import primitives as P

# Shapes come from short lists, for each new shape compiles; the values are what Hypothesis varies freely.
SIZES = [(1, 1), (7, 8), (8, 7), (2, 5)]
few = settings(max_examples=24, deadline=None)
seeds = st.integers(0, 2**31 - 1)


def draw(seed: int, *shapes: tuple[int, ...]) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in shapes]


def close(actual: Any, expected: Any, tolerance: float = 1e-5) -> None:
    """Equal to `tolerance` of the largest wanted value, leaf by leaf."""
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert a.shape == b.shape
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(np.abs(b).max(), 1.0))


def lax_conv(x: Array, weight: Array, stride: int, padding: str, groups: int = 1) -> Array:
    half = (weight.shape[0] - 1) // 2
    pads = "SAME" if padding == "same" else [(half, half)] * 2
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        x, weight, (stride, stride), pads, dimension_numbers=numbers, feature_group_count=groups
    )


def lax_depthwise(x: Array, weight: Array, stride: int, padding: str) -> Array:
    return lax_conv(x, weight[:, :, None], stride, padding, x.shape[-1])


def plain_batch_norm(x: Array, scale: Array, bias: Array, eps: float) -> Array:
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    return (x - mean) / jnp.sqrt(var + eps) * scale + bias


@cache
def graded(function: Callable[..., Array], *static: Any) -> Callable[..., Any]:
    """A compiled function of (arguments, cotangent seed): the value and the gradients of all the arguments."""

    def run(args: list[Array]) -> Any:
        y, pull = jax.vjp(lambda *a: function(*a, *static), *args)
        return y, pull(jnp.sin(3.0 * jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape).astype(y.dtype))

    return jax.jit(run)


@few
@given(seeds, st.sampled_from(SIZES), st.sampled_from([3, 5]), st.sampled_from([1, 2]), st.sampled_from(P.PADDINGS))
def test_depthwise_is_the_grouped_convolution(
    seed: int, size: tuple[int, int], k: int, stride: int, padding: str
) -> None:
    args = draw(seed, (2, *size, 4), (k, k, 4))
    close(graded(P.depthwise, stride, padding)(args), graded(lax_depthwise, stride, padding)(args))


@few
@given(seeds, st.sampled_from(SIZES), st.sampled_from([3, 5]), st.sampled_from([1, 2]), st.sampled_from(P.PADDINGS))
def test_conv2d_is_the_convolution(seed: int, size: tuple[int, int], k: int, stride: int, padding: str) -> None:
    args = draw(seed, (2, *size, 3), (k, k, 3, 4))
    close(graded(P.conv2d, stride, padding)(args), graded(lax_conv, stride, padding)(args))


@pytest.mark.parametrize(("stride", "k", "padding"), [(1, 5, "same"), (2, 3, "symmetric")])
def test_conv2d_of_large_images_is_the_convolution(stride: int, k: int, padding: str) -> None:
    args = draw(8, (3, 46, 47, 5), (k, k, 5, 2))
    assert 46 * 47 // stride**2 > P.BY_IMAGE
    close(graded(P.conv2d, stride, padding)(args), graded(lax_conv, stride, padding)(args))


@pytest.mark.parametrize("images", [1, 6, 7])
def test_conv2d_of_a_large_batch_in_parts_is_the_convolution(images: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(P, "LARGE_BYTES", 8 * 9 * 5 * 4 - 1)
    monkeypatch.setattr(P, "PART_BYTES", 2 * 8 * 9 * 5 * 4)  # two images
    x, weight = draw(9, (images, 8, 9, 5), (3, 3, 5, 2))
    loops = str(jax.make_jaxpr(lambda x, w: P.conv2d(x, w, 2))(x, weight))
    assert f"f32[{images},1,8,9,5]" in loops or "f32[3,2,8,9,5]" in loops
    close(P.conv2d(x, weight, 2), lax_conv(x, weight, 2, "symmetric"))


@pytest.mark.parametrize("channels", [4, 5])
def test_conv2d_of_few_channels_is_a_sum_and_of_more_a_convolution(channels: int) -> None:
    x, weight = draw(10, (2, 6, 7, channels), (3, 3, channels, 6))
    program = str(jax.make_jaxpr(P.conv2d)(x, weight))
    assert ("conv_general_dilated" in program) == (9 * channels > P.FEW_PRODUCTS) == (channels == 5)


@settings(max_examples=5, deadline=None)
@given(seeds, st.sampled_from([(2, 7, 9, 6), (1, 1, 1, 3), (3, 12, 5, 2)]), st.sampled_from([1, 2, 3]))
def test_depthwise_with_a_window_of_seven_and_any_stride(seed: int, shape: tuple[int, ...], stride: int) -> None:
    args = draw(seed, shape, (7, 7, shape[-1]))
    close(graded(P.depthwise, stride, "symmetric")(args), graded(lax_depthwise, stride, "symmetric")(args))


@settings(max_examples=6, deadline=None)
@given(seeds, st.sampled_from([(4, 6), (6, 4)]))
def test_pointwise_is_the_one_by_one_convolution(seed: int, channels: tuple[int, int]) -> None:
    x, weight = draw(seed, (2, 7, 8, channels[0]), channels)
    plain = graded(lambda x, w: lax_conv(x, w[None, None], 1, "symmetric"))
    close(graded(P.pointwise)([x, weight]), plain([x, weight]))


@settings(max_examples=12, deadline=None)
@given(seeds, st.floats(-10, 10), st.floats(0.1, 10), st.sampled_from([1e-5, 1e-3]))
@example(3319179, 6.1875, 7.635, 1e-5)
def test_batch_norm_matches_float64(seed: int, mean: float, std: float, eps: float) -> None:
    x, scale, bias, g = draw(seed, (4, 7, 8, 6), (6,), (6,), (4, 7, 8, 6))
    x = (x + mean) * std
    run = jax.jit(lambda x, s, b, g: (lambda y, pull: (y, *pull(g)))(*jax.vjp(partial_eps(eps), x, s, b)))
    ours = run(x, scale, bias, g)
    x64, s64, b64, g64 = (np.asarray(a, np.float64) for a in (x, scale, bias, g))
    axes, inv = (0, 1, 2), 1 / np.sqrt(x64.var((0, 1, 2)) + eps)
    hat = (x64 - x64.mean(axes)) * inv
    dx = s64 * inv * (g64 - g64.mean(axes) - hat * (g64 * hat).mean(axes))
    lost = 1 + abs(mean)  # float32 loses these digits when it takes the mean off
    close(ours, (hat * s64 + b64, dx, (g64 * hat).sum(axes), g64.sum(axes)), 1e-5 * lost)
    close(P.batch_moments(x), (x64.mean(axes), x64.var(axes)))


@pytest.mark.parametrize("value", [0.0, 3.0, -1e4])
def test_batch_norm_of_a_constant_is_its_bias(value: float) -> None:
    scale, bias, g = draw(11, (3,), (3,), (2, 4, 5, 3))
    y, pull = jax.vjp(partial_eps(1e-5), jnp.full((2, 4, 5, 3), value), scale, bias)
    close(y, jnp.broadcast_to(bias, y.shape), 1e-3)
    assert all(bool(jnp.isfinite(one).all()) for one in pull(g))


@cache
def partial_eps(eps: float) -> Callable[..., Array]:
    return lambda x, scale, bias: P.batch_norm(x, scale, bias, eps)


def test_batch_norm_gradient_is_that_of_the_plain_formula() -> None:
    args = draw(3, (2, 4, 4, 5), (5,), (5,))
    close(graded(P.batch_norm, 1e-5)(args), graded(plain_batch_norm, 1e-5)(args))


@pytest.mark.parametrize("stride", [1, 2])
def test_cpu_and_generic_routes_agree(stride: int, monkeypatch: pytest.MonkeyPatch) -> None:
    dense, grouped = draw(5, (2, 7, 8, 3), (3, 3, 3, 4)), draw(6, (2, 7, 8, 4), (5, 5, 4))
    cases = [(P.conv2d, dense), (P.depthwise, grouped)]
    routed = {}
    for route in ("cpu", "other"):
        pick = (lambda cpu, other, *a: cpu(*a)) if route == "cpu" else (lambda cpu, other, *a: other(*a))
        monkeypatch.setattr(P, "_route", pick)
        jax.clear_caches()
        graded.cache_clear()
        routed[route] = [graded(f, stride, "same")(args) for f, args in cases]
    graded.cache_clear()
    jax.clear_caches()
    close(routed["cpu"], routed["other"])


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="with a GPU both routes are traced")
def test_the_route_of_a_gpu_is_traced_for_every_platform_alone() -> None:
    x, w = draw(8, (2, 8, 8, 4), (5, 5, 4))

    def traced() -> str:
        return str(jax.make_jaxpr(lambda x, w: jax.vjp(partial(P.depthwise, stride=2, padding="same"), x, w)[0])(x, w))

    assert "conv_general_dilated" not in traced()
    with P.for_every_platform():
        assert "conv_general_dilated" in traced()
    assert "conv_general_dilated" not in traced()


def test_bfloat16_keeps_its_type_and_accumulates_in_float32() -> None:
    x, w5, w1, scale = draw(7, (2, 8, 8, 4), (5, 5, 4), (4, 4), (4,))

    def net(convolve: Any, multiply: Any, normalise: Any, *args: Array) -> Array:
        x, w5, w1, scale = args
        return multiply(normalise(convolve(x, w5, 2, "symmetric"), scale, scale, 1e-5), w1)

    half = [a.astype(jnp.bfloat16) for a in (x, w5, w1, scale)]
    ours = graded(lambda *a: net(P.depthwise, P.pointwise, P.batch_norm, *a))
    plain = graded(lambda *a: net(lax_depthwise, jnp.matmul, plain_batch_norm, *a))
    got = ours(half)
    assert {leaf.dtype for leaf in jax.tree.leaves(got)} == {jnp.dtype(jnp.bfloat16)}
    close(got, plain([a.astype(jnp.float32) for a in half]), 0.04)


@settings(max_examples=6, deadline=None)
@given(seeds, st.lists(st.integers(0, 2), min_size=3, max_size=3))
def test_inside_scan_and_switch(seed: int, choices: list[int]) -> None:
    """The form of a supernet: a scan over blocks, each of which switches between operations, differentiated."""
    args = draw(seed, (2, 6, 6, 4), (3, 3, 3, 4), (3, 5, 5, 4), (3, 4, 4))

    def net(depthwise: Any, multiply: Any, normalise: Any, index: Array, args: list[Array]) -> Array:
        x, *weights = args

        def block(x: Array, layer: Any) -> tuple[Array, None]:
            choice, w3, w5, w1 = layer
            ways = [lambda x: x, lambda x: depthwise(x, w3, 1, "same"), lambda x: depthwise(x, w5, 1, "same")]
            y = multiply(lax.switch(choice, ways, x), w1)
            return x + normalise(y, w1[0], w1[1], 1e-5), None

        return jnp.sin(lax.scan(block, x, (index, *weights))[0]).sum()

    index = jnp.asarray(choices)
    ours = supernet(net, P.depthwise, P.pointwise, P.batch_norm)(index, args)
    close(ours, supernet(net, lax_depthwise, jnp.matmul, plain_batch_norm)(index, args), 1e-4)


_COMPILED: dict[Any, Any] = {}


def supernet(net: Any, *operations: Any) -> Any:
    """Value and gradients of `net` with these operations, compiled once though each example defines `net` anew."""
    if operations not in _COMPILED:
        _COMPILED[operations] = jax.jit(
            jax.value_and_grad(lambda index, args: net(*operations, index, args), argnums=1)
        )
    return _COMPILED[operations]
