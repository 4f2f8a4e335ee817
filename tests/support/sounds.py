"""Sounds for tests: tones of four pitches with noise, as arrays, as an .npz file and as folders of .wav files."""

import wave
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

RATE = 2000  # Hz
SAMPLES = 400
PITCHES = (200.0, 400.0, 600.0, 800.0)  # Hz, one a class


def tones(per_class: int, seed: int = 0, classes: int = len(PITCHES)) -> tuple[NDArray[np.int16], NDArray[np.int32]]:
    """Return tones int16 [N, SAMPLES] at any phase and loudness, and their classes [N]."""
    rng = np.random.default_rng(seed)
    labels = np.tile(np.arange(classes), per_class).astype(np.int32)
    phase, loud = rng.uniform(0, 2 * np.pi, len(labels)), rng.uniform(0.2, 0.8, len(labels))
    angle = 2 * np.pi * np.array(PITCHES)[labels, None] * np.arange(SAMPLES) / RATE + phase[:, None]
    x = loud[:, None] * np.sin(angle) + rng.normal(0, 0.02, angle.shape)
    return (x * 32000).clip(-32768, 32767).astype(np.int16), labels


def tone_arrays(per_class: int = 12, speakers: int = 3) -> dict[str, Any]:
    """Return the arrays of a data set of tones: as many examples of each class and each speaker."""
    x, y = tones(per_class)
    x_test, y_test = tones(4, seed=1)
    of = np.array([f"voice{n // len(PITCHES) % speakers}" for n in range(len(y))])
    return {
        "x_train": x, "y_train": y, "x_test": x_test, "y_test": y_test, "sample_rate": np.int64(RATE),
        "speaker_train": of, "class_names": np.array(["low", "mid", "high", "top"]),
    }  # fmt: skip


def save_wave(path: Path, samples: NDArray[Any], rate: int = RATE, channels: int = 1, width: int = 2) -> Path:
    """Write samples as a .wav file; int16 ones, interleaved where there are several channels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return path
