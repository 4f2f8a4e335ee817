"""The network of a spec: an outside implementation's logits to 1e-5, shapes and counts of any spec, weight files."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx
from hypothesis import given, settings

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.nn import layers
from nas.nn.network import (
    TENSORS,
    Network,
    block_of,
    check_weights,
    get_weights,
    load_weights,
    merged,
    random_network,
    save_weights,
    set_weights,
    weight_shapes,
)
from nas.ops import (
    FAMILIES,
    UIB,
    Conv,
    FusedIB,
    GramPool,
    Head,
    InvertedResidual,
    LogMel,
    MaxPool,
    MixConv,
    MobileMQA,
    SeparableConv,
    Shape,
    TimeBandConv,
    Tucker,
    op_class,
)
from nas.zoo import reference
from tests.support.strategies import archs

HERE = Path(__file__).parent
SHARED = HERE.parents[2] / "shared" / "reference" / "golden"
SEED = 20240416  # of the recipe in golden/README.md
OUTSIDE = {
    "mobilenetv4-conv-s": "mobilenetv4_conv_small",
    "mobilenetv4-hybrid-m": "mobilenetv4_hybrid_medium",
    "mobilenetv1": "mobilenetv1_100",
    "mobilenetv2": "mobilenetv2_100",
    "mobilenetv3-large": "mobilenetv3_large_100",
    "mnasnet-b1": "mnasnet_100",
    "efficientnet-b0": "efficientnet_b0",
    "mixnet-s": "mixnet_s",
    "mnasnet-a1": "semnasnet_100",
    "mixnet-m": "mixnet_m",
    "fd-mobilenet": "fdmobilenet_1x",
    "mobilenetv2-ca": "mobilenetv2_coordatt",
}
KINDS = {
    "weight": "fanin", "shift": "small", "scale": "scale", "bias": "small", "mean": "mean", "var": "var",
    "gamma": "small",
}  # fmt: skip


def torch_shape(name: str, shape: tuple[int, ...]) -> list[int]:
    """The shape of our tensor in torch's order; a 1x1 convolution is (out, in, 1, 1) there, a dense layer (out, in)."""
    if len(shape) == 4:
        return [shape[3], shape[2], *shape[:2]]
    if len(shape) == 3:
        return [shape[2], 1, *shape[:2]]
    if len(shape) == 2:
        return [shape[1], shape[0], *(() if name.startswith("head.classifier") else (1, 1))]
    return list(shape)


