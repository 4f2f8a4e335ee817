"""The laws of splits and batches, and of the images' way to the step: resized, standardised, augmented."""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nas.data import (
    Augmentation,
    Labelled,
    at_resolution,
    augment,
    build_dataset,
    channel_stats,
    epoch_indices,
    resize,
    signature,
    split_for_search,
    stratified_split,
    to_input,
)
from nas.errors import InvalidInput
from tests.support.data_sets import small

# --- splits and batches ---------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(
    counts=st.lists(st.integers(2, 40), min_size=2, max_size=8),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32),
)
def test_split_is_disjoint_complete_and_stratified(counts: list[int], fraction: float, seed: int) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    kept, validation = stratified_split(labels, round(fraction * len(labels)), seed)
    assert sorted([*kept, *validation]) == list(range(len(labels)))
    val = np.bincount(labels[validation], minlength=len(counts))
    share = np.array(counts) * round(fraction * len(labels)) / len(labels)
    assert (val >= 1).all() and (val < counts).all()
    assert (np.abs(val - share) < 1 + 1e-9).all()
    again = stratified_split(labels, round(fraction * len(labels)), seed)
    np.testing.assert_array_equal(again[1], validation)


def test_split_for_search_is_fixed_by_its_seed() -> None:
    dataset = small(per_class=40)
    train, validation = split_for_search(dataset, 0.25, 3)
    assert (len(train), len(validation)) == (90, 30) and validation.dtype == np.int32
    assert np.bincount(dataset.y_train[validation]).tolist() == [10] * 3
    assert validation[:6].tolist() == [0, 1, 2, 3, 11, 12]
    assert validation.tolist() != split_for_search(dataset, 0.25, 4)[1].tolist()


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 2, float("nan")])
def test_split_for_search_refuses_fractions(fraction: float) -> None:
    with pytest.raises(InvalidInput, match="must lie between 0 and 1"):
        split_for_search(small(), fraction, 0)


def test_negative_seeds_are_refused() -> None:
    with pytest.raises(InvalidInput, match="a seed must be 0 or larger, got -1"):
        split_for_search(small(), 0.5, -1)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**40), epoch=st.integers(0, 1000), n=st.integers(1, 200), data=st.data())
def test_epochs_visit_each_image_at_most_once(seed: int, epoch: int, n: int, data: st.DataObject) -> None:
    batch = data.draw(st.integers(1, n))
    indices = epoch_indices(seed, epoch, n, batch)
    assert indices.shape == (n // batch, batch) and indices.dtype == np.int32
    assert len(set(indices.ravel().tolist())) == indices.size and indices.min() >= 0 and indices.max() < n
    np.testing.assert_array_equal(indices, epoch_indices(seed, epoch, n, batch))


def test_epochs_differ() -> None:
    orders = {tuple(epoch_indices(seed, epoch, 50, 50)[0]) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9
    assert epoch_indices(0, 0, 6, 2).tolist() == [[3, 2], [1, 0], [4, 5]]


@pytest.mark.parametrize("batch", [0, -1, 11])
def test_batches_that_do_not_fit(batch: int) -> None:
    with pytest.raises(InvalidInput, match=f"from 1 to the 10 training images, got {batch}"):
        epoch_indices(0, 0, 10, batch)


# --- the way to the network -----------------------------------------------------------------------------------------

AUGMENT: Any = jax.jit(augment, static_argnums=2)


def test_resize_agrees_with_pillow_where_it_shrinks_and_keeps_flat_images() -> None:
    x = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 1), dtype=np.uint8)
    ours = resize(x, 8)
    theirs = [np.asarray(Image.fromarray(p[..., 0]).resize((8, 8), Image.Resampling.BILINEAR)) for p in x]
    assert np.abs(ours[..., 0].astype(int) - np.array(theirs)).max() <= 1
    assert resize(x, 32) is x
    assert (resize(np.full((2, 7, 7, 3), 200, np.uint8), 20) == 200).all()


def test_at_resolution_keeps_the_rest() -> None:
    dataset = small(channels=3)
    larger = at_resolution(dataset, 12)
    assert larger.x_train.shape == (12, 12, 12, 3) and larger.resolution == 12 and larger.digest != dataset.digest
    assert larger.notes == ("resized from 6 to 12 pixels, which adds no detail",)
    assert at_resolution(dataset, 3).notes == ("resized from 6 to 3 pixels",)
    assert at_resolution(dataset, 6) is dataset


