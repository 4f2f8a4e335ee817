"""Benchmark: the CPU primitives, forward and with gradients, against plain lax and PyTorch eager.

    python -m experiments.benchmarks.primitives

Best of a few runs, batch 64, float32; a step is the value and all gradients. PyTorch (2.13, channels last) is measured
where it is importable.

On 2 cores without a GPU, a step of ours against lax: depthwise 26.8 (16x16x96 k5), 20.5 (8x8x192 k3) and 24.7 (28x28x32
k3) times faster, pointwise 6.7, 2.5 and 8.0, batch norm 2.2, 1.8 and 2.3, dense convolution 1.3, 1.2 and 1.2 (inside a
loop, where training runs, lax's derivatives of it are another 4 to 70 times slower). PyTorch's step takes 0.3 to 0.9 of
ours for depthwise, 0.2 to 0.6 for dense convolutions, 0.8 to 1.0 for pointwise, 1.1 to 1.4 for batch norm.
"""

import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from nas.nn import primitives

try:
    import torch  # type: ignore[import-not-found,unused-ignore]
except ImportError:
    torch = None  # type: ignore[assignment,unused-ignore]

SIZES = [((64, 16, 16, 96), 5), ((64, 8, 8, 192), 3), ((64, 28, 28, 32), 3)]
REPEATS = 7


def best(run: Callable[[], Any]) -> float:
    """Return the milliseconds of the fastest of `REPEATS` runs, after one that compiles."""
    run()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def jax_times(function: Callable[..., Array], args: list[Array]) -> tuple[float, float]:
    """Return the milliseconds of the forward pass, and of it with the gradients of all arguments."""
    forward = jax.jit(function)

    @jax.jit
    def step(args: list[Array]) -> Any:
        y, pull = jax.vjp(function, *args)
        return y, pull(y)

    return best(lambda: jax.block_until_ready(forward(*args))), best(lambda: jax.block_until_ready(step(args)))


def torch_times(name: str, shape: tuple[int, ...], k: int) -> tuple[float, float]:
    n, h, w, c = shape
    layers = {
        "depthwise": lambda: torch.nn.Conv2d(c, c, k, padding=k // 2, groups=c, bias=False),
        "conv2d": lambda: torch.nn.Conv2d(c, c, k, padding=k // 2, bias=False),
        "pointwise": lambda: torch.nn.Conv2d(c, c, 1, bias=False),
        "batch_norm": lambda: torch.nn.BatchNorm2d(c, track_running_stats=False),
    }
    layer = layers[name]().to(memory_format=torch.channels_last)
    x = torch.randn(n, c, h, w).to(memory_format=torch.channels_last).requires_grad_()

    def step() -> None:
        y = layer(x)
        y.backward(y.detach())

    with torch.no_grad():
        forward = best(lambda: layer(x))
    return forward, best(step)


def plain_batch_norm(x: Array, scale: Array, bias: Array) -> Array:
    return (x - x.mean((0, 1, 2))) * lax.rsqrt(x.var((0, 1, 2)) + 1e-5) * scale + bias


def main() -> None:
    threads = len(os.sched_getaffinity(0))
    if torch is not None:
        torch.set_num_threads(threads)
    print(f"{threads} threads, {jax.default_backend()}; milliseconds: forward / step")
    if torch is None:
        print("torch not installed: no peer")
    print(f"{'primitive':<11}{'size':<17}{'k':>2}{'ours':>16}{'lax':>16}{'torch':>16}  step: lax/ours torch/ours")
    for shape, k in SIZES:
        c = shape[-1]
        keys = jax.random.split(jax.random.key(0), 4)
        x, depth = jax.random.normal(keys[0], shape), jax.random.normal(keys[1], (k, k, c))
        dense, point = jax.random.normal(keys[2], (k, k, c, c)), jax.random.normal(keys[3], (c, c))
        one, zero = jnp.ones(c), jnp.zeros(c)
        plain = partial(primitives._lax_conv, stride=1, padding="symmetric")
        table: list[tuple[str, Callable[..., Array], Callable[..., Array], list[Array]]] = [
            ("depthwise", lambda x, w: primitives.depthwise(x, w, 1, "symmetric"),
             lambda x, w, plain=plain, c=c: plain(x, w[:, :, None], groups=c), [x, depth]),
            ("conv2d", lambda x, w: primitives.conv2d(x, w, 1, "symmetric"), plain, [x, dense]),
            ("pointwise", primitives.pointwise, lambda x, w, plain=plain: plain(x, w[None, None]), [x, point]),
            ("batch_norm", lambda x, s, b: primitives.batch_norm(x, s, b, 1e-5), plain_batch_norm, [x, one, zero]),
        ]  # fmt: skip
        for name, ours, lax_route, args in table:
            mine, theirs = jax_times(ours, args), jax_times(lax_route, args)
            peer = torch_times(name, shape, k) if torch is not None else (float("nan"),) * 2
            cells = "".join(f"{f'{forward:.2f} / {step:.2f}':>16}" for forward, step in (mine, theirs, peer))
            size = "x".join(map(str, shape[1:]))
            print(
                f"{name:<11}{size:<17}{k:>2}{cells}  {theirs[1] / mine[1]:14.1f} {peer[1] / mine[1]:10.1f}", flush=True
            )


if __name__ == "__main__":
    main()
