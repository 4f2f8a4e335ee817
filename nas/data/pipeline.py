"""The input pipeline: images are resized once on the host, then augmented and normalised inside the training step.

Images stay uint8 [N, H, W, C] until the step that uses them: a quarter of the memory of float32, and the padding of
`augment` is black in every data set. Maps and sequences are float32; what augments them comes behind the normalisation,
so that its padding is the mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from nas.data.dataset import STATISTICS_IMAGES, Array, Augmentation, Dataset, Labelled, build_dataset, with_replays
from nas.data.folder import file_notes
from nas.data.image_files import ImageFiles
from nas.data.input_spec import Framing, InputSpec, OutputSpec, Signature
from nas.data.waveform import FULL_SCALE, placed
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
    resize_batch = _resizer(size)
    resized = np.empty((len(images), *size, images.shape[3]), dtype=dtype)
    for start in range(0, len(images), RESIZE_BATCH):
        resized[start : start + RESIZE_BATCH] = resize_batch(images[start : start + RESIZE_BATCH])
    return resized


@cache
def _resizer(size: Size) -> Callable[[Any], jax.Array]:
    """Return the compiled function that resizes a batch [B, H, W, C], kept from call to call."""
    import jax
    import jax.numpy as jnp

    @jax.jit
    def resize_batch(batch: jax.Array) -> jax.Array:
        shape = (batch.shape[0], *size, batch.shape[3])
        resized = jax.image.resize(batch.astype(jnp.float32), shape, "bilinear", antialias=True)
        return resized if batch.dtype != jnp.uint8 else jnp.clip(jnp.round(resized), 0, 255).astype(jnp.uint8)

    return resize_batch


def at_resolution(dataset: Dataset, resolution: SizeLike) -> Dataset:
    """Return `dataset` at another resolution: files will be decoded at it, arrays are resized.

    Its notes say where that enlarges images, or changes their proportions. Raises `InvalidInput` where maps would
    become sequences, or sequences maps.
    """
    size = Size.of(resolution)
    if dataset.size == size:
        return dataset
    if dataset.kind == "waveforms":
        return _of_length(dataset, size)
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
        task=dataset.task,
    )
    kept = replace(
        resized, class_weights=dataset.class_weights, groups=dataset.groups, group=dataset.group,
        validation=dataset.validation,
    )  # fmt: skip
    return kept if dataset.replays is None else with_replays(kept, dataset.replays)


def _of_length(dataset: Dataset, size: Size) -> Dataset:
    """Return waveforms of another length at the same rate: the middle of them, or with silence around them."""
    if not size.is_sequence:
        raise InvalidInput(f"{dataset.name} holds waveforms of {dataset.size.text}, which are not {size.text}")
    x_train, x_test = (
        placed(np.asarray(x)[..., 0, 0], size.height)[..., None, None] for x in (dataset.x_train, dataset.x_test)
    )
    what = "cut to the middle" if size.height < dataset.size.height else "between silence"
    note = f"{dataset.size.height} samples are {size.height}: {what}"
    found = build_dataset(
        dataset.name, Labelled(x_train, dataset.y_train), Labelled(x_test, dataset.y_test),
        class_names=dataset.class_names, augmentation=dataset.augmentation, notes=(*dataset.notes, note),
        sample_rate=dataset.sample_rate, task=dataset.task,
    )  # fmt: skip
    return replace(dataset, x_train=found.x_train, x_test=found.x_test, digest=found.digest, notes=found.notes)


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
    if dataset.sample_rate is not None:
        spec = InputSpec(height, width, channels, (0.0,), (1.0,), values="waveform", sample_rate=dataset.sample_rate)
        return Signature(spec, dataset.class_names, OutputSpec.of(dataset.task))
    if not dataset.is_images:
        mean_of, std_of = (tuple(each.tolist()) for each in channel_stats(dataset))
        numbers = InputSpec(height, width, channels, mean_of, std_of, values="numbers")
        return Signature(numbers, dataset.class_names, OutputSpec.of(dataset.task))
    mean, std = ((each.tolist() * channels)[:channels] for each in channel_stats(dataset))  # grey is repeated
    colour_order: Literal["RGB", "grey"] = "RGB" if channels == 3 else "grey"
    framing = dataset.framing or Framing()
    spec = InputSpec(
        height, width, channels, tuple(mean), tuple(std),
        fit=framing.fit, background=framing.background, colour_order=colour_order,
    )  # fmt: skip
    return Signature(spec, dataset.class_names, OutputSpec.of(dataset.task))


def to_input(batch: jax.Array, mean: Any, std: Any, channels: int) -> jax.Array:
    """Return `batch` [B, H, W, C] uint8 as the network's input (x / 255 - mean) / std, float32 [B, H, W, channels].

    `mean` and `std` [C] are those of `channel_stats`; grey is repeated where the network takes more channels. Maps and
    sequences, float32, are not divided by 255; samples of waveforms, int16, are by 32768.
    """
    import jax.numpy as jnp

    if batch.shape[-1] not in (1, channels):
        raise InvalidInput(f"the network takes {channels} channels, but the images have {batch.shape[-1]}")
    per_channel = (1, 1, 1, -1)
    full_scale = {jnp.dtype("uint8"): 255, jnp.dtype("int16"): FULL_SCALE}.get(batch.dtype)
    scaled = batch if full_scale is None else batch.astype(jnp.float32) / full_scale
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
    import jax
    import jax.numpy as jnp

    if batch.dtype == jnp.int16:
        return augment_waveforms(key, to_input(batch, mean, std, channels), augmentation)
    if batch.dtype == jnp.uint8:
        return to_input(augment(key, batch, augmentation), mean, std, channels)
    if not augmentation.has_masks:
        return augment(key, to_input(batch, mean, std, channels), augmentation)
    shift_key, *mask_keys = jax.random.split(key, 3)
    x = augment(shift_key, to_input(batch, mean, std, channels), augmentation)
    for axis, (mask_key, most) in enumerate(
        zip(mask_keys, (augmentation.time_mask, augmentation.band_mask), strict=True), start=1
    ):
        x = jnp.where(_span(mask_key, x.shape[0], x.shape[axis], most, axis), 0, x)
    return x


def augment_waveforms(key: jax.Array, x: jax.Array, augmentation: Augmentation) -> jax.Array:
    """Return waveforms [B, T, 1, 1] shifted, louder or quieter, with masks and with noise, each at random.

    Pure, from `key` alone; see `Augmentation`. A mask of frequencies is cut out of the spectrum of the whole waveform.
    """
    import jax
    import jax.numpy as jnp

    shift_key, gain_key, level_key, noise_key, time_key, band_key = jax.random.split(key, 6)
    count, samples = x.shape[:2]
    x = augment(shift_key, x, Augmentation(augmentation.shift_px_fraction))
    if augmentation.gain_db:
        gain_db = jax.random.uniform(gain_key, (count, 1, 1, 1), minval=-1, maxval=1) * augmentation.gain_db
        x = x * 10 ** (gain_db / 20)
    if augmentation.band_mask:
        spectrum = jnp.fft.rfft(x[:, :, 0, 0])
        hidden = _span(band_key, count, spectrum.shape[1], augmentation.band_mask, 1)[..., 0, 0]
        x = jnp.fft.irfft(jnp.where(hidden, 0, spectrum), samples)[..., None, None]
    if augmentation.time_mask:
        x = jnp.where(_span(time_key, count, samples, augmentation.time_mask, 1), 0, x)
    if augmentation.noise:
        level = jax.random.uniform(level_key, (count, 1, 1, 1)) * augmentation.noise
        x = x + level * jax.random.normal(noise_key, x.shape)
    return x


def _span(key: jax.Array, count: int, size: int, most: float, axis: int) -> jax.Array:
    """Return for each of `count` examples a span of up to a fraction `most` of `size` positions on `axis`, as truth."""
    import jax
    import jax.numpy as jnp

    length_key, start_key = jax.random.split(key)
    length = jax.random.uniform(length_key, (count, 1)) * (most * size)
    start = jax.random.uniform(start_key, (count, 1)) * (size - length)
    at = jnp.arange(size)
    inside = (at >= start) & (at < start + length)
    return inside[:, :, None, None] if axis == 1 else inside[:, None, :, None]
