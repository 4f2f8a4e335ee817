"""The samples of a reinforced data set on the device: which one an image gets at a step, and what it is to learn.

Images that are too many for memory come to the device with the one sample that their step draws, and with the images
that are mixed into them (`chosen_part`): the host draws as the step would, so that every result has the same bytes.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from nas.data.reinforced import Replays
from nas.data.replay import PixelSamples, in_pixels, replayed
from nas.ops import Size

STREAM = 1  # of the random numbers that choose samples


def drawn_samples(key: Array, batch: int, samples: int) -> Array:
    """Return which of its `samples` each image of a batch gets at the step of `key`: [batch]."""
    return jax.random.randint(jax.random.fold_in(key, STREAM), (batch,), 0, samples)


class ReplayTable(NamedTuple):
    """S samples of each of N images: how they are augmented, and the teacher's K largest probabilities."""

    samples: PixelSamples  # [N, S]
    classes: Array  # int32 [N, S, K]
    probabilities: Array  # [N, S, K]

    @classmethod
    def of(cls, replays: Replays, size: Size) -> "ReplayTable":
        """Return the samples for images of this size, on the device."""
        return cls(*jax.device_put((in_pixels(replays.samples, size), replays.classes, replays.probabilities)))

    def batch(self, key: Array, images: Array, rows: Array, classes: int) -> tuple[Array, Array]:
        """Return the images `rows` [B] of all `images` [N, H, W, C] replayed, and their soft targets [B, classes].

        Which of its samples an image gets follows from `key`.
        """
        sampled = drawn_samples(key, len(rows), self.classes.shape[1])
        own = PixelSamples(*(jnp.asarray(each)[rows, sampled] for each in self.samples))
        shown = replayed(images[rows], images[own.partner], own)
        return shown, self._soft(rows, sampled, classes)

    def _soft(self, rows: Array, sampled: Array, classes: int) -> Array:
        """Return the probabilities of all classes: what is not stored is spread evenly over the other ones."""
        kept, at = self.probabilities[rows, sampled], self.classes[rows, sampled]
        rest = jnp.clip(1 - kept.sum(-1, keepdims=True), 0, 1) / max(1, classes - at.shape[-1])
        spread = jnp.broadcast_to(rest, (len(rows), classes))
        found = jnp.put_along_axis(spread, at, kept, axis=-1, inplace=False)
        return found / found.sum(-1, keepdims=True)


def chosen_part(
    replays: Replays, size: Size, rows: NDArray[np.int32], keys: Array
) -> tuple[ReplayTable, NDArray[np.int32]]:
    """Return what the images of the batches `rows` [..., B] need of `replays` on the device, and all their images.

    `keys` [...] are those of the batches. The table has, of each image, the sample that its step draws; the
    images [2n] are the n of `rows`, one batch after the other, then those that are mixed into them.
    """
    batch, samples = rows.shape[-1], replays.classes.shape[1]
    sampled = np.asarray(_sampled(keys.reshape(-1), batch, samples))
    flat = rows.reshape(-1)
    own, partner = replays.chosen(flat, sampled.reshape(-1))
    return ReplayTable.of(own, size), np.concatenate([flat, partner])


@partial(jax.jit, static_argnums=(1, 2))
def _sampled(keys: Array, batch: int, samples: int) -> Array:
    """Return `drawn_samples` of each of the `keys` [n]: [n, batch]."""
    found: Array = jax.vmap(lambda key: drawn_samples(key, batch, samples))(keys)
    return found


def decoded_once(images: Any, rows: NDArray[np.int32]) -> NDArray[Any]:
    """Return the images `rows` [n], each of them decoded once however often it comes."""
    needed, at = np.unique(rows, return_inverse=True)
    found: NDArray[Any] = images[needed][at]
    return found