def test_channel_stats_and_input_standardise() -> None:
    dataset = small(channels=3, per_class=30)
    mean, std = channel_stats(dataset)
    scaled = dataset.x_train.astype(np.float64) / 255
    np.testing.assert_allclose(mean, scaled.mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(std, scaled.std((0, 1, 2)), rtol=1e-6)
    with jax.numpy_rank_promotion("raise"):
        x = to_input(jnp.asarray(dataset.x_train), mean, std, 3)
    assert x.dtype == jnp.float32
    np.testing.assert_allclose(x.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(x.std((0, 1, 2)), 1, atol=1e-5)


def test_flat_images_do_not_divide_by_zero() -> None:
    flat = Labelled(np.full((4, 2, 2), 9, np.uint8), np.array([0, 0, 1, 1]))
    mean, std = channel_stats(build_dataset("flat", flat, flat))
    np.testing.assert_allclose([mean[0], std[0]], [9 / 255, 1 / 255], rtol=1e-6)


def test_grey_is_repeated_and_colour_is_not_dropped() -> None:
    dataset = small()
    x = to_input(jnp.asarray(dataset.x_train), *channel_stats(dataset), channels=3)
    assert x.shape == (12, 6, 6, 3)
    np.testing.assert_array_equal(x[..., 0], x[..., 2])
    colour = small(channels=3)
    with pytest.raises(InvalidInput, match="the network takes 1 channels, but the images have 3"):
        to_input(jnp.asarray(colour.x_train), *channel_stats(colour), channels=1)


def test_signature_states_the_statistics_and_repeats_those_of_grey() -> None:
    grey, colour = small(), small(channels=3)
    wide = signature(grey, (12, 12, 3))
    mean, std = channel_stats(grey)
    assert (wide.input.height, wide.input.mean) == (12, tuple(mean.tolist() * 3))
    assert wide.input.std == tuple(std.tolist() * 3)
    assert wide.class_names == ("0", "1", "2")
    np.testing.assert_array_equal(np.float32(signature(colour, (6, 6, 3)).input.mean), channel_stats(colour)[0])
    assert signature(grey, (6, 6, 1)).input.colour_order == "grey"


@pytest.mark.parametrize("dtype", [jnp.uint8, jnp.float32])
def test_augment_gives_shifted_and_mirrored_copies_only(dtype: Any) -> None:
    image_8 = jnp.arange(1, 65, dtype=dtype).reshape(1, 8, 8, 1)
    batch = jnp.repeat(image_8, 200, axis=0)
    with jax.numpy_rank_promotion("raise"):
        out = np.asarray(AUGMENT(jax.random.key(0), batch, Augmentation(0.125, flip=True)))
    padded = np.pad(np.asarray(image_8[0, ..., 0]), 1)
    allowed = {
        padded[i : i + 8, j : j + 8][:, ::step].tobytes() for i in range(3) for j in range(3) for step in (1, -1)
    }
    assert out.dtype == dtype and out.shape == batch.shape
    assert {p[..., 0].tobytes() for p in out} == allowed


def test_augment_may_do_nothing() -> None:
    batch = jnp.asarray(small().x_train)
    np.testing.assert_array_equal(augment(jax.random.key(0), batch, Augmentation(0, flip=False)), batch)
    with pytest.raises(InvalidInput, match=r"between 0 and 0\.5, got 0\.7"):
        Augmentation(0.7)


def test_augment_is_pure_under_jit_and_vmap() -> None:
    batches = jnp.asarray(np.random.default_rng(0).integers(0, 256, (3, 5, 8, 8, 3), dtype=np.uint8))
    keys = jax.random.split(jax.random.key(1), 3)
    plan, compiled_before = Augmentation(flip=True), AUGMENT._cache_size()
    one_by_one = np.stack([AUGMENT(key, batch, plan) for key, batch in zip(keys, batches, strict=True)])
    together = jax.jit(jax.vmap(lambda key, batch: augment(key, batch, plan)))(keys, batches)
    np.testing.assert_array_equal(together, one_by_one)
    assert AUGMENT._cache_size() == compiled_before + 1


def test_augment_is_fast() -> None:
    batch = jnp.zeros((64, 28, 28, 1), jnp.uint8)
    key, plan = jax.random.key(0), Augmentation(flip=True)
    AUGMENT(key, batch, plan).block_until_ready()
    seconds = []
    for _ in range(20):
        start = time.perf_counter()
        AUGMENT(key, batch, plan).block_until_ready()
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 8e-3  # 1 ms and less with optimised programs, which tests do without
