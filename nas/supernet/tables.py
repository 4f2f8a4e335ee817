"""The ops of a block as a function of a genotype: tables made by building every op, looked up in a compiled program.

Nothing in the supernet knows how channels or kernel sizes follow from decisions: `SlotTable` builds the ops for every
combination of the decisions that they depend on, and the fields of these ops become constants of the program. Where
all combinations agree, there is nothing to look up: a Python number, or None for channels that are always all in use.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from nas.ops import Op
from nas.space.staged import Block, StagedSpace, Strides
from nas.supernet.layers import ChannelCount

IN_CHANNELS = "in_channels"  # of an op, beside its own fields
MEMBER = "member"  # of a group, which is taken
Number = Array | int  # of an option
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class SlotTable:
    """One op of a block for every combination of the decisions it depends on.

    `ops` has one axis per decision in `names`; None where the op is not taken. `averaged` says of which axes a warm-up
    may run the average of all options.
    """

    names: tuple[str, ...]
    averaged: tuple[bool, ...]
    ops: NDArray[Any]  # Op or None [options, ...]
    before: IntArray  # channels of its input [options, ...]

    @property
    def possible(self) -> list[Op]:
        """The distinct ops that occur, in the order in which they do."""
        return list(dict.fromkeys(op for op in self.ops.ravel() if op is not None))

    def column(self, field: str, default: Op) -> NDArray[Any]:
        """Return a field of the op [options, ...]; where it is not taken, that of `default`."""
        if field == IN_CHANNELS:
            return self.before
        values = np.empty(self.ops.size, object)
        values[:] = [getattr(op or default, field) for op in self.ops.ravel()]
        return values.reshape(self.ops.shape)


GroupTables = tuple[SlotTable, ...]  # of the members of a group, of which a genotype takes one at most


class BlockTables(NamedTuple):
    """The tables of a block: of its groups, one behind the other; `is_single` where it is always one family."""

    groups: tuple[GroupTables, ...]
    is_single: bool


@lru_cache(maxsize=32)
def tables_of(space: StagedSpace, pattern: int = 0) -> Mapping[Block, BlockTables]:
    """Return the tables of all blocks of `space`, with the strides of its option number `pattern`."""
    made: dict[Any, BlockTables] = {}  # equal blocks of a stage are built once
    found = {}
    for block in space.blocks:
        alike = block.position.block, block.position.first, block.position.residual, block.stage
        if alike not in made:
            made[alike] = _block_tables(space, block, space.patterns[pattern])
        groups = tuple(tuple(_renamed(slot, block) for slot in group) for group in made[alike].groups)
        found[block] = BlockTables(groups, made[alike].is_single)
    return found


def _renamed(slot: SlotTable, block: Block) -> SlotTable:
    """Return the table for `block`, of the table of a block with the same choices."""
    own = len(block.decisions)
    return replace(slot, names=(*slot.names[: len(slot.names) - own], *block.decisions))


def _block_tables(space: StagedSpace, block: Block, strides: Strides) -> BlockTables:
    """Return the tables of one block."""
    options = space.options
    outer = [block.filters_before] if block.position.first and block.filters_before else []
    outer += [block.filters, block.act]
    choices = block.position.block.choices
    names = (*outer, *block.decisions)
    sizes = [len(options[name]) for name in names]
    groups = block.position.block.groups
    slots = sum(map(len, groups))
    ops = np.empty((slots, *sizes), object)
    before = np.zeros(sizes, np.int64)
    filters = np.zeros(sizes, np.int64)
    for index in product(*map(range, sizes)):
        values = [options[name][i] for name, i in zip(names, index, strict=True)]
        inner = dict(zip((choice.name for choice in choices), values[len(outer) :], strict=True))
        out, act = values[len(outer) - 2 : len(outer)]
        channels = out if not block.position.first else values[0] if block.filters_before else None
        given = space.input_shape.channels if channels is None else channels
        built = space.slots(block, inner, given, out, act, strides[block.stage])
        for slot, op in enumerate(built):
            ops[(slot, *index)] = op
        stage_before = block.stage - block.position.first
        before[index] = given if channels is None else space.channels_behind(stage_before, given)
        filters[index] = space.channels_behind(block.stage, out)
    averaged = (*(False,) * len(outer), *(choice.averaged for choice in choices))
    numbers = iter(range(slots))
    tables = tuple(
        tuple(SlotTable(names, averaged, ops[next(numbers)], before if g == 0 else filters) for _ in group)
        for g, group in enumerate(groups)
    )
    return BlockTables(tables, block.position.block.is_single)


@dataclass(frozen=True)
class PossibleOps:
    """All ops that one module with shared weights may have to be, at one position or, stacked, at several."""

    ops: tuple[Op, ...]
    in_channels: int  # the most

    @classmethod
    def of(cls, tables: Sequence[SlotTable]) -> "PossibleOps":
        """Return what occurs in any of the tables."""
        ops = dict.fromkeys(op for table in tables for op in table.possible)
        return cls(tuple(ops), max(int(table.before.max()) for table in tables))

    def values(self, field: str) -> list[Any]:
        """Return the values of a field that occur, ascending."""
        return sorted({getattr(op, field) for op in self.ops})

    def most(self, field: str) -> int:
        """Return the largest value of a field."""
        return int(self.values(field)[-1])

    def always(self, field: str) -> bool:
        """Return whether a field is true of all."""
        return all(getattr(op, field) for op in self.ops)


@jax.tree_util.register_pytree_node_class
class Chosen:
    """The fields of an op that a genotype chooses, inside a compiled program.

    A field of channels is how many are in use (None: all of them, in every architecture), any other the number of its
    value among those that occur. For blocks in a stack each field that differs among them has a leading axis.
    """

    def __init__(self, dynamic: Mapping[str, Array], static: tuple[tuple[str, int | None], ...]) -> None:
        self.dynamic, self.static = dict(dynamic), static

    def __getitem__(self, field: str) -> Any:
        return self.dynamic[field] if field in self.dynamic else dict(self.static)[field]

    def tree_flatten(self) -> tuple[tuple[dict[str, Array]], tuple[tuple[str, int | None], ...]]:
        """Return the arrays, and what is fixed when the program is traced."""
        return (self.dynamic,), self.static

    @classmethod
    def tree_unflatten(cls, static: tuple[tuple[str, int | None], ...], dynamic: tuple[dict[str, Array]]) -> "Chosen":
        """Return the same with other arrays."""
        return cls(dynamic[0], static)

    def spread(self, count: int, keep: Collection[str] = ()) -> tuple["Chosen", "Chosen"]:
        """Return the fields repeated for each of `count` blocks, but for those to `keep`; and these."""
        kept = {field: value for field, value in self.dynamic.items() if field in keep}
        wide = {f: jnp.broadcast_to(jnp.asarray(v), (count,)) for f, v in self.dynamic.items() if f not in keep}
        return Chosen(wide, self.static), Chosen(kept, self.static)

    def with_common(self, common: "Chosen") -> "Chosen":
        """Return the same with the fields that all blocks of a stack have in common."""
        return Chosen(self.dynamic | common.dynamic, self.static)


class GenotypeReader:
    """Looks up, inside a compiled program, what a genotype [D] chooses; the tables are constants of the program."""

    def __init__(self, space: StagedSpace, genotype: Array) -> None:
        self.space, self.genotype = space, genotype

    def option(self, name: str) -> Number:
        """Return the option index of the decision `name`, 0 where the space has no such decision."""
        return self.genotype[self.space.index_of[name]] if name in self.space.index_of else 0

    def front(self) -> Number:
        """Return the number of the front end among `StagedSpace.fronts`, 0 where there is one or none."""
        number: Number = 0
        for name in self.space.front_decisions:
            number = number * len(self.space.options[name]) + self.option(name)
        return number

    def depth(self, stage: int) -> Number:
        """Return the number of blocks of a stage form, a Python number where it is fixed."""
        form = self.space.forms[stage]
        if len(form.depths) == 1:
            return form.depths[0]
        return jnp.asarray(form.depths)[self.option(f"{form.name}.depth")]

    def filters(self, stage: int) -> ChannelCount:
        """Return the channels behind a stage form, None where it has one option."""
        form = self.space.forms[stage]
        options = [self.space.channels_behind(stage, n) for n in form.filters]
        return None if len(options) == 1 else jnp.asarray(options)[self.option(f"{form.name}.filters")]

    def _counts(self, tables: Sequence[SlotTable], columns: Sequence[NDArray[Any]]) -> tuple[Array | None, bool]:
        """Return the channels in use at each position [n], None where it is always all, and whether all agree."""
        most = max(column.max() for column in columns)
        if all((column == most).all() for column in columns):
            return None, True
        numbers = [column.astype(np.int64) for column in columns]
        return self.looked_up(tables, numbers)

    def _numbers(
        self, tables: Sequence[SlotTable], columns: Sequence[NDArray[Any]], values: Sequence[Any]
    ) -> tuple[Number, bool]:
        """Return the number among `values` at each position [n], a Python number where it is always one."""
        number_of = {value: number for number, value in enumerate(values)}
        found = []
        for table, column in zip(tables, columns, strict=True):
            numbers = np.array([number_of[value] for value in column.ravel()], np.int64).reshape(column.shape)
            found.append(_padded(numbers, table, len(values)))
        first = int(found[0].flat[0])
        if all((numbers == first).all() for numbers in found):
            return first, True
        return self._looked_up(tables, found)

    def looked_up(self, tables: Sequence[SlotTable], columns: Sequence[IntArray]) -> tuple[Array, bool]:
        """Return `columns` [options, ...] at the genotype [n], or its one entry where they and their decisions agree.

        They must not depend on options that can be averaged.
        """
        return self._looked_up(tables, [_padded(*one, None) for one in zip(columns, tables, strict=True)])

    def _looked_up(self, tables: Sequence[SlotTable], columns: Sequence[IntArray]) -> tuple[Array, bool]:
        """Return `columns` at the genotype [n], or its one entry where the columns and their decisions are the same."""
        found, keys = [], []
        for table, column in zip(tables, columns, strict=True):
            names = list(table.names)
            values: NDArray[Any] = column
            for axis in reversed(range(column.ndim)):
                if (values == values.take([0], axis)).all():  # it does not depend on this decision
                    values = np.asarray(values.take(0, axis))
                    del names[axis]
            keys.append((tuple(names), values.tobytes()))
            found.append(jnp.asarray(values)[tuple(self.option(name) for name in names)])
        if len(set(keys)) == 1:
            return found[0], True
        return jnp.stack(found), False

    def chosen(
        self, tables: Sequence[SlotTable], counts: Sequence[str], numbers: Mapping[str, Sequence[Any]]
    ) -> tuple[Chosen, Chosen]:
        """Return (the fields that differ among the positions, each [n]; those that all positions have in common).

        `counts` names the fields of channels, `numbers` the others, each with the values that occur.
        """
        default = next(op for table in tables for op in table.possible)
        found = dict[str, tuple[Any, bool]]()
        for field in counts:
            found[field] = self._counts(tables, [table.column(field, default) for table in tables])
        for field, values in numbers.items():
            found[field] = self._numbers(tables, [table.column(field, default) for table in tables], values)
        return _split(found)

    def member(self, groups: Sequence[GroupTables]) -> tuple[Chosen, Chosen]:
        """Return which member of a group is taken at each position, as the field "member" of two `Chosen`.

        Members are numbered from 0, those left out that never occur; where none may be taken, none is 0.
        """
        members, optional = occurring(groups), is_optional(groups)
        columns = []
        for group in groups:
            column = np.full(group[0].ops.shape, -1, object)
            for number, m in enumerate(members):
                column[np.frompyfunc(lambda op: op is not None, 1, 1)(group[m].ops).astype(bool)] = number
            columns.append(column)
        values = [*([-1] if optional else []), *range(len(members))]
        return _split({MEMBER: self._numbers([group[0] for group in groups], columns, values)})


def occurring(groups: Sequence[GroupTables]) -> tuple[int, ...]:
    """Return which members of a group occur at any of the positions."""
    return tuple(m for m in range(len(groups[0])) if any(group[m].possible for group in groups))


def is_optional(groups: Sequence[GroupTables]) -> bool:
    """Return whether at some position, in some architecture, no member of the group is taken."""
    rows = (ops for group in groups for ops in zip(*(member.ops.ravel() for member in group), strict=True))
    return any(all(op is None for op in ops) for ops in rows)


def _split(found: Mapping[str, tuple[Any, bool]]) -> tuple[Chosen, Chosen]:
    """Return the fields (value, whether all positions agree) that differ among positions, and the others."""
    static = tuple((field, value) for field, (value, _) in found.items() if value is None or isinstance(value, int))
    arrays = {field: one for field, one in found.items() if one[0] is not None and not isinstance(one[0], int)}
    each = {field: value for field, (value, alike) in arrays.items() if not alike}
    return Chosen(each, static), Chosen({f: value for f, (value, _) in arrays.items() if f not in each}, static)


def _padded(column: IntArray, table: SlotTable, average: int | None) -> IntArray:
    """Return `column` with one entry more along the axes that can be averaged: the number of the average.

    Where the field does not depend on the decision, and for channels (`average` None), it is the last entry again.
    """
    for axis, averaged in enumerate(table.averaged):
        if averaged:
            varies = not (column == column.take([0], axis)).all()
            last = column.take([-1], axis)
            more = np.full_like(last, average) if varies and average is not None else last
            column = np.concatenate([column, more], axis)
    return column
