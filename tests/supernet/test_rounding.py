"""Candidates of a supernet in int8: near their sliced networks in int8, and plain where nothing is rounded."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from latency_models.target import int8_target, load_target
from nas.cli import main
from nas.data import channel_stats
from nas.errors import InvalidInput
from nas.nn import primitives
from nas.nn.network import Network, get_weights, set_weights, statistics_of
from nas.quantisation.calibrate import calibrated_ranges
from nas.quantisation.forward import fake_quantised_outputs
from nas.runs.plan import make_plan
from nas.runs.settings import SearchConfig
from nas.supernet.evaluator import SearchImages, SupernetEvaluator
from nas.supernet.inherit import network_weights
from nas.supernet.rounding import depthwise, in_int8, pointwise
from nas.supernet.supernet import with_parameters
from tests.supernet.test_supernet import make
from tests.support.tiny import SPACE, images


def test_only_channels_in_use_give_the_range_and_weights_have_a_scale_per_channel() -> None:
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.uniform(-1, 1, (2, 3, 3, 4)), jnp.float32).at[..., 3].set(1000.0)
    weight = jnp.asarray(rng.normal(size=(4, 5)) * [1, 10, 100, 1000, 1e4], jnp.float32).at[3].set(0.0)
    exact = primitives.pointwise(x, weight)
    with in_int8(True):
        found = pointwise(x, weight)
        windows = depthwise(x, jnp.ones((3, 3, 4)))
    error = np.abs(found - exact).max((0, 1, 2)) / np.abs(exact).max((0, 1, 2))
    assert (error > 0).all() and (error < 0.02).all()
    assert np.abs(windows[..., 3] - primitives.depthwise(x, jnp.ones((3, 3, 4)))[..., 3]).max() < 20  # of 9,000
    assert np.array_equal(pointwise(x, weight), exact)


def test_a_candidate_in_int8_is_near_its_sliced_network_in_int8() -> None:
    space = SPACE.coarse().proxy(8, 0.5)
    graph, params = make(space)
    x = np.random.default_rng(2).standard_normal((16, *space.input_shape), np.float32)
    genotype = space.sample(np.random.default_rng(3), 1)[0]

    def run(int8: bool) -> Any:
        one = jnp.asarray(genotype)
        with in_int8(int8):
            return np.asarray(jax.jit(lambda p: with_parameters(graph, p)(jnp.asarray(x), one))(params))

    floats, rounded = run(False), run(True)
    arch = space.decode(tuple(map(int, genotype)))
    network = Network(arch, nnx.Rngs(0))
    set_weights(network, get_weights(network) | network_weights(params, space, genotype))
    weights = get_weights(network) | statistics_of(arch, network.moments(jnp.asarray(x)))

    def tensors(name: str, _: tuple[int, ...]) -> Any:
        return np.asarray(weights[name])

    ranges = calibrated_ranges(arch, tensors, [x])
    expected = fake_quantised_outputs(arch, tensors, ranges, x)
    size = np.sqrt(np.square(floats).mean())
    own, theirs = (np.sqrt(np.square(each - floats).mean()) / size for each in (rounded, expected))
    assert 0.002 < own < 0.2 and 0.002 < theirs < 0.2 and 0.2 < own / theirs < 5


def test_the_evaluator_takes_accuracies_in_int8() -> None:
    data, space = images(), SPACE.coarse().proxy(8, 0.5)
    graph, params = make(space)
    params = params | {"head.bias": jnp.zeros_like(params["head.bias"])}  # else all images are of one class
    mean, std = map(jnp.asarray, channel_stats(data))
    arrays = [jnp.asarray(a) for a in (data.x_train, data.y_train, data.x_test, data.y_test)]
    genotypes = space.sample(np.random.default_rng(5), 4)
    found = []
    for int8 in (False, True):
        evaluator = SupernetEvaluator(space, graph, SearchImages(*arrays, mean, std), 20, int8=int8)
        evaluator.params = params
        found.append(evaluator.accuracy(genotypes))
    assert not np.array_equal(*found) and np.abs(found[0] - found[1]).max() < 0.5


def test_a_target_is_priced_in_int8_or_refused(capsys: pytest.CaptureFixture[str]) -> None:
    name = int8_target("rpi5")
    assert load_target(name).dtype == "int8" and int8_target(name) == name
    with pytest.raises(InvalidInput, match="no target is the same unit in int8"):
        int8_target("titan-rtx")
    with pytest.raises(InvalidInput, match="rpi5 is in fp32"):
        make_plan(SearchConfig(space="uib_smoke", target="rpi5", preset="smoke", quantize="int8"))
    assert main(["search", "--preset", "smoke", "--target", "rpi5", "--quantize", "int8", "--plan"]) == 0
    assert name in capsys.readouterr().out
    for words, said in (
        (["--quantize", "int4"], "int8"),
        (["--quantize", "int8", "--finalists", "3"], "finalists of two stages and other evaluators are in floats"),
    ):
        assert main(["search", *words, "--plan"]) == 2
        assert said in capsys.readouterr().err
