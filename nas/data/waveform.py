"""Waveforms from .wav files: mono, 16 bits, at one rate and of one length. predict.py holds this code too.

Imports numpy and the standard library only.
"""

import wave
from pathlib import Path
from typing import Any

import numpy as np

from nas.errors import InvalidInput

FULL_SCALE = 1 << 15  # of 16-bit samples: this counts as 1


def read_wave(path: Path, sample_rate: int | None = None) -> tuple[Any, int]:
    """Return the samples int16 [T] of a .wav file, channels averaged, and their rate in Hz.

    With `sample_rate` they are resampled to it (`resampled`). Uncompressed PCM of 8 to 32 bits; `InvalidInput`, naming
    the file, for anything else.
    """
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            stated = file.getnframes()  # of a stream's header it may be more than there is
            data = file.readframes(min(stated, path.stat().st_size // max(1, width * channels)))
    except (wave.Error, EOFError, OSError) as error:
        why = str(error) or type(error).__name__
        raise InvalidInput(f"cannot read {path} as a .wav file: {why}; write it as 16-bit PCM") from error
    if width not in (1, 2, 3, 4) or rate < 1 or channels < 1:
        raise InvalidInput(f"{path} has samples of {width} bytes at {rate} Hz; write it as 16-bit PCM")
    whole = data[: len(data) // (width * channels) * width * channels]
    numbers = _decoded(whole, width).reshape(-1, channels).mean(axis=1)
    if not len(numbers):
        raise InvalidInput(f"{path} holds no samples; remove it")
    if sample_rate is not None and sample_rate != rate:
        numbers, rate = resampled(numbers, rate, sample_rate), sample_rate
    return as_samples(numbers), rate


def _decoded(data: bytes, width: int) -> Any:
    """Return PCM samples of `width` bytes as floats in [-1, 1)."""
    if width == 1:
        return (np.frombuffer(data, np.uint8).astype(np.float64) - 128) / 128
    if width == 3:
        parts = np.frombuffer(data, np.uint8).reshape(-1, 3).astype(np.int32)
        return ((parts[:, 0] << 8 | parts[:, 1] << 16 | parts[:, 2] << 24) >> 8) / float(1 << 23)
    return np.frombuffer(data, f"<i{width}").astype(np.float64) / float(1 << (8 * width - 1))


def as_samples(numbers: Any) -> Any:
    """Return floats within [-1, 1] as int16 samples, those beyond clipped."""
    return np.clip(np.rint(numbers * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def resampled(numbers: Any, rate: int, new_rate: int) -> Any:
    """Return a waveform [T] at another rate: its discrete Fourier series, cut off at the lower half rate.

    Band limited and without delay; the clip counts as one period, so that a jump between its ends rings there.
    """
    count = max(1, round(len(numbers) * new_rate / rate))
    spectrum = np.fft.rfft(numbers)
    kept = np.zeros(count // 2 + 1, complex)
    both = min(len(kept), len(spectrum))
    kept[:both] = spectrum[:both]
    if count != len(numbers) and min(count, len(numbers)) % 2 == 0:
        # The bin at half of the lower rate stands for both signs of its frequency.
        kept[both - 1] = kept[both - 1].real * (2 if count < len(numbers) else 0.5)
    return np.fft.irfft(kept, count) * (count / len(numbers))


def placed(samples: Any, length: int) -> Any:
    """Return waveforms [..., T] of another length: the middle of longer ones, shorter ones between equal silence."""
    before = (samples.shape[-1] - length) // 2
    if before >= 0:
        return samples[..., before : before + length]
    widths = [(0, 0)] * (samples.ndim - 1) + [(-before, length - samples.shape[-1] + before)]
    return np.pad(samples, widths)
