"""Loops of a number of turns that is an input: values and derivatives are those of the loop written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

from nas.supernet.loops import counted_loop

MOST = 4


def body(carry: Array, shared: Array, each: dict[str, Array], number: Array) -> Array:
    return jnp.tanh(carry @ each["w"] + shared) * (1.0 + number)


def numbers(*shape: int) -> Array:
    return jnp.asarray(np.random.default_rng(len(shape)).standard_normal(shape), jnp.float32)


ARGS = numbers(5, 4), numbers(4), {"w": numbers(MOST, 4, 4)}


def written_out(count: int, carry: Array, shared: Array, each: dict[str, Array]) -> Array:
    for i in range(count):
        carry = body(carry, shared, {"w": each["w"][i]}, jnp.asarray(i))
    return carry


@pytest.mark.parametrize("keeps", [True, False])
def test_one_program_has_the_derivatives_of_every_number_of_turns(keeps: bool) -> None:
    def looped(count: Array, *args: Array) -> Array:
        return counted_loop(body, keeps, count, *args, jnp.arange(MOST)).sum()

    run = jax.jit(jax.value_and_grad(looped, (1, 2, 3)))
    for count in range(MOST + 1):
        expected = jax.value_and_grad(lambda *args: written_out(count, *args).sum(), (0, 1, 2))(*ARGS)  # noqa: B023
        for got, wanted in zip(jax.tree.leaves(run(count, *ARGS)), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)
    assert run._cache_size() == 1


def test_members_of_a_group_take_turns_of_their_own() -> None:
    def gradient(count: Array) -> Array:
        loop = lambda carry: counted_loop(body, True, count, carry, *ARGS[1:], jnp.arange(MOST)).sum()  # noqa: E731
        return jax.grad(loop)(ARGS[0])

    together = jax.vmap(gradient)(jnp.asarray([0, 3, 2]))
    for i, count in enumerate((0, 3, 2)):
        np.testing.assert_allclose(together[i], gradient(jnp.asarray(count)), rtol=1e-4, atol=1e-5)
