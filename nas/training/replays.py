"""The samples of a reinforced data set on the device: which one an image gets at a step, and what it is to learn."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from nas.data.reinforced import Replays
from nas.data.replay import PixelSamples, in_pixels, replayed
from nas.ops import Size

STREAM = 1  # of the random numbers that choose samples


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
        drawn = jax.random.randint(jax.random.fold_in(key, STREAM), rows.shape, 0, self.classes.shape[1])
        own = PixelSamples(*(jnp.asarray(each)[rows, drawn] for each in self.samples))
        shown = replayed(images[rows], images[own.partner], own)
        return shown, self._soft(rows, drawn, classes)

    def _soft(self, rows: Array, drawn: Array, classes: int) -> Array:
        """Return the probabilities of all classes: what is not stored is spread evenly over the other ones."""
        kept, at = self.probabilities[rows, drawn], self.classes[rows, drawn]
        rest = jnp.clip(1 - kept.sum(-1, keepdims=True), 0, 1) / max(1, classes - at.shape[-1])
        spread = jnp.broadcast_to(rest, (len(rows), classes))
        found = jnp.put_along_axis(spread, at, kept, axis=-1, inplace=False)
        return found / found.sum(-1, keepdims=True)
