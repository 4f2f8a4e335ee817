"""Augmentation of images from stored parameters, the same to the bit wherever it is computed again.

Dataset Reinforcement (arXiv 2303.08983) and MobileNetV4's offline distillation (arXiv 2404.10518, section 6.1 and 8)
store what a teacher says of an augmented image beside how it was augmented. So the image must come out the same at
every replay, in any batch and on any device: all arithmetic here is that of whole numbers of 32 bits.

A sample is a crop, a mirroring, up to two operations of RandAugment (arXiv 1909.13719) and perhaps a second image mixed
in (mixup, arXiv 1710.09412). All that moves pixels is one affine map, and so one bilinear sampling.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nas.errors import InvalidInput
from nas.ops import Size

if TYPE_CHECKING:
    import jax

FILL = 128  # grey, beside an image that is moved out of sight
UNIT = 256  # of positions between pixels, of factors of colours and of the share of a mixed image
FINE = 10  # further bits of an affine map
GREY = (77, 150, 29)  # weights of red, green and blue, in 1/256 (ITU-R BT.601)
LARGEST_ANGLE, LARGEST_SHEAR, LARGEST_SHIFT, LARGEST_CHANGE = 30.0, 0.3, 0.45, 0.9  # at magnitude 10
MAGNITUDES = 10
GEOMETRIC = ("rotate", "shear_rows", "shear_columns", "shift_rows", "shift_columns")
COLOUR = ("brightness", "contrast", "saturation", "posterise", "solarise", "none")


@dataclass(frozen=True)
class Recipe:
    """How samples are drawn: `crop_area` in shares of the image, RandAugment's operations and magnitude, mixing.

    `mixed` is the share of samples that are mixed with a second image, half and half at the most, and have no
    RandAugment: MobileNetV4 mixes two sets one to one, crop with RandAugment and mixup.
    """

    crop_area: tuple[float, float] = (0.4, 1.0)
    aspect: float = 4 / 3  # of a crop: between 1 / aspect and this
    flip: bool = True
    operations: int = 2
    magnitude: int = 5  # of 10
    mixed: float = 0.5

    def __post_init__(self) -> None:
        low, high = self.crop_area
        if not 0 < low <= high <= 1:
            raise InvalidInput(f"crop_area must be two shares of the image, the smaller first, got {low} and {high}")
        if not 0 <= self.mixed <= 1:
            raise InvalidInput(f"the share of mixed samples must lie between 0 and 1, got {self.mixed}")
        if not 0 <= self.operations <= 2 or not 0 <= self.magnitude <= MAGNITUDES or self.aspect < 1:
            raise InvalidInput(
                "a recipe has 0 to 2 operations, a magnitude from 0 to 10 and an aspect of at least 1, got "
                f"{self.operations}, {self.magnitude} and {self.aspect:g}"
            )


class Samples(NamedTuple):
    """Parameters of augmented images, leading axes [..., ]: of N images with S samples each [N, S]."""

    matrix: NDArray[np.float32]  # [..., 2, 3]: where a point of the result comes from, both from -1/2 to 1/2 of a side
    colour: NDArray[np.int32]  # [..., 5]: factors of value, mean and grey in 1/256, threshold of solarise, bit mask
    partner: NDArray[np.int32]  # [...]: the second image; itself where none is mixed in
    share: NDArray[np.int32]  # [...]: of the first image, in 1/256


class PixelSamples(NamedTuple):
    """`Samples` for images of one size: the affine map in whole numbers."""

    matrix: NDArray[np.int32] | jax.Array  # [..., 2, 3]
    colour: NDArray[np.int32] | jax.Array
    partner: NDArray[np.int32] | jax.Array
    share: NDArray[np.int32] | jax.Array


def draw(recipe: Recipe, images: NDArray[np.integer], total: int, samples: int, seed: int) -> Samples:
    """Return the parameters of `samples` augmentations of each of the `images`, numbers below `total`.

    What is drawn for an image follows from (seed, its number), whatever the other images are.
    """
    parts = [_draw(recipe, int(image), total, samples, seed) for image in images]
    return Samples._make(np.stack(each) for each in zip(*parts, strict=True))


def _draw(recipe: Recipe, image: int, total: int, samples: int, seed: int) -> Samples:
    rng = np.random.Generator(np.random.Philox(key=[seed, image]))
    drawn = rng.random((samples, 12))
    kinds = rng.integers(0, len(GEOMETRIC) + len(COLOUR), (samples, 2))
    partners = rng.integers(0, total, samples).astype(np.int32)
    mixed = drawn[:, 0] < recipe.mixed
    matrix = np.stack([_crop(recipe, row) for row in drawn[:, 1:6]])
    colour = np.tile(np.array([UNIT, 0, 0, UNIT, 255], np.int32), (samples, 1))
    for s in np.flatnonzero(~mixed):
        for kind, amount in zip(kinds[s, : recipe.operations], drawn[s, 6:8], strict=False):
            signed = (2 * amount - 1) * recipe.magnitude / MAGNITUDES
            if kind < len(GEOMETRIC):
                matrix[s] = matrix[s] @ _moved(GEOMETRIC[kind], signed)
            else:
                colour[s] = _coloured(COLOUR[kind - len(GEOMETRIC)], signed, colour[s])
    share = np.where(mixed, UNIT // 2 + np.floor(UNIT // 2 * drawn[:, 8]), UNIT).astype(np.int32)
    partner = np.where(mixed, partners, image).astype(np.int32)
    return Samples(matrix[:, :2].astype(np.float32), colour, partner, share)


def _crop(recipe: Recipe, row: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the affine map of a crop, perhaps mirrored: from the result to the image, homogeneous [3, 3]."""
    low, high = recipe.crop_area
    area, log_aspect = low + (high - low) * row[0], (2 * row[1] - 1) * math.log(recipe.aspect)
    sides = np.minimum(np.sqrt(area) * np.exp(np.array([-0.5, 0.5]) * log_aspect), 1)
    mirrored = -1 if recipe.flip and row[2] < 0.5 else 1
    shift = (row[3:5] - 0.5) * (1 - sides)
    return np.array([[sides[0], 0, shift[0]], [0, mirrored * sides[1], shift[1]], [0, 0, 1]])


