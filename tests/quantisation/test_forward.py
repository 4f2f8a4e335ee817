"""The fake-quantised forward pass: its gradients, its folding, and the int8 files that equal it within one step."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.arch import ArchSpec
from nas.export.weights import logits
from nas.quantisation.calibrate import calibrated_ranges
from nas.quantisation.forward import fake_quantised_outputs, output_step
from nas.quantisation.grid import HIGH, LOW, Grid, fake_quantised, grid_of, int_weights
from nas.quantisation.program import INPUT, folded, program_of
from nas.quantisation.sensitivity import SensitivityStudy
from tests.export.test_int8 import SMALL, scaled_weights
from tests.export.test_single_file import EACH, of

IMAGES = np.random.default_rng(5).normal(size=(8, *SMALL.input_shape)).astype(np.float32)
WEIGHTS = scaled_weights(SMALL)


def tensors(name: str, _: tuple[int, ...]) -> Any:
    return np.asarray(WEIGHTS[name])


@pytest.fixture(scope="module")
def ranges() -> dict[str, tuple[float, float]]:
    return calibrated_ranges(SMALL, tensors, [IMAGES])


@given(st.floats(-100, 0), st.floats(0.001, 100))
def test_a_grid_holds_0_exactly_and_both_ends_within_a_step(low: float, high: float) -> None:
    scale, zero = grid_of(low, high)
    ends = [float(scale * (q - zero)) for q in (LOW, HIGH)]
    assert zero == round(zero) and LOW <= zero <= HIGH
    assert ends[0] == pytest.approx(low, abs=scale) and ends[1] == pytest.approx(high, abs=scale)


def test_gradients_pass_inside_the_range_only() -> None:
    grid = Grid(jnp.float32(0.1), jnp.float32(-128))  # 0 to 25.5
    x = jnp.array([-1.0, -0.06, -0.04, 0.03, 12.34, 25.5, 25.56, 40.0])
    assert fake_quantised(x, grid) == pytest.approx([0, 0, 0, 0, 12.3, 25.5, 25.5, 25.5], abs=1e-5)
    gradient = jax.grad(lambda x: (fake_quantised(x, grid) * jnp.arange(1.0, 9)).sum())(x)
    assert gradient.tolist() == [0, 0, 3, 4, 5, 6, 0, 0]


def test_weights_are_symmetric_per_channel_and_pass_their_gradient() -> None:
    weight = np.random.default_rng(1).normal(size=(3, 3, 4, 6)) * np.arange(1, 7)
    ints = int_weights(weight, np.zeros(6), 0.5)
    assert (np.abs(ints.weight).max((0, 1, 2)) == HIGH).all()
    assert np.abs(ints.weight * ints.weight_scale - weight).max((0, 1, 2)) == pytest.approx(
        ints.weight_scale / 2, rel=0.2
    )
    traced = int_weights(jnp.asarray(weight, jnp.float32), jnp.zeros(6), jnp.float32(0.5))
    assert np.array_equal(traced.weight, ints.weight)

    def total(weight: jax.Array) -> jax.Array:
        ints = int_weights(weight, jnp.zeros(6), jnp.float32(0.5))
        return (ints.weight * jax.lax.stop_gradient(ints.weight_scale)).sum()

    assert jax.grad(total)(jnp.asarray(weight, jnp.float32)) == pytest.approx(1, rel=1e-4)


def norm_of(weights: Any, layer: str, arch: ArchSpec) -> tuple[np.ndarray, np.ndarray]:
    """What a layer's normalisation and layer scale do, written out: y -> factor (y - mean) + bias, per channel."""
    of = {key: np.asarray(weights[f"{layer}.{key}"], np.float64) for key in ("scale", "bias", "mean", "var")}
    gamma = np.asarray(weights.get(f"{layer}.gamma", 1.0), np.float64)
    return gamma * of["scale"] / np.sqrt(of["var"] + arch.norm_eps), gamma * of["bias"]


