"""Random augmentation in a step: what each part does to pixels, and that all of it follows from the key."""

import jax
import numpy as np
import pytest

from nas.data.random_augment import ERASED_AREA, ImageAugmentation, randomly_augmented
from nas.errors import InvalidInput

IMAGES = np.random.default_rng(0).integers(0, 256, (24, 10, 14, 3)).astype(np.uint8)

RUN = jax.jit(randomly_augmented, static_argnames="augmentation")


def shown(augmentation: ImageAugmentation, seed: int = 0, images: np.ndarray = IMAGES) -> np.ndarray:
    return np.asarray(RUN(jax.random.key(seed), images, augmentation))


def test_nothing_is_done_by_default_and_at_no_probability() -> None:
    assert ImageAugmentation().is_none
    for none in (ImageAugmentation(layers=2, probability=0), ImageAugmentation(crop_area=1, crop_aspect=1)):
        assert not none.is_none
        np.testing.assert_array_equal(shown(none), IMAGES)


def test_all_follows_from_the_key() -> None:
    one = ImageAugmentation(crop_area=0.3, layers=2, magnitude=15, erasing=0.5)
    first, other = shown(one), shown(one, 1)
    np.testing.assert_array_equal(first, shown(one))
    assert (first != other).any() and first.dtype == np.uint8 and first.shape == IMAGES.shape
    assert shown(one, images=IMAGES[..., :1]).shape == (24, 10, 14, 1)


def test_crops_hold_parts_of_the_image() -> None:
    ramp = np.broadcast_to(np.arange(64, dtype=np.uint8)[None, :, None, None] * 4, (40, 64, 64, 1))
    cropped = shown(ImageAugmentation(crop_area=0.25, crop_aspect=1), images=ramp).astype(int)
    heights = cropped[:, -1, 0, 0] - cropped[:, 0, 0, 0]  # of a ramp, how much of its height is seen
    assert (np.diff(cropped[:, :, 0, 0], axis=1) >= 0).all()
    assert heights.min() >= 0.45 * 252 and heights.max() <= 252 and heights.std() > 10


def test_erased_rectangles_are_of_the_stated_area_and_leave_the_rest() -> None:
    images = np.zeros((200, 32, 32, 1), np.uint8)
    found = shown(ImageAugmentation(erasing=0.5), images=images)
    touched = (found > 0).any((1, 2, 3))
    assert 0.35 < touched.mean() < 0.65
    area = (found > 0).mean((1, 2, 3))[touched]
    assert area.max() < ERASED_AREA[1] + 0.1 and area.min() > 0
    rows = (found[touched] > 0).any((2, 3)).sum(1)
    assert rows.std() > 1  # of different sizes


@pytest.mark.parametrize("change", [{"crop_area": 1.5}, {"layers": 9}, {"magnitude": 31}, {"erasing": -0.1}])
def test_bounds(change: dict[str, float]) -> None:
    with pytest.raises(InvalidInput, match="of the augmentation must lie between"):
        ImageAugmentation(**change)  # type: ignore[arg-type]
