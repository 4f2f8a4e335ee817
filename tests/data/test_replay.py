"""Replayed augmentation: the same image to the bit in any batch, identities, and what each operation does."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.data.replay import UNIT, PixelSamples, Recipe, Samples, draw, in_pixels, replayed
from nas.errors import InvalidInput
from nas.ops import Size

SIZE = Size(12, 16)
IMAGES = np.random.default_rng(0).integers(0, 256, (6, *SIZE, 3)).astype(np.uint8)
PLAIN = Recipe((1.0, 1.0), 1.0, False, 0, 0, 0.0)


def identity(count: int) -> Samples:
    """Return samples that change nothing."""
    matrix = np.tile(np.array([[1, 0, 0], [0, 1, 0]], np.float32), (count, 1, 1))
    colour = np.tile(np.array([UNIT, 0, 0, UNIT, 255], np.int32), (count, 1))
    return Samples(matrix, colour, np.arange(count, dtype=np.int32), np.full(count, UNIT, np.int32))


def replay(samples: Samples, images: np.ndarray = IMAGES) -> np.ndarray:
    """Return the images as samples [N] say."""
    own = in_pixels(samples, Size(*images.shape[1:3]))
    return np.asarray(jax.jit(replayed)(images, images[samples.partner], own))


def test_nothing_changes_an_image_that_nothing_is_done_to() -> None:
    np.testing.assert_array_equal(replay(identity(6)), IMAGES)
    drawn = draw(PLAIN, np.arange(6), 6, 2, seed=0)
    np.testing.assert_array_equal(replay(Samples(*(each[:, 1] for each in drawn))), IMAGES)


def test_mirrored_shifted_mixed_and_recoloured() -> None:
    one = identity(6)
    one.matrix[0, 1, 1] = -1
    one.matrix[1, 0, 2] = 3 / 12  # three rows further down
    one.share[2], one.partner[2] = 128, 5
    one.colour[3, :3] = [0, 0, UNIT]  # saturation 0
    one.colour[4, 3] = 0  # solarised throughout
    one.colour[5, 4] = 0b11110000
    found = replay(one)
    np.testing.assert_array_equal(found[0], IMAGES[0, :, ::-1])
    np.testing.assert_array_equal(found[1, :9], IMAGES[1, 3:])
    assert (found[1, 10:] == 128).all()
    np.testing.assert_array_equal(found[2], (IMAGES[2].astype(int) + IMAGES[5] + 1) // 2)
    assert (found[3] == found[3][..., :1]).all()
    np.testing.assert_array_equal(found[4], 255 - IMAGES[4])
    np.testing.assert_array_equal(found[5], IMAGES[5] & 0b11110000)


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.permutations(range(6)), st.integers(1, 6))
def test_any_batch_gives_the_same_bits(seed: int, order: list[int], count: int) -> None:
    rows = np.array(order[:count])
    whole = draw(Recipe(), np.arange(6), 6, 3, seed)
    part = draw(Recipe(), rows, 6, 3, seed)
    for all_images, some in zip(whole, part, strict=True):
        np.testing.assert_array_equal(all_images[rows], some)
    flat = Samples(*(each[:, 2] for each in whole))
    expected = replay(flat)[rows]
    own = in_pixels(Samples(*(each[:, 2] for each in part)), SIZE)
    eager = [
        np.asarray(
            replayed(IMAGES[row][None], IMAGES[own.partner[i]][None], PixelSamples(*(e[i : i + 1] for e in own)))
        )
        for i, row in enumerate(rows)
        for one in [PixelSamples(*(each[i : i + 1] for each in own))]
    ]
    np.testing.assert_array_equal(np.concatenate(eager), expected)


def test_samples_keep_to_their_recipe() -> None:
    drawn = draw(Recipe((0.25, 0.5), 1.5, True, 0, 0, 0.5), np.arange(40), 40, 10, seed=1)
    sides = np.abs(drawn.matrix[..., [0, 1], [0, 1]])
    area = sides.prod(-1)
    assert (area <= 0.5 + 1e-6).all() and (area >= 0.2).all() and (sides <= 1).all()
    assert (np.abs(drawn.matrix[..., 2]) <= (1 - sides) / 2 + 1e-6).all()  # inside the image
    assert 0.4 < (drawn.share < UNIT).mean() < 0.6 and (drawn.share >= UNIT // 2).all()
    assert 0.4 < (drawn.matrix[..., 1, 1] < 0).mean() < 0.6
    assert len(np.unique(drawn.matrix.reshape(-1, 6), axis=0)) == 400


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"crop_area": (0.0, 1.0)}, "crop_area"), ({"mixed": 1.5}, "share of mixed"), ({"magnitude": 11}, "magnitude")],
)
def test_recipes_that_are_none(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Recipe(**settings)  # type: ignore[arg-type]
