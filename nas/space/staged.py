"""`StagedSpace`, a search space as a sequence of stage forms: data, from which all else of a space follows.

Stages of blocks (`nas.space.forms`), layers in front of the head, a head. The two stages of a search are views of one
space (MobileNetV4, arXiv 2404.10518, section 6.1): `coarse()` keeps the choices of filters, depths, activations and
strides, `fine(arch)` fixes those and keeps the choices inside the blocks. `proxy(...)` is the space of the scaled-down
networks that the supernet trains; all views share the names of their decisions.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import accumulate, product
from typing import Any, NamedTuple

import numpy as np

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.ops import Act, Head, Kernel, Op, Shape, Size, SizeLike
from nas.ops.choices import Choice, Choices, Site, Slots, Values
from nas.ops.graph import Padding
from nas.ops.log_mel import LogMelChoices
from nas.protocols import CostTerm, Decision, Genotype, Place
from nas.space.choices import Narrowed, fixed
from nas.space.forms import Position, Single, StageForm
from nas.space.genotypes import DecisionSpace
from nas.space.scaling import input_strides, scale_channels, scale_op

STRIDES = "strides"  # the decision about the strides of all stages
Strides = tuple[int, ...]  # of the first block of every stage form, the tail's included


class Block(NamedTuple):
    """A block that networks of a space may have, and the names of the decisions that it depends on."""

    stage: int  # number of its stage form, those of the tail included
    position: Position
    filters_before: str  # decision about the channels of its input
    filters: str  # ... of its output
    act: str
    depth: str

    @property
    def decisions(self) -> tuple[str, ...]:
        """The names of the choices inside the block."""
        return tuple(f"{self.position.place}.{choice.name}" for choice in self.position.block.choices)


@dataclass(frozen=True)
class StagedSpace(DecisionSpace):
    """A search space for one input shape and number of classes; see the docstring of the module.

    `tail` are the layers behind the last stage, which belong to the head. `stride_patterns` are the options of a
    decision about the strides of all stages; empty, where strides are those of the stages. `width` scales all channels
    in a space of proxies. The first stage may be a front end, whose options decide the size of all maps behind it
    (`Choices.is_front_end`, such as log-mel spectrograms); proxies keep it as it is, and its strides too. `proxy_width`
    is the width of proxies where no setting says, None where the preset decides.
    """

    name: str
    input_shape: Shape
    num_classes: int
    stages: tuple[StageForm, ...]
    tail: tuple[Single, ...] = ()
    head: Head = field(default_factory=Head)
    padding: Padding = "symmetric"
    norm_eps: float = 1e-5
    width: float = 1.0
    stride_patterns: tuple[Strides, ...] = ()
    proxy_width: float | None = None

    def __post_init__(self) -> None:
        names = [form.name for form in self.forms]
        if len(names) != len(set(names)) or any("_" in name or "." in name for name in names):
            raise InvalidInput(f"stages need names of their own without '_' and '.', got {', '.join(names)}")
        if any(len(pattern) != len(names) for pattern in self.stride_patterns):
            raise InvalidInput(f"a pattern of strides needs {len(names)} of them, one per stage, got {self.patterns}")
        for number, form in enumerate(self.forms):
            if any(one.block.is_front_end for one in form.positions) and (number or not isinstance(form, Single)):
                raise InvalidInput(f"a front end must be a single block, the first of the space, got {form.name}")
            if len({self.channels_behind(number, n) for n in form.filters}) < len(form.filters):
                raise InvalidInput(
                    f"proxy width {self.width:g} makes options of {form.name}.filters {form.filters} equal; "
                    "use a larger --proxy-width"
                )

    @property
    def forms(self) -> tuple[StageForm, ...]:
        """The stage forms, those of the tail included."""
        return (*self.stages, *self.tail)

    @property
    def patterns(self) -> tuple[Strides, ...]:
        """The options for the strides of all stages, one option where they are fixed."""
        return self.stride_patterns or (tuple(form.stride for form in self.forms),)

    @property
    def strides(self) -> Strides:
        """The strides of all stages, those of the first pattern where several are offered."""
        return self.patterns[0]

    def channels_behind(self, stage: int, filters: int) -> int:
        """Return the channels behind stage form number `stage` for an option of its filters: a front end's are kept."""
        form = self.forms[stage]
        return filters if form.positions[0].block.is_front_end else scale_channels(filters, self.width)

    @property
    def front(self) -> Block | None:
        """The front end, None where the space has none."""
        return self.blocks[0] if self.blocks[0].position.block.is_front_end else None

    @property
    def front_decisions(self) -> tuple[str, ...]:
        """The names of the choices about the front end."""
        return () if self.front is None else (self.front.filters, *self.front.decisions)

    @cached_property
    def fronts(self) -> tuple[Op, ...]:
        """All options of the front end, the last of `front_decisions` varying fastest; empty where there is none."""
        if self.front is None:
            return ()
        form, block = self.forms[0], self.front
        names = [choice.name for choice in block.position.block.choices]
        found = []
        for filters, *options in product(*(self.options[name] for name in self.front_decisions)):
            values = dict(zip(names, options, strict=True))
            (op,) = self.slots(block, values, self.input_shape.channels, filters, form.acts[0], form.stride)
            assert op is not None
            found.append(op)
        return tuple(found)

    @property
    def is_sequence(self) -> bool:
        """Whether the maps behind the front end, or of the whole network, are sequences, whose windows are k x 1."""
        found = self.input_shape.size.is_sequence
        return self.fronts[0].sequence_behind(found) if self.fronts else found

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks of the largest networks, in their order."""
        found, before = [], ""
        for number, form in enumerate(self.forms):
            filters, act, depth = (f"{form.name}.{what}" for what in ("filters", "act", "depth"))
            for position in form.positions:
                found.append(Block(number, position, before if position.first else filters, filters, act, depth))
            before = filters
        return tuple(found)

    # ---------------------------------------------------------------------------------------------------- decisions

    @cached_property
    def all_decisions(self) -> tuple[Decision, ...]:
        """All choices in order, those with a single option included; `decisions` leaves these out."""
        found = [Decision(STRIDES, self.patterns)]
        for form in self.forms:
            stage = Place(form.name)
            found.append(Decision(f"{stage}.filters", form.filters, place=stage))
            found.append(Decision(f"{stage}.depth", form.depths, place=stage))
            # Number of the depth among the decisions proper; a block counts from the first depth above its own on.
            depth_index = sum(len(decision.options) > 1 for decision in found) - 1
            found.append(Decision(f"{stage}.act", form.acts, place=stage))
            seen: set[Place] = set()
            for position in form.positions:
                first = next(k for k, depth in enumerate(form.depths) if depth > position.number)
                condition = (depth_index, first) if first > 0 else None
                if position.place not in seen:  # with shared decisions, all blocks have one place
                    found += (
                        Decision(f"{position.place}.{name}", options, condition, position.place, averaged)
                        for name, options, averaged in position.block.choices
                    )
                seen.add(position.place)
        return tuple(found)

    def size(self) -> int:
        """Return the number of distinct architectures (inactive decisions counted once)."""
        total = len(self.patterns)
        for form in self.forms:
            options: dict[Place, tuple[int, int]] = {}  # place -> least depth that counts it, number of its options
            for position in form.positions:
                count = math.prod(len(choice.options) for choice in position.block.choices)
                options.setdefault(position.place, (position.number, count))
            of_depth = [math.prod(n for least, n in options.values() if least < depth) for depth in form.depths]
            total *= len(form.filters) * len(form.acts) * sum(of_depth)
        return total

    # --------------------------------------------------------------------------------------------- views of the space

    def coarse(self) -> "StagedSpace":
        """Return the view for the coarse search: filters, depths, activations and strides; every block is fixed."""
        return replace(self, name=f"{self.name}/coarse", stages=tuple(form.coarse() for form in self.stages))

    def fine(self, arch: ArchSpec) -> "StagedSpace":
        """Return the view for the fine search: the choices inside the blocks of `arch`."""
        genotype = self.encode(arch)
        stages = []
        for form, coarse in zip(self.stages, self.coarse().stages, strict=True):
            depth = self._depth(genotype, form)
            blocks = []
            for position, other in list(zip(form.positions, coarse.positions, strict=True))[:depth]:
                # What the coarse view leaves open in a block is decided there.
                names = [choice.name for choice in other.block.choices if len(choice.options) > 1]
                values = self._values(genotype, position)
                blocks.append(Narrowed.of(position.block, {name: (values[name],) for name in names}))
            stages.append(self._fixed(form, genotype, tuple(blocks)))
        tail = [
            self._fixed(form, genotype, (fixed(form.block, self._values(genotype, form.positions[0])),))
            for form in self.tail
        ]
        strides = (self._strides(genotype),) if self.stride_patterns else ()
        return replace(self, name=f"{self.name}/fine", stages=tuple(stages), tail=tuple(tail), stride_patterns=strides)

    def _fixed(self, form: Any, genotype: Sequence[int], blocks: tuple[Any, ...]) -> Any:
        """Return the stage with the filters, activation and depth that `genotype` has, and these blocks."""
        filters, act = (self.value(genotype, f"{form.name}.{what}") for what in ("filters", "act"))
        return form.narrowed((filters,), (act,), (self._depth(genotype, form),), blocks)

    def with_input(
        self, resolution: SizeLike, channels: int, num_classes: int, drop_strides: bool = False
    ) -> "StagedSpace":
        """Return the space for inputs of `resolution`; its strides stay, unless `drop_strides` is given.

        `resolution` is the side of a square, "96x128" or a `Size`. With `drop_strides`, as many of the earliest strides
        become 1 as it takes for a final feature map of 4 px on each side; behind a front end they stay either way.
        """
        patterns = self.patterns
        if self.front is None:
            patterns = tuple(input_strides(resolution, one, drop_strides=drop_strides) for one in self.patterns)
        if len(set(patterns)) < len(patterns):
            raise InvalidInput(
                f"images of {Size.of(resolution).text} make the options for the strides of '{self.name}' equal"
            )
        count = len(self.stages)
        return replace(
            self,
            input_shape=Shape(*Size.of(resolution), channels),
            num_classes=num_classes,
            stages=tuple(form.strided(n) for form, n in zip(self.stages, patterns[0][:count], strict=True)),
            tail=tuple(form.strided(n) for form, n in zip(self.tail, patterns[0][count:], strict=True)),
            stride_patterns=patterns if self.stride_patterns else (),
        )

    def behind(self, front: LogMelChoices) -> "StagedSpace":
        """Return the space behind a front end, whose stage is named "logmel"; its input is to be set then."""
        filters = front.bands if front.layout == "sequence" else (1,)
        return replace(
            self,
            stages=(Single("logmel", front, filters), *self.stages),
            stride_patterns=tuple((1, *pattern) for pattern in self.stride_patterns),
        )

    def at_rate(self, sample_rate: int) -> "StagedSpace":
        """Return the space for waveforms of another sample rate in Hz: its front end, in ms, has it too."""
        first = self.stages[0]
        if self.front is None or not isinstance(first, Single):
            return self
        return replace(self, stages=(replace(first, block=first.block.at_rate(sample_rate)), *self.stages[1:]))

    def proxy(self, resolution: SizeLike, width: float) -> "StagedSpace":
        """Return the space of proxies: `space.proxy(r, w).decode(g) == scale_down(space.decode(g), r, w)`."""
        if not 0 < width <= 1:
            raise InvalidInput(f"the proxy width must lie above 0 and at most at 1, got {width}")
        if self.width != 1:
            raise InvalidInput("this space is a proxy already")
        return replace(self, width=width).with_input(
            resolution, self.input_shape.channels, self.num_classes, drop_strides=True
        )

    def without(self, is_refused: Callable[[Op], bool]) -> tuple["StagedSpace", tuple[str, ...]]:
        """Return the space without the options that only ops which are refused have, and the names of such options.

        `InvalidInput` where no network is left. The names are those of decisions with an option, "stage0.act=gelu".
        """
        dropped: list[str] = []
        forms = []
        for form in self.forms:

            def runs(block: Choices, values: Values, act: Act, channels: int = form.filters[0]) -> bool:
                slots = block.slots(values, Site(channels, channels, act=act))
                return not any(op is not None and is_refused(op) for op in slots)

            acts = tuple(
                act
                for act in form.acts
                if all(any(runs(one.block, v, act) for v in one.block.combinations()) for one in form.positions)
            )
            blocks = []
            for position in form.positions:
                block = position.block
                left = [v for v in block.combinations() if all(runs(block, v, act) for act in acts)]
                used = {choice.name: {values[choice.name] for values in left} for choice in block.choices}
                offered = {c.name: tuple(one for one in c.options if one in used[c.name]) for c in block.choices}
                gone = [(c.name, one) for c in block.choices for one in c.options if one not in used[c.name]]
                dropped += (f"{position.place}.{name}={option}" for name, option in gone)
                blocks.append(Narrowed.of(block, offered) if gone else block)
                if not acts or len(left) < math.prod(map(len, offered.values())):
                    raise InvalidInput(f"no network of '{self.name}' is left without what is refused in {form.name}")
            dropped += (f"{form.name}.act={act}" for act in form.acts if act not in acts)
            forms.append(form.narrowed(form.filters, acts, form.depths, tuple(blocks)))
        if not dropped:
            return self, ()
        count = len(self.stages)
        left_space = replace(self, stages=tuple(forms[:count]), tail=tuple(forms[count:]))  # type: ignore[arg-type]
        return left_space, tuple(dict.fromkeys(dropped))

    # ------------------------------------------------------------------------------------------- genotypes and specs

    def _values(self, genotype: Sequence[int], position: Position) -> dict[str, Any]:
        """Return the options taken inside a block, by the names of its choices."""
        place = position.place
        return {choice.name: self.value(genotype, f"{place}.{choice.name}") for choice in position.block.choices}

    def _depth(self, genotype: Sequence[int], form: StageForm) -> int:
        """Return the number of blocks of a stage."""
        depth: int = self.value(genotype, f"{form.name}.depth")
        return depth

    def _strides(self, genotype: Sequence[int]) -> Strides:
        """Return the strides of the stages."""
        strides: Strides = self.value(genotype, STRIDES)
        return strides

    def slots(self, block: Block, values: Values, before: int, filters: int, act: Act, stride: int) -> Slots:
        """Return the ops of a block between layers of so many channels, before these are scaled by the proxy's width.

        The ops that are returned have the proxy's width.
        """
        stride = stride if block.position.first else 1
        site = Site(before, filters, stride, block.position.residual, act)
        found = block.position.block.slots(values, site)
        return found if self.width == 1 else tuple(op and scale_op(op, self.width) for op in found)

    def slots_of(self, genotype: Sequence[int], block: Block) -> Slots:
        """Return what is taken in a block in the network of `genotype`, whether that is deep enough for it or not."""
        before = self.value(genotype, block.filters_before) if block.filters_before else self.input_shape.channels
        act, filters = self.value(genotype, block.act), self.value(genotype, block.filters)
        stride = self._strides(genotype)[block.stage]
        return self.slots(block, self._values(genotype, block.position), before, filters, act, stride)

    def ops(self, genotype: Sequence[int], block: Block) -> tuple[Op, ...]:
        """Return the ops of a block; see `slots_of`."""
        return tuple(op for op in self.slots_of(genotype, block) if op is not None)

    def _ops_of_groups(self, genotype: Sequence[int], block: Block) -> list[tuple[Op, ...]]:
        """Return the ops of each group of a block: one, or none where the group is left out."""
        slots = iter(self.slots_of(genotype, block))
        taken = [[next(slots) for _ in members] for members in block.position.block.groups]
        return [tuple(op for op in ops if op is not None) for ops in taken]

    def is_active(self, genotype: Sequence[int], block: Block) -> bool:
        """Return whether the network of `genotype` is deep enough to have the block."""
        return block.position.number < self._depth(genotype, self.forms[block.stage])

    def active_blocks(self, genotype: Sequence[int]) -> Iterator[Block]:
        """Yield the blocks of the network of `genotype`, in their order."""
        return (block for block in self.blocks if self.is_active(genotype, block))

    @cached_property
    def arch_stages(self) -> tuple[int, ...]:
        """The number of the stage in `ArchSpec.stages` of each stage form: single blocks in a row share one."""
        grouped = [isinstance(form, Single) for form in self.stages]
        new = [not (single and before) for before, single in zip([False, *grouped], grouped, strict=False)]
        tail = [i == 0 for i in range(len(self.tail))]
        return tuple(n - 1 for n in accumulate(map(int, [*new, *tail])))

    @property
    def scaled_head(self) -> Head:
        """The head, with the proxy's width."""
        return replace(self.head, hidden=scale_channels(self.head.hidden, self.width))

    def decode(self, genotype: Sequence[int]) -> ArchSpec:
        """Return the architecture of `genotype` (one option index per decision)."""
        self.check(genotype)
        stages: list[list[Op]] = [[] for _ in range(self.arch_stages[-1] + 1)]
        for block in self.active_blocks(genotype):
            stages[self.arch_stages[block.stage]] += self.ops(genotype, block)
        return ArchSpec(
            self.input_shape,
            tuple(tuple(stage) for stage in stages),
            self.scaled_head,
            self.num_classes,
            self.padding,
            self.norm_eps,
            name=self.name,
        )

    def encode(self, arch: ArchSpec) -> Genotype:
        """Return the canonical genotype of `arch`; `InvalidInput` where it is no member of this space.

        Options are read by trial: those with which a block here is what stands in `arch`. What cannot be read is left
        at option 0: the result is decoded again, and an `arch` that differs is refused.
        """
        for strides in range(len(self.patterns)):
            genotype = [0] * len(self.decisions)
            self._take(genotype, STRIDES, strides)
            for number in range(len(self.forms)):
                self._read_stage(arch, genotype, number)
            found = self.canonical(np.array([genotype]))[0]
            if self.decode(found) == arch:
                return tuple(int(option) for option in found)
        raise InvalidInput(f"'{arch.name}' is no architecture of the space '{self.name}'")

    def _take(self, genotype: list[int], name: str, option: int) -> None:
        """Set the option of a choice, where it is a decision."""
        if name in self.index_of:
            genotype[self.index_of[name]] = option

    def _read_stage(self, arch: ArchSpec, genotype: list[int], number: int) -> None:
        """Read filters, activation, depth and the choices inside the blocks of stage form `number`."""
        form, blocks = self.forms[number], [block for block in self.blocks if block.stage == number]
        theirs = list(self._ops_of(arch, number))
        readings = list[tuple[int, int, list[int]]]()
        for filters, act in product(range(len(form.filters)), range(len(form.acts))):
            trial, at, depth = [*genotype], 0, 0
            self._take(trial, blocks[0].filters, filters)
            self._take(trial, blocks[0].act, act)
            for block in blocks:
                length, options = self._read_block(trial, block, theirs[at:])
                for name, option in options.items():
                    self._take(trial, name, option)
                at, depth = at + length, depth + bool(length)
            depths = [k for k, n in enumerate(form.depths) if n == depth]
            self._take(trial, blocks[0].depth, depths[0] if depths else 0)
            readings.append((at, -len(readings), trial))
            if at == len(theirs) and depths:
                break
        genotype[:] = max(readings)[2]

    def _read_block(self, genotype: list[int], block: Block, theirs: Sequence[Op]) -> tuple[int, dict[str, int]]:
        """Return how many of the ops in front of `theirs` the block can be, most of all, and the options for that."""
        readings = self._readings(genotype, block, theirs, 0, {})
        return max(readings, key=lambda reading: reading[0], default=(0, {}))

    def _readings(
        self, genotype: Sequence[int], block: Block, theirs: Sequence[Op], group: int, taken: dict[str, int]
    ) -> Iterator[tuple[int, dict[str, int]]]:
        """Yield how many ops in front of `theirs` the groups from `group` on can be, with the options for each reading.

        `taken` are the options of the groups before. Group by group: where one cannot be, those behind are not tried.
        """
        groups, place = block.position.block.choices_of_groups, block.position.place
        if group == len(groups):
            yield 0, taken
            return
        counts = {f"{place}.{choice.name}": len(choice.options) for choice in groups[group]}
        names = [name for name in counts if name not in taken]
        for options in product(*(range(counts[name]) for name in names)):
            trial, named = [*genotype], taken | dict(zip(names, options, strict=True))
            for name, option in named.items():
                self._take(trial, name, option)
            ours = self._ops_of_groups(trial, block)[group]
            if ours == tuple(theirs[: len(ours)]):
                for length, found in self._readings(genotype, block, theirs[len(ours) :], group + 1, named):
                    yield len(ours) + length, found

    def _ops_of(self, arch: ArchSpec, number: int) -> Iterator[Op]:
        """Yield the ops in `arch` of stage form `number`, and those behind it that share its stage there."""
        stage = self.arch_stages[number]
        ops = arch.stages[stage] if stage < len(arch.stages) else ()
        before = [n for n in range(number) if self.arch_stages[n] == stage]  # single blocks, of one op each
        return iter(ops[len(before) :] if not isinstance(self.forms[number], Single) else ops[len(before) :][:1])

    # -------------------------------------------------------------------------------------------------------- costs

    @cached_property
    def cost_terms(self) -> tuple[CostTerm, ...]:
        """One cost term per block or group of one, with the decisions it depends on: all the kernels of `decode`.

        A block depends on its own options, on filters, depth and activation of its stage, the first of a stage also on
        the filters of the stage before, and all on the strides, where these are a choice. Where it is several ops one
        behind the other, each has a term: a table over the options of all would be their product. The tail is in the
        head's.
        """
        count = len(self.stages)
        body = [block for block in self.blocks if block.stage < count]
        tail = [block for block in self.blocks if block.stage >= count]
        terms = [
            CostTerm(
                ".".join([str(_named(block)), *[choice.name for choice in choices][: group > 0]]),
                self._group_scope(block, choices, group == 0),
                partial(self._group_kernels, block, group),
            )
            for block in body
            for group, choices in enumerate(block.position.block.choices_of_groups)
        ]
        before = body[-1].filters
        scope = self._scope(tail) if tail else self._indices([before, STRIDES, *self.front_decisions])
        return (*terms, CostTerm("head", scope, partial(self._head_kernels, tuple(tail), before)))

    def _scope(self, blocks: Sequence[Block]) -> tuple[int, ...]:
        """Return the sorted indices of the decisions that these blocks depend on."""
        names = [STRIDES, *self.front_decisions]
        for block in blocks:
            names += [block.filters_before, block.filters, block.act, block.depth, *block.decisions]
        return self._indices(names)

    def _group_scope(self, block: Block, choices: Sequence[Choice], first: bool) -> tuple[int, ...]:
        """Return the sorted indices of the decisions that a group with these choices depends on."""
        names = [STRIDES, *self.front_decisions, block.filters, block.act, block.depth]
        names += [block.filters_before] if first else []
        return self._indices([*names, *(f"{block.position.place}.{choice.name}" for choice in choices)])

    def _indices(self, names: Sequence[str]) -> tuple[int, ...]:
        """Return the sorted indices of the named choices that are decisions."""
        return tuple(sorted({self.index_of[name] for name in names if name in self.index_of}))

    def _map_before(self, genotype: Genotype, block: Block) -> Shape:
        """Return height and width of the feature map in front of a block; its channels are those of the input."""
        strides = self._strides(genotype)
        return self._strided(genotype, strides[: block.stage + (not block.position.first)])

    def _strided(self, genotype: Genotype, strides: Strides) -> Shape:
        """Return the shape of the input behind the first stages, which have these strides; channels are the input's."""
        at = self.input_shape
        if self.front is not None and strides:
            (op,) = self.ops(genotype, self.front)
            at, strides = op.out_shape(at)._replace(channels=at.channels), strides[1:]
        for stride in strides:
            at = at.strided(stride, at.channels)
        return at

    def _block_kernels(self, block: Block, genotype: Genotype) -> Sequence[Kernel]:
        """Return the kernels of a block; none where the network is not as deep."""
        groups = range(len(block.position.block.groups))
        return [kernel for group in groups for kernel in self._group_kernels(block, group, genotype)]

    def _group_kernels(self, block: Block, group: int, genotype: Genotype) -> Sequence[Kernel]:
        """Return the kernels of a group of a block; none where the network is not as deep."""
        if not self.is_active(genotype, block):
            return ()
        channels = self.input_shape.channels
        if block.filters_before:
            before = block.stage - 1 if block.position.first else block.stage
            channels = self.channels_behind(before, self.value(genotype, block.filters_before))
        at, kernels = self._map_before(genotype, block)._replace(channels=channels), list[Kernel]()
        for number, ops in enumerate(self._ops_of_groups(genotype, block)):
            for op in ops:
                kernels += op.lower(at) if number == group else ()
                at = op.out_shape(at)
        return [kernel.on_sequence() for kernel in kernels] if self.is_sequence else kernels

    def _head_kernels(self, tail: tuple[Block, ...], before: str, genotype: Genotype) -> Sequence[Kernel]:
        """Return the kernels of the tail and of the head."""
        kernels = [kernel for block in tail for kernel in self._block_kernels(block, genotype)]
        last = tail[-1].filters if tail else before
        channels = self.channels_behind(len(self.forms) - 1, self.value(genotype, last))
        at = self._strided(genotype, self._strides(genotype))._replace(channels=channels)
        return [*kernels, *self.scaled_head.classify(at, self.num_classes)]


def _named(block: Block) -> Place:
    """Return the place of a block with its number, also where all blocks of its stage share their decisions."""
    place, number = block.position.place, block.position.number
    return place if place.block is not None or not number else place._replace(block=number)
