"""`Network`: the Flax NNX network of any `ArchSpec`, and its weights as a flat dictionary and as a file.

Weights are keyed "<name of a kernel of arch.kernels>.<tensor>", such as "3.0.expand.weight" or "head.classifier.bias";
nas.nn.layers says which tensors there are. A file of weights carries the digest of its architecture.
"""

from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.files import check_memory
from nas.nn import layers
from nas.nn.blocks.head import HeadBlock
from nas.nn.primitives import batch_moments
from nas.nn.weight_file import read_tensors, write_tensors
from nas.ops import Op, family_of

TENSORS = ("weight", "shift", "scale", "bias", "mean", "var", "gamma", "v")  # the order within a kernel
CLASSIFIER = ("head.classifier.weight", "head.classifier.bias")  # [features, outputs] and [outputs]
FLOAT32_BYTES = 4
STATISTICS = (".mean", ".var")

Weights = dict[str, Array]
Moments = dict[str, tuple[Array, Array]]  # kernel name -> mean and biased variance [C] in front of its normalisation


class Network(nnx.Module):
    """The network of `arch` with a random initialisation: He normal by fan-out, small classifier, norm scales of 1."""

    def __init__(self, arch: ArchSpec, rngs: nnx.Rngs) -> None:
        common: dict[str, Any] = {"padding": arch.padding, "norm_eps": arch.norm_eps, "rngs": rngs}
        modules = [
            block_of(op, shape.channels, **common, **({"is_sequence": True} if is_sequence else {}))
            for (_, op, shape), is_sequence in zip(arch.iter_ops(), arch.sequences[:-1], strict=True)
        ]
        remaining = iter(modules)
        self.stages = nnx.List([nnx.List([next(remaining) for _ in stage]) for stage in arch.stages])
        self.head = HeadBlock(arch.final_feature_map.channels, arch.num_classes, **asdict(arch.head), **common)
        self.arch = arch

    def __call__(self, x: Array, *, batch_stats: bool = False) -> Array:
        """Return float32 logits [N, classes] for images `x` [N, H, W, C], computed in the dtype of `x`.

        `batch_stats` normalises with the batch's own statistics (training, stateless) instead of the stored ones.
        """
        return self.run(x, layers.batch_statistics if batch_stats else layers.stored_statistics)

    def run(self, x: Array, normalise: layers.Normalise, frozen: int = 0) -> Array:
        """Return the logits, with `normalise` in place of every normalisation but those of the first `frozen` stages.

        Those are by stored statistics.
        """
        if x.ndim != 4 or x.shape[1:] != tuple(self.arch.input_shape):
            raise InvalidInput(
                f"the network takes images of shape [N, {', '.join(map(str, self.arch.input_shape))}], "
                f"got {list(x.shape)}"
            )
        for number, stage in enumerate(self.stages):
            for block in stage:
                x = block(x, layers.stored_statistics if number < frozen else normalise)
        return self.head(x, normalise)

    def moments(self, x: Array, frozen: int = 0) -> Moments:
        """Return the mean and variance in front of every layer that stores statistics, under those of the batch.

        Those of the first `frozen` stages, which run under the stored ones, are left out.
        """
        found: list[tuple[Array, Array]] = []

        def record(layer: layers.Normed, y: Array) -> Array:
            if layer.var is not None:
                found.append(batch_moments(y))
            return layers.batch_statistics(layer, y)

        self.run(x, record, frozen)
        names = [name.removesuffix(".var") for name in weight_shapes(self.arch) if name.endswith(".var")]
        return dict(zip(names[len(names) - len(found) :], found, strict=True))


def block_of(op: Op, in_channels: int, **common: Any) -> Any:
    """Return the Flax block of an op on `in_channels`; `common` holds padding, norm_eps and rngs, is_sequence too."""
    return family_of(op).load_block()(in_channels, **op.arguments(), **common)


def merged(arch: ArchSpec, weights: Mapping[str, Array]) -> Network:
    """Return the network of `arch` with these `weights`, at no run time under `jit` and `grad`.

    Stored statistics may be left out, for training with those of the batch: they are then mean 0 and variance 1.
    """
    definition, variables = _abstract_state(arch)
    flat = {}
    for path, variable in variables.items():
        name = _name(path)
        if name.endswith(STATISTICS) and name not in weights:
            flat[path] = variable.replace(jnp.full(variable.shape, float(name.endswith(".var"))))
        else:
            flat[path] = variable.replace(weights[name])
    network: Network = nnx.merge(definition, nnx.from_flat_state(flat))
    return network


@lru_cache(maxsize=64)
def _abstract_state(arch: ArchSpec) -> tuple[Any, dict[tuple[Any, ...], Any]]:
    """Return the graph definition of the network of `arch` and its variables by path, with shapes for tensors."""
    definition, state = nnx.split(abstract_network(arch))
    return definition, dict(nnx.to_flat_state(state))


def split_statistics(weights: Mapping[str, Array]) -> tuple[Weights, Weights]:
    """Return (trainable parameters, stored means and variances)."""
    statistics = {name: value for name, value in weights.items() if name.endswith(STATISTICS)}
    return {name: value for name, value in weights.items() if name not in statistics}, statistics


def get_weights(network: Network) -> Weights:
    """Return all tensors of the network by name, in the order of the kernels: parameters and stored statistics."""
    return {name: variable.get_value() for name, variable in _variables(network).items()}


