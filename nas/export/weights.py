"""The weights that an exporter writes, their provenance, and the logits that the written model must give."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from flax import nnx
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.data.input_spec import InputSpec
from nas.errors import InvalidInput
from nas.nn.network import (
    abstract_network,
    check_weights,
    get_weights,
    random_network,
    set_weights,
)

FILE = "weights.safetensors"  # in the folder of a training
RANDOM = "random initialisation"
BATCH = 64  # images at once
SEED = 0  # of the random initialisation, and of the images of a check


def checked_weights(
    arch: ArchSpec, weights: Mapping[str, Any] | None, provenance: Mapping[str, str] | None
) -> tuple[Mapping[str, Any], dict[str, str]]:
    """Return the weights to write with their provenance; where `weights` is None, a random initialisation.

    `InvalidInput` where the weights do not fit `arch`, have no origin, or were made for another spec: above all for a
    proxy, whose shapes may even fit.
    """
    known = dict(provenance or {})
    if weights is None:
        known |= {"arch": arch.digest, "origin": f"{RANDOM}, seed {SEED}"}
        weights = get_weights(random_network(arch, SEED))
    if known.get("arch") != arch.digest:
        other = f"{known['arch']:.12}" if "arch" in known else "unknown"
        raise InvalidInput(
            f"these weights are of another spec ({other}, not {arch.digest:.12}); a proxy's weights are not the "
            "target network's: train that one with nas train, or export without weights"
        )
    if not known.get("origin"):
        raise InvalidInput("weights need an origin in their provenance, such as 'trained'")
    check_weights(arch, weights)
    return weights, known


def weights_messages(provenance: Mapping[str, str]) -> list[str]:
    """Return the lines to print about the weights: their origin, and a warning for a random initialisation."""
    untrained = [f"no weights were given: these are a {RANDOM}, and the model predicts nothing yet"]
    return [f"weights: {provenance['origin']}", *(untrained if RANDOM in provenance["origin"] else [])]


def fixed_images(arch: ArchSpec) -> NDArray[np.float32]:
    """Return the same two images [2, H, W, C] every time."""
    return np.random.default_rng(SEED).normal(size=(2, *arch.input_shape)).astype(np.float32)


def check_images(arch: ArchSpec, pixels: InputSpec | None) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Return the same two images every time as a file takes them and normalised, uint8 where `pixels` are given."""
    if pixels is None:
        return (images := fixed_images(arch)), images
    sampled = np.random.default_rng(SEED).integers(0, 256, size=(2, *arch.input_shape)).astype(np.uint8)
    return sampled, pixels.normalised(sampled)


def logits(arch: ArchSpec, weights: Mapping[str, Any], images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the logits [N, classes] of this package's network for images [N, H, W, C], computed on the CPU."""
    with jax.default_device(jax.devices("cpu")[0]):
        network = abstract_network(arch)
        set_weights(network, weights)
        run = nnx.jit(lambda network, x: network(x))
        found = [np.asarray(run(network, jax.numpy.asarray(batch))) for batch in _batches(images)]
    return np.concatenate(found)[: len(images)]


def _batches(images: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Yield the images `BATCH` at a time, the last batch filled up with zeros: one compilation serves all."""
    size = min(BATCH, len(images))
    for start in range(0, len(images), size):
        batch = images[start : start + size]
        yield np.pad(batch, [(0, size - len(batch)), (0, 0), (0, 0), (0, 0)])


def difference(found: NDArray[Any], expected: NDArray[Any]) -> tuple[float, float]:
    """Return max|y - y*| and the same relative to max|y*|; infinite where shapes differ or `found` is not finite."""
    if found.shape != expected.shape or not np.isfinite(found).all():
        return float("inf"), float("inf")
    absolute, largest = float(np.abs(found - expected).max()), float(np.abs(expected).max())
    return absolute, absolute / largest if largest else float(np.abs(found).max())