@pytest.mark.parametrize("op", ["small", *(name for name, op in EACH.items() if "evonorm" not in repr(op))])
def test_each_folded_layer_is_the_layer_and_its_normalisation(op: str) -> None:
    """In double precision to rounding, and to 1e-6 of the largest value as the float32 that files hold."""
    arch = SMALL if op == "small" else of(EACH[op])
    weights = scaled_weights(arch)
    normalised = 0
    for layer, (weight, bias) in folded(arch, lambda name, _: np.asarray(weights[name])).items():
        if f"{layer}.var" not in weights:
            continue
        own = weights.get(f"{layer}.weight", np.ones(weight.shape))  # the norm in front of attention has no weight
        plain = np.asarray(own, np.float64).reshape(weight.shape)
        x = np.random.default_rng(7).normal(size=(16, *weight.shape[:-1]))
        y, found = (np.tensordot(x, one, weight.ndim - 1) for one in (plain, weight))
        factor, shift = norm_of(weights, layer, arch)
        mean = np.asarray(weights[f"{layer}.mean"], np.float64)
        expected = factor * (y + np.asarray(weights.get(f"{layer}.shift", 0.0), np.float64) - mean) + shift
        assert np.abs(found + bias - expected).max() <= 1e-13 * np.abs(expected).max()
        written = np.tensordot(x, np.float32(weight).astype(np.float64), weight.ndim - 1) + np.float32(bias)
        assert np.abs(written - expected).max() <= 1e-6 * np.abs(expected).max()
        normalised += 1
    assert normalised == sum(name.endswith(".var") for name in weights)


def test_folding_is_exact(ranges: Any) -> None:
    expected = logits(SMALL, WEIGHTS, IMAGES)
    for scheme in ("integers", "functions"):
        layers = program_of(SMALL, scheme).layers
        found = fake_quantised_outputs(SMALL, tensors, {}, IMAGES, layers, scheme)
        assert np.abs(found - expected).max() <= 2e-6 * np.abs(expected).max()
    assert not np.allclose(fake_quantised_outputs(SMALL, tensors, ranges, IMAGES), expected, rtol=1e-3)


def tflite(
    arch: ArchSpec, ranges: Any, floats: frozenset[str], tensors: Any = tensors, images: np.ndarray = IMAGES
) -> np.ndarray:
    pytest.importorskip("ai_edge_litert")
    from nas.export.tflite.int8 import int8_logits_of, int8_model
    from nas.export.tflite.part_int8 import part_int8_model

    whole = part_int8_model(arch, tensors, ranges, floats, {}) if floats else int8_model(arch, tensors, ranges, {})
    return int8_logits_of(whole, images)


def onnx(
    arch: ArchSpec, ranges: Any, floats: frozenset[str], tensors: Any = tensors, images: np.ndarray = IMAGES
) -> np.ndarray:
    pytest.importorskip("onnxruntime")
    from nas.export.onnx.file import run
    from nas.export.onnx.graph import file_bytes
    from nas.export.onnx.qdq import qdq_model

    return run(file_bytes(qdq_model(arch, tensors, ranges, floats, {})), images)


@pytest.mark.parametrize(("file", "scheme"), [(tflite, "integers"), (onnx, "functions")])
@pytest.mark.parametrize(
    "blocks",
    [(), ("0.0",), ("0.1",), ("1.0.se_reduce",), ("1.1",), ("1.1.depthwise.0",), ("head.classifier",), ("0", "1")],
)
def test_a_file_equals_the_forward_pass_within_a_step(file: Any, scheme: Any, blocks: Any, ranges: Any) -> None:
    layers = program_of(SMALL, scheme).layers
    floats = frozenset(layer for layer in layers if layer.startswith(tuple(f"{one}." for one in blocks)))
    floats |= frozenset(blocks) & frozenset(layers)
    assert bool(floats) == bool(blocks)
    found = file(SMALL, ranges, floats)
    expected = fake_quantised_outputs(SMALL, tensors, ranges, IMAGES, floats, scheme)
    steps = np.abs(found - expected) / output_step(SMALL, ranges, scheme)
    if blocks:  # what a layer in floats gives is rounded otherwise, and may fall on the other side of a half
        assert (steps > 1.01).mean() < 0.05 and steps.max() < 2.01
    else:
        assert steps.max() < 1.01
    if not blocks:
        clipped = {name: (0.7 * low, 0.7 * high) for name, (low, high) in ranges.items()}
        other = fake_quantised_outputs(SMALL, tensors, clipped, IMAGES, floats, scheme)
        assert np.abs(found - other).max() > 3 * output_step(SMALL, ranges, scheme)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("file", "scheme", "share"), [(tflite, "integers", 0.02), (onnx, "functions", 0.4)])
