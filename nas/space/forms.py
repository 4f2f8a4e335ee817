"""Stage forms: what a search space is a sequence of. `Single` is one block, `Stack` a stage of a searched depth.

A form lists its positions; all else (decisions, networks, cost tables, the supernet) follows from them. A form of
one's own has the fields of `StageForm`, a line in `nas.registry.STAGE_FORMS` and a module of the supernet.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

from nas.errors import InvalidInput
from nas.ops.base import Act
from nas.ops.choices import Choices
from nas.protocols import Place
from nas.space.choices import coarse


@dataclass(frozen=True)
class Position:
    """A block that a stage form may have: where it is, what may be chosen there, and from which depth on it is there.

    Its output has the stage's filters; its input those of the stage before where it is the `first`, else its stage's.
    """

    place: Place  # in the names of its decisions
    block: Choices
    stride: int = 1
    residual: bool = False
    first: bool = True
    number: int = 0  # it is there in networks whose stage is deeper than this


class StageForm(Protocol):
    """A part of a search space, one block or more; frozen and hashable."""

    tag: ClassVar[str]  # in nas.registry.STAGE_FORMS

    @property
    def name(self) -> str: ...  # of its decisions, no underscore in it
    @property
    def filters(self) -> tuple[int, ...]: ...  # options for the channels behind it
    @property
    def acts(self) -> tuple[Act, ...]: ...  # options for the activation of all its blocks
    @property
    def depths(self) -> tuple[int, ...]: ...  # options for the number of its blocks, ascending
    @property
    def stride(self) -> int: ...  # of its first block
    @property
    def positions(self) -> tuple[Position, ...]: ...  # as many as the largest depth
    def coarse(self) -> "StageForm": ...  # for a coarse search
    def narrowed(
        self, filters: tuple[int, ...], acts: tuple[Act, ...], depths: tuple[int, ...], blocks: tuple[Choices, ...]
    ) -> "StageForm": ...  # with fewer options, and these choices at the positions of the largest depth
    def strided(self, stride: int) -> "StageForm": ...


@dataclass(frozen=True)
class Single:
    """One block: a stem, a fixed first block, a layer in front of the head. A coarse search decides all of it."""

    tag: ClassVar[str] = "single"
    name: str
    block: Choices
    filters: tuple[int, ...]
    stride: int = 1
    acts: tuple[Act, ...] = ("relu",)
    residual: bool = False

    @property
    def depths(self) -> tuple[int, ...]:
        return (1,)

    @property
    def positions(self) -> tuple[Position, ...]:
        return (Position(Place(self.name), self.block, self.stride, self.residual),)

    def coarse(self) -> "Single":
        return self

    def narrowed(
        self, filters: tuple[int, ...], acts: tuple[Act, ...], depths: tuple[int, ...], blocks: tuple[Choices, ...]
    ) -> "Single":
        return replace(self, filters=filters, acts=acts, block=blocks[0])

    def strided(self, stride: int) -> "Single":
        return replace(self, stride=stride)


@dataclass(frozen=True)
class Stack:
    """A stage of blocks: the first has the stride, the others add their input; a search may decide how many there are.

    `blocks` has one entry for each block of the deepest stage. With `shared`, one decision holds for all blocks.
    """

    tag: ClassVar[str] = "stack"
    name: str
    filters: tuple[int, ...]
    depths: tuple[int, ...]
    blocks: tuple[Choices, ...]
    stride: int = 2
    acts: tuple[Act, ...] = ("relu",)
    shared: bool = False

    def __post_init__(self) -> None:
        if sorted(set(self.depths)) != list(self.depths) or self.depths[0] < 1:
            raise InvalidInput(f"{self.name} needs rising depths from 1, got {self.depths}")
        if len(self.blocks) != self.depths[-1]:
            raise InvalidInput(f"{self.name} needs as many blocks as its largest depth, got {len(self.blocks)}")
        if self.shared and len(set(self.blocks)) > 1:
            raise InvalidInput(f"{self.name} shares its decisions, so its blocks must have the same choices")

    @property
    def positions(self) -> tuple[Position, ...]:
        places = [Place(self.name, None if self.shared else i) for i in range(len(self.blocks))]
        return tuple(
            Position(place, block, self.stride if i == 0 else 1, i > 0, i == 0, i)
            for i, (place, block) in enumerate(zip(places, self.blocks, strict=True))
        )

    def coarse(self) -> "Stack":
        return replace(self, blocks=tuple(coarse(block) for block in self.blocks))

    def narrowed(
        self, filters: tuple[int, ...], acts: tuple[Act, ...], depths: tuple[int, ...], blocks: tuple[Choices, ...]
    ) -> "Stack":
        return replace(self, filters=filters, acts=acts, depths=depths, blocks=blocks)

    def strided(self, stride: int) -> "Stack":
        return replace(self, stride=stride)


def stack(
    name: str, filters: tuple[int, ...], depths: tuple[int, ...], first: Choices, other: Choices | None = None,
    stride: int = 2, acts: tuple[Act, ...] = ("relu",), shared: bool = False,
) -> Stack:  # fmt: skip
    """Return a stage with the choices `first` for its first block, and `other`, by default the same, for the others."""
    blocks = (first, *((other or first),) * (max(depths) - 1))
    return Stack(name, filters, depths, blocks, stride, acts, shared)


def around(channels: int, multipliers: tuple[float, ...], step: int = 16) -> tuple[int, ...]:
    """Return options of filters: `channels` times each of `multipliers`, to the nearest multiple of `step`.

    Multiples of 16 are as many different options in a proxy of width 0.25.
    """
    return tuple(sorted({max(step, int(channels * m / step + 0.5) * step) for m in multipliers}))