def zero_init_residuals(arch: ArchSpec, weights: Weights) -> Weights:
    """Return `weights` with a scale of 0 in the last normalisation in front of every residual addition.

    Each such block is the identity at first (arXiv 1706.02677, section 5.1), which makes deep networks train as fast as
    shallow ones at first. An addition behind a layer scale is left alone: that begins near 0 already.
    """
    names = [kernel.name for kernel in arch.kernels]
    before_add = [before for before, name in pairwise(names) if name.endswith(".add")]
    ends = {f"{name}.scale" for name in before_add if f"{name}.gamma" not in weights}
    return {name: jax.device_put(np.zeros_like(value)) if name in ends else value for name, value in weights.items()}


def statistics_of(arch: ArchSpec, moments: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
    """Return moments as the statistics that the layers of `arch` store: means and variances, of EvoNorm-B0 no mean."""
    shapes = weight_shapes(arch)
    named = {f"{name}.mean": mean for name, (mean, _) in moments.items()}
    named |= {f"{name}.var": var for name, (_, var) in moments.items()}
    return {name: value for name, value in named.items() if name in shapes}


def set_weights(network: Network, weights: Mapping[str, Any]) -> None:
    """Give the network the `weights`; names and shapes must be exactly its own, else `InvalidInput`."""
    variables = _variables(network)
    check_weights(network.arch, weights)
    for name, variable in variables.items():
        variable.set_value(jax.device_put(np.array(weights[name], np.float32)))


def random_network(arch: ArchSpec, seed: int) -> Network:
    """Return the network of `arch` with random weights; `InvalidInput` where the memory does not hold them."""
    check_memory(FLOAT32_BYTES * (arch.params + arch.peak_activation_elements), f"the architecture {arch.name}")
    return Network(arch, nnx.Rngs(seed))


def abstract_network(arch: ArchSpec) -> Network:
    """Return the network of `arch` with shapes in place of tensors: `set_weights` or `merged` fill them."""
    network: Network = nnx.eval_shape(lambda: Network(arch, layers.NoNumbers(0)))
    return network


def weight_shapes(arch: ArchSpec) -> dict[str, tuple[int, ...]]:
    """Return name and shape of every tensor of the network of `arch`, in the order of the kernels."""
    return dict(_weight_shapes(arch))


@lru_cache(maxsize=64)
def _weight_shapes(arch: ArchSpec) -> tuple[tuple[str, tuple[int, ...]], ...]:
    network = abstract_network(arch)
    return tuple((name, tuple(variable.shape)) for name, variable in _variables(network).items())


def check_weights(arch: ArchSpec, weights: Mapping[str, Any]) -> None:
    """Raise `InvalidInput` unless `weights` holds exactly the finite tensors of the network of `arch`."""
    shapes = weight_shapes(arch)
    if missing := [name for name in shapes if name not in weights]:
        raise InvalidInput(f"the weights lack '{missing[0]}' ({len(missing)} tensors missing); they fit another spec")
    if extra := [name for name in weights if name not in shapes]:
        raise InvalidInput(f"the weights hold '{extra[0]}' ({len(extra)} tensors too many); they fit another spec")
    for name, shape in shapes.items():
        if tuple(weights[name].shape) != shape:
            raise InvalidInput(f"weight '{name}' must have the shape {list(shape)}, got {list(weights[name].shape)}")


def save_weights(path: Path, weights: Mapping[str, Any], arch: ArchSpec, origin: str) -> None:
    """Write `weights` as safetensors with the digest of `arch` and their `origin` ("trained", "random initialisation").

    The same weights give the same bytes. `InvalidInput` where they do not fit `arch` or the file cannot be written.
    """
    check_weights(arch, weights)
    arrays = {name: np.asarray(value, np.float32) for name, value in weights.items()}
    write_tensors(path, arrays, {"arch": arch.digest, "origin": origin})


def load_weights(path: Path, arch: ArchSpec) -> tuple[dict[str, np.ndarray[Any, np.dtype[np.float32]]], str]:
    """Return the weights in `path` and their origin; `InvalidInput` where the file is corrupt or of another spec."""
    weights, about = read_tensors(path)
    if not {"arch", "origin"} <= set(about):
        raise InvalidInput(f"{path} is no file of weights that this program wrote: it names no spec; write it again")
    if about["arch"] != arch.digest:
        raise InvalidInput(f"{path} holds weights of another architecture ({about['arch']:.12}, not {arch.digest:.12})")
    try:
        check_weights(arch, weights)
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error}") from error
    return weights, about["origin"]


def _variables(network: Network) -> dict[str, nnx.Variable[Any]]:
    """Return the network's variables by name, in the order of the kernels."""
    kernels = {kernel.name: index for index, kernel in enumerate(network.arch.kernels)}
    found = {}
    for path, node in nnx.iter_graph(network):
        if isinstance(node, (nnx.Param, nnx.BatchStat)):
            found[_name(path)] = node

    def position(name: str) -> tuple[int, int]:
        kernel, _, tensor = name.rpartition(".")
        return kernels[kernel], TENSORS.index(tensor)

    return {name: found[name] for name in sorted(found, key=position)}


def _name(path: tuple[Any, ...]) -> str:
    """Return the name of the tensor at a module path such as ("stages", 3, 0, "expand", "weight")."""
    return ".".join(str(key) for key in path if key != "stages")
