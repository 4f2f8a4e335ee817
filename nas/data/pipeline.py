"""The input pipeline: images are resized once on the host, then augmented and normalised inside the training step.

Images stay uint8 [N, H, W, C] until the step that uses them: a quarter of the memory of float32, and the padding of
`augment` is black in every data set. Maps and sequences are float32; what augments them comes behind the normalisation,
so that its padding is the mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from nas.data.dataset import STATISTICS_IMAGES, Array, Augmentation, Dataset, Labelled, build_dataset
from nas.data.folder import file_notes
from nas.data.image_files import ImageFiles
from nas.data.input_spec import Framing, InputSpec, Signature
from nas.errors import InvalidInput
from nas.ops import Size, SizeLike

if TYPE_CHECKING:
    import jax

RESIZE_BATCH = 1024


def resize(images: Array, resolution: SizeLike) -> Array:
    """Return `images` [N, H, W, C] at another resolution: bilinear, antialiased; those of uint8 are rounded to it."""
    size, dtype = Size.of(resolution), images.dtype
    if images.shape[1:3] == size:
        return images
    import jax
    import jax.numpy as jnp

    @jax.jit
    def resize_batch(batch: jax.Array) -> jax.Array:
        shape = (batch.shape[0], *size, batch.shape[3])
        resized = jax.image.resize(batch.astype(jnp.float32), shape, "bilinear", antialias=True)
        return resized if dtype != np.uint8 else jnp.clip(jnp.round(resized), 0, 255).astype(jnp.uint8)

    resized = np.empty((len(images), *size, images.shape[3]), dtype=dtype)
    for start in range(0, len(images), RESIZE_BATCH):
        resized[start : start + RESIZE_BATCH] = resize_batch(images[start : start + RESIZE_BATCH])
    return resized


def at_resolution(dataset: Dataset, resolution: SizeLike) -> Dataset:
    """Return `dataset` at another resolution: files will be decoded at it, arrays are resized.

    Its notes say where that enlarges images, or changes their proportions. Raises `InvalidInput` where maps would
    become sequences, or sequences maps.
    """
    size = Size.of(resolution)
    if dataset.size == size:
        return dataset
    if size.is_sequence != dataset.size.is_sequence:
        raise InvalidInput(f"{dataset.name} holds {dataset.kind} of {dataset.size.text}, which are not {size.text}")
    train, test, notes = dataset.x_train, dataset.x_test, (*dataset.notes, *resolution_notes(dataset, size))
    if isinstance(train, ImageFiles) and isinstance(test, ImageFiles):
        store = train.store.at_size(size)
        framed = [set(file_notes(each.files, each.framing, each.size)) for each in (train.store, store)]
        notes = (*(note for note in notes if note not in framed[0] - framed[1]), *sorted(framed[1] - framed[0]))
        x_train, x_test = ImageFiles(store, train.rows), ImageFiles(store, test.rows)
        return replace(dataset, x_train=x_train, x_test=x_test, notes=notes)
    resized = build_dataset(
        dataset.name,
        Labelled(resize(np.asarray(train), size), dataset.y_train),
        Labelled(resize(np.asarray(test), size), dataset.y_test),
        class_names=dataset.class_names,
        augmentation=dataset.augmentation,
        notes=notes,
        kind=dataset.kind,
    )
    return replace(resized, class_weights=dataset.class_weights)


def resolution_notes(dataset: Dataset, resolution: SizeLike) -> Iterator[str]:
    """Yield the note on images that are enlarged, or resized on the way, to have this resolution."""
    size = Size.of(resolution)
    if isinstance(images := dataset.x_train, ImageFiles):
        store = images.store
        if small := sum(file.lacks_detail(size, store.framing) for file in store.files):
            yield (
                f"{small:,} of {len(store.files):,} images have fewer than {size} px and are enlarged to it, "
                "which adds no detail"
            )
        if not store.at_size(size).kept and len(images) > STATISTICS_IMAGES:
            yield (
                f"mean and standard deviation are those of {STATISTICS_IMAGES:,} of the {len(images):,} training "
                "images, evenly spaced"
            )
    elif size != dataset.size:
        own, unit = dataset.size, "steps" if size.is_sequence else "pixels"
        before, after = (own.height, size.height) if size.is_sequence else (own, size)
        squeezed = ["changes their proportions"] * (dataset.is_images and not _alike(own, size))
        remarks = squeezed + ["adds no detail"] * (size.height > own.height or size.width > own.width)
        yield f"resized from {before} to {after} {unit}" + (f", which {' and '.join(remarks)}" if remarks else "")


def _alike(one: Size, other: Size) -> bool:
    """Return whether two sizes have the same proportions, but for the rounding of a side."""
    return abs(one.height * other.width / other.height - one.width) * other.height <= max(one.height, other.height)


def channel_stats(dataset: Dataset) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return `Dataset.channel_stats`: mean and standard deviation [C] of the training set, of pixels 255 = 1."""
    return dataset.channel_stats


