"""What a search may choose about a block: `Choices`, the base class, and the place in a network that a block is for.

A family's choices list named options and build the op for values of them; nothing else in the project knows which
fields of the op they decide. What the supernet, cost tables and `encode` need follows from the ops that are built.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

from nas.ops.base import Act, Op

Values = Mapping[str, Any]  # name of a choice -> the option taken
Slots = tuple[Op | None, ...]  # the ops that a block can consist of, in order, None for one that is not taken


class Site(NamedTuple):
    """Where a block stands: channels before and behind it, its stride, whether it may add its input, its activation."""

    in_channels: int
    out_channels: int
    stride: int = 1
    residual: bool = False
    act: Act = "relu"


class Choice(NamedTuple):
    """A named choice within a block; `averaged`: a warm-up may run the average of its options instead of one."""

    name: str
    options: tuple[Any, ...]
    averaged: bool = False


@dataclass(frozen=True)
class Choices(ABC):
    """The choices about one block. Frozen and hashable; a subclass is a family's, or combines those of others."""

    @property
    @abstractmethod
    def choices(self) -> tuple[Choice, ...]:
        """The choices in the order in which they are decided, those with a single option included."""

    @abstractmethod
    def build(self, values: Values, site: Site) -> Op | None:
        """Return the op for an option of every choice, None where the block is left out."""

    @property
    def tag(self) -> str:
        """The tag of the family that `build` makes ops of; see `nas.ops.FAMILIES`."""
        return ""

    @property
    def coarse_values(self) -> Values:
        """The options that a coarse search, which decides filters and depths, fixes: by default the first ones."""
        return self.options_with({})

    def options_with(self, preferred: Values) -> Values:
        """Return an option of every choice: that of `preferred` where it is offered, else the first."""
        return {
            name: preferred[name] if name in preferred and preferred[name] in options else options[0]
            for name, options, _ in self.choices
        }

    @property
    def is_front_end(self) -> bool:
        """Whether the block makes maps of waveforms: its choices decide the sizes of all maps behind it."""
        return False

    def at_rate(self, sample_rate: int) -> "Choices":
        """Return the choices for waveforms of another sample rate in Hz; those about no front end stay."""
        return self

    @property
    def is_single(self) -> bool:
        """Whether the block is always one op of one family."""
        return True

    @property
    def groups(self) -> tuple[tuple["Choices", ...], ...]:
        """The block as a sequence of groups, of each of which one family at most is taken."""
        return ((self,),)

    @property
    def choices_of_groups(self) -> tuple[tuple[Choice, ...], ...]:
        """For each group the choices that it depends on."""
        return (self.choices,) * len(self.groups)

    def slots(self, values: Values, site: Site) -> Slots:
        """Return the op of each member of each group, None for those that are not taken."""
        return (self.build(values, site),)

    def combinations(self) -> Iterator[dict[str, Any]]:
        """Yield the values of every combination of options, the last choice varying fastest."""
        names = [choice.name for choice in self.choices]
        for options in product(*(choice.options for choice in self.choices)):
            yield dict(zip(names, options, strict=True))
