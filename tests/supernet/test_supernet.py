"""The supernet's laws: a masked subnet is the sliced stand-alone network, one compilation serves all, nothing leaks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from latency_models.target import load_target
from nas.data import channel_stats
from nas.nn.network import Network, get_weights, set_weights
from nas.search.constraints.repair import Constraints
from nas.space.cost_table import PARAMS, PEAK_ACTIVATION, WEIGHTS, Count, compile_table
from nas.space.staged import StagedSpace
from nas.supernet import joint
from nas.supernet.blocks.base import SwitchableDepthwise
from nas.supernet.evaluator import SearchImages, SupernetEvaluator
from nas.supernet.inherit import inherited, network_weights
from nas.supernet.layers import BlockContext
from nas.supernet.presets import QUICK, StageBudget
from nas.supernet.supernet import Params, Supernet, parameters, with_parameters
from tests.support.tiny import SPACE, images


def make(space: StagedSpace, seed: int = 0, buckets: int = 1) -> tuple["nnx.GraphDef[Supernet]", Params]:
    """Return a supernet whose biases and scales are random too, so that a leak from unused channels would show."""
    model = Supernet(space, np.random.default_rng(seed), buckets)
    rng = np.random.default_rng(seed + 1)
    params = {
        name: value if name.endswith("weight") else value + 0.3 * rng.standard_normal(value.shape, np.float32)
        for name, value in parameters(model).items()
    }
    return nnx.graphdef(model), params


VIEWS = {
    "coarse": SPACE.coarse(),
    "fine": SPACE.fine(SPACE.coarse().decode(tuple(len(d.options) - 1 for d in SPACE.coarse().decisions))),
    "joint": SPACE,
}


# At other resolutions other strides are dropped.
SIZES = {"coarse": (8, 16), "fine": ("8x20", "48x1"), "joint": (8, "16x12")}
CASES = [
    *((view, size, 1) for view, sizes in SIZES.items() for size in sizes),
    ("coarse", 8, 2),
    ("coarse", 16, 3),
    ("joint", 16, 3),
]


@pytest.mark.parametrize(("view", "resolution", "buckets"), CASES)
def test_masked_supernet_equals_sliced_network(view: str, resolution: int | str, buckets: int) -> None:
    space = VIEWS[view].proxy(resolution, 0.5)
    graph, params = make(space, buckets=buckets)
    x = jnp.asarray(np.random.default_rng(2).standard_normal((6, *space.input_shape), np.float32))
    run = jax.jit(lambda params, genotype: with_parameters(graph, params)(x, genotype))
    for genotype in space.sample(np.random.default_rng(3), 4):
        arch = space.decode(tuple(map(int, genotype)))
        network = Network(arch, nnx.Rngs(0))
        set_weights(network, get_weights(network) | network_weights(params, space, genotype))
        expected = np.asarray(network(x, batch_stats=True))
        got = np.asarray(run(params, jnp.asarray(genotype)))
        assert np.abs(got - expected).max() <= 1e-5 * np.abs(expected).max()


def test_every_depthwise_option_of_both_strides_equals_its_slice() -> None:
    space = SPACE.fine(SPACE.coarse().decode((0,) * len(SPACE.coarse().decisions))).proxy(16, 0.5)
    stages = space.stages[2:]
    assert {stage.stride for stage in stages} == {2} and all(len(stage.positions) == 1 for stage in stages)
    graph, params = make(space)
    x = jnp.asarray(np.random.default_rng(2).standard_normal((4, 16, 16, 3), np.float32))
    run = jax.jit(lambda genotype: with_parameters(graph, params)(x, genotype))
    for option in range(8):
        genotype = (option, 7 - option)
        network = Network(space.decode(genotype), nnx.Rngs(0))
        set_weights(network, get_weights(network) | network_weights(params, space, genotype))
        expected = np.asarray(network(x, batch_stats=True))
        assert np.abs(np.asarray(run(jnp.asarray(genotype))) - expected).max() <= 1e-5 * np.abs(expected).max()


def test_averaged_option_is_the_mean_of_the_options() -> None:
    options = SwitchableDepthwise((0, 3, 5), 4, np.random.default_rng(0))
    context = BlockContext("symmetric", 1e-5, averages=True)
    x = jnp.asarray(np.random.default_rng(1).standard_normal((3, 6, 6, 4), np.float32))
    outputs = [options(x, option, 1, jax.nn.relu, context) for option in range(4)]
    np.testing.assert_allclose(outputs[3], sum(outputs[:3]) / 3, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(outputs[0], x)


def test_inherited_weights_keep_what_both_supernets_share() -> None:
    coarse = SPACE.coarse()
    winner = coarse.decode((1, 0, 1, 2, 1, 0, 2))
    small, large = SPACE.fine(winner).proxy(16, 0.5), coarse.proxy(16, 0.5)
    _, trained = make(large, 5)
    _, fresh = make(small, 7)
    handed = inherited(fresh, trained)
    genotype = small.encode(large.decode((1, 0, 1, 2, 1, 0, 2)))
    ours = network_weights(handed, small, genotype)
    theirs = network_weights(trained, large, (1, 0, 1, 2, 1, 0, 2))
    assert ours.keys() == theirs.keys() and all((ours[name] == theirs[name]).all() for name in ours)
    assert any((handed[name] == fresh[name]).all() for name in fresh if ".start." in name)


def search_stage(name: str, steps: int = 4) -> tuple[joint.JointStage, "nnx.GraphDef[Supernet]", Params, SearchImages]:
    """Return a small stage ready to run."""
    view, data = VIEWS[name], images()
    table = compile_table(view, load_target("pixel6-cpu").model())
    constraints = Constraints(table, (table.minimum()[0] + table.maximum()[0]) / 2)
    budget = StageBudget(steps=steps, updates=2, samples=4, steps_per_dispatch=2)
    space = view.proxy(8, 0.5)
    stage = joint.JointStage(name, 0, space, constraints, budget, QUICK, data.augmentation, seed=3)
    graph, params = make(space)
    mean, std = channel_stats(data)
    arrays = map(jnp.asarray, (data.x_train, data.y_train, data.x_test, data.y_test, mean, std))
    return stage, graph, params, SearchImages(*arrays)


@pytest.mark.parametrize("name", ["coarse", "fine"])
def test_one_compilation_serves_all_steps_and_the_policy_learns_only_after_its_warm_up(name: str) -> None:
    stage, graph, params, data = search_stage(name, steps=8)
    run_steps = joint.compile_steps(stage, graph)
    state = joint.init_state(stage, params)
    rng = np.random.default_rng(0)
    spreads = []
    for _ in range(4):
        train = jnp.asarray(rng.integers(0, len(data.y_train), (2, 2, 16)))
        val = jnp.asarray(rng.integers(0, len(data.y_val), (2, 16)))
        state, report = run_steps(state, data, train, val)
        assert np.isfinite(report.loss).all()
        logits = np.asarray(state.policy.logits)
        spreads.append(np.ptp(np.where(np.isfinite(logits), logits, 0)))
    assert run_steps._cache_size() == 1  # type: ignore[attr-defined]
    assert spreads[0] == 0 and spreads[-1] > 0
    assert int(state.policy.step) == 8


def test_accuracy_does_not_depend_on_what_was_evaluated_before() -> None:
    stage, graph, params, data = search_stage("coarse")
    evaluator = SupernetEvaluator(stage.space, graph, data, batch=20)
    evaluator.params = params
    genotypes = stage.space.sample(np.random.default_rng(0), 4)
    forwards, backwards = evaluator.accuracy(genotypes), evaluator.accuracy(genotypes[::-1])[::-1]
    assert forwards.tolist() == backwards.tolist() and evaluator.count == 40
    hits = list(evaluator.hits_of_each(genotypes))
    assert [one.mean() for one in hits] == forwards.tolist()
    evaluator.together = 3  # a second call for the last one
    assert np.array_equal(hits, list(evaluator.hits_of_each(genotypes)))
    assert np.array_equal(evaluator.hits(genotypes[2], limit=35), hits[2][:20])


def test_compiled_cost_equals_the_cost_table() -> None:
    stage, *_ = search_stage("coarse")
    genotypes = stage.space.sample(np.random.default_rng(0), 50)
    inside = joint.compiled_cost(stage.constraints.latency, stage.constraints.target)(jnp.asarray(genotypes))
    np.testing.assert_allclose(inside, stage.constraints.ratios(genotypes), rtol=1e-5)


@pytest.mark.parametrize("cost", [PARAMS, WEIGHTS, PEAK_ACTIVATION], ids=lambda cost: cost.name)
def test_a_compiled_cost_combines_its_terms_as_the_cost_table_does(cost: Count) -> None:
    table = compile_table(SPACE, cost)
    genotypes = SPACE.sample(np.random.default_rng(0), 200)
    inside = jax.jit(joint.compiled_cost(table, 1000.0))(jnp.asarray(genotypes))
    np.testing.assert_allclose(inside, table.score(genotypes) / 1000, rtol=1e-5)
    assert len(table.terms) > 1 and np.ptp(inside) > 0
