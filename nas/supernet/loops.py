"""Loops of a number of turns that is an input of the program, with a derivative: jax differentiates fixed lengths only.

Work grows with the turns taken, not with the most that there can be, and one compilation serves all numbers of turns.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

Tree = Any  # of arrays
Body = Callable[..., Tree]  # (carry, shared, of this turn, integers of this turn) -> carry


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def counted_loop(
    body: Body, keeps: bool, count: Array | int, carry: Tree, shared: Tree, each: Tree, integers: Tree
) -> Tree:
    """Return `carry` after `count` turns of `body`; turn i gets `shared` and the entries i of `each` and `integers`.

    The derivative is that for `carry`, `shared` and `each`. What it needs of a turn is kept, [turns, ...] in memory,
    where `keeps` is true; else the turn runs again, which suits turns that need much and fit the cache.
    """
    return lax.fori_loop(0, count, lambda i, c: body(c, shared, _at(each, i), _at(integers, i)), carry)


def _forward(
    body: Body, keeps: bool, count: Array | int, carry: Tree, shared: Tree, each: Tree, integers: Tree
) -> tuple[Tree, Tree]:
    """Return the carry after all turns, and what the derivative needs."""
    most = len(jax.tree.leaves((each, integers))[0])

    def turn(i: Array | int, carry: Tree) -> tuple[Tree, Tree]:
        after, pullback = jax.vjp(lambda *args: body(*args, _at(integers, i)), carry, shared, _at(each, i))
        return after, _kept(pullback, carry, keeps)

    def step(i: Array, state: tuple[Tree, Tree]) -> tuple[Tree, Tree]:
        after, kept = turn(i, state[0])
        put = partial(lax.dynamic_update_index_in_dim, index=i, axis=0)
        return after, jax.tree.map(lambda buffer, value: put(buffer, value), state[1], kept)

    shapes = jax.eval_shape(turn, 0, carry)[1]
    buffers = jax.tree.map(lambda one: jnp.zeros((most, *one.shape), one.dtype), shapes)
    after, buffers = lax.fori_loop(0, count, step, (carry, buffers))
    return after, (count, carry, shared, each, integers, buffers)


def _kept(pullback: Any, carry: Tree, keeps: bool) -> Tree:
    """Return what is kept of a turn: its residuals, and of the carry what the derivative reads."""
    reads = jax.tree.leaves(pullback.args_res, is_leaf=_is_unused)[: len(jax.tree.leaves(carry))]
    read = [value for value, res in zip(jax.tree.leaves(carry), reads, strict=True) if not _is_unused(res)]
    return read, list(pullback.opaque_residuals) if keeps else []


def _is_unused(leaf: Any) -> bool:
    """Return whether a leaf stands for an argument that the derivative does not read."""
    return type(leaf).__name__ == "NotNeeded"


def _backward(body: Body, keeps: bool, saved: Tree, cotangent: Tree) -> tuple[Tree, ...]:
    """Return the cotangents of all arguments, from that of the last carry."""
    count, first, shared, each, integers, (carries, residuals) = saved
    leaves, tree = jax.tree.flatten(first)

    def step(turn: Array, state: tuple[Tree, Tree, Tree]) -> tuple[Tree, Tree, Tree]:
        i = count - 1 - turn
        cotangent, of_shared, of_each = state

        def pullback_at(carry: Tree) -> Any:
            return jax.vjp(lambda *args: body(*args, _at(integers, i)), carry, shared, _at(each, i))[1]

        kept = iter(_at(carries, i))
        reads = jax.tree.leaves(pullback_at(first).args_res, is_leaf=_is_unused)[: len(leaves)]
        carry = [leaf if _is_unused(res) else next(kept) for leaf, res in zip(leaves, reads, strict=True)]
        pullback = pullback_at(jax.tree.unflatten(tree, carry))
        if keeps:  # what the turn computed is not used then, and the compiler leaves it out
            pullback.opaque_residuals = _at(residuals, i)
        cotangent, change, of_this = pullback(cotangent)
        put = partial(lax.dynamic_update_index_in_dim, index=i, axis=0)
        return cotangent, jax.tree.map(jnp.add, of_shared, change), jax.tree.map(put, of_each, of_this)

    state = cotangent, jax.tree.map(jnp.zeros_like, shared), jax.tree.map(jnp.zeros_like, each)
    cotangent, of_shared, of_each = lax.fori_loop(0, count, step, state)
    none = jax.tree.map(lambda array: np.zeros(np.shape(array), jax.dtypes.float0), (count, integers))
    return none[0], cotangent, of_shared, of_each, none[1]


counted_loop.defvjp(_forward, _backward)


def _at(tree: Tree, i: Array | int) -> Tree:
    """Return entry `i` of every array."""
    return jax.tree.map(lambda array: lax.dynamic_index_in_dim(array, i, keepdims=False), tree)