def draw(index: int, name: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Tensor number `index` of the recipe in our layout."""
    outside = torch_shape(name, shape)
    z = np.random.default_rng([SEED, index]).standard_normal(outside)
    kind = KINDS[name.rpartition(".")[2]]
    scaled = {
        "fanin": z * np.sqrt(1 / np.prod(outside[1:])),
        "scale": 1 + 0.1 * z,
        "small": 0.1 * z,
        "mean": 0.1 * z,
        "var": np.exp(0.2 * z),
    }[kind].astype(np.float32)
    if scaled.ndim == 4:
        scaled = scaled.transpose(2, 3, 1, 0)
    elif scaled.ndim == 2:
        scaled = scaled.T
    return scaled.reshape(shape)


def outside_order(arch: ArchSpec) -> list[list[str]]:
    """Our tensors' names in the outside network's order.

    A grouped convolution has all its weights first there, and one normalisation, which several of our tensors make up.
    """
    found: dict[str, list[str]] = {}
    for name in weight_shapes(arch):
        kernel, _, tensor = name.rpartition(".")
        whole = re.sub(r"(\D)\.\d+$", r"\1", kernel)
        key = name if tensor == "weight" else f"{whole}.{tensor}"
        found.setdefault(key, []).append(name)
    kernels = list(dict.fromkeys(re.sub(r"(\D)\.\d+$", r"\1", kernel.name) for kernel in arch.kernels))

    def place(key: str) -> tuple[int, int]:
        kernel, _, tensor = key.rpartition(".")
        return kernels.index(re.sub(r"(\D)\.\d+$", r"\1", kernel)), TENSORS.index(tensor)

    return [found[key] for key in sorted(found, key=place)]


def random_weights(arch: ArchSpec) -> dict[str, np.ndarray[Any, Any]]:
    """All tensors of the recipe by our names."""
    shapes, weights = weight_shapes(arch), {}
    for i, names in enumerate(outside_order(arch)):
        widths = [shapes[name][-1] for name in names]
        tensor = draw(i, names[0], (*shapes[names[0]][:-1], sum(widths)))
        for name, part in zip(names, np.split(tensor, np.cumsum(widths)[:-1], axis=-1), strict=True):
            weights[name] = part
    return weights


def run(arch: ArchSpec, weights: Mapping[str, Any], x: jax.Array, *, batch_stats: bool = False) -> jax.Array:
    """Logits of the network of `arch` with `weights`, compiled as a whole."""
    return jax.jit(lambda weights, x: merged(arch, weights)(x, batch_stats=batch_stats))(dict(weights), x)


@pytest.mark.parametrize("name", OUTSIDE)
def test_logits_equal_those_of_the_outside_network(name: str) -> None:
    arch = reference(name, resolution=224)
    weights = random_weights(arch)
    images = np.random.default_rng([SEED, 10**6]).standard_normal([2, 3, 224, 224]).astype(np.float32)
    expected = np.load(HERE / "golden" / f"{OUTSIDE[name]}.logits.npy")
    logits = run(arch, weights, jnp.asarray(images.transpose(0, 2, 3, 1)))
    assert np.abs(logits - expected).max() / np.abs(expected).max() <= 1e-5


@pytest.mark.parametrize("name", OUTSIDE)
def test_tensors_stand_in_the_order_of_the_outside_network(name: str) -> None:
    path = SHARED / f"{OUTSIDE[name]}.json"
    if not path.exists():
        pytest.skip("../shared is not beside the project: no outside tensor lists")
    outside = [(shape, kind) for _, shape, kind in json.loads(path.read_text())["tensors"]]
    arch = reference(name, resolution=224)
    shapes = weight_shapes(arch)
    ours = []
    for first, *others in outside_order(arch):
        shape = (*shapes[first][:-1], sum(shapes[each][-1] for each in (first, *others)))
        ours.append((torch_shape(first, shape), KINDS[first.rpartition(".")[2]]))
    assert ours == outside


BLOCKS = [
    Conv(6, 3, 2, "hswish"),
    Conv(6, 1, 2, "none"),
    FusedIB(4, 6, 3, 1, "relu", residual=True, layer_scale=True),
    UIB(6, 8, 5, 3, 2, "gelu"),
    UIB(6, 8, 3, 0, 2),
    UIB(4, 8, 0, 0, 1, residual=True, layer_scale=True),
    SeparableConv(6, 5, 2, "relu6"),
    InvertedResidual(6, 8, 5, 2, "hswish", se_channels=3),
    InvertedResidual(4, 0, 3, 1, residual=True),
    InvertedResidual(4, 8, 3, 1, "swish", 2, True, "swish", "sigmoid"),
    MixConv(6, 7, (3, 5, 9), 2, "swish", 2, 3, se_channels=2, se_act="swish"),
    MixConv(4, 6, (3,), 1, expand_groups=1, project_groups=2, residual=True),
    MobileMQA(2, 3, 5, kv_stride=2),
    MobileMQA(2, 3, 5, residual=False, layer_scale=False),
    Tucker(6, 2, 3, 5, 2),
    Tucker(4, 2, 3, 3, 1, "evonorm_s0", residual=True),
    Conv(6, 3, 2, "evonorm_b0"),
    Conv(6, 1, 1, "evonorm_s0"),
    SeparableConv(6, 3, 2, "hswish", (5, 1), 2, 3),
    SeparableConv(6, 5, 1, "evonorm_b0", (3,)),
    FusedIB(4, 6, residual=True, se_channels=2, se_act="swish"),
    FusedIB(6, 6, 5, 2, "evonorm_s0", ca_channels=3),
    UIB(6, 8, 5, 3, 2, start_mix=(3,), middle_mix=(5, 7), ca_channels=2),
    UIB(4, 8, 3, 0, 1, "evonorm_b0", residual=True, start_mix=(5, 7), se_channels=3, se_gate="hard_sigmoid"),
    InvertedResidual(4, 8, act="evonorm_s0", residual=True, ca_channels=3),
    MixConv(4, 0, (3, 5), act="evonorm_b0", residual=True, ca_channels=2),
    MixConv(6, 8, (3, 5), 2, "evonorm_s0", 2, 2),
]


def module(op: Any, padding: str = "symmetric") -> Any:
    return block_of(op, 4, padding=padding, norm_eps=1e-5, rngs=nnx.Rngs(0))


@pytest.mark.parametrize("op", BLOCKS, ids=repr)
@pytest.mark.parametrize("side", [7, 8])
def test_module_gives_the_shape_that_its_op_promises(op: Any, side: int) -> None:
    shape = Shape(side, side + 1, 4)
    x = jax.ShapeDtypeStruct((2, *shape), jnp.bfloat16)
    for padding in ("symmetric", "same"):
        for normalise in (layers.batch_statistics, layers.stored_statistics):

            def forward(x: jax.Array, padding: str = padding, normalise: layers.Normalise = normalise) -> jax.Array:
                return module(op, padding)(x, normalise)

            out = nnx.eval_shape(forward, x)
            assert out.shape == (2, *op.out_shape(shape))
            assert out.dtype == jnp.bfloat16


def test_every_family_is_tested() -> None:
    elsewhere = {LogMel, GramPool, MaxPool, TimeBandConv}  # tests/ops/test_log_mel.py, tests/zoo/test_audio.py
    assert {op_class(tag) for tag in FAMILIES} == {type(op) for op in BLOCKS} | elsewhere


@given(archs(max_ops=4))
@settings(max_examples=30)
def test_network_has_exactly_the_parameters_that_are_counted(arch: ArchSpec) -> None:
    shapes = weight_shapes(arch)
    trainable = [shape for name, shape in shapes.items() if not name.endswith((".mean", ".var"))]
    assert sum(int(np.prod(shape)) for shape in trainable) == arch.params
    kernels = {kernel.name: kernel for kernel in arch.kernels}
    assert {name.rpartition(".")[0] for name in shapes} == {name for name in kernels if kernels[name].params}
    for name, shape in shapes.items():
        if name.endswith(".weight"):
            assert int(np.prod(shape)) == kernels[name.removesuffix(".weight")].weights


TINY = ArchSpec(
    Shape(8, 8, 3),
    ((Conv(4, 3, 2),), (UIB(4, 8, 3, 3, residual=True, layer_scale=True), InvertedResidual(4, 8, se_channels=2)),
     (MobileMQA(2, 2, 2, kv_stride=2),)),
    Head(6), 3,
)  # fmt: skip


@pytest.fixture(scope="module")
def network() -> Network:
    return Network(TINY, nnx.Rngs(0))


def images(count: int, seed: int = 0) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), (count, *TINY.input_shape))


def test_padding_and_epsilon_of_the_spec_reach_the_network(network: Network) -> None:
    weights = get_weights(network)
    logits = run(TINY, weights, images(4))
    for other in (replace(TINY, padding="same"), replace(TINY, norm_eps=0.5)):
        assert jnp.abs(run(other, weights, images(4)) - logits).max() > 1e-3 * jnp.abs(logits).max()


@pytest.mark.parametrize("kernel_size", [3, 5])
def test_same_differs_from_symmetric_at_stride_2_on_even_sides_only(kernel_size: int) -> None:
    for side, stride, equal in ((8, 2, False), (7, 2, True), (8, 1, True)):
        x = jax.random.normal(jax.random.key(1), (1, side, side, 4))
        one, other = (module(Conv(3, kernel_size, stride, "none"), padding) for padding in ("symmetric", "same"))
        results = [block(x, layers.stored_statistics) for block in (one, other)]
        assert bool(np.allclose(*results)) is equal


def test_training_mode_leaves_the_network_as_it_was(network: Network) -> None:
    before = {name: np.asarray(value) for name, value in get_weights(network).items()}
    first = network(images(4), batch_stats=True)
    network(10 + images(4, 1), batch_stats=True)
    assert (network(images(4), batch_stats=True) == first).all()
    assert all((before[name] == value).all() for name, value in get_weights(network).items())


def test_stored_moments_of_a_batch_give_the_same_logits_as_its_own(network: Network) -> None:
    x = 2 + 3 * images(4)
    weights = get_weights(network)
    stored = dict(weights)
    for kernel, (mean, var) in jax.jit(lambda x: network.moments(x))(x).items():
        stored |= {f"{kernel}.mean": mean, f"{kernel}.var": var}
    np.testing.assert_allclose(run(TINY, stored, x), run(TINY, weights, x, batch_stats=True), rtol=1e-4, atol=1e-5)


def test_layer_scale_starts_at_1e_minus_5_so_that_a_residual_block_starts_as_identity() -> None:
    x = jax.random.normal(jax.random.key(0), (2, 6, 6, 4))
    for op in (UIB(4, 8, residual=True, layer_scale=True), MobileMQA(2, 2, 2)):
        block = module(op)
        change = jax.jit(partial(block, normalise=layers.batch_statistics))(x) - x
        assert 0 < jnp.abs(change).max() < 1e-3


def test_initialisation_is_he_normal_by_fan_out_and_fixed_by_the_seed() -> None:
    arch = ArchSpec(Shape(8, 8, 3), ((Conv(64, 3), UIB(64, 256, 5, 5)),), Head(), 100)
    weights, again, other = (get_weights(Network(arch, nnx.Rngs(seed))) for seed in (0, 0, 1))
    for name, std in {
        "0.0.conv.weight": (2 / (9 * 64)) ** 0.5,
        "0.1.start_dw.weight": (2 / 25) ** 0.5,
        "0.1.expand.weight": (2 / 256) ** 0.5,
        "head.classifier.weight": 0.01,
    }.items():
        assert float(weights[name].std()) == pytest.approx(std, rel=0.06)
        assert (weights[name] == again[name]).all()
        assert not (weights[name] == other[name]).any()
    assert (weights["0.1.expand.scale"] == 1).all() and (weights["0.1.expand.bias"] == 0).all()


def test_initialisation_is_the_same_under_a_trace() -> None:
    traced = jax.jit(lambda: get_weights(Network(TINY, nnx.Rngs(3))))()
    for name, value in get_weights(Network(TINY, nnx.Rngs(3))).items():
        np.testing.assert_allclose(value, traced[name], rtol=1e-6)


def test_images_of_another_shape_are_refused(network: Network) -> None:
    with pytest.raises(InvalidInput, match=r"takes images of shape \[N, 8, 8, 3\], got \[2, 8, 8, 1\]"):
        network(jnp.zeros((2, 8, 8, 1)))


def test_weights_in_a_file_come_back_bit_for_bit_and_write_the_same_bytes(network: Network, tmp_path: Path) -> None:
    weights = get_weights(network)
    save_weights(tmp_path / "one", weights, TINY, "random initialisation")
    loaded, origin = load_weights(tmp_path / "one", replace(TINY, name="renamed"))
    assert origin == "random initialisation"
    assert all((loaded[name] == weights[name]).all() for name in weights)
    save_weights(tmp_path / "two", dict(reversed(loaded.items())), TINY, origin)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_weights_of_another_spec_are_refused(network: Network, tmp_path: Path) -> None:
    save_weights(tmp_path / "w", get_weights(network), TINY, "trained")
    with pytest.raises(InvalidInput, match="holds weights of another architecture"):
        load_weights(tmp_path / "w", replace(TINY, padding="same"))


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "foreign", "missing"])
def test_damaged_file_of_weights_is_answered_in_one_line(network: Network, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "weights.safetensors"
    save_weights(path, get_weights(network), TINY, "trained")
    whole = path.read_bytes()
    foreign = safetensors.numpy.save({"a": np.zeros(3, np.float32)})
    content = {"empty": b"", "cut": whole[: len(whole) // 2], "text": b"weights " * 9, "foreign": foreign}
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(content[damage])
    with pytest.raises(InvalidInput) as caught:
        load_weights(path, TINY)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_weights_must_be_exactly_those_of_the_network(network: Network) -> None:
    weights = get_weights(network)
    name = "0.0.conv.weight"
    with pytest.raises(InvalidInput, match=rf"lack '{name}' \(1 tensors missing"):
        set_weights(network, {key: value for key, value in weights.items() if key != name})
    with pytest.raises(InvalidInput, match=r"hold 'other' \(1 tensors too many"):
        set_weights(network, weights | {"other": weights[name]})
    with pytest.raises(InvalidInput, match=r"must have the shape \[3, 3, 3, 4\], got \[4, 3, 3, 3\]"):
        set_weights(network, weights | {name: weights[name].T})
    check_weights(TINY, weights)


def test_weights_that_changed_after_they_were_written_are_refused(network: Network, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_weights(path, get_weights(network), TINY, "trained")
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match="was damaged after it was written"):
        load_weights(path, TINY)


def test_weights_without_a_digest_are_read_and_those_that_are_not_finite_refused(
    network: Network, tmp_path: Path
) -> None:
    path, about = tmp_path / "weights.safetensors", json.dumps({"arch": TINY.digest, "origin": "trained"})
    weights = {name: np.asarray(value) for name, value in get_weights(network).items()}
    path.write_bytes(safetensors.numpy.save(weights, {"nas.weights": about}))  # as release 0.1 wrote them
    assert load_weights(path, TINY)[1] == "trained"
    broken = weights | {"0.0.conv.weight": np.full_like(weights["0.0.conv.weight"], np.nan)}
    path.write_bytes(safetensors.numpy.save(broken, {"nas.weights": about}))
    with pytest.raises(InvalidInput, match=r"'0\.0\.conv\.weight' is not finite"):
        load_weights(path, TINY)


def test_a_network_that_the_memory_does_not_hold_is_refused_before_any_array(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.files.free_memory_bytes", lambda: 2**28)
    wide = ArchSpec(Shape(4, 4, 3), ((Conv(8192, 1), Conv(8192, 1)),), Head(), 10)
    with pytest.raises(InvalidInput, match="bytes of memory, and 268,435,456 are free"):
        random_network(wide, 0)
