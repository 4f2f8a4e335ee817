"""The reference networks for sounds: counts against their papers, and the Flax blocks of their ops."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nas.arch import ArchSpec
from nas.errors import InvalidInput, UnknownName
from nas.nn.network import get_weights, merged, random_network, split_statistics
from nas.ops import Conv, GramPool, Head, MaxPool, Op, Shape, TimeBandConv
from nas.records.networks import resolve
from nas.zoo.audio import AUDIO, audio_reference

# arXiv 1711.07128, Tab. 5: operations (two per MAC), and memory, the weights in bytes and the two largest maps.
HELLO_EDGE = [("ds-cnn-s", 5.4e6, 38.6e3), ("ds-cnn-m", 19.8e6, 189.2e3), ("ds-cnn-l", 56.9e6, 497.6e3)]


@pytest.mark.parametrize(("name", "operations", "memory"), HELLO_EDGE)
def test_ds_cnn_has_the_operations_and_the_memory_of_hello_edge(name: str, operations: float, memory: float) -> None:
    arch = audio_reference(name)
    assert 2 * arch.macs == pytest.approx(operations, rel=0.02)
    assert arch.params + arch.peak_activation_elements == pytest.approx(memory, rel=0.04)
    assert arch.input_shape == (49, 10, 1) and arch.num_classes == 12


def test_ds_cnn_s_has_the_macs_of_the_keyword_spotter_of_mlperf_tiny() -> None:
    from experiments.published_energy import keyword_spotting_macs

    assert audio_reference("ds-cnn-s").macs == keyword_spotting_macs()


def test_wav2small_has_10_806_trainable_parameters() -> None:
    arch = audio_reference("wav2small")
    assert arch.params == 10_806 and arch.final_feature_map == (1, 1, 338)
    weights, _ = split_statistics(get_weights(random_network(arch, 0)))
    assert sum(value.size for value in weights.values()) == 10_806


def network_of(*ops: Op, shape: Shape) -> tuple[ArchSpec, dict[str, jax.Array]]:
    arch = ArchSpec(shape, (ops,), Head(), 3)
    return arch, dict(get_weights(random_network(arch, 0)))


@pytest.mark.parametrize(
    "op", [MaxPool(), MaxPool(5, 3), GramPool(), TimeBandConv(6, 10, 4, 2, 1), TimeBandConv(6, 3, 2, 1, 2, "hswish")]
)
def test_flax_blocks_have_the_shapes_and_parameters_of_their_ops(op: Op) -> None:
    arch, weights = network_of(Conv(4, 1), op, shape=Shape(13, 9, 2))
    features = Head().classify(arch.final_feature_map, 3)[-1].in_shape.channels
    assert weights["head.classifier.weight"].shape[0] == features
    trainable, _ = split_statistics(weights)
    assert sum(value.size for value in trainable.values()) == arch.params
    x = np.random.default_rng(0).normal(size=(5, 13, 9, 2)).astype(np.float32)
    slopes = jax.grad(lambda w: (merged(arch, w)(x, batch_stats=True) ** 2).sum())(trainable)
    assert all(np.isfinite(slope).all() and np.abs(slope).max() > 0 for slope in slopes.values())


def test_max_pool_is_the_maximum_of_its_windows() -> None:
    from nas.nn.blocks.max_pool import MaxPoolBlock

    x = np.random.default_rng(0).normal(size=(1, 7, 6, 2)).astype(np.float32) - 5  # below the zeros of other paddings
    found = MaxPoolBlock(2)(jnp.asarray(x), lambda layer, y: y)
    assert found.shape == (1, 4, 3, 2)
    for i, j in np.ndindex(4, 3):
        window = x[0, max(0, 2 * i - 1) : 2 * i + 2, max(0, 2 * j - 1) : 2 * j + 2]
        np.testing.assert_array_equal(found[0, i, j], window.max((0, 1)))


def test_gram_pool_of_equal_frames_is_their_value_and_its_products() -> None:
    arch, weights = network_of(GramPool(), shape=Shape(5, 3, 2))
    frame = np.random.default_rng(1).normal(size=(1, 1, 3, 2)).astype(np.float32)
    value = frame[0, 0] @ np.asarray(weights["0.0.value.weight"])
    expected = np.concatenate([value.ravel(), (value.T @ value).ravel()])
    identity = {"head.classifier.weight": jnp.eye(len(expected))[:, :3], "head.classifier.bias": jnp.zeros(3)}
    logits = merged(arch, weights | identity)(np.repeat(frame, 5, axis=1), batch_stats=True)
    np.testing.assert_allclose(logits[0], expected[:3], rtol=1e-5)
    assert arch.params - 3 * (len(expected) + 1) == 2 * (2 * 2 + 2)


def test_the_convolution_over_time_and_bands_takes_maps_alone() -> None:
    with pytest.raises(InvalidInput, match="takes maps of frames x bands, got 20 steps; use conv"):
        ArchSpec(Shape(20, 1, 4), ((TimeBandConv(4, 3, 1),),), Head(), 2)


def test_names_resolve_and_mistakes_are_answered(tmp_path: Path) -> None:
    for name in AUDIO:
        assert resolve(name).arch == audio_reference(name)
    with pytest.raises(UnknownName, match="did you mean 'ds-cnn-s'"):
        resolve("ds-cnn-z")
    with pytest.raises(UnknownName, match="unknown reference network for sounds"):
        audio_reference("nothing")
