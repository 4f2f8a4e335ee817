"""Blocks at a few sizes: values and derivatives are those of masks, and each size computes its channels only."""

from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st
from jax import Array

from nas.ops import UIB
from nas.supernet.buckets import _ends, block_sizes, switched
from nas.supernet.stage_forms import make_block
from nas.supernet.supernet import Supernet, parameters, with_parameters
from nas.supernet.tables import GenotypeReader, tables_of
from tests.support.slices import FAST
from tests.support.tiny import SPACE

COARSE = SPACE.coarse().proxy(8, 0.5)


def slopes(buckets: int) -> list[dict[str, Array]]:
    """The derivatives of random loss weights for four architectures."""
    model = Supernet(COARSE, np.random.default_rng(0), buckets)
    graph, params = nnx.graphdef(model), parameters(model)
    x = jnp.asarray(np.random.default_rng(2).standard_normal((6, *COARSE.input_shape), np.float32))

    def loss(params: dict[str, Array], genotype: Array) -> Array:
        logits = with_parameters(graph, params)(x, genotype)
        return (jnp.sin(logits) * jnp.arange(1, 1 + logits.shape[1])).sum()

    run = jax.jit(jax.grad(loss), compiler_options=FAST)
    found = [run(params, jnp.asarray(genotype)) for genotype in COARSE.sample(np.random.default_rng(3), 4)]
    assert run._cache_size() == 1
    return found


def test_derivatives_are_those_of_masks() -> None:
    for masked, sized in zip(slopes(1), slopes(3), strict=True):
        largest = max(float(jnp.abs(value).max()) for value in masked.values())
        for name, value in masked.items():
            np.testing.assert_allclose(sized[name], value, atol=1e-4 * largest, err_msg=name)


def test_every_architecture_has_a_size_that_holds_it_and_small_ones_are_small() -> None:
    held = 0
    for tables in tables_of(COARSE).values():
        for genotype in COARSE.sample(np.random.default_rng(0), 6):
            reader = GenotypeReader(COARSE, jnp.asarray(genotype))
            sizes = block_sizes(reader, [tables], lambda some: make_block(some, np.random.default_rng(0), ()), 3)
            if sizes is None:
                continue
            assert len(set(sizes.shapes[0].values()) - set(sizes.shapes[-1].values())) > 0
            (slot,) = tables.groups[0]
            index = tuple(int(reader.option(name)) for name in slot.names)
            op, number = slot.ops[index], int(sizes.number.ravel()[0])
            assert sizes.inputs[number] >= slot.before[index]
            if isinstance(op, UIB):
                shapes = {path[0]: shape for path, shape in sizes.shapes[number].items() if path[-1] == "weight"}
                assert all(np.array(shapes["expand"]) >= (slot.before[index], op.expanded_channels))
                assert all(np.array(shapes["project"]) >= (op.expanded_channels, op.out_channels))
                held += 1
    assert held > 6


def test_a_switch_has_the_derivative_of_the_branch_taken() -> None:
    runs = (lambda f, i: jnp.sin(f["a"]) * i, lambda f, i: f["a"] * f["b"] + i)
    args = {"a": jnp.arange(3.0), "b": jnp.ones(3)}

    def total(number: Array, floats: dict[str, Array]) -> Array:
        return switched(runs, number, floats, jnp.asarray(2)).sum()

    for number, run in enumerate(runs):
        got = jax.jit(jax.grad(total, 1))(jnp.asarray(number), args)
        expected = jax.grad(lambda floats: run(floats, 2).sum())(args)  # noqa: B023
        for name, value in expected.items():
            np.testing.assert_allclose(got[name], value, rtol=1e-6)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=12), st.integers(1, 4))
def test_ends_are_those_of_the_least_work(work: list[int], buckets: int) -> None:
    ends = _ends(np.array(work), buckets)
    distinct = sorted(set(work))
    assert list(ends) == sorted(set(ends)) and ends[-1] == max(work) and len(ends) == min(buckets, len(distinct))

    def total(ends: tuple[int, ...]) -> int:
        return sum(min(end for end in ends if end >= one) for one in work)

    others = [(*one, distinct[-1]) for one in combinations(distinct[:-1], len(ends) - 1)]
    assert total(tuple(ends)) == min(map(total, others))
