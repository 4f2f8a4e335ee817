"""`StagedSpace`, the search space of Universal Inverted Bottlenecks: data, from which all else of a space follows.

Skeleton: stem conv - fused inverted bottleneck - stages of UIB blocks - 1x1 features - pool - hidden - classifier
(MobileNetV4, arXiv 2404.10518, section 6.1). The two stages of the search are views of one space: `coarse()` keeps the
choices of filters and depths, `fine(arch)` fixes those and keeps the choices inside the blocks. `proxy(...)` is the
space of the scaled-down networks that the supernet trains; all views share the names of their decisions.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from nas.arch import ArchSpec, Padding
from nas.errors import InvalidInput
from nas.ops import UIB, Act, Conv, FusedIB, Head, Kernel, Op, Shape, make_divisible
from nas.protocols import CostTerm, Decision, Genotype
from nas.space.choices import COARSE_DW, BlockChoices, StageChoices
from nas.space.genotypes import DecisionSpace
from nas.space.scaling import input_strides, scale_channels

READ_FROM = {  # the last part of a decision's name -> the fields of an op from which its option is read back
    "filters": ("out_channels",),
    "expansion": ("expanded_channels",),
    "dw": ("start_dw", "middle_dw"),
}


@dataclass(frozen=True)
class StagedSpace(DecisionSpace):
    """A search space of UIB networks for one input shape and number of classes; see the docstring of the module."""

    name: str
    input_shape: Shape
    num_classes: int
    stem_filters: tuple[int, ...]
    fused_filters: tuple[int, ...]
    fused_expansions: tuple[float, ...]
    stages: tuple[StageChoices, ...]
    features: int = 960
    hidden: int = 1280
    stem_stride: int = 2
    fused_stride: int = 2
    act: Act = "relu"
    padding: Padding = "symmetric"
    norm_eps: float = 1e-5
    width: float = 1.0  # of all channels; below 1 in a space of proxies

    def __post_init__(self) -> None:
        for s, choices in enumerate(self.stages):
            if sorted(set(choices.depths)) != list(choices.depths) or len(choices.blocks) != choices.depths[-1]:
                raise InvalidInput(f"stage {s} needs rising depths and as many blocks as the largest, got {choices}")
        for name, filters in self._filter_options():
            if len({scale_channels(n, self.width) for n in filters}) < len(filters):
                raise InvalidInput(
                    f"proxy width {self.width:g} makes options of {name} {filters} equal; use a larger --proxy-width"
                )

    def _filter_options(self) -> list[tuple[str, tuple[int, ...]]]:
        """Return the options of every choice of filters, by its name."""
        stages = [(f"stage{s}.filters", choices.filters) for s, choices in enumerate(self.stages)]
        return [("stem.filters", self.stem_filters), ("fused.filters", self.fused_filters), *stages]

    # ---------------------------------------------------------------------------------------------------- decisions

    @cached_property
    def all_decisions(self) -> tuple[Decision, ...]:
        """All choices in order, those with a single option included; `decisions` leaves these out."""
        all_decisions: list[Decision] = [
            Decision("stem.filters", self.stem_filters),
            Decision("fused.filters", self.fused_filters),
            Decision("fused.expansion", self.fused_expansions),
        ]
        for s, choices in enumerate(self.stages):
            all_decisions.append(Decision(f"stage{s}.filters", choices.filters))
            all_decisions.append(Decision(f"stage{s}.depth", choices.depths))
            # Number of the depth among the decisions proper; block i counts from the first depth above i on.
            depth_index = sum(len(decision.options) > 1 for decision in all_decisions) - 1
            for i, block in enumerate(choices.blocks):
                first = next(k for k, depth in enumerate(choices.depths) if depth > i)
                condition = (depth_index, first) if first > 0 else None
                all_decisions.append(Decision(f"stage{s}.block{i}.dw", block.dws, condition))
                all_decisions.append(Decision(f"stage{s}.block{i}.expansion", block.expansions, condition))
        return tuple(all_decisions)

    def size(self) -> int:
        """Return the number of distinct architectures (inactive decisions counted once)."""
        total = len(self.stem_filters) * len(self.fused_filters) * len(self.fused_expansions)
        for choices in self.stages:
            options = [len(block.dws) * len(block.expansions) for block in choices.blocks]
            total *= len(choices.filters) * sum(math.prod(options[:depth]) for depth in choices.depths)
        return total

    # --------------------------------------------------------------------------------------------- views of the space

    def coarse(self) -> "StagedSpace":
        """Return the view for the coarse search: filters and depths; every block is IB k3 with expansion 4."""
        fixed = BlockChoices((COARSE_DW,))
        return replace(
            self,
            name=f"{self.name}/coarse",
            stages=tuple(replace(c, blocks=(fixed,) * len(c.blocks)) for c in self.stages),
        )

    def fine(self, arch: ArchSpec) -> "StagedSpace":
        """Return the view for the fine search: depthwise options and expansions inside the blocks of `arch`."""
        genotype = self.encode(arch)
        stages = []
        for s, choices in enumerate(self.stages):
            depth: int = self.value(genotype, f"stage{s}.depth")
            filters = (self.value(genotype, f"stage{s}.filters"),)
            stages.append(replace(choices, filters=filters, depths=(depth,), blocks=choices.blocks[:depth]))
        return replace(
            self,
            name=f"{self.name}/fine",
            stem_filters=(self.value(genotype, "stem.filters"),),
            fused_filters=(self.value(genotype, "fused.filters"),),
            fused_expansions=(self.value(genotype, "fused.expansion"),),
            stages=tuple(stages),
        )

    @property
    def strides(self) -> tuple[int, ...]:
        """The strides of the stem, the fused block and the stages."""
        return (self.stem_stride, self.fused_stride, *(choices.stride for choices in self.stages))

    def with_input(self, resolution: int, channels: int, num_classes: int, drop_strides: bool = False) -> "StagedSpace":
        """Return the space for square images of `resolution` px; its strides stay, unless `drop_strides` is given.

        Then early ones become 1 where images are small: `nas.space.scaling.drop_early_strides` says which.
        """
        strides = input_strides(resolution, self.strides, drop_strides=drop_strides)
        return replace(
            self,
            input_shape=Shape(resolution, resolution, channels),
            num_classes=num_classes,
            stem_stride=strides[0],
            fused_stride=strides[1],
            stages=tuple(replace(c, stride=n) for c, n in zip(self.stages, strides[2:], strict=True)),
        )

    def proxy(self, resolution: int, width: float) -> "StagedSpace":
        """Return the space of proxies: `space.proxy(r, w).decode(g) == scale_down(space.decode(g), r, w)`."""
        if not 0 < width <= 1:
            raise InvalidInput(f"the proxy width must lie above 0 and at most at 1, got {width}")
        if self.width != 1:
            raise InvalidInput("this space is a proxy already")
        narrow = replace(
            self,
            width=width,
            features=scale_channels(self.features, width),
            hidden=scale_channels(self.hidden, width),
        )
        return narrow.with_input(resolution, self.input_shape.channels, self.num_classes, drop_strides=True)

    # ------------------------------------------------------------------------------------------- genotypes and specs

    def _filters(self, genotype: Sequence[int], s: int) -> int:
        """Return the filters of stage `s` (-1: of the fused block), before they are scaled by the proxy's width."""
        return int(self.value(genotype, f"stage{s}.filters" if s >= 0 else "fused.filters"))

    def stem(self, genotype: Sequence[int]) -> Conv:
        """Return the stem convolution."""
        filters = self.value(genotype, "stem.filters")
        return Conv(scale_channels(filters, self.width), 3, self.stem_stride, self.act)

    def fused(self, genotype: Sequence[int]) -> FusedIB:
        """Return the fused inverted bottleneck after the stem."""
        expanded = make_divisible(self.value(genotype, "stem.filters") * self.value(genotype, "fused.expansion"))
        out = scale_channels(self._filters(genotype, -1), self.width)
        return FusedIB(out, scale_channels(expanded, self.width), 3, self.fused_stride, self.act)

    def block(self, genotype: Sequence[int], s: int, i: int) -> UIB:
        """Return block `i` of stage `s`, active or not."""
        start, middle = self.value(genotype, f"stage{s}.block{i}.dw")
        channels_in = self._filters(genotype, s - 1 if i == 0 else s)
        expanded = make_divisible(channels_in * self.value(genotype, f"stage{s}.block{i}.expansion"))
        return UIB(
            out_channels=scale_channels(self._filters(genotype, s), self.width),
            expanded_channels=scale_channels(expanded, self.width),
            start_dw=start,
            middle_dw=middle,
            stride=self.stages[s].stride if i == 0 else 1,
            act=self.act,
            residual=i > 0,
        )

    def decode(self, genotype: Sequence[int]) -> ArchSpec:
        """Return the architecture of `genotype` (one option index per decision)."""
        self.check(genotype)
        stages: list[tuple[Op, ...]] = [(self.stem(genotype), self.fused(genotype))]
        for s in range(len(self.stages)):
            depth: int = self.value(genotype, f"stage{s}.depth")
            stages.append(tuple(self.block(genotype, s, i) for i in range(depth)))
        stages.append((Conv(self.features, 1, 1, self.act),))
        head = Head(self.hidden, True, self.act)
        return ArchSpec(
            self.input_shape, tuple(stages), head, self.num_classes, self.padding, self.norm_eps, name=self.name
        )

    def encode(self, arch: ArchSpec) -> Genotype:
        """Return the canonical genotype of `arch`; `InvalidInput` where it is no member of this space."""
        genotype = [0] * len(self.decisions)
        known = [self.index_of[decision.name] for decision in self.all_decisions if decision.name in self.index_of]
        assert known == sorted(known)
        # In order, so that what an op depends on is decoded already when its own decision is read.
        for decision in self.all_decisions:
            if decision.name in self.index_of:
                genotype[self.index_of[decision.name]] = self._read(arch, genotype, decision)
        if self.decode(genotype) != arch:
            raise InvalidInput(f"'{arch.name}' is no architecture of the space '{self.name}'")
        return tuple(genotype)

    def _read(self, arch: ArchSpec, genotype: list[int], decision: Decision) -> int:
        """Return the first option of `decision` with which our op has the fields of the op in `arch`, else 0.

        By trial instead of by inverting formulas: filters and expansions are rounded, and scaled in a proxy. A wrong 0
        does no harm: `encode` decodes what it found and refuses an `arch` that differs.
        """
        place, _, what = decision.name.rpartition(".")
        s, i = _stage_and_block(place)
        theirs = arch.stages[s] if s < len(arch.stages) else ()
        if what == "depth":
            return decision.options.index(len(theirs)) if len(theirs) in decision.options else 0
        for k in range(len(decision.options) if i < len(theirs) else 0):
            trial = [*genotype]
            trial[self.index_of[decision.name]] = k
            ours = self._op(trial, s, i)
            if all(getattr(ours, name) == getattr(theirs[i], name, None) for name in READ_FROM[what]):
                return k
        return 0

    def _op(self, genotype: Sequence[int], s: int, i: int) -> Op:
        """Return op `i` of `ArchSpec.stages[s]`, active or not."""
        if s == 0:
            return self.fused(genotype) if i else self.stem(genotype)
        return self.block(genotype, s - 1, i)

    # -------------------------------------------------------------------------------------------------------- costs

    @cached_property
    def cost_terms(self) -> tuple[CostTerm, ...]:
        """One cost term per block, with the decisions it depends on; together they have the kernels of `decode`.

        A block depends on its own options, on the filters and depth of its stage, and the first of a stage also on the
        filters of the stage before. Sizes of feature maps are the same for all genotypes: strides are no choice.
        """
        at = self.input_shape
        terms = [self._term("stem", ("stem.filters",), lambda g: (self.stem(g), at))]
        stem_map = at.strided(self.stem_stride, 0)
        terms.append(
            self._term(
                "fused",
                ("stem.filters", "fused.filters", "fused.expansion"),
                lambda g: (self.fused(g), stem_map._replace(channels=self.stem(g).out_channels)),
            )
        )
        # `before` names the decision of the channels in front of a stage, `size` is the feature map there.
        before, size = "fused.filters", stem_map.strided(self.fused_stride, 0)
        for s, choices in enumerate(self.stages):
            inside = size.strided(choices.stride, 0)
            for i in range(len(choices.blocks)):
                names = [
                    f"stage{s}.filters",
                    f"stage{s}.depth",
                    *(f"stage{s}.block{i}.{x}" for x in ("dw", "expansion")),
                ]
                names = [before, *names] if i == 0 else names
                build = partial(self._block_at, s=s, i=i, size=size if i == 0 else inside)
                terms.append(self._term(f"stage{s}.block{i}", tuple(names), build))
            before, size = f"stage{s}.filters", inside
        last = size
        terms.append(CostTerm("head", self._scope((before,)), lambda g: self._head_kernels(g, last)))
        return tuple(terms)

    def _scope(self, names: tuple[str, ...]) -> tuple[int, ...]:
        """Return the sorted indices of the named choices that are decisions."""
        return tuple(sorted(self.index_of[name] for name in names if name in self.index_of))

    def _term(self, name: str, decisions: tuple[str, ...], build: Any) -> CostTerm:
        """Return the cost term of the op and input shape that `build` makes of a genotype; no op, no kernels."""

        def kernels(genotype: Genotype) -> Sequence[Kernel]:
            op, shape = build(genotype)
            return op.lower(shape) if op is not None else ()

        return CostTerm(name, self._scope(decisions), kernels)

    def _block_at(self, genotype: Genotype, s: int, i: int, size: Shape) -> tuple[UIB | None, Shape]:
        """Return block `i` of stage `s`, None where the stage is not as deep, and the shape of its input."""
        channels = scale_channels(self._filters(genotype, s - 1 if i == 0 else s), self.width)
        active = i < self.value(genotype, f"stage{s}.depth")
        return (self.block(genotype, s, i) if active else None), size._replace(channels=channels)

    def _head_kernels(self, genotype: Genotype, size: Shape) -> Sequence[Kernel]:
        """Return the kernels of the 1x1 feature layer and of the head, on a final feature map of this size."""
        filters = scale_channels(self._filters(genotype, len(self.stages) - 1), self.width)
        features = Conv(self.features, 1, 1, self.act)
        head = Head(self.hidden, True, self.act).classify(size._replace(channels=self.features), self.num_classes)
        return [*features.lower(size._replace(channels=filters)), *head]


def _stage_and_block(place: str) -> tuple[int, int]:
    """Return stage and op in `ArchSpec.stages` of the op at `place`: "stem", "fused", "stage1" or "stage1.block2"."""
    if place in ("stem", "fused"):
        return 0, int(place == "fused")
    stage_name, _, block_name = place.partition(".")
    return int(stage_name.removeprefix("stage")) + 1, int(block_name.removeprefix("block") or 0)
