"""Mixup and cutmix of the images of a batch, and of their targets, inside a training step.

Each example is mixed on its own, with another of the batch. Its own share is the larger one, so that its label stays
the main one; with partners in random order that is the same distribution. Sources: mixup, arXiv 1710.09412; cutmix,
arXiv 1905.04899.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array

from nas.errors import InvalidInput


@dataclass(frozen=True)
class Mixing:
    """How examples are mixed: the default does not. Where both alphas are above 0, `cutmix_share` are by cutmix."""

    probability: float = 0.0  # of an example
    mixup_alpha: float = 0.0  # shares are sampled from Beta(alpha, alpha); 0: no mixup
    cutmix_alpha: float = 0.0
    cutmix_share: float = 0.5

    def __post_init__(self) -> None:
        for name, high in (("probability", 1), ("mixup_alpha", 100), ("cutmix_alpha", 100), ("cutmix_share", 1)):
            if not 0 <= (value := getattr(self, name)) <= high:
                raise InvalidInput(f"{name} of the mixing must lie between 0 and {high}, got {value}")
        if self.probability and not (self.mixup_alpha or self.cutmix_alpha):
            raise InvalidInput("examples are mixed by mixup or cutmix: give mixup_alpha or cutmix_alpha above 0")

    @property
    def is_none(self) -> bool:
        """Whether nothing is mixed."""
        return self.probability == 0

    @property
    def by_cutmix(self) -> float:
        """The share of the mixed examples that cutmix mixes."""
        if not (self.mixup_alpha and self.cutmix_alpha):
            return float(self.cutmix_alpha > 0)
        return self.cutmix_share


def mixed(key: Array, images: Array, mixing: Mixing) -> tuple[Array, Array, Array]:
    """Return images [B, H, W, C] uint8 mixed, the partner [B] of each, and the share [B] of itself, at least 1/2.

    Pure, from `key`. An example that is not mixed has the share 1.
    """
    count, height, width, _ = images.shape
    order_key, apply_key, which_key, up_key, cut_key, place_key = jax.random.split(key, 6)
    partner = jax.random.permutation(order_key, count)
    applied = jax.random.bernoulli(apply_key, float(mixing.probability), (count,))
    cuts = applied & jax.random.bernoulli(which_key, float(mixing.by_cutmix), (count,))
    share, second = jnp.ones(count), images[partner]
    shown = images
    if mixing.mixup_alpha:
        own = _share(up_key, mixing.mixup_alpha, count)
        share = jnp.where(applied & ~cuts, own, share)
        blend = own[:, None, None, None] * images + (1 - own)[:, None, None, None] * second
        shown = jnp.where((applied & ~cuts)[:, None, None, None], jnp.round(blend).astype(images.dtype), shown)
    if mixing.cutmix_alpha:
        side = jnp.sqrt(1 - _share(cut_key, mixing.cutmix_alpha, count))
        inside = _rectangles(place_key, side, height, width) & cuts[:, None, None]
        share = jnp.where(cuts, 1 - inside.mean((1, 2)), share)
        shown = jnp.where(inside[..., None], second, shown)
    return shown, partner, share


def mixed_targets(soft: Array, partner: Array, share: Array) -> Array:
    """Return soft targets [B, K] mixed as their images were."""
    return share[:, None] * soft + (1 - share)[:, None] * soft[partner]


def _share(key: Array, alpha: float, count: int) -> Array:
    """Return shares [B] of the first image: the larger of two from Beta(alpha, alpha)."""
    share = jax.random.beta(key, alpha, alpha, (count,))
    return jnp.maximum(share, 1 - share)


def _rectangles(key: Array, side: Array, height: int, width: int) -> Array:
    """Return rectangles of the share `side` [B] of both sides, around a random pixel, cut at the edge: [B, H, W]."""
    centre = jax.random.uniform(key, (2, len(side), 1))

    def span(number: int, size: int) -> Array:
        at = (jnp.arange(size) + 0.5) / size
        return jnp.abs(at - centre[number]) < side[:, None] / 2

    return span(0, height)[:, :, None] & span(1, width)[:, None, :]
