"""`MBSpace`, search spaces of inverted residuals: fixed widths and strides; depths, kernel sizes, expansions, SE vary.

For the families whose members others measured (once-for-all, arXiv 1908.09791; Accel-NASBench, arXiv 2404.08005): they
decode, encode and compile to cost tables as every space does. There is no supernet for them here, so `nas search`
refuses them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.ops import Act, Conv, Head, InvertedResidual, Kernel, Op, Shape, make_divisible
from nas.protocols import CostTerm, Decision, Genotype
from nas.space.genotypes import DecisionSpace
from nas.space.scaling import SMALLEST_MAP

SqueezeWidth = Callable[[int, int], int]  # (input channels, expanded channels) -> channels of the squeezed layer


def quarter_of_input(channels_in: int, expanded: int) -> int:
    """Return a quarter of the block's input channels, the squeeze-excite width of MnasNet and EfficientNet."""
    return channels_in // 4


def quarter_of_expanded(channels_in: int, expanded: int) -> int:
    """Return a quarter of the expanded channels as a multiple of 8, the squeeze-excite width of MobileNetV3."""
    return make_divisible(expanded // 4)


@dataclass(frozen=True)
class BlockOptions:
    """The options of one inverted residual block; expansion 1 means no expansion, a single option no choice."""

    kernel_sizes: tuple[int, ...]
    expansions: tuple[int, ...]
    squeeze_excite: tuple[bool, ...]


@dataclass(frozen=True)
class MBStage:
    """One stage of inverted residuals: block 0 has the stride, the others a residual connection.

    With `shared_options` one choice holds for all blocks of the stage, else every block has its own.
    """

    out_channels: int
    stride: int
    depths: tuple[int, ...]
    options: BlockOptions
    act: Act
    shared_options: bool = False

    def __post_init__(self) -> None:
        if sorted(set(self.depths)) != list(self.depths) or self.depths[0] < 1:
            raise InvalidInput(f"a stage needs rising depths from 1, got {self.depths}")


@dataclass(frozen=True)
class MBSpace(DecisionSpace):
    """A search space: fixed first ops, stages of inverted residuals, a last 1x1 convolution and a head."""

    name: str
    input_shape: Shape
    num_classes: int
    front: tuple[Conv | InvertedResidual, ...]
    stages: tuple[MBStage, ...]
    squeeze: SqueezeWidth
    last: Conv
    head: Head

    # ---------------------------------------------------------------------------------------------------- decisions

    @cached_property
    def all_decisions(self) -> tuple[Decision, ...]:
        """All choices in order, those with a single option included; `decisions` leaves these out."""
        all_decisions: list[Decision] = []
        for s, stage in enumerate(self.stages):
            all_decisions.append(Decision(f"stage{s}.depth", stage.depths))
            depth_index = sum(len(decision.options) > 1 for decision in all_decisions) - 1
            for i in range(1 if stage.shared_options else stage.depths[-1]):
                first = next(k for k, depth in enumerate(stage.depths) if depth > i)
                condition = (depth_index, first) if first > 0 else None
                place, options = self._place(s, i), stage.options
                all_decisions.append(Decision(f"{place}.kernel", options.kernel_sizes, condition))
                all_decisions.append(Decision(f"{place}.expansion", options.expansions, condition))
                all_decisions.append(Decision(f"{place}.excited", options.squeeze_excite, condition))
        return tuple(all_decisions)

    def _place(self, s: int, i: int) -> str:
        """Return the first part of the names of the decisions on block `i` of stage `s`."""
        return f"stage{s}" if self.stages[s].shared_options else f"stage{s}.block{i}"

    def genotype_of(self, values: dict[str, Any]) -> Genotype:
        """Return the canonical genotype with these values of choices, by name; a choice without one takes its first.

        Raises `InvalidInput` where a name or a value is none of this space.
        """
        for name, value in values.items():
            if value not in self.options.get(name, ()):
                offered = f"one of {self.options[name]}" if name in self.options else "absent: there is no such choice"
                raise InvalidInput(f"{name} of '{self.name}' must be {offered}, got {value}")
        pairs = ((decision.options, values.get(decision.name, decision.options[0])) for decision in self.decisions)
        raw = np.array([[options.index(value) for options, value in pairs]])
        return tuple(int(g) for g in self.canonical(raw)[0])

    def size(self) -> int:
        """Return the number of distinct architectures (inactive decisions counted once)."""
        total = 1
        for stage in self.stages:
            each = len(stage.options.kernel_sizes) * len(stage.options.expansions) * len(stage.options.squeeze_excite)
            total *= each * len(stage.depths) if stage.shared_options else sum(each**depth for depth in stage.depths)
        return total

    def with_input(self, resolution: int, channels: int, num_classes: int) -> "MBSpace":
        """Return the space for square images of `resolution` px; its strides stay."""
        if resolution < SMALLEST_MAP:
            raise InvalidInput(f"the resolution must be at least {SMALLEST_MAP} px, got {resolution}")
        return replace(self, input_shape=Shape(resolution, resolution, channels), num_classes=num_classes)

    # ------------------------------------------------------------------------------------------- genotypes and specs

    def _channels_in(self, s: int, i: int) -> int:
        """Return the input channels of block `i` of stage `s`."""
        if i > 0:
            return self.stages[s].out_channels
        return self.stages[s - 1].out_channels if s else self.front[-1].out_channels

    def block(self, genotype: Sequence[int], s: int, i: int) -> InvertedResidual:
        """Return block `i` of stage `s`, active or not."""
        stage, place, channels_in = self.stages[s], self._place(s, i), self._channels_in(s, i)
        expansion: int = self.value(genotype, f"{place}.expansion")
        expanded = channels_in * expansion
        return InvertedResidual(
            out_channels=stage.out_channels,
            expanded_channels=expanded if expansion > 1 else 0,
            kernel_size=self.value(genotype, f"{place}.kernel"),
            stride=1 if i else stage.stride,
            act=stage.act,
            se_channels=self.squeeze(channels_in, expanded) if self.value(genotype, f"{place}.excited") else 0,
            residual=i > 0,
        )

    def decode(self, genotype: Sequence[int]) -> ArchSpec:
        """Return the architecture of `genotype` (one option index per decision)."""
        self.check(genotype)
        stages: list[tuple[Op, ...]] = [self.front]
        for s in range(len(self.stages)):
            depth: int = self.value(genotype, f"stage{s}.depth")
            stages.append(tuple(self.block(genotype, s, i) for i in range(depth)))
        return ArchSpec(self.input_shape, (*stages, (self.last,)), self.head, self.num_classes, name=self.name)

    def encode(self, arch: ArchSpec) -> Genotype:
        """Return the canonical genotype of `arch`; `InvalidInput` where it is no member of this space."""
        values: dict[str, Any] = {}
        for s, stage in enumerate(arch.stages[1 : 1 + len(self.stages)]):
            values[f"stage{s}.depth"] = len(stage)
            for i, op in enumerate(stage):
                if isinstance(op, InvertedResidual):
                    place = self._place(s, i)
                    values[f"{place}.kernel"] = op.kernel_size
                    values[f"{place}.expansion"] = op.expanded_channels // self._channels_in(s, i) or 1
                    values[f"{place}.excited"] = op.se_channels > 0
        genotype = self.genotype_of({name: v for name, v in values.items() if v in self.options.get(name, ())})
        if self.decode(genotype) != arch:
            raise InvalidInput(f"'{arch.name}' is no architecture of the space '{self.name}'")
        return genotype

    # -------------------------------------------------------------------------------------------------------- costs

    @cached_property
    def cost_terms(self) -> tuple[CostTerm, ...]:
        """One cost term per block, with the decisions it depends on; together they have the kernels of `decode`."""
        front, at = [], self.input_shape
        for op in self.front:
            front += op.lower(at)
            at = op.out_shape(at)
        terms = [CostTerm("front", (), partial(_always, tuple(front)))]
        for s, stage in enumerate(self.stages):
            for i in range(stage.depths[-1]):
                names = [f"stage{s}.depth", *(f"{self._place(s, i)}.{x}" for x in ("kernel", "expansion", "excited"))]
                scope = tuple(sorted(self.index_of[name] for name in names if name in self.index_of))
                terms.append(CostTerm(f"stage{s}.block{i}", scope, partial(self._block_kernels, s=s, i=i, at=at)))
                at = at.strided(1 if i else stage.stride, stage.out_channels)
        head = self.head.classify(self.last.out_shape(at), self.num_classes)
        terms.append(CostTerm("head", (), partial(_always, (*self.last.lower(at), *head))))
        return tuple(terms)

    def _block_kernels(self, genotype: Genotype, *, s: int, i: int, at: Shape) -> Sequence[Kernel]:
        """Return the kernels of block `i` of stage `s` on a feature map `at`; none where the stage is not as deep."""
        active = i < self.value(genotype, f"stage{s}.depth")
        return self.block(genotype, s, i).lower(at) if active else ()


def _always(kernels: tuple[Kernel, ...], genotype: Genotype) -> Sequence[Kernel]:
    """Return the kernels, which do not depend on the genotype."""
    return kernels
