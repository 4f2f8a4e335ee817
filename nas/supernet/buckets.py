"""Blocks computed at a few sizes: an architecture runs the smallest one that holds its channels.

A mask alone computes the channels of the widest architecture. Here all architectures of a block are put into a few
buckets by the work that they need, and each bucket is a branch of a `lax.switch` which computes the first channels
only, as many as any architecture of the bucket uses. That is the same function, up to rounding.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations, pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array, lax
from numpy.typing import NDArray

from nas.ops import Op, Shape, family_of
from nas.supernet.tables import BlockTables, GenotypeReader, SlotTable

BUCKETS = 3  # at most, of a block
ENDS_TRIED = 32  # of a bucket, at most
REPAID = 400  # passes through the network that repay their compilation, about 15 s longer

Tree = Any  # of arrays
Run = Callable[[Tree, Tree], Array]  # (of floats, of integers) -> result
Shapes = Mapping[Any, tuple[int, ...]]  # of the arrays of a module, by their path


def buckets_for(passes: int) -> int:
    """Return how many buckets suit a training that runs architectures so many times on this device.

    One, which is masks alone, on an accelerator, which small sizes would leave idle, and where few passes repay the
    longer compilation.
    """
    return BUCKETS if jax.default_backend() == "cpu" and passes >= REPAID else 1


class BlockSizes(NamedTuple):
    """The sizes at which a block, or each block of a stack, is computed."""

    inputs: tuple[int, ...]  # channels of its input, by bucket
    shapes: tuple[Shapes, ...]  # of its arrays, by bucket
    output: int  # channels of its output at the largest size
    number: Array  # of the bucket that holds the genotype's architecture; [blocks] where it differs among them


def block_sizes(
    reader: GenotypeReader,
    tables: Sequence[BlockTables],
    make: Callable[[Sequence[BlockTables]], nnx.Module],
    buckets: int,
) -> BlockSizes | None:
    """Return at most so many sizes of the blocks at the positions of `tables`, None where one is enough.

    `make` returns the module of one block for tables, whose arrays have the largest sizes in them.
    """
    if buckets < 2 or not all(map(_is_sized, tables)):
        return None
    works = [_work(one) for one in tables]
    ends = _ends(np.concatenate([work.ravel() for work in works]), buckets)
    if len(ends) < 2:
        return None
    numbers = [np.searchsorted(ends, work).astype(np.int64) for work in works]
    whole, inputs, shapes = _shapes(make(tables)), [], []
    for bucket in range(len(ends)):
        inside = [_only(one, number == bucket) for one, number in zip(tables, numbers, strict=True)]
        inside = [one for one in inside if any(slot.possible for group in one.groups for slot in group)]
        narrow = _shapes(make(inside))
        if narrow.keys() != whole.keys():  # an option occurs at some sizes only: the program needs its arrays at all
            return None
        slots = [slot for one in inside for group in one.groups for slot in group if slot.possible]
        if any(_adds_unlike(slot) for slot in slots):
            return None
        shapes.append(narrow)
        inputs.append(max(int(slot.before.max()) for one in inside for slot in one.groups[0]))
    number, _ = reader.looked_up([one.groups[0][0] for one in tables], numbers)
    return BlockSizes(tuple(inputs), tuple(shapes), max(map(_output, tables)), number)


def run_at_size(
    run: Callable[[Any, Array, Tree], Array], sizes: BlockSizes, number: Array, arrays: Any, x: Array, options: Tree
) -> Array:
    """Return `run(arrays, x, options)`, a block's output, computed at size `number`: zeros where it has less channels.

    `arrays` is the state of the module and x [N,H,W,C] its input, both of the largest size; `options` are integers.
    """
    flat = dict(nnx.to_flat_state(arrays))

    def cut(bucket: int, floats: tuple[dict[Any, Array], Array], options: Tree) -> Array:
        values, x = floats
        shapes = sizes.shapes[bucket]
        first = {path: value[tuple(map(slice, shapes[path]))] for path, value in values.items()}
        own = nnx.from_flat_state([(path, nnx.Param(value)) for path, value in first.items()])
        return run(own, x[..., : sizes.inputs[bucket]], options)

    given = {path: variable[...] for path, variable in flat.items()}, x
    runs = tuple(partial(_padded, partial(cut, bucket), sizes.output) for bucket in range(len(sizes.inputs)))
    return switched(runs, number, given, options)


def _padded(run: Run, channels: int, floats: Tree, integers: Tree) -> Array:
    """Return the result [N,H,W,C] of `run` with zeros up to so many channels."""
    y = run(floats, integers)
    return jnp.pad(y, ((0, 0), (0, 0), (0, 0), (0, channels - y.shape[-1])))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def switched(runs: tuple[Run, ...], number: Array, floats: Tree, integers: Tree) -> Array:
    """Return `runs[number](floats, integers)`; the derivative is that for `floats`, and runs the branch again.

    What a branch computed would have to leave it in arrays as large as those of the largest branch, and to be copied
    there and back, which takes longer on a CPU than to compute it again: that is a sixth of a derivative.
    """
    return lax.switch(number, runs, floats, integers)


def _forward(runs: tuple[Run, ...], number: Array, floats: Tree, integers: Tree) -> tuple[Array, Tree]:
    """Return the result, and what the derivative needs: the arguments."""
    return switched(runs, number, floats, integers), (number, floats, integers)


def _backward(runs: tuple[Run, ...], saved: Tree, cotangent: Array) -> tuple[Tree, ...]:
    """Return the cotangents of all arguments but the branches, from that of the result."""
    number, floats, integers = saved

    def derivative(run: Run) -> Callable[[Tree, Tree, Array], Tree]:
        return lambda floats, integers, ct: jax.vjp(lambda floats: run(floats, integers), floats)[1](ct)[0]

    of_floats = lax.switch(number, [derivative(run) for run in runs], floats, integers, cotangent)
    none = jax.tree.map(lambda array: np.zeros(np.shape(array), jax.dtypes.float0), (number, integers))
    return none[0], of_floats, none[1]


switched.defvjp(_forward, _backward)


def _is_sized(tables: BlockTables) -> bool:
    """Return whether all families of a block run with the first entries of their arrays alone."""
    found = (family_of(slot.possible[0]) for group in tables.groups for slot in group if slot.possible)
    return all(family.load_searchable().IS_SIZED for family in found)


def _output(tables: BlockTables) -> int:
    """Return the most channels behind a block."""
    slots = [slot for group in tables.groups[-1:] for slot in group]
    pairs = [(op, int(before)) for s in slots for op, before in zip(s.ops.ravel(), s.before.ravel(), strict=True)]
    return max(before if op is None else _channels_behind(op, before) for op, before in set(pairs))


def _channels_behind(op: Op, before: int) -> int:
    """Return the channels of the output of an op with so many at its input."""
    return op.out_shape(Shape(2, 2, before)).channels


def _adds_unlike(slot: SlotTable) -> bool:
    """Return whether an op may add its input to its output where the most channels of the two are not alike."""
    adds = any(getattr(op, "residual", False) for op in slot.possible)
    most = int(slot.before.max())
    return adds and most != max(_channels_behind(op, most) for op in slot.possible)


def _work(tables: BlockTables) -> NDArray[np.int64]:
    """Return the work of a block for every combination of its decisions: sums of products of channels side by side.

    Where several families can stand, it is that of the channels between them. What a warm-up may average is alike.
    """
    first = tables.groups[0][0]
    work = np.zeros(first.ops.shape, np.int64)
    for group in tables.groups:
        for index in np.ndindex(work.shape):
            before = int(group[0].before[index])
            op: Any = next((one for slot in group if (one := slot.ops[index]) is not None), None)
            # Members of a group meet at its ends, so that what is inside one must not matter where there are several.
            counts = family_of(op).load_searchable().COUNTS if op is not None and tables.is_single else ()
            inside = [int(number) for field in counts if (number := getattr(op, field))]
            channels = [before, *inside, before if op is None else _channels_behind(op, before)]
            work[index] += sum(a * b for a, b in pairwise(channels))
    for axis, averaged in enumerate(first.averaged):
        if averaged:
            work = np.broadcast_to(work.max(axis, keepdims=True), work.shape)
    return work


def _ends(work: NDArray[np.int64], buckets: int) -> NDArray[np.int64]:
    """Return the most work in each of at most so many buckets, ascending: those of the least work for a random one."""
    values, counts = np.unique(work, return_counts=True)
    below = np.concatenate([[0], np.cumsum(counts)])
    most = len(values)

    def total(cuts: tuple[int, ...]) -> int:
        return int(sum(values[end - 1] * (below[end] - below[start]) for start, end in pairwise((0, *cuts, most))))

    tried = np.unique(np.linspace(1, most - 1, ENDS_TRIED).round().astype(int)).tolist() if most > 1 else []
    best = min(combinations(tried, min(buckets, most) - 1), key=total)
    return values[[end - 1 for end in (*best, most)]]


def _only(tables: BlockTables, inside: NDArray[np.bool_]) -> BlockTables:
    """Return the tables without the combinations outside."""

    def cut(slot: SlotTable) -> SlotTable:
        ops = slot.ops.copy()
        ops[~inside] = None
        return replace(slot, ops=ops, before=slot.before * inside)

    return tables._replace(groups=tuple(tuple(map(cut, group)) for group in tables.groups))


def _shapes(module: nnx.Module) -> Shapes:
    """Return the shapes of the arrays of a module."""
    return {path: variable[...].shape for path, variable in nnx.to_flat_state(nnx.state(module))}
