"""A stage form: blocks one behind the other without skips, each with weights and a program of its own.

A line in nas.registry.STAGE_FORMS makes it usable: "plain": "tests.extending.stage_form:SupernetPlain".
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from flax import nnx
from jax import Array

from nas.ops import Act
from nas.ops.choices import Choices
from nas.protocols import Place
from nas.space.choices import coarse
from nas.space.forms import Position
from nas.supernet.stage_forms import StageInput, joined, make_block, read_block, run_block
from nas.supernet.tables import BlockTables


@dataclass(frozen=True)
class Plain:
    """As many blocks as `blocks` has, all of them always there; the first has the stride."""

    tag: ClassVar[str] = "plain"
    name: str
    filters: tuple[int, ...]
    blocks: tuple[Choices, ...]
    stride: int = 2
    acts: tuple[Act, ...] = ("relu",)

    @property
    def depths(self) -> tuple[int, ...]:
        return (len(self.blocks),)

    @property
    def positions(self) -> tuple[Position, ...]:
        return tuple(
            Position(Place(self.name, i), block, self.stride if i == 0 else 1, first=i == 0, number=i)
            for i, block in enumerate(self.blocks)
        )

    def coarse(self) -> "Plain":
        return replace(self, blocks=tuple(coarse(block) for block in self.blocks))

    def narrowed(
        self, filters: tuple[int, ...], acts: tuple[Act, ...], depths: tuple[int, ...], blocks: tuple[Choices, ...]
    ) -> "Plain":
        return replace(self, filters=filters, acts=acts, blocks=blocks)

    def strided(self, stride: int) -> "Plain":
        return replace(self, stride=stride)


class SupernetPlain(nnx.Module):
    """The blocks of the stage."""

    def __init__(self, tables: tuple[BlockTables, ...], rng: np.random.Generator) -> None:
        self.blocks = nnx.List([make_block([one], rng, ()) for one in tables])

    @staticmethod
    def make(tables: tuple[BlockTables, ...], rng: np.random.Generator) -> "SupernetPlain":
        return SupernetPlain(tables, rng)

    @staticmethod
    def run(module: "SupernetPlain", x: Array, stage: StageInput) -> Array:
        for i, (block, table) in enumerate(zip(module.blocks, stage.tables, strict=True)):
            chosen = joined(*read_block(stage.reader, [table]))
            x = run_block(block, chosen, x, stage.stride if i == 0 else 1, stage.context)
        return x

    @staticmethod
    def path(number: int) -> tuple[str, int | None]:
        return f"blocks.{number}", None
