"""The best of a space by a sum of tables within bounds equals brute force; a compiled prediction equals the model's."""

from itertools import product
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.search.accuracy.features import joined, one_hot, static_features
from nas.search.accuracy.ridge import fit_ridge
from nas.search.accuracy.table import compile_prediction, minimum_within, predicted_top1
from nas.space.cost_table import CostTable, Term
from search_spaces.uib_smoke import SPACE


def random_table(rng: np.random.Generator, sizes: list[int], combiner: Any = "sum") -> CostTable:
    terms = {}
    for i in range(len(sizes)):
        scope = tuple(
            sorted({i, (i + 1) % len(sizes)} | ({int(rng.integers(len(sizes)))} if rng.random() < 0.3 else set()))
        )
        terms[scope] = rng.standard_normal([sizes[d] for d in scope])
    return CostTable("made-up", combiner, 0.5, tuple(Term(*item) for item in terms.items()), tuple(sizes))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_best_within_bounds_is_that_of_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(2, 5, 6).tolist()
    every = np.array(list(product(*map(range, sizes))), np.int32)
    table, limits, kept = random_table(rng, sizes), [], np.ones(len(every), bool)
    for combiner in ("sum", "sum", "max")[: rng.integers(0, 4)]:
        cost = random_table(rng, sizes, combiner)
        bound = float(np.quantile(cost.score(every), rng.uniform(0.05, 0.7)))
        limits.append((cost, bound))
        kept &= cost.score(every) <= bound
    found = minimum_within(table, limits)
    if not kept.any():
        assert found is None
        return
    assert found is not None and found.proved
    np.testing.assert_allclose(found.value, table.score(every)[kept].min(), rtol=1e-9, atol=1e-9)
    assert all(cost.score(np.array([found.genotype]))[0] <= bound + 1e-8 * abs(bound) for cost, bound in limits)


def test_a_compiled_prediction_is_the_models() -> None:
    rng = np.random.default_rng(0)
    features = joined([static_features(SPACE, SPACE.proxy(16, 0.25)), one_hot(SPACE.decisions)])
    genotypes = SPACE.sample(rng, 40)
    fit = fit_ridge(features(genotypes), 0.5 + 0.1 * rng.random(40))
    others = SPACE.sample(rng, 100)
    table = compile_prediction(features, fit)
    np.testing.assert_allclose(predicted_top1(table, others), fit.predict(features(others))[0], rtol=1e-9)


def test_static_features_are_those_of_the_architecture() -> None:
    genotypes = SPACE.sample(np.random.default_rng(1), 5)
    tables = static_features(SPACE, SPACE.proxy(16, 0.25))
    rows = [dict(zip(tables.names, row, strict=True)) for row in tables(genotypes)]
    for genotype, row in zip(genotypes.tolist(), rows, strict=True):
        arch = SPACE.decode(genotype)
        assert (row["macs"], row["params"]) == (arch.macs, arch.params)
        assert row["depthwise"] == sum(kernel.kind == "depthwise" for kernel in arch.kernels)
        assert row["proxy_params"] == SPACE.proxy(16, 0.25).decode(genotype).params
