"""Single layers against outside implementations: the values of golden/layers.npz (tensors in torch's order)."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from numpy.typing import NDArray

from nas.nn import layers
from nas.nn.blocks.excitation import ExcitedBlock
from nas.nn.blocks.grouped import apply_grouped, mixed_depthwise
from nas.nn.blocks.mobile_mqa import MobileMQABlock
from nas.nn.layers import Norm, stored_statistics

Array = NDArray[np.float32]
COMMON: dict[str, Any] = {"padding": "symmetric", "norm_eps": 1e-5, "rngs": nnx.Rngs(0)}
NORM = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}


@cache
def golden(layer: str) -> tuple[dict[str, Array], Array, Array]:
    """Return tensors by name, input and output [N, H, W, C] of one layer."""
    with np.load(Path(__file__).parent / "golden" / "layers.npz") as found:
        tensors = {key.split("/")[-1]: found[key] for key in found.files if key.startswith(f"{layer}/p0/")}
        x, y = (found[f"{layer}/{key}"].transpose(0, 2, 3, 1) for key in "xy")
    return tensors, x, y


def put(layer: Any, tensors: dict[str, Array]) -> None:
    """Give a layer the tensors by their names in it, all of them; 1x1 and depthwise weights from torch's order."""
    for name, values in tensors.items():
        ours = values
        if name == "weight":
            one = values.shape[2:] == (1, 1)
            ours = values[:, :, 0, 0].T if one else values[:, 0].transpose(1, 2, 0)
        getattr(layer, name).set_value(jnp.asarray(ours))


def assert_close(found: Any, expected: Array) -> None:
    assert np.abs(np.asarray(found) - expected).max() <= 2e-6 * np.abs(expected).max()


def evonorm(act: str, tensors: dict[str, Array]) -> Norm:
    layer = Norm(16, act=act, norm_eps=1e-3 if act == "evonorm_b0" else 1e-5)  # those of timm
    put(layer, {"scale": tensors["weight"], "bias": tensors["bias"], "v": tensors["v"]})
    if act == "evonorm_b0":
        put(layer, {"var": tensors["running_var"]})
    return layer


def test_evonorm_b0_with_its_stored_variance() -> None:
    tensors, x, y = golden("evonorm_b0_eval")
    assert_close(evonorm("evonorm_b0", tensors)(jnp.asarray(x), stored_statistics), y)


def test_evonorm_s0_in_8_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "EVONORM_GROUPS", 8)
    tensors, x, y = golden("evonorm_s0_g8")
    layer = evonorm("evonorm_s0", tensors)
    assert_close(layer(jnp.asarray(x), stored_statistics), y)
    alone = [layer(jnp.asarray(x[i : i + 1]), layers.batch_statistics) for i in range(len(x))]
    assert_close(np.concatenate(alone), y)  # no statistics of the batch: one image gives the same as several


def test_evonorm_b0_trains_with_the_variance_of_the_batch() -> None:
    tensors, x, _ = golden("evonorm_b0_eval")
    layer = evonorm("evonorm_b0", tensors)
    ours = layer(jnp.asarray(x), layers.batch_statistics)
    put(layer, {"var": x.var((0, 1, 2))})
    assert_close(ours, np.asarray(layer(jnp.asarray(x), stored_statistics)))


def test_depthwise_convolution_of_three_kernel_sizes() -> None:
    tensors, x, y = golden("mixconv_3_5_7_c20")
    block = mixed_depthwise(20, (3, 5, 7), 1, padding="symmetric", norm_eps=1e-5, rngs=nnx.Rngs(0))
    for i, layer in enumerate(block):
        put(layer, {"weight": tensors[f"{i}.weight"]})
    found = apply_grouped(block, jnp.asarray(x), lambda layer, y: y)
    assert_close(found, y)


def excited(width: int, **fields: Any) -> ExcitedBlock:
    block = ExcitedBlock()
    gates = {"se_channels": 0, "se_act": "relu", "se_gate": "sigmoid", "ca_channels": 0} | fields
    block.add_excitation(width, **gates, **COMMON)
    return block


def test_squeeze_excite() -> None:
    tensors, x, y = golden("se_c32")
    block = excited(32, se_channels=8, se_gate="hard_sigmoid")
    for theirs, ours in (("fc1", block.se_reduce), ("fc2", block.se_expand)):
        put(ours, {key: tensors[f"{theirs}.{key}"] for key in ("weight", "bias")})
    assert_close(block.excite(jnp.asarray(x), stored_statistics), y)


def test_coordinate_attention_on_a_map_that_is_no_square() -> None:
    tensors, x, y = golden("coordatt_houqb_c64")
    block = excited(64, ca_channels=8)
    put(block.ca_reduce, {"weight": tensors["conv1.weight"], "shift": tensors["conv1.bias"]})
    put(block.ca_reduce, {ours: tensors[f"bn1.{theirs}"] for theirs, ours in NORM.items() if ours != "weight"})
    for theirs, ours in (("conv_h", block.ca_height), ("conv_w", block.ca_width)):
        put(ours, {key: tensors[f"{theirs}.{key}"] for key in ("weight", "bias")})
    assert_close(block.excite(jnp.asarray(x), stored_statistics), y)


def test_multi_query_attention_with_strided_keys_and_values() -> None:
    tensors, x, y = golden("mqa2d_kv2_c64_h4")
    block = MobileMQABlock(64, 4, 16, 16, 2, residual=False, layer_scale=False, **COMMON)
    for name in ("query", "key", "value", "output"):
        put(getattr(block, name), {"weight": tensors[f"{name}.proj.weight"]})
    for name in ("key", "value"):
        layer = getattr(block, f"{name}_dw")
        put(layer, {"weight": tensors[f"{name}.down_conv.weight"]})
        put(layer, {ours: tensors[f"{name}.norm.{theirs}"] for theirs, ours in NORM.items()})
    normalise: Callable[..., Any] = stored_statistics
    found = block(jnp.asarray(x), lambda layer, y: y if layer is block.norm else normalise(layer, y))
    assert_close(found, y)
