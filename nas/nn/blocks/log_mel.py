"""The log-mel front end."""

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from nas.nn.layers import Normalise
from nas.ops.mel import fft_size_of, hann, mel_numbers


class LogMelBlock(nnx.Module):
    """Log-mel spectrogram of a waveform [N, T, 1, 1]: a map [N, frames, bands, 1], or a sequence [N, frames, 1, bands].

    No parameters. Computed in float32 whatever the dtype of the input is; the result has that dtype.
    """

    def __init__(
        self,
        in_channels: int,
        sample_rate: int,
        window: int,
        hop: int,
        bands: int,
        layout: str = "map",
        lower_hz: int = 0,
        upper_hz: int = 0,
        fft_size: int = 0,
        epsilon: float = 1e-6,
        transform: str = "matmul",
        **common: Any,
    ) -> None:
        if in_channels != 1:
            raise ValueError(f"a log-mel front end takes waveforms of one channel, got {in_channels}")
        self.settings = (sample_rate, window, bands, fft_size, lower_hz, upper_hz)
        self.window, self.hop, self.layout, self.epsilon = window, hop, layout, epsilon
        self.by_fft = transform == "fft"

    def __call__(self, x: Array, normalise: Normalise) -> Array:
        dft, mel, first = _matrices(self.settings, self.epsilon)
        starts = np.arange(0, x.shape[1] - self.window + 1, self.hop)
        frames = x[:, starts[:, None] + np.arange(self.window), 0, 0].astype(jnp.float32)
        with jax.default_matmul_precision("highest"):
            if self.by_fft:
                windowed = frames * hann(self.window).astype(np.float32)
                spectra = jnp.fft.rfft(windowed, self.settings[3] or fft_size_of(self.window))
                kept = spectra[..., first : first + len(mel)]
                powers = jnp.square(kept.real) + jnp.square(kept.imag)
            else:
                squares, bins = jnp.square(frames @ dft), len(mel)
                powers = squares[..., :bins] + squares[..., bins:]
            found = jnp.log(powers @ mel + 1).astype(x.dtype)
        return found[..., None] if self.layout == "map" else found[:, :, None]


@lru_cache(maxsize=16)
def _matrices(settings: tuple[int, ...], epsilon: float) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], int]:
    """Return the DFT and the filter bank divided by epsilon, float32, and the first bin that they hold."""
    dft, mel, first = mel_numbers(*settings)
    return dft.astype(np.float32), (mel / epsilon).astype(np.float32), first
