"""A space, a plan and pictures small enough that a test compiles in seconds."""

import numpy as np

from nas.data import Dataset, Labelled, build_dataset
from nas.ops import Shape
from nas.space import StagedSpace, stage

SPACE = StagedSpace(
    name="tiny",
    input_shape=Shape(32, 32, 3),
    num_classes=4,
    stem_filters=(8, 16),
    fused_filters=(8, 16),
    fused_expansions=(1.0, 2.0),
    stages=(stage((8, 16, 24), (1, 2)), stage((16, 32), (1, 2, 3))),
    features=32,
    hidden=32,
)


def pictures(count: int = 160, classes: int = 4, resolution: int = 8) -> Dataset:
    """Return grey pictures whose class is the quarter in which they are bright, with noise."""
    rng = np.random.default_rng(0)

    def draw(n: int) -> Labelled:
        y = np.arange(n) % classes
        x = rng.integers(0, 120, size=(n, resolution, resolution, 1))
        half = resolution // 2
        for i, label in enumerate(y):
            x[i, (label // 2) * half : (label // 2 + 1) * half, (label % 2) * half : (label % 2 + 1) * half] += 100
        return Labelled(x.astype(np.uint8), y.astype(np.int32))

    return build_dataset("quarters", draw(count), draw(count // 4))
