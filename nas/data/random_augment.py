"""Random augmentation of images inside a training step: Inception crop, RandAugment, random erasing.

All of it follows from a key. The pixels are moved and recoloured by the whole-number arithmetic of nas.data.replay;
here the parameters are sampled on the device, a batch at a time. Which images are mirrored and shifted a data set says
itself (`nas.data.Augmentation`); a crop takes the place of its shifts.

Sources: Inception crop, arXiv 1409.4842, section 6; RandAugment, arXiv 1909.13719; random erasing, arXiv 1708.04896.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nas.data.replay import (
    COLOUR,
    FINE,
    GEOMETRIC,
    LARGEST_ANGLE,
    LARGEST_CHANGE,
    LARGEST_SHEAR,
    LARGEST_SHIFT,
    MAGNITUDES,
    UNIT,
    recoloured,
    sampled,
)
from nas.errors import InvalidInput

if TYPE_CHECKING:
    import jax

LARGEST_MAGNITUDE = 30  # beyond 10 the operations go on in proportion, as where MobileNetV4 says 15
LEAST_FACTOR = 0.1  # of brightness, contrast and saturation
ERASED_AREA, ERASED_ASPECT = (0.02, 1 / 3), 0.3  # of a rectangle: share of the image, and its least aspect
CROP, LAYERS, ERASE = 0, 1, 2  # streams of random numbers


@dataclass(frozen=True)
class ImageAugmentation:
    """What is done to training images at random; the default does nothing.

    Of RandAugment's operations there are those that move pixels by an affine map, or change each by itself: rotation,
    two shears, two shifts, brightness, contrast, saturation, posterise, solarise, none. Each of `layers` operations is
    sampled for each image, and applied with `probability` at a fixed magnitude of random sign.
    """

    crop_area: float = 0.0  # smallest share of the image in a crop; 0: no crops
    crop_aspect: float = 4 / 3  # of a crop, between 1 / this and this
    layers: int = 0  # of RandAugment
    probability: float = 1.0  # of each of them
    magnitude: float = 9.0  # of 10
    erasing: float = 0.0  # probability that a rectangle is filled with noise

    def __post_init__(self) -> None:
        for name, low, high in (
            ("crop_area", 0, 1), ("crop_aspect", 1, 10), ("layers", 0, 8), ("probability", 0, 1),
            ("magnitude", 0, LARGEST_MAGNITUDE), ("erasing", 0, 1),
        ):  # fmt: skip
            if not low <= (value := getattr(self, name)) <= high:
                raise InvalidInput(f"{name} of the augmentation must lie between {low} and {high}, got {value}")

    @property
    def is_none(self) -> bool:
        """Whether nothing is done."""
        return not (self.crop_area or self.layers or self.erasing)


def randomly_augmented(key: jax.Array, images: jax.Array, augmentation: ImageAugmentation) -> jax.Array:
    """Return images [B, H, W, C] uint8, each cropped, changed by RandAugment and erased at random; pure, from `key`."""
    import jax
    import jax.numpy as jnp

    count, a = len(images), augmentation
    if a.crop_area or a.layers:
        matrix = jnp.broadcast_to(jnp.eye(3), (count, 3, 3))
        if a.crop_area:
            matrix = _crops(jax.random.fold_in(key, CROP), count, a)
        colours = []
        for layer in range(a.layers):
            moved, colour = _operations(jax.random.fold_in(key, LAYERS * 100 + layer), count, a)
            matrix = matrix @ moved
            colours.append(colour)
        shown = jax.vmap(sampled)(images.astype(jnp.int32), _in_pixels(matrix, images.shape))
        for colour in colours:
            shown = jax.vmap(recoloured)(shown, colour)
        images = shown.astype(jnp.uint8)
    return _erased(jax.random.fold_in(key, ERASE), images, a.erasing) if a.erasing else images


def _crops(key: jax.Array, count: int, a: ImageAugmentation) -> jax.Array:
    """Return affine maps [B, 3, 3] of crops: from the result to the image, both from -1/2 to 1/2 of a side."""
    import jax
    import jax.numpy as jnp

    uniform = jax.random.uniform(key, (4, count))
    area = a.crop_area + (1 - a.crop_area) * uniform[0]
    log_aspect = (2 * uniform[1] - 1) * math.log(a.crop_aspect)
    sides = jnp.minimum(jnp.sqrt(area) * jnp.exp(jnp.array([[-0.5], [0.5]]) * log_aspect), 1)  # [2, B]
    shift = (uniform[2:] - 0.5) * (1 - sides)
    zero, one = jnp.zeros(count), jnp.ones(count)
    rows = [[sides[0], zero, shift[0]], [zero, sides[1], shift[1]], [zero, zero, one]]
    return jnp.stack([jnp.stack(row, -1) for row in rows], -2)


def _operations(key: jax.Array, count: int, a: ImageAugmentation) -> tuple[jax.Array, jax.Array]:
    """Return an operation of RandAugment for each image: affine maps [B, 3, 3] and parameters of colours [B, 5]."""
    import jax
    import jax.numpy as jnp

    kind_key, sign_key, apply_key = jax.random.split(key, 3)
    kind = jax.random.randint(kind_key, (count,), 0, len(GEOMETRIC) + len(COLOUR))
    applied = jax.random.bernoulli(apply_key, float(a.probability), (count,))
    kind = jnp.where(applied, kind, len(GEOMETRIC) + COLOUR.index("none"))
    amount = jnp.where(jax.random.bernoulli(sign_key, shape=(count,)), 1.0, -1.0) * (a.magnitude / MAGNITUDES)

    def where(name: str, value: jax.Array | float, other: jax.Array | float) -> jax.Array:
        return jnp.where(kind == (*GEOMETRIC, *COLOUR).index(name), value, other)

    angle = where("rotate", math.radians(LARGEST_ANGLE) * amount, 0.0)
    zero, one = jnp.zeros(count), jnp.ones(count)
    rows = [
        [jnp.cos(angle), -jnp.sin(angle) + where("shear_rows", LARGEST_SHEAR * amount, 0.0),
         where("shift_rows", LARGEST_SHIFT * amount, 0.0)],
        [jnp.sin(angle) + where("shear_columns", LARGEST_SHEAR * amount, 0.0), jnp.cos(angle),
         where("shift_columns", LARGEST_SHIFT * amount, 0.0)],
        [zero, zero, one],
    ]  # fmt: skip
    matrix = jnp.stack([jnp.stack(row, -1) for row in rows], -2)
    factor = jnp.round(UNIT * jnp.maximum(1 + LARGEST_CHANGE * amount, LEAST_FACTOR))
    linear = (kind >= len(GEOMETRIC)) & (kind < len(GEOMETRIC) + COLOUR.index("posterise"))
    bits = min(7, round(4 * a.magnitude / MAGNITUDES))  # the lower bits that posterise takes away
    colour = jnp.stack(
        [
            jnp.where(linear, factor, UNIT),
            where("contrast", UNIT - factor, 0),
            where("saturation", UNIT - factor, 0),
            where("solarise", max(0, UNIT - round(UNIT * a.magnitude / MAGNITUDES)), UNIT),
            where("posterise", 256 - (1 << bits), 255),
        ],
        -1,
    )
    return matrix, colour.astype(jnp.int32)


def _in_pixels(matrix: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Return affine maps [B, 3, 3] for images of this shape [B, H, W, C] as `nas.data.replay.sampled` takes them.

    Those are whole numbers [B, 2, 3].
    """
    import jax.numpy as jnp

    own = jnp.array(shape[1:3], jnp.float32)
    linear = matrix[:, :2, :2] * (own[:, None] / own[None, :])
    offset = (1 + 2 * matrix[:, :2, 2]) * own - 1
    whole = jnp.concatenate([linear, offset[..., None]], -1) * (UNIT / 2 * (1 << FINE))
    return jnp.round(whole).astype(jnp.int32)


def _erased(key: jax.Array, images: jax.Array, probability: float) -> jax.Array:
    """Return images [B, H, W, C] uint8, each with this probability with noise in a rectangle."""
    import jax
    import jax.numpy as jnp

    draw_key, noise_key = jax.random.split(key)
    count, height, width, _ = images.shape
    uniform = jax.random.uniform(draw_key, (5, count))
    low, high = ERASED_AREA
    area = low + (high - low) * uniform[0]
    log_aspect = (2 * uniform[1] - 1) * -math.log(ERASED_ASPECT)
    sides = jnp.minimum(jnp.sqrt(area) * jnp.exp(jnp.array([[-0.5], [0.5]]) * log_aspect), 1)
    start = uniform[2:4] * (1 - sides)
    down, across = ((jnp.arange(side) + 0.5) / side for side in (height, width))
    rows = (down >= start[0][:, None]) & (down < (start + sides)[0][:, None])
    columns = (across >= start[1][:, None]) & (across < (start + sides)[1][:, None])
    inside = rows[:, :, None, None] & columns[:, None, :, None] & (uniform[4] < probability)[:, None, None, None]
    return jnp.where(inside, jax.random.bits(noise_key, images.shape, jnp.uint8), images)
