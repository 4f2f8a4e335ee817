"""The supernet: one network of shared weights that holds every architecture of a staged space.

An architecture is an input of the compiled program, one genotype, never a static argument: one compilation serves the
whole space. All arrays have the largest sizes that the space allows, and an architecture uses parts of them:

- channels: masks on the weights that read them (`layers.mask_input_channels`), at a few sizes (`buckets`);
- depthwise kernel sizes: a `lax.switch` over convolutions of separate weights (`blocks.base.SwitchableDepthwise`);
- families: a `lax.switch` over blocks of separate weights (`stage_forms.SearchableSequence`);
- depth: a `lax.cond` around each block of a `lax.scan`, which skips the blocks beyond the depth (`stage_forms`).

A choice with one option costs nothing: it becomes a Python number, or no mask, when the program is traced. So the
coarse and the fine search of MobileNetV4 (arXiv 2404.10518, section 6.1) are this class over two spaces.
"""

from functools import partial
from importlib import import_module
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array, lax

from nas.errors import unknown_name
from nas.nn.layers import ACTS
from nas.ops import Head, Op
from nas.registry import STAGE_FORMS
from nas.space.forms import Single, StageForm
from nas.space.staged import STRIDES, Block, StagedSpace
from nas.supernet.layers import BlockContext, ChannelCount, ConvBN, Dense, mask_input_channels
from nas.supernet.rounding import dense, pointwise
from nas.supernet.stage_forms import StageInput, StageModule
from nas.supernet.tables import BlockTables, GenotypeReader, tables_of

Params = dict[str, Array]  # "stages.0.rest.expand.weight" -> array of the largest size

CLASSIFIER_STD = 0.01
HEAD, SINGLES, TAIL = "head", "singles", "tail"  # attributes of the modules below


class SupernetHead(nnx.Module):
    """The head: the space's last layers, global pooling, an optional hidden layer and the classifier."""

    def __init__(self, channels: int, tail: dict[str, Any], head: Head, classes: int, rng: np.random.Generator) -> None:
        """Sample weights behind the layers `tail`, which end in so many `channels`."""
        self.tail = nnx.Dict(tail)
        hidden: ConvBN | Dense | None = None
        if head.hidden:
            hidden = (ConvBN if head.hidden_norm else Dense)((channels, head.hidden), rng)
        self.hidden = hidden
        last = Dense((head.hidden or channels, classes), rng, std=CLASSIFIER_STD)
        self.weight, self.bias, self.act = last.weight, last.bias, head.act

    def classify(self, x: Array, n_in: ChannelCount, context: BlockContext) -> Array:
        """Return logits [N, classes] in float32 for the map x [N,H,W,C] behind the tail."""
        act, x = ACTS[self.act], x.mean((1, 2), keepdims=True)
        if self.hidden is None:
            weight = mask_input_channels(self.weight[...], n_in)
        else:
            y = pointwise(x, mask_input_channels(self.hidden.weight[...], n_in).astype(x.dtype))
            y = self.hidden.norm(y, context) if isinstance(self.hidden, ConvBN) else self.hidden.shifted(y)
            x, weight = act(y), self.weight[...]
        return dense(x[:, 0, 0].astype(jnp.float32), weight) + self.bias[...]


class Supernet(nnx.Module):
    """Shared weights for all architectures of `space`; calling it runs one of them."""

    def __init__(self, space: StagedSpace, rng: np.random.Generator, buckets: int = 1) -> None:
        """Sample weights of the largest sizes in `space` (usually a space of proxies).

        Blocks are computed at up to so many sizes each, `buckets`, of which an architecture takes the smallest that
        holds its channels. That is the same function, up to rounding.
        """
        self.space, self.buckets = space, buckets
        singles, stages, tail = dict[str, Any](), list[Any](), dict[str, Any]()
        for number, form in enumerate(space.forms):
            module = stage_module(form).make(_tables(space, number), rng)
            if number >= len(space.stages):
                tail[form.name] = module
            elif isinstance(form, Single):
                singles[form.name] = module
            else:
                stages.append(module)
        self.singles, self.stages = nnx.Dict(singles), nnx.List(stages)
        last = max(space.channels_behind(len(space.forms) - 1, n) for n in space.forms[-1].filters)
        self.head = SupernetHead(last, tail, space.scaled_head, space.num_classes, rng)

    def __call__(self, x: Array, genotype: Array, *, averages: bool = False) -> Array:
        """Return logits [N, classes] of the architecture `genotype` [D] for x [N,H,W,C].

        With `averages`, an index one beyond the options of an averaged decision means the average of its options.
        """
        reader = GenotypeReader(self.space, genotype)
        context = BlockContext(self.space.padding, self.space.norm_eps, averages)
        fronts, patterns = self.space.fronts or (None,), range(len(self.space.patterns))
        runs = [partial(self._run, pattern, reader, context, front) for pattern in patterns for front in fronts]
        # Each pattern of strides and each front end has feature maps of its own sizes, so that it is a program of its
        # own.
        number = reader.option(STRIDES) * len(fronts) + reader.front()
        return runs[0](x) if len(runs) == 1 else lax.switch(jnp.asarray(number), runs, x)

    def _run(self, pattern: int, reader: GenotypeReader, context: BlockContext, front: Op | None, x: Array) -> Array:
        """Return the logits with the strides of option number `pattern`, behind this front end if there is one."""
        space, stacks = self.space, iter(self.stages)
        for number, (form, stride) in enumerate(zip(space.forms, space.patterns[pattern], strict=True)):
            if number >= len(space.stages):
                module = self.head.tail[form.name]
            else:
                module = self.singles[form.name] if isinstance(form, Single) else next(stacks)
            if front is not None and number == 0:
                x = module.front(x, front)
                continue
            tables = _tables(space, number, pattern)
            stage = StageInput(tables, reader, reader.depth(number), stride, self.buckets, context)
            x = stage_module(form).run(module, x, stage)
        return self.head.classify(x, reader.filters(len(space.forms) - 1), context)


