"""The stage forms of a space as modules with shared weights: one block, or a stack of blocks of a searched depth.

A block is one family's module, or where several families can stand at a position, or one behind the other, a
`SearchableSequence` of them. See `nas.space.forms` for the forms as data, `nas.registry.STAGE_FORMS` for one's own.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array, lax

from nas.ops import family_of
from nas.supernet.blocks.base import SearchableOp, identity
from nas.supernet.buckets import block_sizes, run_at_size
from nas.supernet.layers import Activation, BlockContext
from nas.supernet.tables import (
    IN_CHANNELS,
    MEMBER,
    BlockTables,
    Chosen,
    GenotypeReader,
    GroupTables,
    Number,
    PossibleOps,
    is_optional,
    occurring,
)

ChosenBlock = tuple[tuple[Chosen, ...], ...]  # of each group: which member is taken, and the fields of every member


class SearchableSequence(nnx.Module):
    """Groups of families one behind the other; of each group a genotype takes one member, or none where it may."""

    def __init__(self, groups: Sequence[Mapping[int, SearchableOp]], optional: Sequence[bool]) -> None:
        """Take the members of each group that ever occur, by their numbers in it."""
        self.groups = nnx.List([nnx.Dict({str(m): member for m, member in group.items()}) for group in groups])
        self.members, self.optional = tuple(tuple(group) for group in groups), tuple(optional)

    def __call__(self, x: Array, chosen: ChosenBlock, stride: int, context: BlockContext) -> Array:
        """Apply the members that are taken to x [N,H,W,C]; the first has the stride."""
        for number, (group, (which, *fields)) in enumerate(zip(self.groups, chosen, strict=True)):
            step = stride if number == 0 else 1
            members = [group[str(m)] for m in self.members[number]]
            runs: list[Activation] = [
                partial(_applied, member, op, step, context) for member, op in zip(members, fields, strict=True)
            ]
            branches = [*([identity] if self.optional[number] else []), *runs]
            x = branches[0](x) if len(branches) == 1 else lax.switch(jnp.asarray(which[MEMBER]), branches, x)
        return x


def _applied(member: SearchableOp, op: Chosen, stride: int, context: BlockContext, x: Array) -> Array:
    return member(x, op, stride, context)


Searchable = SearchableOp | SearchableSequence


def member_path(is_single: bool, group: int, member: int) -> tuple[str, ...]:
    """Return the path in a block's module of a member of one of its groups."""
    return () if is_single else ("groups", str(group), str(member))


def make_block(tables: Sequence[BlockTables], rng: np.random.Generator, stack: tuple[int, ...]) -> Searchable:
    """Return the module of the blocks at the positions of `tables`, which share it or are stacked in it."""
    if tables[0].is_single:
        return _member([one.groups[0] for one in tables], 0, rng, stack)
    groups = list(zip(*(one.groups for one in tables), strict=True))
    modules = [{m: _member(group, m, rng, stack) for m in occurring(group)} for group in groups]
    return SearchableSequence(modules, [is_optional(group) for group in groups])


def _member(groups: Sequence[GroupTables], m: int, rng: np.random.Generator, stack: tuple[int, ...]) -> SearchableOp:
    """Return the module of member `m` of a group."""
    ops = PossibleOps.of([group[m] for group in groups])
    return _family(ops)(ops, rng, stack)


def _family(ops: PossibleOps) -> type[SearchableOp]:
    """Return the searchable form of the family that all of `ops` are of."""
    found: type[SearchableOp] = family_of(ops.ops[0]).load_searchable()
    return found


def read_block(reader: GenotypeReader, tables: Sequence[BlockTables]) -> tuple[ChosenBlock, ChosenBlock]:
    """Return what a genotype chooses at the positions: (what differs, each [n]; what they have in common)."""
    pairs = []
    for group in zip(*(one.groups for one in tables), strict=True):
        members = [[slots[m] for slots in group] for m in occurring(group)]
        read = [_family(PossibleOps.of(slots)).chosen(reader, slots) for slots in members]
        pairs.append([reader.member(group), *read])
    return tuple(tuple(one for one, _ in pair) for pair in pairs), tuple(tuple(one for _, one in p) for p in pairs)


def joined(each: ChosenBlock, common: ChosenBlock) -> ChosenBlock:
    """Return the choices of one block: its own, and those that it has in common with the others of its stack."""
    return tuple(
        tuple(own.with_common(other) for own, other in zip(*groups, strict=True))
        for groups in zip(each, common, strict=True)
    )


def _spread(
    each: ChosenBlock, common: ChosenBlock, count: int, keep: Collection[str] = ()
) -> tuple[ChosenBlock, ChosenBlock]:
    """Return what each of `count` blocks has, with what they have in common but for the fields to `keep`; and these."""
    pairs = [[one.spread(count, keep) for one in group] for group in common]
    return joined(each, tuple(tuple(w for w, _ in p) for p in pairs)), tuple(tuple(k for _, k in p) for p in pairs)


def run_block(block: Searchable, chosen: ChosenBlock, x: Array, stride: int, context: BlockContext) -> Array:
    """Return `x` after a block."""
    if isinstance(block, SearchableSequence):
        return block(x, chosen, stride, context)
    return block(x, chosen[0][1], stride, context)


