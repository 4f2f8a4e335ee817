"""A small data set of images in three classes by brightness, and a network trained on it as a teacher."""

from pathlib import Path

import numpy as np

from nas.arch import ArchSpec
from nas.data import load
from nas.training.loop import TrainingConfig, train


def make_taught(folder: Path, teacher: ArchSpec) -> Path:
    """Write data.npz, 45 training and 15 test images of 8 px, and the training teacher/; return the folder."""
    rng, y = np.random.default_rng(0), np.arange(60) % 3
    x = np.clip(rng.normal(60 + 60 * y[:, None, None, None], 20, size=(60, 8, 8, 3)), 0, 255).astype(np.uint8)
    np.savez(folder / "data.npz", x_train=x[:45], y_train=y[:45], x_test=x[45:], y_test=y[45:])
    train(teacher, load(str(folder / "data.npz")), TrainingConfig(1, 15), folder / "teacher")
    return folder