def stage_module(form: StageForm) -> StageModule:
    """Return what makes and runs the modules of a stage form; `UnknownName` where its tag is in no line.

    A space is Python code, and a tag is of its classes: no file can name one.
    """
    if form.tag not in STAGE_FORMS:
        raise unknown_name("stage form", form.tag, STAGE_FORMS)
    module, _, name = STAGE_FORMS[form.tag].partition(":")
    found: StageModule = getattr(import_module(module), name)
    return found


def _tables(space: StagedSpace, stage: int, pattern: int = 0) -> tuple[BlockTables, ...]:
    """Return the tables of the blocks of a stage form."""
    tables = tables_of(space, pattern)
    return tuple(tables[block] for block in space.blocks if block.stage == stage)


def block_path(space: StagedSpace, block: Block) -> tuple[tuple[str, ...], int | None]:
    """Return the path of the module of a block in the supernet over `space`, and its position in a stack."""
    form = space.forms[block.stage]
    inside, position = stage_module(form).path(block.position.number)
    rest = (inside,) if inside else ()
    if block.stage >= len(space.stages):
        return (HEAD, TAIL, form.name, *rest), position
    if isinstance(form, Single):
        return (SINGLES, form.name, *rest), position
    index = sum(not isinstance(before, Single) for before in space.stages[: block.stage])
    return ("stages", str(index), *rest), position


# Names of parameters are those of files since the first release: a single block is called by its name, and a layer in
# it by both, "stem.weight" and "fused_expand.weight"; layers of the tail are the head's, "head.features.weight".


def parameter_name(path: tuple[Any, ...]) -> str:
    """Return the name of the parameter at a path in the supernet."""
    keys = [str(key) for key in path]
    if keys[:2] == [HEAD, TAIL]:
        return f"{HEAD}.{_single_name(keys[2:])}"
    return _single_name(keys[1:]) if keys[0] == SINGLES else ".".join(keys)


def _single_name(keys: list[str]) -> str:
    """Return the name of a parameter in a single block, of its name, the path of a layer in it, and the tensor."""
    name, *layer, tensor = keys
    return ".".join(["_".join([name, *layer[:1]]), *layer[1:], tensor])


def parameter_path(name: str) -> tuple[Any, ...]:
    """Return the path in the supernet of the parameter `name`."""
    keys = name.split(".")
    if keys[0] == HEAD and keys[1] not in ("hidden", "weight", "bias"):
        keys = [HEAD, TAIL, *keys[1].split("_", 1), *keys[2:]]
    elif keys[0] not in (HEAD, "stages"):
        keys = [SINGLES, *keys[0].split("_", 1), *keys[1:]]
    return tuple(int(key) if key.isdigit() else key for key in keys)


def parameters(model: Supernet) -> Params:
    """Return the weights of `model` as a flat dictionary, which training, checkpoints and files work on."""
    flat = nnx.to_flat_state(nnx.state(model, nnx.Param))
    named = {parameter_name(path): variable[...] for path, variable in flat}
    return {name: named[name] for name in sorted(named, key=_in_order)}


def _in_order(name: str) -> list[tuple[bool, int, str]]:
    """Return what names are sorted by: key for key, numbers as numbers."""
    return [(not key.isdigit(), int(key) if key.isdigit() else 0, key) for key in name.split(".")]


def with_parameters(graph: "nnx.GraphDef[Supernet]", params: Params) -> Supernet:
    """Return the supernet of `nnx.graphdef(model)` with the weights `params`; free inside a compiled program."""
    flat: Any = {parameter_path(name): nnx.Param(value) for name, value in params.items()}
    return nnx.merge(graph, nnx.from_flat_state(flat))
