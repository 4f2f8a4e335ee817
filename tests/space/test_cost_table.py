"""The two routes to a cost are one: tables equal the walk over kernels, and their extremes are the space's."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency_models.target import load_target, target_names
from nas.registry import SPACES, load
from nas.space.cost_table import MACS, PARAMS, PEAK_ACTIVATION, WEIGHTS, compile_table, cost_of, within
from nas.space.scaling import with_input
from nas.zoo import reference
from tests.support.tiny import SPACE as TINY

UIB = load("space", SPACES, "uib")
COSTS = [
    MACS,
    PARAMS,
    WEIGHTS,
    PEAK_ACTIVATION,
    *(load_target(name).model() for name in ("edgetpu", "pixel4-dsp", "cortex-m7")),
]
TABLES: dict[Any, Any] = {}


def table(space: Any, cost: Any) -> Any:
    """Compile a table once per test run."""
    key = (space.name, cost.name)
    if key not in TABLES:
        TABLES[key] = compile_table(space, cost)
    return TABLES[key]


@given(st.sampled_from([TINY, TINY.coarse(), UIB, UIB.coarse()]), st.sampled_from(COSTS), st.integers(0, 10_000))
def test_table_equals_reference_path(space: Any, cost: Any, seed: int) -> None:
    genotypes = space.sample(np.random.default_rng(seed), 3)
    scores = table(space, cost).score(genotypes)
    walked = [cost_of(cost, space.decode(tuple(map(int, genotype)))) for genotype in genotypes]
    if scores.dtype == np.int64:
        assert scores.tolist() == walked
    else:
        np.testing.assert_allclose(scores, walked, rtol=1e-12)
        np.testing.assert_allclose(walked[0], cost.predict_ms(space.decode(tuple(map(int, genotypes[0])))), rtol=1e-12)


@pytest.mark.parametrize("cost", COSTS, ids=lambda cost: cost.name)
def test_extremes_are_those_of_the_whole_space(cost: Any) -> None:
    space = TINY.coarse()
    sizes = [range(len(decision.options)) for decision in space.decisions]
    grid = np.stack(np.meshgrid(*sizes, indexing="ij"), -1).reshape(-1, len(sizes))
    scores = table(space, cost).score(grid)
    for (value, genotype), best in (
        (table(space, cost).minimum(), scores.min()),
        (table(space, cost).maximum(), scores.max()),
    ):
        assert value == pytest.approx(best, rel=1e-12)
        assert table(space, cost).score(np.array([genotype]))[0] == pytest.approx(best, rel=1e-12)


def test_limits_keep_what_is_under_every_bound() -> None:
    genotypes = TINY.sample(np.random.default_rng(0), 200)
    macs, params = table(TINY, MACS), table(TINY, PARAMS)
    bounds = float(np.median(macs.score(genotypes))), float(np.median(params.score(genotypes)))
    kept = within([(macs, bounds[0]), (params, bounds[1])], genotypes)
    assert kept.tolist() == ((macs.score(genotypes) <= bounds[0]) & (params.score(genotypes) <= bounds[1])).tolist()
    assert 0 < kept.sum() < 200


@pytest.mark.parametrize("cost", [PARAMS, PEAK_ACTIVATION], ids=lambda cost: cost.name)
def test_excess_is_nothing_exactly_where_the_bound_is_kept(cost: Any) -> None:
    genotypes = TINY.sample(np.random.default_rng(0), 200)
    scores = table(TINY, cost).score(genotypes)
    bound = float(np.median(scores))
    excess = table(TINY, cost).excess(genotypes, bound)
    assert ((excess == 0) == (scores <= bound)).all()
    assert (excess >= np.maximum(scores / bound - 1, 0) * (1 - 1e-12)).all()


@pytest.mark.parametrize("target", target_names())
def test_uib_reaches_from_below_conv_s_to_above_conv_m_on_every_target(target: str) -> None:
    model = load_target(target).model()
    coarse = compile_table(UIB.coarse(), model)
    small = model.predict_ms(reference("mobilenetv4-conv-s"))
    medium = model.predict_ms(with_input(reference("mobilenetv4-conv-m"), 224, 3, 1000))
    assert coarse.minimum()[0] < small < medium < coarse.maximum()[0]
