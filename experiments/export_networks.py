"""Networks for the checks of exports, and random weights for them that give logits of size 1."""

from collections.abc import Iterator, Sequence

import numpy as np

from nas.arch import ArchSpec
from nas.export.weights import logits
from nas.nn.network import weight_shapes
from nas.zoo import reference
from search_spaces.uib import SPACE


def networks(names: Sequence[str], count: int, seed: int, resolution: int | None) -> Iterator[tuple[str, ArchSpec]]:
    """Yield the networks with their names: references, then `count` random ones of the UIB space."""
    for name in names:
        yield name, reference(name, resolution=resolution)
    for i, genotype in enumerate(SPACE.sample(np.random.default_rng(seed), count)):
        yield f"random UIB {i}", SPACE.decode(genotype)


def scaled_weights(arch: ArchSpec, images: np.ndarray) -> dict[str, np.ndarray]:
    """Return random weights of which every tensor changes the logits, scaled to logits of size 1 on `images`."""
    rng, weights = np.random.default_rng(1), {}
    for name, shape in weight_shapes(arch).items():
        kind = name.rpartition(".")[2]
        value = rng.normal(size=shape).astype(np.float32)
        if kind == "weight":
            fan_in = np.prod(shape[:2] if len(shape) == 3 else shape[:-1])
            value *= np.float32(fan_in**-0.5)  # He's 2 / fan_in lets scores of attention grow to 40,000
        elif kind in ("scale", "var", "gamma"):
            value = (1 + 0.1 * value if kind != "var" else np.abs(1 + 0.1 * value)).astype(np.float32)
        else:
            value *= np.float32(0.1)
        weights[name] = value
    scale = np.float32(1 / np.abs(logits(arch, weights, images)).max())
    for name in ("head.classifier.weight", "head.classifier.bias"):
        weights[name] = weights[name] * scale
    return weights
