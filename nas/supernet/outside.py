"""A supernet that starts from the weights of one network: blocks by name, of each tensor the leading channels.

The tensors of the supernet's networks have the names of a stand-alone one: "2.0.expand.weight" is the expansion of the
first block of stage 2. What the network has under that name is laid over the leading entries of the supernet's array;
windows of convolutions must have the same size. The classifier, of other classes as a rule, begins at random.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.errors import InvalidInput
from nas.nn.network import CLASSIFIER, STATISTICS
from nas.space.cost_table import MACS, compile_table
from nas.space.staged import StagedSpace
from nas.supernet.inherit import places_of
from nas.supernet.supernet import Params

SHOWN = 3  # names in a line


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


def started_from(fresh: Mapping[str, Any], space: StagedSpace, weights: Mapping[str, Any]) -> OutsideStart:
    """Return the arrays `fresh` of a supernet over `space` with the `weights` of a network laid over them.

    `weights` are keyed as those of `nas.nn.network`. Raises `InvalidInput` where nothing fits.
    """
    params = {name: np.array(value, np.float32) for name, value in fresh.items()}
    done, touched, taken = set[tuple[str, int | None]](), set[str](), dict[str, None]()
    for genotype in _genotypes(space):
        own = set[tuple[str, int | None]]()
        for name, array, position, index in places_of(params, space, genotype):
            if (array, position) in done:
                continue
            own.add((array, position))
            if name in CLASSIFIER or name not in weights:
                continue
            view = params[array] if position is None else params[array][position]
            if _laid_over(view, index, np.asarray(weights[name])):
                touched.add(array)
                taken[name] = None
        done |= own
    if not taken:
        raise InvalidInput(f"no block of the space '{space.name}' has the name and the windows of one of that network")
    unused = tuple(n for n in weights if n not in taken and n not in CLASSIFIER and not n.endswith(STATISTICS))
    return OutsideStart(params, len(touched), tuple(taken), unused)


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
