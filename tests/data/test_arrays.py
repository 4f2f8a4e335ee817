"""Arrays that are no square images: what they are told to be, how they are normalised and resized, what is refused."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.data import (
    Augmentation,
    Dataset,
    Labelled,
    Preparation,
    at_resolution,
    augmented_input,
    build_dataset,
    channel_stats,
    load,
    signature,
    to_input,
)
from nas.data.arrays import DATA_KINDS
from nas.data.input_spec import InputSpec, Signature
from nas.errors import InvalidInput
from nas.ops import Size

RNG = np.random.default_rng(0)
Y = np.arange(12) % 3


def numbers(*shape: int, low: float = -40.0, high: float = 90.0) -> Any:
    return RNG.uniform(low, high, (12, *shape)).astype(np.float32)


def made(x: Any, kind: Any = None) -> Dataset:
    return build_dataset("x", Labelled(x, Y), Labelled(x[:6], Y[:6]), kind=kind)


@pytest.mark.parametrize(
    ("x", "kind", "told", "shape"),
    [
        (numbers(16, 8, 1), None, "maps", (16, 8, 1)),
        (numbers(16, 8), "maps", "maps", (16, 8, 1)),
        (numbers(8, 8, 5), None, "maps", (8, 8, 5)),
        (numbers(8, 8, 3), "maps", "maps", (8, 8, 3)),
        (numbers(16, 1, 6), None, "sequences", (16, 1, 6)),
        (numbers(16, 6), "sequences", "sequences", (16, 1, 6)),
        (numbers(16), "sequences", "sequences", (16, 1, 1)),
        (RNG.integers(-3000, 3000, (12, 16, 6)).astype(np.int16), "sequences", "sequences", (16, 1, 6)),
        (RNG.integers(0, 256, (12, 6, 8, 3), np.uint8), None, "images", (6, 8, 3)),
        (RNG.integers(0, 256, (12, 6, 8, 3), np.uint8), "maps", "maps", (6, 8, 3)),
        (numbers(8, 8, low=0, high=1), None, "images", (8, 8, 1)),
        (numbers(6, 8, low=0, high=1), "images", "images", (6, 8, 1)),
    ],
)
def test_what_arrays_are_is_told_by_type_and_shape_or_stated(
    tmp_path: Path, x: Any, kind: Any, told: str, shape: tuple[int, ...]
) -> None:
    stated = {} if kind is None else {"data_kind": kind}
    np.savez(tmp_path / "a.npz", x_train=x, y_train=Y, x_test=x[:6], y_test=Y[:6], **stated)
    by_key = load(str(tmp_path / "a.npz"))
    data = load(str(tmp_path / "a.npz"), preparation=Preparation(data_kind=kind))
    assert data.kind == by_key.kind == told and data.x_train.shape[1:] == shape and data.digest == by_key.digest
    assert data.x_train.dtype == (np.uint8 if told == "images" else np.float32)
    assert data.size == Size(*shape[:2]) and data.is_images == (told == "images")
    assert (data.augmentation.shift_px_fraction > 0) == data.is_images and not data.augmentation.flip


@pytest.mark.parametrize(
    ("x", "kind", "words"),
    [
        (numbers(16, 6), None, r"maps of 16 x 6, or sequences of 16 steps with 6 channels\? Say --data-kind"),
        (numbers(8, 8, 3), None, "rescale the pixels; arrays that are no images: --data-kind maps or sequences"),
        (numbers(8, 8, 5), "images", "C = 1 or 3, got .*; arrays that are no images: --data-kind"),
        (numbers(16, 1, 3), "maps", "one wide, .*: these are sequences"),
        (numbers(16, 2, 3), "sequences", r"\[N, T\] or \[N, T, C\] to hold sequences, got \[12, 16, 2, 3\]"),
        (numbers(16), "maps", r"\[N, H, W\] or \[N, H, W, C\] to hold maps, got \[12, 16\]"),
        (np.full((12, 16, 8, 1), np.nan, np.float32), None, "holds NaN"),
        (np.full((12, 16, 8, 1), 1e300), None, "values beyond float32"),
        (np.zeros((12, 0, 8, 1), np.float32), None, "is empty"),
        (np.full((12, 16, 6), "a"), "maps", "must hold numbers, got <U1"),
        (numbers(16, 6), "map", "must be one of images, maps, sequences, waveforms, got 'map'"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(x: Any, kind: Any, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as error:
        made(x, kind)
    assert "\n" not in str(error.value)


def test_a_kind_that_the_data_are_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="x holds images, not maps"):
        Preparation(data_kind="maps").apply(made(RNG.integers(0, 256, (12, 8, 8, 3), np.uint8)))
    np.savez(tmp_path / "a.npz", x_train=numbers(16, 6), y_train=Y, data_kind=np.arange(2))
    with pytest.raises(InvalidInput, match="data_kind must be one text: images, maps, sequences"):
        load(str(tmp_path / "a.npz"))


def test_numbers_are_normalised_by_the_training_set_alike_in_training_and_exports() -> None:
    x = numbers(16, 8, 3) * np.array([1, 1000, 0], np.float32) + np.array([0, 5e6, 7], np.float32)
    data = made(x)
    mean, std = channel_stats(data)
    np.testing.assert_allclose(mean, x.astype(np.float64).mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(std[:2], x.astype(np.float64).std((0, 1, 2))[:2], rtol=1e-6)
    assert std[2] == 1  # a channel that does not vary is not blown up
    spec = signature(data, (16, 8, 3)).input
    ours = np.asarray(to_input(jnp.asarray(data.x_test), mean, std, 3))
    np.testing.assert_allclose(spec.normalised(data.x_test), ours, rtol=0, atol=2e-6)
    assert np.abs(np.asarray(to_input(jnp.asarray(data.x_train), mean, std, 3))[..., 0].std() - 1) < 1e-4


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 5), st.data())
def test_the_json_form_of_an_input_of_numbers_keeps_all(height: int, width: int, channels: int, data: Any) -> None:
    values = [data.draw(st.lists(st.floats(0.5, 9), min_size=channels, max_size=channels)) for _ in range(2)]
    takes = Signature(InputSpec(height, width, channels, tuple(values[0]), tuple(values[1]), values="numbers"), ("a",))
    stored = takes.to_dict()
    assert Signature.from_dict(stored) == takes and takes.input.size == (height, width)
    assert set(stored["input"]) == {"height", "width", "channels", "mean", "std", "layout", "values"}


def test_an_input_of_images_is_stored_as_before() -> None:
    stored = InputSpec(8, 8, 1, (0.5,), (0.25,)).to_dict()
    assert "values" not in stored and InputSpec.from_dict(stored).is_image
    with pytest.raises(InvalidInput, match="pixels, numbers or waveform"):
        InputSpec.from_dict(stored | {"values": "words"})


def test_height_and_width_are_resized_apart() -> None:
    rising = np.broadcast_to(np.linspace(0, 8, 16, dtype=np.float32)[:, None, None], (12, 16, 8, 1))
    data = made(rising + numbers(1, 1, 1))
    small = at_resolution(data, "4x8")
    assert small.x_train.shape == (12, 4, 8, 1) and small.kind == "maps" and small.augmentation == data.augmentation
    np.testing.assert_allclose(small.x_train.mean((1, 2)), data.x_train.mean((1, 2)), rtol=1e-4)
    assert small.notes[-1] == "resized from 16x8 to 4x8 pixels"
    steps = at_resolution(made(numbers(16, 1, 2)), "8x1")
    assert steps.notes[-1] == "resized from 16 to 8 steps" and steps.kind == "sequences"
    with pytest.raises(InvalidInput, match="holds maps of 16x8 px, which are not 8 steps"):
        at_resolution(data, "8x1")


def test_images_keep_their_proportions_or_a_note_says_that_they_do_not() -> None:
    wide = made(RNG.integers(0, 256, (12, 6, 8, 1), np.uint8))
    assert at_resolution(wide, "12x16").notes[-1] == "resized from 6x8 to 12x16 pixels, which adds no detail"
    squeezed = at_resolution(wide, 8).notes[-1]
    assert squeezed == "resized from 6x8 to 8 pixels, which changes their proportions and adds no detail"


def test_shifts_are_shares_of_each_side_and_fill_numbers_with_their_mean() -> None:
    x = jnp.asarray(numbers(16, 4, 1) + 100)
    mean, std = (jnp.asarray([value], jnp.float32) for value in (125.0, 40.0))
    shifted = augmented_input(jax.random.key(0), x, Augmentation(0.25), mean, std, 1)
    plain = to_input(x, mean, std, 1)
    for image, own in zip(np.asarray(shifted), np.asarray(plain), strict=True):
        places = [
            (row, column)
            for row in range(-4, 5)
            for column in (-1, 0, 1)
            if (np.pad(own, ((4, 4), (1, 1), (0, 0)))[4 + row : 20 + row, 1 + column : 5 + column] == image).all()
        ]
        assert len(places) == 1
    assert (augmented_input(jax.random.key(0), x, Augmentation(0.0), mean, std, 1) == plain).all()


def test_the_kinds_are_those_of_the_command_line() -> None:
    from nas.cli.flags import shared

    assert f"choices={DATA_KINDS}".replace("'", '"') in Path(shared.__file__).read_text().replace("'", '"')
