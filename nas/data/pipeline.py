"""The input pipeline: images are resized once on the host, then augmented and normalised inside the training step.

Images stay uint8 [N, r, r, C] until the step that uses them: a quarter of the memory of float32, and the padding of
`augment` is black in every data set.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from nas.data.dataset import STATISTICS_IMAGES, Augmentation, Dataset, Images, Labelled, build_dataset
from nas.data.image_files import ImageFiles
from nas.data.input_spec import Framing, InputSpec, Signature
from nas.errors import InvalidInput

if TYPE_CHECKING:
    import jax

RESIZE_BATCH = 1024


def resize(images: Images, resolution: int) -> Images:
    """Return `images` [N, H, W, C] as [N, resolution, resolution, C]: bilinear, antialiased, rounded to uint8."""
    if images.shape[1:3] == (resolution, resolution):
        return images
    import jax
    import jax.numpy as jnp

    @jax.jit
    def resize_batch(batch: jax.Array) -> jax.Array:
        shape = (batch.shape[0], resolution, resolution, batch.shape[3])
        resized = jax.image.resize(batch.astype(jnp.float32), shape, "bilinear", antialias=True)
        return jnp.clip(jnp.round(resized), 0, 255).astype(jnp.uint8)

    resized = np.empty((len(images), resolution, resolution, images.shape[3]), dtype=np.uint8)
    for start in range(0, len(images), RESIZE_BATCH):
        resized[start : start + RESIZE_BATCH] = resize_batch(images[start : start + RESIZE_BATCH])
    return resized


def at_resolution(dataset: Dataset, resolution: int) -> Dataset:
    """Return `dataset` at another resolution: files will be decoded at it, arrays are resized.

    Its notes say where that enlarges images.
    """
    if dataset.resolution == resolution:
        return dataset
    train, test, notes = dataset.x_train, dataset.x_test, (*dataset.notes, *resolution_notes(dataset, resolution))
    if isinstance(train, ImageFiles) and isinstance(test, ImageFiles):
        store = train.store.at_side(resolution)
        x_train, x_test = ImageFiles(store, train.rows), ImageFiles(store, test.rows)
        return replace(dataset, x_train=x_train, x_test=x_test, notes=notes)
    resized = build_dataset(
        dataset.name,
        Labelled(resize(np.asarray(train), resolution), dataset.y_train),
        Labelled(resize(np.asarray(test), resolution), dataset.y_test),
        class_names=dataset.class_names,
        augmentation=dataset.augmentation,
        notes=notes,
    )
    return replace(resized, class_weights=dataset.class_weights)


def resolution_notes(dataset: Dataset, resolution: int) -> Iterator[str]:
    """Yield the note on images that are enlarged, or resized on the way, to have `resolution` pixels."""
    if isinstance(images := dataset.x_train, ImageFiles):
        store = images.store
        if small := sum(file.detail_px(store.framing) < resolution for file in store.files):
            yield (
                f"{small:,} of {len(store.files):,} images have fewer than {resolution} px and are enlarged to it, "
                "which adds no detail"
            )
        if not store.at_side(resolution).kept and len(images) > STATISTICS_IMAGES:
            yield (
                f"mean and standard deviation are those of {STATISTICS_IMAGES:,} of the {len(images):,} training "
                "images, evenly spaced"
            )
    elif resolution != dataset.resolution:
        detail = ", which adds no detail" if resolution > dataset.resolution else ""
        yield f"resized from {dataset.resolution} to {resolution} pixels{detail}"


def channel_stats(dataset: Dataset) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return `Dataset.channel_stats`: mean and standard deviation [C] of the training pixels, 255 = 1."""
    return dataset.channel_stats


def signature(dataset: Dataset, shape: tuple[int, int, int]) -> Signature:
    """Return what a network takes that is trained on `dataset`, and its classes in the order of the outputs.

    `shape` is the network's input, (height, width, channels). The normalisation is that of `channel_stats`, so
    `dataset` must have the resolution that is trained at; of a search that is the proxies'.
    """
    height, width, channels = shape
    mean, std = ((each.tolist() * channels)[:channels] for each in channel_stats(dataset))  # grey is repeated
    colour_order: Literal["RGB", "grey"] = "RGB" if channels == 3 else "grey"
    framing = dataset.framing or Framing()
    spec = InputSpec(
        height, width, channels, tuple(mean), tuple(std),
        fit=framing.fit, background=framing.background, colour_order=colour_order,
    )  # fmt: skip
    return Signature(spec, dataset.class_names)


def to_input(batch: jax.Array, mean: Any, std: Any, channels: int) -> jax.Array:
    """Return `batch` [B, H, W, C] uint8 as the network's input (x / 255 - mean) / std, float32 [B, H, W, channels].

    `mean` and `std` [C] are those of `channel_stats`; grey is repeated where the network takes more channels.
    """
    import jax.numpy as jnp

    if batch.shape[-1] not in (1, channels):
        raise InvalidInput(f"the network takes {channels} channels, but the images have {batch.shape[-1]}")
    per_channel = (1, 1, 1, -1)
    scaled = batch.astype(jnp.float32) / 255
    standard = (scaled - jnp.reshape(mean, per_channel)) / jnp.reshape(std, per_channel)
    return standard if batch.shape[-1] == channels else jnp.repeat(standard, channels, axis=-1)


def augment(key: jax.Array, batch: jax.Array, augmentation: Augmentation) -> jax.Array:
    """Return `batch` [B, H, W, C] with each image shifted (and filled with 0) and mirrored at random.

    Pure, for use under `jit` and `vmap`; `augmentation` is static. Meant for uint8, before `to_input`.
    """
    import jax
    import jax.numpy as jnp

    shift_key, flip_key = jax.random.split(key)
    shift = round(augmentation.shift_px_fraction * batch.shape[1])
    if shift:
        padded = jnp.pad(batch, ((0, 0), (shift, shift), (shift, shift), (0, 0)))
        corners = jax.random.randint(shift_key, (batch.shape[0], 2), 0, 2 * shift + 1)

        def cut(image: jax.Array, corner: jax.Array) -> jax.Array:
            return jax.lax.dynamic_slice(image, (corner[0], corner[1], 0), batch.shape[1:])

        batch = jax.vmap(cut)(padded, corners)
    if augmentation.flip:
        mirrored = jax.random.bernoulli(flip_key, shape=(batch.shape[0], 1, 1, 1))
        batch = jnp.where(mirrored, batch[:, :, ::-1], batch)
    return batch
