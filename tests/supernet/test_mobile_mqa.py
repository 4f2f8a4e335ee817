"""Searched attention: every member equals its slice, also in its gradient, and weights are cut out and put back."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import Array

from nas.nn.network import Network, get_weights, merged, set_weights, split_statistics
from nas.ops import MobileMQA
from nas.supernet.inherit import embedded_weights, inherited, network_weights
from nas.supernet.supernet import Params, Supernet, parameters, with_parameters
from tests.support.slices import FAST
from tests.support.tiny import HYBRID

PROXIES = HYBRID.proxy(16, 0.5)
LAST = tuple(len(decision.options) - 1 for decision in PROXIES.decisions)
X = jnp.asarray(np.random.default_rng(2).standard_normal((4, 16, 16, 3), np.float32))
BUCKETS = (1, 4)


def blocks(genotype: tuple[int, ...]) -> list[MobileMQA]:
    """Return the attention blocks of a network, in their order."""
    return [op for stage in PROXIES.decode(genotype).stages for op in stage if isinstance(op, MobileMQA)]


def genotypes() -> list[tuple[int, ...]]:
    """Return networks that have every option of attention in the first block and in those behind it."""
    names = [d.name for d in PROXIES.decisions]
    places = [names.index(f"stage0.block{i}.attention") for i in range(2)]
    found = []
    for option in range(len(PROXIES.decisions[places[0]].options)):
        genotype = PROXIES.sample(np.random.default_rng(option), 1)[0]
        genotype[names.index("stage0.depth")] = 1
        genotype[places] = option, (option + 3) % (max(LAST[p] for p in places) + 1)
        found.append(tuple(map(int, PROXIES.canonical(genotype[None])[0])))
    return found


def made(buckets: int) -> tuple["nnx.GraphDef[Supernet]", Params]:
    """Return a supernet with random scales, biases and layer scales, so that no block is the identity."""
    model, rng = Supernet(PROXIES, np.random.default_rng(0), buckets), np.random.default_rng(1)
    params = {
        name: value if name.endswith("weight") else value + 0.3 * rng.standard_normal(value.shape, np.float32)
        for name, value in parameters(model).items()
    }
    return nnx.graphdef(model), params


def loss(logits: Array) -> Array:
    return (jnp.sin(logits) * jnp.arange(1, 5)).sum()


@pytest.mark.parametrize("buckets", BUCKETS)
def test_every_option_of_attention_equals_its_slice(buckets: int) -> None:
    graph, params = made(buckets)
    run = jax.jit(lambda genotype: with_parameters(graph, params)(X, genotype), compiler_options=FAST)
    seen = set[tuple[int, int, int]]()
    for genotype in genotypes():
        network = Network(PROXIES.decode(genotype), nnx.Rngs(0))
        set_weights(network, get_weights(network) | network_weights(params, PROXIES, genotype))
        expected = np.asarray(network(X, batch_stats=True))
        assert np.abs(np.asarray(run(jnp.asarray(genotype))) - expected).max() <= 1e-5 * np.abs(expected).max()
        seen |= {(op.heads, op.key_dim, op.kv_stride) for op in blocks(genotype)}
    assert len(seen) == 8  # heads, key dimensions and strides, two each


@pytest.mark.parametrize("buckets", BUCKETS)
def test_gradients_are_those_of_the_slice_and_nothing_else_gets_any(buckets: int) -> None:
    graph, params = made(buckets)
    slopes = jax.jit(
        jax.grad(lambda params, genotype: loss(with_parameters(graph, params)(X, genotype))), compiler_options=FAST
    )
    for genotype in (LAST, genotypes()[1]):  # the most heads and stride 2; the fewest and smallest at stride 1
        assert blocks(genotype)
        arch, mine = PROXIES.decode(genotype), network_weights(params, PROXIES, genotype)
        weights, _ = split_statistics(mine)

        def of_network(weights: Mapping[str, Any], arch: Any = arch) -> Array:
            return loss(merged(arch, weights)(X, batch_stats=True))

        given = {name: jnp.asarray(value) for name, value in weights.items()}
        expected = jax.jit(jax.grad(of_network), compiler_options=FAST)(given)
        found = slopes(params, jnp.asarray(genotype))
        cut = network_weights(found, PROXIES, genotype)
        assert cut.keys() == expected.keys() and any(name.endswith("query.weight") for name in cut)
        largest = max(float(np.abs(slope).max()) for slope in expected.values())
        assert all(np.abs(cut[name] - np.asarray(slope)).max() <= 1e-4 * largest for name, slope in expected.items())
        again = embedded_weights(cut, {name: value.shape for name, value in found.items()}, PROXIES, genotype)
        attention = [name for name in found if name.endswith(("query.weight", "output.weight", "value.weight"))]
        assert attention
        for name in attention:
            np.testing.assert_array_equal(again[name], found[name])


def test_weights_are_cut_out_of_the_axes_of_heads_and_put_back() -> None:
    _, params = made(1)
    genotype = genotypes()[1]
    (op, *_), weights = blocks(genotype), network_weights(params, PROXIES, genotype)
    name = next(name for name in weights if name.endswith("query.weight"))
    whole = np.asarray(params["stages.0.first.groups.1.0.query.weight"])
    channels = len(weights[name])
    by_hand = whole[:channels, : op.heads, : op.key_dim].reshape(channels, op.heads * op.key_dim)
    assert by_hand.size < whole.size
    np.testing.assert_array_equal(weights[name], by_hand)
    shapes = {name: value.shape for name, value in params.items()}
    back = network_weights(embedded_weights(weights, shapes, PROXIES, genotype), PROXIES, genotype)
    assert back.keys() == weights.keys() and all((back[name] == weights[name]).all() for name in back)


def test_a_coarse_supernet_has_no_attention_and_a_fine_one_inherits_all_else() -> None:
    coarse = HYBRID.coarse()
    winner = coarse.decode(tuple(len(decision.options) - 1 for decision in coarse.decisions))
    fine = HYBRID.fine(winner)
    trained = parameters(Supernet(coarse.proxy(16, 0.5), np.random.default_rng(5)))
    fresh = parameters(Supernet(fine.proxy(16, 0.5), np.random.default_rng(7)))
    assert not any("groups.1" in name for name in trained)
    handed = inherited(fresh, trained)
    shared = [name for name in fresh if name in trained]
    assert {"stages.0.first.groups.0.0.expand.weight", "stages.0.rest.groups.0.0.project.weight"} <= set(shared)
    for name in shared:
        np.testing.assert_array_equal(handed[name], np.asarray(trained[name])[tuple(map(slice, fresh[name].shape))])


def test_attention_begins_as_good_as_absent() -> None:
    model = Supernet(PROXIES, np.random.default_rng(0))
    graph, params = nnx.graphdef(model), parameters(model)
    with_attention, names = list(LAST), [decision.name for decision in PROXIES.decisions]
    without = [0 if name.endswith("attention") else option for name, option in zip(names, LAST, strict=True)]
    run = jax.jit(lambda genotype: with_parameters(graph, params)(X, genotype), compiler_options=FAST)
    first, other = (np.asarray(run(jnp.asarray(one))) for one in (with_attention, without))
    assert 0 < np.abs(first - other).max() <= 1e-3 * np.abs(other).max()
