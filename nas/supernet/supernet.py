"""The supernet: one network of shared weights that holds every architecture of a staged UIB space.

Architectures are inputs, one genotype each, never static arguments: one compilation serves the space. A choice with
one option costs nothing, so the coarse and the fine search of MobileNetV4 (arXiv 2404.10518, section 6.1) are this
class over two spaces. Filters are masks on the weights of the largest size, depth is a conditional, and depthwise
options are a switch.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array, lax
from numpy.typing import NDArray

from nas.nn.layers import ACTS
from nas.nn.primitives import conv2d, pointwise
from nas.ops import make_divisible
from nas.space.choices import BlockChoices
from nas.space.scaling import scale_channels
from nas.space.staged import StagedSpace
from nas.supernet.blocks.uib import SearchableUIB
from nas.supernet.layers import BlockContext, ConvBN, Count, mask_input_channels, normal

IntArray = NDArray[np.int64]
Params = dict[str, Array]  # "stages.0.rest.expand.weight" -> array of the largest size


class SupernetHead(nnx.Module):
    """Features, pool, hidden layer and classifier."""

    def __init__(self, channels: int, space: StagedSpace, rng: np.random.Generator) -> None:
        self.features = ConvBN((channels, space.features), rng)
        self.hidden = ConvBN((space.features, space.hidden), rng)
        self.weight = nnx.Param(jax.device_put(normal(rng, (space.hidden, space.num_classes), 0.01)))
        self.bias = nnx.Param(jax.device_put(np.zeros(space.num_classes, np.float32)))

    def __call__(self, x: Array, n_in: Count, form: BlockContext) -> Array:
        """Return logits [N, classes] in float32 for the last map x [N,H,W,C]."""
        x = pointwise(x, mask_input_channels(self.features.weight[...], n_in).astype(x.dtype))
        x = form.act(self.features.norm(x, form)).mean((1, 2), keepdims=True)
        x = form.act(self.hidden.norm(pointwise(x, self.hidden.weight[...].astype(x.dtype)), form))
        return x[:, 0, 0].astype(jnp.float32) @ self.weight[...] + self.bias[...]


class SupernetStage(nnx.Module):
    """The first block of a stage, which strides, and a stack of the others, which have skips."""

    def __init__(self, space: StagedSpace, s: int, rng: np.random.Generator) -> None:
        choices = space.stages[s]
        widths = _widest(space, s - 1), _widest(space, s)

        def block(
            positions: Sequence[int], channels_in: int, stride: int, stack: tuple[int, ...] = ()
        ) -> SearchableUIB:
            expanded = max(int(_expanded_table(space, s, i).max()) for i in positions)
            kernels = _kernels([choices.blocks[i] for i in positions])
            return SearchableUIB((channels_in, expanded, widths[1]), kernels, stride, rng, stack)

        self.first = block([0], widths[0], choices.stride)
        others = range(1, len(choices.blocks))
        self.rest = block(others, widths[1], 1, (len(others),)) if others else None


class Supernet(nnx.Module):
    """Shared weights for all architectures of `space`; calling it runs one of them."""

    def __init__(self, space: StagedSpace, rng: np.random.Generator) -> None:
        """Draw weights of the largest sizes in `space` (usually a space of proxies)."""
        self.space = space
        stem, fused = _widest(space, -2), int(_fused_table(space).max())
        self.stem = ConvBN((3, 3, space.input_shape.channels, stem), rng)
        self.fused_expand = ConvBN((3, 3, stem, fused), rng)
        self.fused_project = ConvBN((fused, _widest(space, -1)), rng)
        self.stages = nnx.List([SupernetStage(space, s, rng) for s in range(len(space.stages))])
        self.head = SupernetHead(_widest(space, len(space.stages) - 1), space, rng)

    def __call__(self, x: Array, genotype: Array, *, averages: bool = False) -> Array:
        """Return logits [N, classes] of the architecture `genotype` [D] for x [N,H,W,C].

        With `averages`, an index one beyond the options of a depthwise decision means the average of its options.
        """
        space = self.space
        form = BlockContext(ACTS[space.act], space.padding, space.norm_eps, averages)
        pick = GenotypeReader(space, genotype)
        x = conv2d(x, self.stem.weight[...].astype(x.dtype), space.stem_stride, space.padding)
        x = form.act(self.stem.norm(x, form))
        weight = mask_input_channels(self.fused_expand.weight[...], pick.filters(-2))
        x = form.act(self.fused_expand.norm(conv2d(x, weight.astype(x.dtype), space.fused_stride, space.padding), form))
        weight = mask_input_channels(self.fused_project.weight[...], pick.fused_expanded())
        x = self.fused_project.norm(pointwise(x, weight.astype(x.dtype)), form)
        for s, stage in enumerate(self.stages):
            x = self._stage(x, s, stage, pick, form)
        return self.head(x, pick.filters(len(space.stages) - 1), form)

    def _stage(self, x: Array, s: int, stage: SupernetStage, pick: "GenotypeReader", form: BlockContext) -> Array:
        first = jax.tree.map(lambda a: a[0], pick.blocks(s, [0]))
        x = stage.first(x, first.start, first.middle, pick.filters(s - 1), first.expanded, form)
        if stage.rest is None:
            return x
        graph, state = nnx.split(stage.rest)
        channels, depth = pick.filters(s), pick.depth(s)

        def body(x: Array, scanned: tuple[Any, BlockSelection]) -> tuple[Array, None]:
            def run(x: Array) -> Array:
                block, choice = nnx.merge(graph, scanned[0]), scanned[1]
                return block(x, choice.start, choice.middle, channels, choice.expanded, form)

            if isinstance(depth, int):
                return run(x), None
            return lax.cond(scanned[1].position < depth, run, lambda x: x, x), None

        return lax.scan(body, x, (state, pick.blocks(s, range(1, len(self.space.stages[s].blocks)))))[0]


class BlockSelection(NamedTuple):
    """What an architecture takes in n blocks: position [n], option numbers [n] of both banks, expanded channels [n]."""

    position: Array
    start: Array
    middle: Array
    expanded: Array | None


class GenotypeReader:
    """Looks up, inside a compiled program, what a genotype [D] says; None or a Python number where it has no choice."""

    def __init__(self, space: StagedSpace, genotype: Array) -> None:
        self.space, self.genotype = space, genotype

    def option(self, name: str) -> Array | int:
        """Return the option index for the slot `name`."""
        return self.genotype[self.space.index_of[name]] if name in self.space.index_of else 0

    def count(self, table: IntArray, *names: str) -> Count:
        """Return `table` at the options of the slots `names`, or None where all its entries are equal."""
        if (table == table.max()).all():
            return None
        return jnp.asarray(table)[tuple(self.option(name) for name in names)]

    def filters(self, s: int) -> Count:
        """Return the channels behind stage `s`, behind the fused block for -1, behind the stem for -2."""
        name = _filters_decision(s)
        return self.count(_filter_table(self.space, name), name)

    def fused_expanded(self) -> Count:
        """Return the expanded channels of the fused block."""
        return self.count(_fused_table(self.space), "stem.filters", "fused.expansion")

    def depth(self, s: int) -> Array | int:
        """Return the number of blocks of stage `s`."""
        depths = self.space.stages[s].depths
        return depths[0] if len(depths) == 1 else jnp.asarray(depths)[self.option(f"stage{s}.depth")]

    def blocks(self, s: int, positions: Sequence[int]) -> BlockSelection:
        """Return the choices of the blocks at `positions` of stage `s`, which share one `Block`."""
        blocks = [self.space.stages[s].blocks[i] for i in positions]
        banks = [[0, *sorted({dw[place] for block in blocks for dw in block.dws} - {0})] for place in (0, 1)]
        options: list[list[Array | int]] = [[], []]
        for i, block in zip(positions, blocks, strict=True):
            for place, bank in enumerate(banks):  # one entry beyond the options: the average
                table = np.array([*(bank.index(dw[place]) for dw in block.dws), len(bank)])
                options[place].append(jnp.asarray(table)[self.option(f"stage{s}.block{i}.dw")])
        tables = [_expanded_table(self.space, s, i) for i in positions]
        expanded = None
        if any((table != max(t.max() for t in tables)).any() for table in tables):
            names = [(_filters_decision(s - 1 if i == 0 else s), f"stage{s}.block{i}.expansion") for i in positions]
            picked = [jnp.asarray(t)[tuple(map(self.option, n))] for t, n in zip(tables, names, strict=True)]
            expanded = jnp.stack(picked)
        return BlockSelection(jnp.asarray(positions), jnp.stack(options[0]), jnp.stack(options[1]), expanded)


def _filters_decision(s: int) -> str:
    return {-2: "stem.filters", -1: "fused.filters"}.get(s, f"stage{s}.filters")


def _options(space: StagedSpace, name: str) -> tuple[Any, ...]:
    return next(decision.options for decision in space.all_decisions if decision.name == name)


def _filter_table(space: StagedSpace, name: str) -> IntArray:
    return np.array([scale_channels(n, space.width) for n in _options(space, name)])


def _products(space: StagedSpace, filters: Sequence[int], expansions: Sequence[float]) -> IntArray:
    """Return the expanded channels [filters, expansions] that the network has."""
    return np.array([[scale_channels(make_divisible(n * e), space.width) for e in expansions] for n in filters])


def _fused_table(space: StagedSpace) -> IntArray:
    return _products(space, space.stem_filters, space.fused_expansions)


def _expanded_table(space: StagedSpace, s: int, i: int) -> IntArray:
    filters = _options(space, _filters_decision(s - 1 if i == 0 else s))
    return _products(space, filters, space.stages[s].blocks[i].expansions)


def _widest(space: StagedSpace, s: int) -> int:
    return int(_filter_table(space, _filters_decision(s)).max())


def _kernels(blocks: Sequence[BlockChoices]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the depthwise kernels that occur at the start and in the middle of the blocks, 0 for none included."""
    start, middle = (tuple(sorted({dw[place] for block in blocks for dw in block.dws})) for place in (0, 1))
    return start, middle


def parameters(model: Supernet) -> Params:
    """Return the weights as a flat dictionary, the state that training works on."""
    flat = nnx.to_flat_state(nnx.state(model, nnx.Param))
    return {".".join(map(str, path)): variable[...] for path, variable in flat}


def with_parameters(graph: "nnx.GraphDef[Supernet]", params: Params) -> Supernet:
    """Return the supernet of `nnx.graphdef(model)` with the weights `params`; free inside a compiled program."""
    flat: Any = {
        tuple(int(key) if key.isdigit() else key for key in name.split(".")): nnx.Param(value)
        for name, value in params.items()
    }
    return nnx.merge(graph, nnx.from_flat_state(flat))
