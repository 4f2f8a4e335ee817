"""The law of every supernet: under shared weights a network equals the stand-alone one with its slices of them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from nas.nn.network import Network, get_weights, set_weights
from nas.space.staged import StagedSpace
from nas.supernet.inherit import embedded_weights, network_weights
from nas.supernet.presets import SMOKE
from nas.supernet.supernet import Supernet, parameters, with_parameters

FAST = dict(SMOKE.xla_options)  # compile fast: the numbers are those of any other order of rounding


def assert_equal_slices(space: StagedSpace, buckets: int = 1, count: int = 4, tolerance: float = 2e-5) -> None:
    """Check the first, the last and `count` sampled architectures of `space`, and that they are read back."""
    model = Supernet(space, np.random.default_rng(1), buckets)
    graph, params = nnx.graphdef(model), _spread(parameters(model))
    x = jnp.asarray(np.random.default_rng(2).standard_normal((4, *space.input_shape), np.float32))
    run = jax.jit(lambda genotype: with_parameters(graph, params)(x, genotype), compiler_options=FAST)
    ends = [[0] * len(space.decisions), [len(decision.options) - 1 for decision in space.decisions]]
    sampled = space.sample(np.random.default_rng(3), count).tolist()
    for genotype in space.canonical(np.array([*ends, *sampled])):
        arch, own = space.decode(genotype), network_weights(params, space, genotype)
        assert space.encode(arch) == tuple(genotype)
        network = Network(arch, nnx.Rngs(0))
        set_weights(network, get_weights(network) | {**own})
        alone = jax.jit(lambda network=network: network(x, batch_stats=True), compiler_options=FAST)
        expected = np.asarray(alone())
        assert np.abs(np.asarray(run(jnp.asarray(genotype))) - expected).max() <= tolerance * np.abs(expected).max()
        shapes = {key: value.shape for key, value in params.items()}
        again = network_weights(embedded_weights(own, shapes, space, genotype), space, genotype)
        assert all((again[key] == own[key]).all() for key in own)


def _spread(params: dict[str, Any]) -> dict[str, Any]:
    """Return weights in which nothing is 0, so that residuals and biases count."""
    rng = np.random.default_rng(0)
    return {
        name: value + np.float32(0.1) * rng.standard_normal(value.shape, np.float32) for name, value in params.items()
    }
