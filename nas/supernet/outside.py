"""A supernet that starts from the weights of one network: blocks by name, of each tensor the leading channels.

A block of the supernet takes what the network has in the block of the same place: of the same kind, with as many
strides behind it, and the same number among these (the first one, which sees the image, meets the first one); where
there is none, in the block of the same name. So networks meet whose stages are counted otherwise, or whose early
strides were dropped. Layers within a block have the same names. A tensor is laid over the leading entries of the
supernet's array; windows of convolutions must have the same size. The classifier, of other classes as a rule, begins at
random.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.nn.network import CLASSIFIER, STATISTICS
from nas.space.cost_table import MACS, compile_table
from nas.space.staged import StagedSpace
from nas.supernet.inherit import places_of
from nas.supernet.supernet import Params

SHOWN = 3  # names in a line
FIRST = -1  # in place of the strides behind it: the block that sees the image
Place = tuple[int, str, int]


@dataclass(frozen=True)
class OutsideStart:
    """The arrays of a supernet that start from outside, and which tensors of the network are in them."""

    params: dict[str, NDArray[np.float32]]
    arrays: int  # of the supernet that hold some of them
    taken: tuple[str, ...]
    unused: tuple[str, ...]

    def lines(self, source: str) -> tuple[str, ...]:
        """Return what was taken of `source` in lines."""
        found = [
            f"supernet starts from {source}: leading channels of {len(self.taken)} of its tensors in {self.arrays} of "
            f"{len(self.params)} arrays; the others begin at random, the classifier too"
        ]
        if self.unused:
            more = f" and {len(self.unused) - SHOWN:,} more" if len(self.unused) > SHOWN else ""
            found.append(f"not used: {', '.join(self.unused[:SHOWN])}{more}")
        return tuple(found)


def started_from(
    fresh: Mapping[str, Any], space: StagedSpace, arch: ArchSpec, weights: Mapping[str, Any]
) -> OutsideStart:
    """Return the arrays `fresh` of a supernet over `space` with the `weights` of the network of `arch` laid over them.

    `weights` are keyed as those of `nas.nn.network`. Raises `InvalidInput` where nothing fits.
    """
    positions = {place: position for position, place in block_places(arch).items()}
    tags = {position: op.tag for position, op, _ in arch.iter_ops()}
    params = {name: np.array(value, np.float32) for name, value in fresh.items()}
    done, touched, taken = set[tuple[str, int | None]](), set[str](), dict[str, None]()
    for genotype in _genotypes(space):
        own, places = set[tuple[str, int | None]](), block_places(space.decode(genotype))
        for own_name, array, position, index in places_of(params, space, genotype):
            if (array, position) in done:
                continue
            own.add((array, position))
            name = _name_in(own_name, places, positions, tags)
            if name in CLASSIFIER or name not in weights:
                continue
            view = params[array] if position is None else params[array][position]
            if _laid_over(view, index, np.asarray(weights[name])):
                touched.add(array)
                taken[name] = None
        done |= own
    if not taken:
        raise InvalidInput(f"no block of the space '{space.name}' has the place and the windows of one of that network")
    unused = tuple(n for n in weights if n not in taken and n not in CLASSIFIER and not n.endswith(STATISTICS))
    return OutsideStart(params, len(touched), tuple(taken), unused)


def block_places(arch: ArchSpec) -> dict[str, Place]:
    """Return the place of each op by its position "stage.op": strides behind it, its kind, its number among these."""
    ops = list(arch.iter_ops())
    strided = [op.out_shape(shape).height < shape.height for _, op, shape in ops]
    count, found = dict[tuple[int, str], int](), dict[str, Place]()
    for number, (position, op, _) in enumerate(ops):
        kind = (sum(strided[number + 1 :]) if number else FIRST), op.tag
        count[kind] = count.get(kind, -1) + 1
        found[position] = (*kind, count[kind])
    return found


def _name_in(own: str, places: Mapping[str, Place], positions: Mapping[Place, str], tags: Mapping[str, str]) -> str:
    """Return the name that a tensor of the supernet's network has in the other one; its own where it has none there."""
    stage, number, *rest = own.split(".")
    place = places.get(f"{stage}.{number}")
    if place is None:  # of the head
        return own
    if place in positions:
        return ".".join((positions[place], *rest))
    return own if tags.get(f"{stage}.{number}") == place[1] else ""


def _laid_over(view: NDArray[np.float32], index: Any, tensor: NDArray[Any]) -> bool:
    """Write the leading entries of a tensor over `view[index]`; return whether its axes and windows allow that."""
    own = view[index]
    windows = own.shape[:2] if own.ndim > 2 else ()
    if own.ndim != tensor.ndim or tensor.shape[: len(windows)] != windows:
        return False
    common = tuple(slice(min(pair)) for pair in zip(own.shape, tensor.shape, strict=True))
    changed = own.copy()
    changed[common] = tensor[common]
    view[index] = changed
    return True


def _genotypes(space: StagedSpace) -> Iterator[Sequence[int]]:
    """Yield networks that use every array: the largest, then that with each option of each decision in turn."""
    largest = np.asarray(compile_table(space, MACS).maximum()[1])
    seen = set[tuple[int, ...]]()
    variants = [largest]
    for number, decision in enumerate(space.decisions):
        for option in range(len(decision.options)):
            changed = largest.copy()
            changed[number] = option
            variants.append(changed)
    for row in space.canonical(np.array(variants)):
        genotype = tuple(int(option) for option in row)
        if genotype not in seen:
            seen.add(genotype)
            yield genotype


def as_params(start: OutsideStart) -> Params:
    """Return the arrays on the device."""
    import jax

    return {name: jax.device_put(value) for name, value in start.params.items()}