class StageInput(NamedTuple):
    """What a stage form runs with: tables of its positions, the reader of the genotype, its depth and its stride."""

    tables: tuple[BlockTables, ...]
    reader: GenotypeReader
    depth: Number
    stride: int
    buckets: int  # sizes at which a block is computed, at most
    context: BlockContext


def run_single(block: Searchable, x: Array, stage: StageInput) -> Array:
    """Return `x` after a block at the first position of `stage`, computed at one of its sizes."""
    tables, chosen = stage.tables[:1], joined(*read_block(stage.reader, stage.tables[:1]))
    sizes = block_sizes(stage.reader, tables, _block_alone, stage.buckets)
    if sizes is None:
        return run_block(block, chosen, x, stage.stride, stage.context)
    graph, arrays = nnx.split(block)

    def run(arrays: Any, x: Array, chosen: ChosenBlock) -> Array:
        return run_block(nnx.merge(graph, arrays), chosen, x, stage.stride, stage.context)

    return run_at_size(run, sizes, sizes.number, arrays, x, chosen)


def _block_alone(tables: Sequence[BlockTables]) -> Searchable:
    """Return the module of one block that can be at all the positions, for the shapes of its arrays."""
    return make_block(tables, np.random.default_rng(0), ())


class StageModule(Protocol):
    """How a stage form becomes a module: what `nas.registry.STAGE_FORMS` names."""

    @staticmethod
    def make(tables: tuple[BlockTables, ...], rng: np.random.Generator) -> Any: ...  # its weights
    @staticmethod
    def run(module: Any, x: Array, stage: StageInput) -> Array: ...
    @staticmethod
    def path(number: int) -> tuple[str, int | None]: ...  # of a block in the module, and its position in a stack


class SupernetSingle:
    """The form `nas.space.forms.Single`: one block, which is the module."""

    @staticmethod
    def make(tables: tuple[BlockTables, ...], rng: np.random.Generator) -> Searchable:
        """Return the block."""
        return make_block(tables, rng, ())

    @staticmethod
    def run(module: Searchable, x: Array, stage: StageInput) -> Array:
        """Return `x` after the block."""
        return run_single(module, x, stage)

    @staticmethod
    def path(number: int) -> tuple[str, int | None]:
        """Return the path of the block in the module: it is the module."""
        return "", None


class SupernetStack(nnx.Module):
    """The form `nas.space.forms.Stack`: `first`, which strides, and `rest`, a stack of the others, which have skips.

    The others differ in their options but not in the shapes of their arrays, so that they can be stacked; `rest` is
    None where a stage has one block at most.
    """

    def __init__(self, tables: tuple[BlockTables, ...], rng: np.random.Generator) -> None:
        self.first = make_block(tables[:1], rng, ())
        self.rest = make_block(tables[1:], rng, (len(tables) - 1,)) if len(tables) > 1 else None

    @staticmethod
    def make(tables: tuple[BlockTables, ...], rng: np.random.Generator) -> "SupernetStack":
        """Return the module."""
        return SupernetStack(tables, rng)

    @staticmethod
    def path(number: int) -> tuple[str, int | None]:
        """Return the path of a block, and its position in the stack."""
        return ("first", None) if number == 0 else ("rest", number - 1)

    @staticmethod
    def run(module: "SupernetStack", x: Array, stage: StageInput) -> Array:
        """Return `x` after the first block and a scan over the stack of the others.

        The scan compiles one block, whatever the depth. Every step gets the arrays and the options of its block. A
        block at or beyond the depth of the architecture is skipped by `lax.cond`, which at run time takes one branch:
        a shallow architecture costs no more than its own blocks.
        """
        x = run_single(module.first, x, stage)
        if module.rest is None:
            return x
        reader, tables, depth = stage.reader, stage.tables[1:], stage.depth
        # A module cannot be looped over, its arrays can: take it apart here, put each block together in the body.
        graph, arrays = nnx.split(module.rest)
        # What only masks use can be a constant of the loop; what chooses a branch is taken apart better when scanned.
        each, common = _spread(*read_block(reader, tables), len(tables), keep=(IN_CHANNELS,))
        sizes = block_sizes(reader, tables, _block_alone, stage.buckets)
        numbers = None if sizes is None else jnp.broadcast_to(sizes.number, (len(tables),))

        def run(arrays: Any, x: Array, options: tuple[ChosenBlock, ChosenBlock]) -> Array:
            return run_block(nnx.merge(graph, arrays), joined(*options), x, 1, stage.context)

        def body(x: Array, scanned: tuple[Any, ChosenBlock, Array, Array | None]) -> tuple[Array, None]:
            arrays, own, position, number = scanned

            def block(x: Array) -> Array:
                if sizes is None or number is None:
                    return run(arrays, x, (own, common))
                return run_at_size(run, sizes, number, arrays, x, (own, common))

            if isinstance(depth, int):  # one depth only: no condition to compile
                return block(x), None
            return lax.cond(position < depth, block, lambda x: x, x), None

        positions = jnp.asarray(range(1, len(tables) + 1))  # a constant: as a range the loop is compiled differently
        return lax.scan(body, x, (arrays, each, positions, numbers))[0]