def signature(dataset: Dataset, shape: tuple[int, int, int]) -> Signature:
    """Return what a network takes that is trained on `dataset`, and its classes in the order of the outputs.

    `shape` is the network's input, (height, width, channels). The normalisation is that of `channel_stats`, so
    `dataset` must have the resolution that is trained at; of a search that is the proxies'.
    """
    height, width, channels = shape
    if not dataset.is_images:
        mean_of, std_of = (tuple(each.tolist()) for each in channel_stats(dataset))
        return Signature(InputSpec(height, width, channels, mean_of, std_of, values="numbers"), dataset.class_names)
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

    `mean` and `std` [C] are those of `channel_stats`; grey is repeated where the network takes more channels. Maps and
    sequences, float32, are not divided by 255.
    """
    import jax.numpy as jnp

    if batch.shape[-1] not in (1, channels):
        raise InvalidInput(f"the network takes {channels} channels, but the images have {batch.shape[-1]}")
    per_channel = (1, 1, 1, -1)
    scaled = batch.astype(jnp.float32) / 255 if batch.dtype == jnp.uint8 else batch
    standard = (scaled - jnp.reshape(mean, per_channel)) / jnp.reshape(std, per_channel)
    return standard if batch.shape[-1] == channels else jnp.repeat(standard, channels, axis=-1)


def augment(key: jax.Array, batch: jax.Array, augmentation: Augmentation) -> jax.Array:
    """Return `batch` [B, H, W, C] with each image shifted (and filled with 0) and mirrored at random.

    Shifts are up to a fraction of each side. Pure, for use under `jit` and `vmap`; `augmentation` is static.
    `augmented_input` applies it to uint8 images in front of `to_input`, to other arrays behind it.
    """
    import jax
    import jax.numpy as jnp

    shift_key, flip_key = jax.random.split(key)
    rows, columns = (round(augmentation.shift_px_fraction * side) for side in batch.shape[1:3])
    if rows or columns:
        padded = jnp.pad(batch, ((0, 0), (rows, rows), (columns, columns), (0, 0)))
        most: Any = 2 * rows + 1 if rows == columns else np.array([2 * rows + 1, 2 * columns + 1], np.int32)
        corners = jax.random.randint(shift_key, (batch.shape[0], 2), 0, most)

        def cut(image: jax.Array, corner: jax.Array) -> jax.Array:
            return jax.lax.dynamic_slice(image, (corner[0], corner[1], 0), batch.shape[1:])

        batch = jax.vmap(cut)(padded, corners)
    if augmentation.flip:
        mirrored = jax.random.bernoulli(flip_key, shape=(batch.shape[0], 1, 1, 1))
        batch = jnp.where(mirrored, batch[:, :, ::-1], batch)
    return batch


def augmented_input(
    key: jax.Array, batch: jax.Array, augmentation: Augmentation, mean: Any, std: Any, channels: int
) -> jax.Array:
    """Return `batch` [B, H, W, C] augmented and as the network's input; see `augment` and `to_input`."""
    import jax.numpy as jnp

    if batch.dtype == jnp.uint8:
        return to_input(augment(key, batch, augmentation), mean, std, channels)
    return augment(key, to_input(batch, mean, std, channels), augmentation)
