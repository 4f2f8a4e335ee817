"""Epoch orders, fixed by their seeds on every machine and for every version of numpy; nas/tasks/split.py has splits."""

from nas.errors import InvalidInput
from nas.tasks.split import Indices, grouped_split, permutation, stratified_split

__all__ = ["Indices", "epoch_indices", "grouped_split", "permutation", "stratified_split"]


def epoch_indices(seed: int, epoch: int, n: int, batch: int) -> Indices:
    """Return the batches of one epoch over `n` images as indices [n // batch, batch], from (seed, epoch) alone.

    No index comes twice. The n % batch images left over are not seen in this epoch; the next leaves out others.
    """
    if not 1 <= batch <= n:
        raise InvalidInput(f"the batch must be from 1 to the {n} training images, got {batch}")
    steps = n // batch
    return permutation(n, seed, epoch)[: steps * batch].reshape(steps, batch)