def _moved(kind: str, amount: float) -> NDArray[np.float64]:
    """Return the affine map of a geometric operation; `amount` from -1 to 1."""
    found = np.eye(3)
    if kind == "rotate":
        angle = math.radians(LARGEST_ANGLE) * amount
        found[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    elif kind.startswith("shear"):
        found[(0, 1) if kind == "shear_rows" else (1, 0)] = LARGEST_SHEAR * amount
    else:
        found[0 if kind == "shift_rows" else 1, 2] = LARGEST_SHIFT * amount
    return found


def _coloured(kind: str, amount: float, before: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the parameters of colours with an operation added; `amount` from -1 to 1."""
    found, factor = before.copy(), round(UNIT * (1 + LARGEST_CHANGE * amount))
    if kind == "brightness":
        found[:3] = [factor, 0, 0]
    elif kind == "contrast":
        found[:3] = [factor, UNIT - factor, 0]
    elif kind == "saturation":
        found[:3] = [factor, 0, UNIT - factor]
    elif kind == "posterise":
        found[4] = 256 - (1 << round(4 * abs(amount)))  # the upper 8 to 4 bits
    elif kind == "solarise":
        found[3] = UNIT - round(UNIT * abs(amount))
    return found


def in_pixels(samples: Samples, size: Size) -> PixelSamples:
    """Return `samples` for images of this size."""
    height, width = size
    matrix = samples.matrix.astype(np.float64)
    own = np.array([height, width], np.float64)
    fine = float(1 << FINE)
    linear = matrix[..., :2] * (own[:, None] / own[None, :]) * (UNIT / 2) * fine
    offset = ((1 + 2 * matrix[..., 2]) * own - 1) * (UNIT / 2) * fine
    found = np.concatenate([linear, offset[..., None]], axis=-1)
    return PixelSamples(np.rint(found).astype(np.int32), samples.colour, samples.partner, samples.share)


def replayed(images: jax.Array, partners: jax.Array, samples: PixelSamples) -> jax.Array:
    """Return images [B, H, W, C] uint8 augmented as `samples` [B] say; `partners` are what is mixed into them.

    Whole numbers throughout, so the result is the same in every batch, program and device. Pure, for use under `jit`.
    """
    import jax
    import jax.numpy as jnp

    share = jnp.asarray(samples.share)[:, None, None, None]
    first, second = images.astype(jnp.int32), partners.astype(jnp.int32)
    mixed = (share * first + (UNIT - share) * second + UNIT // 2) >> 8
    moved = jax.vmap(sampled)(mixed, jnp.asarray(samples.matrix))
    return jax.vmap(recoloured)(moved, jnp.asarray(samples.colour)).astype(jnp.uint8)


def sampled(image: jax.Array, matrix: jax.Array) -> jax.Array:
    """Return an image [H, W, C] int32 sampled bilinearly where `matrix` says, grey where that is beside it."""
    import jax.numpy as jnp

    height, width = image.shape[:2]
    rows = 2 * jnp.arange(height, dtype=jnp.int32)[:, None] + 1 - height
    columns = 2 * jnp.arange(width, dtype=jnp.int32)[None, :] + 1 - width
    at = [(matrix[i, 0] * rows + matrix[i, 1] * columns + matrix[i, 2]) >> FINE for i in (0, 1)]
    outside, places = jnp.zeros((height, width), bool), []
    for position, side in zip(at, (height, width), strict=True):
        outside |= (position < -UNIT // 2 - 1) | (position > (side - 1) * UNIT + UNIT // 2 + 1)
        inside = jnp.clip(position, 0, (side - 1) * UNIT)
        places.append((inside >> 8, jnp.minimum((inside >> 8) + 1, side - 1), (inside & (UNIT - 1))[..., None]))
    (top, bottom, down), (left, right, across) = places
    upper = image[top, left] * (UNIT - across) + image[top, right] * across
    lower = image[bottom, left] * (UNIT - across) + image[bottom, right] * across
    found = (upper * (UNIT - down) + lower * down + (UNIT * UNIT) // 2) >> 16
    return jnp.where(outside[..., None], FILL, found)


def recoloured(image: jax.Array, colour: jax.Array) -> jax.Array:
    """Return an image [H, W, C] int32 with brightness, contrast or saturation changed, solarised, posterised."""
    import jax.numpy as jnp

    weights = jnp.array(GREY if image.shape[2] == len(GREY) else [UNIT, *[0] * (image.shape[2] - 1)], jnp.int32)
    grey = ((image * weights).sum(axis=2, keepdims=True) + UNIT // 2) >> 8
    mean = (2 * grey.sum() + grey.size) // (2 * grey.size)
    linear = (colour[0] * image + colour[1] * mean + colour[2] * grey + UNIT // 2) >> 8
    clipped = jnp.clip(linear, 0, 255)
    return jnp.where(clipped >= colour[3], 255 - clipped, clipped) & colour[4]
