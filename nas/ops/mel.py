"""The matrices of a log-mel front end, in double precision; imports numpy only.

Both the op (nas.ops.log_mel), which writes them into graphs, and its Flax block use them; an exporter copies this file
into a stand-alone model. The mel scale is HTK's, 2595 log10(1 + f / 700), its triangles have height 1.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class MelNumbers(NamedTuple):
    """The constants of a front end: `dft` [window, 2 * bins], real parts in front, and `mel` [bins, bands].

    `bins` are those DFT bins alone that some band reads, `first_bin` on.
    """

    dft: NDArray[np.float64]
    mel: NDArray[np.float64]
    first_bin: int


def mel_of_hertz(hertz: Any) -> Any:
    """Return the pitch in mel of frequencies in Hz."""
    return 2595 * np.log10(1 + np.asarray(hertz, np.float64) / 700)


def hertz_of_mel(mel: Any) -> Any:
    """Return the frequencies in Hz of pitches in mel."""
    return 700 * (10 ** (np.asarray(mel, np.float64) / 2595) - 1)


def fft_size_of(window: int) -> int:
    """Return the smallest power of two that holds a window of so many samples."""
    return 1 << max(0, window - 1).bit_length()


def hann(window: int) -> NDArray[np.float64]:
    """Return the periodic Hann window of so many samples."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)


def filter_bank(sample_rate: int, fft_size: int, bands: int, lower_hz: int, upper_hz: int) -> NDArray[np.float64]:
    """Return the triangles [fft_size // 2 + 1, bands], equally spaced in mel from `lower_hz` to `upper_hz`.

    A band narrower than the distance of two DFT bins may hold none of them, and is then all 0.
    """
    edges = hertz_of_mel(np.linspace(mel_of_hertz(lower_hz), mel_of_hertz(upper_hz), bands + 2))
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    hertz = np.arange(fft_size // 2 + 1)[:, None] * (sample_rate / fft_size)
    rising, falling = (hertz - left) / (centre - left), (right - hertz) / (right - centre)
    return np.asarray(np.maximum(0, np.minimum(rising, falling)))


def mel_numbers(
    sample_rate: int, window: int, bands: int, fft_size: int = 0, lower_hz: int = 0, upper_hz: int = 0
) -> MelNumbers:
    """Return the matrices of a front end; 0 stands for the defaults: a power of two, 0 Hz, half of the sample rate.

    `frames @ dft` are the real and imaginary parts of the DFT of each frame under a Hann window, zero-padded to
    `fft_size`; the sum of their squares times `mel` are the powers of the bands.
    """
    size = fft_size or fft_size_of(window)
    mel = filter_bank(sample_rate, size, bands, lower_hz, upper_hz or sample_rate // 2)
    read = np.flatnonzero(mel.any(axis=1))
    first, last = (int(read[0]), int(read[-1])) if len(read) else (0, 0)
    bins = np.arange(first, last + 1)
    # An exact multiple of the circle is taken off in whole numbers first: angles stay below one turn.
    angle = 2 * np.pi * (np.arange(window)[:, None] * bins % size) / size
    dft = np.concatenate([np.cos(angle), -np.sin(angle)], axis=1) * hann(window)[:, None]
    return MelNumbers(dft, mel[first : last + 1], first)
