"""What arrays of a data set are: images, maps or sequences, told by their shape and type, and checked.

Images are uint8, grey or colour. Maps [N, H, W, C] and sequences [N, T, C] hold numbers of any range, such as
spectrograms and the readings of sensors; they become float32, and a sequence is a map one wide. Waveforms [N, T] are
16-bit samples at a known rate.
"""

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from nas.data.waveform import as_samples
from nas.errors import InvalidInput

DataKind = Literal["images", "maps", "sequences", "waveforms"]
DATA_KINDS: tuple[DataKind, ...] = get_args(DataKind)
OTHER_KIND = "arrays that are no images: --data-kind maps or sequences"
Array = npt.NDArray[Any]


def check_kind(kind: str | None) -> None:
    """Raise `InvalidInput` for a kind of data that there is not; None leaves it to the data."""
    if kind is not None and kind not in DATA_KINDS:
        raise InvalidInput(f"the kind of data must be one of {', '.join(DATA_KINDS)}, got {kind!r:.40}")


def told_kind(what: str, x: Array) -> DataKind:
    """Return what the arrays `x` are by their type and shape; `InvalidInput` where they may be maps or sequences.

    Whole numbers are images, and so are floats in the shape of square ones. Other floats are maps [N, H, W, C], with a
    width of 1 sequences [N, T, 1, C].
    """
    if x.dtype.kind != "f" or x.ndim not in (3, 4):
        return "images"
    height, width = x.shape[1:3]
    if height == width and (x.ndim == 3 or x.shape[3] in (1, 3)):
        return "images"
    if x.ndim == 4:
        return "sequences" if width == 1 else "maps"
    raise InvalidInput(
        f"{what} has the shape {list(x.shape)}: maps of {height} x {width}, or sequences of {height} steps with "
        f"{width} channels? Say --data-kind maps or sequences, or put a text 'data_kind' into the file"
    )


def checked_images(what: str, x: Array) -> npt.NDArray[np.uint8]:
    """Return the images `x` as uint8 [N, H, W, C] of its own memory; `what` begins the messages."""
    shape = list(x.shape)
    if x.ndim not in (3, 4) or (x.ndim == 4 and x.shape[3] not in (1, 3)):
        raise InvalidInput(
            f"{what} must have the shape [N, H, W] or [N, H, W, C] with C = 1 or 3, got {shape}; {OTHER_KIND}"
        )
    if x.size == 0:
        raise InvalidInput(f"{what} is empty: shape {shape}")
    if x.dtype != np.uint8:
        x = _as_bytes(what, x)
    return np.array(x if x.ndim == 4 else x[..., None], dtype=np.uint8, order="C")


def _as_bytes(what: str, x: Array) -> Array:
    """Return images of another type in the range 0..255; floats within [0, 1] are scaled and rounded."""
    if x.dtype.kind not in "iuf":
        raise InvalidInput(f"{what} must be uint8, or floats within [0, 1], got {x.dtype}")
    if not np.isfinite(x).all():
        raise InvalidInput(f"{what} holds NaN or infinite pixels; clean the data first")
    low, high, allowed = x.min(), x.max(), 1 if x.dtype.kind == "f" else 255
    if low < 0 or high > allowed:
        raise InvalidInput(
            f"{what} must be uint8, or floats within [0, 1], got {x.dtype} from {low:g} to {high:g}; rescale the "
            f"pixels; {OTHER_KIND}"
        )
    return np.rint(x * np.float32(255)) if x.dtype.kind == "f" else x


def checked_numbers(what: str, x: Array, kind: DataKind) -> npt.NDArray[np.float32]:
    """Return maps, or sequences (W = 1), as float32 [N, H, W, C] of its own memory; `what` begins the messages."""
    shape = list(x.shape)
    if x.dtype.kind not in "iuf":
        raise InvalidInput(f"{what} must hold numbers, got {x.dtype}")
    if kind == "sequences":
        words, fits = "[N, T] or [N, T, C]", x.ndim in (2, 3) or (x.ndim == 4 and x.shape[2] == 1)
        x = x[..., None] if x.ndim == 2 else x
        x = x[:, :, None] if x.ndim == 3 else x
    else:
        words, fits = "[N, H, W] or [N, H, W, C]", x.ndim in (3, 4)
        x = x[..., None] if x.ndim == 3 else x
    if not fits:
        raise InvalidInput(f"{what} must have the shape {words} to hold {kind}, got {shape}")
    if x.size == 0:
        raise InvalidInput(f"{what} is empty: shape {shape}")
    if kind == "maps" and x.shape[2] == 1:
        raise InvalidInput(f"{what} is one wide, of the shape {shape}: these are sequences, --data-kind sequences")
    with np.errstate(over="ignore"):
        numbers = np.array(x, dtype=np.float32, order="C")
    if not np.isfinite(numbers).all():
        raise InvalidInput(f"{what} holds NaN, infinite values or values beyond float32; clean the data first")
    return numbers


def checked_waveforms(what: str, x: Array) -> npt.NDArray[np.int16]:
    """Return waveforms [N, T], int16 or floats within [-1, 1], as int16 [N, T, 1, 1] of its own memory."""
    shape = list(x.shape)
    flat = x.ndim == 2 or (x.ndim in (3, 4) and set(shape[2:]) == {1})
    if not flat:
        raise InvalidInput(f"{what} must have the shape [N, T] to hold waveforms of one channel, got {shape}")
    if x.size == 0:
        raise InvalidInput(f"{what} is empty: shape {shape}")
    if x.dtype.kind == "f":
        if not np.isfinite(x).all() or np.abs(x).max() > 1:
            raise InvalidInput(f"{what} must hold int16 samples, or finite floats within [-1, 1]; rescale them")
        x = as_samples(x)
    elif x.dtype != np.int16:
        raise InvalidInput(f"{what} must hold waveforms as int16 or as floats within [-1, 1], got {x.dtype}")
    return np.array(x, dtype=np.int16, order="C").reshape(len(x), -1, 1, 1)


def channel_statistics(numbers: npt.NDArray[np.float32], batch: int) -> tuple[Array, Array]:
    """Return mean and standard deviation [C] of arrays [N, H, W, C], float32; 1 for a channel without variation.

    Two passes in double precision, `batch` examples at a time.
    """
    channels = numbers.shape[-1]
    parts = [numbers[start : start + batch].reshape(-1, channels) for start in range(0, len(numbers), batch)]
    count = numbers.size // channels
    mean = sum((part.sum(axis=0, dtype=np.float64) for part in parts), start=np.zeros(channels)) / count
    squares = sum((np.square(part - mean).sum(axis=0) for part in parts), start=np.zeros(channels))
    std = np.sqrt(squares / count)
    varies = std > 1e-6 * np.abs(mean)
    return mean.astype(np.float32), np.where(varies, std, 1).astype(np.float32)
