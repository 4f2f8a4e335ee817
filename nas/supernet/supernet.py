"""The supernet: one network of shared weights that holds every architecture of a staged UIB space.

An architecture is an input of the compiled program, one genotype, never a static argument: one compilation serves the
whole space. All arrays have the largest sizes that the space allows, and an architecture uses parts of them:

- filters and expansions: masks on the weights that read the channels (`layers.mask_input_channels`);
- depthwise kernel sizes: a `lax.switch` over convolutions of separate weights (`blocks.base.SwitchableDepthwise`);
- depth: a `lax.cond` around each block of a `lax.scan`, which skips the blocks beyond the depth (`Supernet._stage`).

A choice with one option costs nothing: it becomes a Python number, or no mask, when the program is traced. So the
coarse and the fine search of MobileNetV4 (arXiv 2404.10518, section 6.1) are this class over two spaces.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array, lax
from numpy.typing import NDArray

from nas.nn.layers import ACTS
from nas.nn.primitives import batch_norm, conv2d, pointwise
from nas.ops import make_divisible
from nas.space.choices import BlockChoices
from nas.space.scaling import scale_channels
from nas.space.staged import StagedSpace
from nas.supernet.blocks.chunks import InnerWeights, chunk_size, chunked
from nas.supernet.blocks.uib import SearchableUIB
from nas.supernet.layers import BlockContext, ChannelCount, ConvBN, mask_input_channels, normal
from nas.supernet.loops import counted_loop

IntArray = NDArray[np.int64]
Params = dict[str, Array]  # "stages.0.rest.expand.weight" -> array of the largest size

# Stages are numbered from 0; the channels in front of them have numbers too.
STEM, FUSED = -2, -1
FUSED_VECTOR = 8  # chunks of the fused block's expanded channels are multiples of it


class SupernetHead(nnx.Module):
    """The head: 1x1 features, global pooling, a hidden layer and the classifier."""

    def __init__(self, channels: int, space: StagedSpace, rng: np.random.Generator) -> None:
        self.features = ConvBN((channels, space.features), rng)
        self.hidden = ConvBN((space.features, space.hidden), rng)
        self.weight = nnx.Param(jax.device_put(normal(rng, (space.hidden, space.num_classes), 0.01)))
        self.bias = nnx.Param(jax.device_put(np.zeros(space.num_classes, np.float32)))

    def __call__(self, x: Array, n_in: ChannelCount, context: BlockContext) -> Array:
        """Return logits [N, classes] in float32 for the final feature map x [N,H,W,C]."""
        x = pointwise(x, mask_input_channels(self.features.weight[...], n_in).astype(x.dtype))
        x = context.act(self.features.norm(x, context)).mean((1, 2), keepdims=True)
        x = context.act(self.hidden.norm(pointwise(x, self.hidden.weight[...].astype(x.dtype)), context))
        return x[:, 0, 0].astype(jnp.float32) @ self.weight[...] + self.bias[...]


class SupernetStage(nnx.Module):
    """The blocks of one stage: `first`, which strides, and `rest`, a stack of the others, which have skips.

    The others differ in their options but not in the shapes of their arrays, so that they can be stacked; `rest` is
    None where a stage has one block at most.
    """

    def __init__(self, space: StagedSpace, s: int, rng: np.random.Generator, chunks: int) -> None:
        choices = space.stages[s]
        channels_in, channels_out = _max_filters(space, s - 1), _max_filters(space, s)

        def block(
            positions: Sequence[int], channels_in: int, stride: int, stack: tuple[int, ...] = ()
        ) -> SearchableUIB:
            expanded = max(int(_expanded_table(space, s, i).max()) for i in positions)
            kernel_sizes = _kernel_sizes([choices.blocks[i] for i in positions])
            return SearchableUIB((channels_in, expanded, channels_out), kernel_sizes, stride, rng, stack, chunks)

        self.first = block([0], channels_in, choices.stride)
        others = range(1, len(choices.blocks))
        self.rest = block(others, channels_out, 1, (len(others),)) if others else None


class Supernet(nnx.Module):
    """Shared weights for all architectures of `space`; calling it runs one of them."""

    def __init__(self, space: StagedSpace, rng: np.random.Generator, chunks: int = 1) -> None:
        """Sample weights of the largest sizes in `space` (usually a space of proxies).

        Where architectures differ in their expanded channels, blocks compute them in up to `chunks` parts, one after
        the other, and only the parts in use. That is the same function, up to rounding.
        """
        self.space, self.chunked = space, chunks > 1
        stem, fused = _max_filters(space, STEM), int(_fused_table(space).max())
        self.stem = ConvBN((3, 3, space.input_shape.channels, stem), rng)
        self.fused_expand = ConvBN((3, 3, stem, fused), rng)
        self.fused_chunk = chunk_size(fused, chunks, FUSED_VECTOR)
        self.fused_project = ConvBN((fused, _max_filters(space, FUSED)), rng)
        self.stages = nnx.List([SupernetStage(space, s, rng, chunks) for s in range(len(space.stages))])
        self.head = SupernetHead(_max_filters(space, len(space.stages) - 1), space, rng)

    def __call__(self, x: Array, genotype: Array, *, averages: bool = False) -> Array:
        """Return logits [N, classes] of the architecture `genotype` [D] for x [N,H,W,C].

        With `averages`, an index one beyond the options of a depthwise decision means the average of its options.
        """
        space = self.space
        context = BlockContext(ACTS[space.act], space.padding, space.norm_eps, averages)
        reader = GenotypeReader(space, genotype)
        x = conv2d(x, self.stem.weight[...].astype(x.dtype), space.stem_stride, space.padding)
        x = context.act(self.stem.norm(x, context))
        x = self._fused(x, reader, context)
        for s, stage in enumerate(self.stages):
            x = self._stage(x, s, stage, reader, context)
        return self.head(x, reader.filters(len(space.stages) - 1), context)

    def _fused(self, x: Array, reader: "GenotypeReader", context: BlockContext) -> Array:
        """Run the fused block."""
        expanded, stride = reader.fused_expanded(), self.space.fused_stride
        weights = InnerWeights(
            mask_input_channels(self.fused_expand.weight[...], reader.filters(STEM)), self.fused_expand.scale[...],
            self.fused_expand.bias[...], None, mask_input_channels(self.fused_project.weight[...], expanded),
        )  # fmt: skip

        def inner(x: Array, weights: InnerWeights) -> Array:
            z = conv2d(x, weights.expand.astype(x.dtype), stride, context.padding)
            z = context.act(batch_norm(z, weights.scale, weights.bias, context.eps))
            return pointwise(z, weights.project.astype(z.dtype))

        y = chunked(inner, x, weights, expanded, self.fused_chunk, stride)
        return self.fused_project.norm(y, context)

    def _stage(self, x: Array, s: int, stage: SupernetStage, reader: "GenotypeReader", context: BlockContext) -> Array:
        """Run the blocks of stage `s`: the first one, then a scan over the stack of the others.

        The scan compiles one block, whatever the depth. Every step gets the arrays and the options of its block. A
        block at or beyond the depth of the architecture is skipped by `lax.cond`, which at run time takes one branch:
        a shallow architecture costs no more than its own blocks.
        """
        first = jax.tree.map(lambda a: a[0], reader.blocks(s, [0]))
        x = stage.first(x, first.start, first.middle, reader.filters(s - 1), first.expanded, context)
        if stage.rest is None:
            return x
        # A module cannot be looped over, its arrays can: take it apart here, put each block together in the body.
        graph, arrays = nnx.split(stage.rest)
        channels, depth = reader.filters(s), reader.depth(s)
        others = range(1, len(self.space.stages[s].blocks))
        if self.chunked and not isinstance(depth, int):
            used = None if channels is None else jnp.broadcast_to(jnp.asarray(channels), (len(others),))
            options = reader.blocks(s, others), used
            return counted_loop(
                partial(_run_block, graph, context), True, jnp.asarray(depth) - 1, x, (), arrays, options
            )

        def body(x: Array, scanned: tuple[Any, BlockSelection]) -> tuple[Array, None]:
            block_arrays, selection = scanned

            def run(x: Array) -> Array:
                return _run_block(graph, context, x, (), block_arrays, (selection, channels))

            if isinstance(depth, int):  # one depth only: no condition to compile
                return run(x), None
            return lax.cond(selection.position < depth, run, lambda x: x, x), None

        return lax.scan(body, x, (arrays, reader.blocks(s, others)))[0]


def _run_block(
    graph: Any,
    context: BlockContext,
    x: Array,
    _: tuple[()],
    arrays: Any,
    options: tuple["BlockSelection", ChannelCount],
) -> Array:
    """Return x after one block of a stack, with its `arrays`, its options and the channels in use."""
    selection, channels = options
    block = nnx.merge(graph, arrays)
    return block(x, selection.start, selection.middle, channels, selection.expanded, context)


class BlockSelection(NamedTuple):
    """The options of an architecture in n blocks of a stage; each field has the leading axis [n].

    Inside the scan of `Supernet._stage` the axis is gone, and the fields are those of one block.
    """

    position: Array  # in the stage
    start: Array  # option numbers of `SwitchableDepthwise`
    middle: Array
    expanded: Array | None  # channels in use, None where all blocks use all channels in every architecture


class GenotypeReader:
    """Looks up, inside a compiled program, the sizes and options that a genotype [D] stands for.

    Tables are constants of the program, made with numpy while it is traced; the lookup is a gather at run time. Where
    the space leaves no choice, the answer is a Python number or None, and nothing is compiled for it.
    """

    def __init__(self, space: StagedSpace, genotype: Array) -> None:
        self.space, self.genotype = space, genotype

    def option(self, name: str) -> Array | int:
        """Return the option index of the decision `name`, 0 where the space has no such decision."""
        return self.genotype[self.space.index_of[name]] if name in self.space.index_of else 0

    def lookup(self, table: IntArray, *names: str) -> ChannelCount:
        """Return `table` at the options of the decisions `names`, one per axis; None where all its entries are equal.

        Equal entries mean that every channel is always in use, so that no mask is needed.
        """
        if (table == table.max()).all():
            return None
        return jnp.asarray(table)[tuple(self.option(name) for name in names)]

    def filters(self, s: int) -> ChannelCount:
        """Return the output channels of stage `s`, of the fused block for `FUSED`, of the stem for `STEM`."""
        name = _filters_decision(s)
        return self.lookup(_filter_table(self.space, name), name)

    def fused_expanded(self) -> ChannelCount:
        """Return the expanded channels of the fused block."""
        return self.lookup(_fused_table(self.space), "stem.filters", "fused.expansion")

    def depth(self, s: int) -> Array | int:
        """Return the number of blocks of stage `s`."""
        depths = self.space.stages[s].depths
        return depths[0] if len(depths) == 1 else jnp.asarray(depths)[self.option(f"stage{s}.depth")]

    def blocks(self, s: int, positions: Sequence[int]) -> BlockSelection:
        """Return the options of the blocks at `positions` of stage `s`, which share one `SearchableUIB`."""
        blocks = [self.space.stages[s].blocks[i] for i in positions]
        # Options are numbered as in `SwitchableDepthwise`: the kernel sizes that occur in any of the blocks, in order,
        # with 0 for none in front. A decision may offer a part of them, as pairs (start, middle).
        sizes = [[0, *sorted({dw[place] for block in blocks for dw in block.dws} - {0})] for place in (0, 1)]
        options: list[list[Array | int]] = [[], []]
        for i, block in zip(positions, blocks, strict=True):
            for place, numbered in enumerate(sizes):
                # Index of the decision -> option number. One entry more, for the index beyond its options: the average.
                table = np.array([*(numbered.index(dw[place]) for dw in block.dws), len(numbered)])
                options[place].append(jnp.asarray(table)[self.option(f"stage{s}.block{i}.dw")])
        tables = [_expanded_table(self.space, s, i) for i in positions]
        expanded = None
        if any((table != max(t.max() for t in tables)).any() for table in tables):
            # The first block expands the channels of the stage before, the others those of their own stage.
            names = [(_filters_decision(s - 1 if i == 0 else s), f"stage{s}.block{i}.expansion") for i in positions]
            picked = [jnp.asarray(t)[tuple(map(self.option, n))] for t, n in zip(tables, names, strict=True)]
            expanded = jnp.stack(picked)
        return BlockSelection(jnp.asarray(positions), jnp.stack(options[0]), jnp.stack(options[1]), expanded)


def _filters_decision(s: int) -> str:
    """Return the name of the decision about the output channels of stage `s`, `FUSED` or `STEM`."""
    return {STEM: "stem.filters", FUSED: "fused.filters"}.get(s, f"stage{s}.filters")


def _options(space: StagedSpace, name: str) -> tuple[Any, ...]:
    """Return the options of a decision, those with one option included."""
    return next(decision.options for decision in space.all_decisions if decision.name == name)


def _filter_table(space: StagedSpace, name: str) -> IntArray:
    """Return the channels [options] of the decision `name`, scaled by the width of a space of proxies."""
    return np.array([scale_channels(n, space.width) for n in _options(space, name)])


def _expanded_channels(space: StagedSpace, filters: Sequence[int], expansions: Sequence[float]) -> IntArray:
    """Return the expanded channels [filters, expansions], rounded and scaled as `StagedSpace.decode` does."""
    return np.array([[scale_channels(make_divisible(n * e), space.width) for e in expansions] for n in filters])


def _fused_table(space: StagedSpace) -> IntArray:
    """Return the expanded channels [stem filters, expansions] of the fused block."""
    return _expanded_channels(space, space.stem_filters, space.fused_expansions)


def _expanded_table(space: StagedSpace, s: int, i: int) -> IntArray:
    """Return the expanded channels [filters, expansions] of block `i` of stage `s`."""
    filters = _options(space, _filters_decision(s - 1 if i == 0 else s))
    return _expanded_channels(space, filters, space.stages[s].blocks[i].expansions)


def _max_filters(space: StagedSpace, s: int) -> int:
    """Return the most output channels of stage `s`, `FUSED` or `STEM`."""
    return int(_filter_table(space, _filters_decision(s)).max())


def _kernel_sizes(blocks: Sequence[BlockChoices]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the (start, middle) depthwise kernel sizes that occur in the blocks, ascending, 0 for none included."""
    start, middle = (tuple(sorted({dw[place] for block in blocks for dw in block.dws})) for place in (0, 1))
    return start, middle


def parameters(model: Supernet) -> Params:
    """Return the weights of `model` as a flat dictionary, which training, checkpoints and files work on."""
    flat = nnx.to_flat_state(nnx.state(model, nnx.Param))
    return {".".join(map(str, path)): variable[...] for path, variable in flat}


def with_parameters(graph: "nnx.GraphDef[Supernet]", params: Params) -> Supernet:
    """Return the supernet of `nnx.graphdef(model)` with the weights `params`; free inside a compiled program."""
    flat: Any = {
        tuple(int(key) if key.isdigit() else key for key in name.split(".")): nnx.Param(value)
        for name, value in params.items()
    }
    return nnx.merge(graph, nnx.from_flat_state(flat))