def test_whole_files_equal_the_forward_pass_nearly_everywhere(
    file: Any, scheme: Any, share: float, seed: int, ranges: Any
) -> None:
    """In ranges of any size: a step that is rounded otherwise anywhere would change several outputs of an image.

    ONNX Runtime adds with float32 numbers that hold the zero points too: a sum near a half may fall on its other side.
    """
    factor = np.random.default_rng(seed).uniform(0.8, 1.2)
    images = np.random.default_rng(seed).normal(size=(16, *SMALL.input_shape)).astype(np.float32)
    other = {name: (factor * low, factor * high) for name, (low, high) in ranges.items()}
    found = file(SMALL, other, frozenset(), images=images)
    expected = fake_quantised_outputs(SMALL, tensors, other, images, (), scheme)
    assert (np.abs(found - expected) > 0.5 * output_step(SMALL, other, scheme)).mean() < share


OTHERS = [
    *((op, onnx, "functions") for op in ("conv-ca", "mqa", "gram-pool", "max-pool", "time-band-conv-acts")),
    *((op, tflite, "integers") for op in ("conv-ca", "log-mel-fft", "mixconv", "tucker-residual", "max-pool")),
]


@pytest.mark.parametrize(("op", "file", "scheme"), OTHERS)
def test_files_of_other_ops_equal_the_forward_pass(op: str, file: Any, scheme: Any) -> None:
    arch = of(EACH[op], "same")
    weights = scaled_weights(arch)
    images = np.random.default_rng(5).normal(size=(4, *arch.input_shape)).astype(np.float32)

    def own(name: str, _: tuple[int, ...]) -> Any:
        return np.asarray(weights[name])

    ranges = calibrated_ranges(arch, own, [images])
    found = file(arch, ranges, frozenset(), own, images)
    expected = fake_quantised_outputs(arch, own, ranges, images, (), scheme)
    assert np.abs(found - expected).max() < 1.01 * output_step(arch, ranges, scheme)


def test_a_tensor_has_a_grid_where_a_layer_in_int8_writes_or_reads_it() -> None:
    program = program_of(SMALL, "functions")
    only = frozenset(program.layers) - {"0.1.expand"}
    assert program.in_int8(only) == {"0.1.start_dw", "0.1.expand"}
    assert program.in_int8(frozenset(program.layers)) == frozenset()
    ends = {program.roots[INPUT], program.roots[program.output]}
    assert ends <= program_of(SMALL).in_int8(only)  # a file of integers takes and gives them
    assert ends & program.in_int8(only) == frozenset()


def test_a_damaged_layer_comes_first_and_is_the_one_kept_in_float32(ranges: Any) -> None:
    layer = "1.2.expand"
    damaged = ranges | {layer: (0.0, ranges[layer][1] / 50)}  # its outputs are clipped to a fiftieth
    labels = logits(SMALL, WEIGHTS, IMAGES).argmax(1)
    for given_labels in (labels, None):
        study = SensitivityStudy(SMALL, tensors, damaged, IMAGES, given_labels)
        found = study.by_layer()
        assert found[0].layer in (layer, "1.2.project")  # which reads what that writes
        assert {found[0].layer, found[1].layer} == {layer, "1.2.project"} or found[0].layer == layer
        assert found[0].error > 3 * found[2].error
    assert len(found) == len(study.program.weighted_layers)
    kept, left = SensitivityStudy(SMALL, tensors, damaged, IMAGES, labels).floats_within(0.0)
    assert layer in kept and left.drop_points == 0
