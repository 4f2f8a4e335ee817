"""Blocks of several families: one of several at a position (`Switch`), one behind the other (`Sequence`), or none."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any

from nas.errors import InvalidInput
from nas.ops.base import Op
from nas.ops.choices import Choice, Choices, Site, Slots, Values


@dataclass(frozen=True)
class Absent(Choices):
    """No op at all: an alternative of a `Switch` that makes the position optional."""

    @property
    def tag(self) -> str:
        return "none"

    @property
    def choices(self) -> tuple[Choice, ...]:
        return ()

    def build(self, values: Values, site: Site) -> Op | None:
        return None


@dataclass(frozen=True)
class Switch(Choices):
    """One of several families at one position, as one choice: its options are (tag, value, ...) of every alternative.

    One flat choice, as in MobileDets (arXiv 2004.14525, section 3): so no decision depends on another. `coarse_option`
    is what a coarse search fixes, by default the first option.
    """

    alternatives: tuple[Choices, ...]
    name: str = "op"
    coarse_option: tuple[Any, ...] | None = None

    def __post_init__(self) -> None:
        if len(self.choices[0].options) != len(set(self.choices[0].options)):
            raise InvalidInput(f"the alternatives of a switch must differ in their options, got {self.alternatives}")

    @cached_property
    def _options(self) -> dict[tuple[Any, ...], tuple[int, dict[str, Any]]]:
        """The options, each with the number of its alternative and the values of the choices of that."""
        return {
            (alternative.tag, *values.values()): (number, values)
            for number, alternative in enumerate(self.alternatives)
            for values in alternative.combinations()
        }

    @property
    def choices(self) -> tuple[Choice, ...]:
        return (Choice(self.name, tuple(self._options)),)

    @property
    def coarse_values(self) -> Values:
        return {self.name: self.coarse_option or self.choices[0].options[0]}

    @property
    def is_single(self) -> bool:
        return False

    @property
    def groups(self) -> tuple[tuple[Choices, ...], ...]:
        return (tuple(one for one in self.alternatives if not isinstance(one, Absent)),)

    def build(self, values: Values, site: Site) -> Op | None:
        number, chosen = self._options[values[self.name]]
        return self.alternatives[number].build(chosen, site)

    def slots(self, values: Values, site: Site) -> Slots:
        chosen = self.alternatives[self._options[values[self.name]][0]]
        return tuple(self.build(values, site) if one is chosen else None for one in self.groups[0])


@dataclass(frozen=True)
class Sequence(Choices):
    """Blocks one behind the other; the first has the site's stride, the others keep the shape of their input."""

    members: tuple[Choices, ...]

    def __post_init__(self) -> None:
        names = [choice.name for choice in self.choices]
        if len(names) != len(set(names)):
            raise InvalidInput(f"the choices of a sequence need names of their own, got {', '.join(names)}")

    @property
    def choices(self) -> tuple[Choice, ...]:
        return tuple(chain.from_iterable(member.choices for member in self.members))

    @property
    def coarse_values(self) -> Values:
        return {name: value for member in self.members for name, value in member.coarse_values.items()}

    @property
    def is_single(self) -> bool:
        return False

    @property
    def groups(self) -> tuple[tuple[Choices, ...], ...]:
        return tuple(chain.from_iterable(member.groups for member in self.members))

    @property
    def choices_of_groups(self) -> tuple[tuple[Choice, ...], ...]:
        return tuple(chain.from_iterable(member.choices_of_groups for member in self.members))

    def build(self, values: Values, site: Site) -> Op | None:
        raise TypeError("a sequence is several ops; see `slots`")

    def slots(self, values: Values, site: Site) -> Slots:
        behind = site._replace(in_channels=site.out_channels, stride=1, residual=True)
        sites = [site, *[behind] * (len(self.members) - 1)]
        return tuple(
            chain.from_iterable(member.slots(values, at) for member, at in zip(self.members, sites, strict=True))
        )


@dataclass(frozen=True)
class Narrowed(Choices):
    """The choices of a block with fewer options: `offered` pairs the name of a choice with the options it still has."""

    whole: Choices
    offered: tuple[tuple[str, tuple[Any, ...]], ...]

    @classmethod
    def of(cls, block: Choices, offered: Mapping[str, Collection[Any]]) -> Choices:
        """Return the choices of `block` with the options `offered`, by name; a choice without an entry keeps all."""
        if not offered:
            return block
        whole, before = (block.whole, dict(block.offered)) if isinstance(block, Narrowed) else (block, {})
        return cls(whole, tuple(sorted((before | {name: tuple(some) for name, some in offered.items()}).items())))

    @property
    def tag(self) -> str:
        return self.whole.tag

    @cached_property
    def choices(self) -> tuple[Choice, ...]:
        offered = dict(self.offered)
        return tuple(choice._replace(options=offered.get(choice.name, choice.options)) for choice in self.whole.choices)

    @property
    def coarse_values(self) -> Values:
        return self.options_with(self.whole.coarse_values)

    @property
    def is_single(self) -> bool:
        return self.whole.is_single

    @property
    def is_front_end(self) -> bool:
        return self.whole.is_front_end

    def at_rate(self, sample_rate: int) -> Choices:
        return replace(self, whole=self.whole.at_rate(sample_rate))

    @property
    def groups(self) -> tuple[tuple[Choices, ...], ...]:
        return self.whole.groups

    @property
    def choices_of_groups(self) -> tuple[tuple[Choice, ...], ...]:
        ours = {choice.name: choice for choice in self.choices}
        return tuple(tuple(ours[choice.name] for choice in group) for group in self.whole.choices_of_groups)

    def build(self, values: Values, site: Site) -> Op | None:
        return self.whole.build(values, site)

    def slots(self, values: Values, site: Site) -> Slots:
        return self.whole.slots(values, site)


def fixed(block: Choices, values: Values) -> Choices:
    """Return the choices of `block` with one option each, that of `values`."""
    return Narrowed.of(block, {choice.name: (values[choice.name],) for choice in block.choices})


def coarse(block: Choices) -> Choices:
    """Return `block` as a coarse search sees it: with one option each."""
    return fixed(block, block.coarse_values)
