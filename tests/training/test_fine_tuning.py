"""Frozen stages keep their bits, learning rates fall by stage, and what is left out at random in a training."""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nas.arch import ArchSpec
from nas.data import load
from nas.errors import InvalidInput
from nas.nn.network import get_weights, merged, random_network, split_statistics
from nas.ops import UIB, Conv, Head, Shape
from nas.training.config import TrainingConfig
from nas.training.fine_tuning import FineTuning
from nas.training.ingredients import Ingredients
from nas.training.loop import train
from nas.training.regularised import Regularisation, regularised
from tests.support.taught import make_taught

ARCH = ArchSpec(
    Shape(8, 8, 3), ((Conv(8, 3, 2),), (UIB(8, 16, 0, 3, 1, residual=True),), (UIB(16, 16, 0, 3, 1),)), Head(12), 3
)
X = jnp.asarray(np.random.default_rng(0).normal(size=(6, 8, 8, 3)), jnp.float32)


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    """Weights with statistics that are not those of a fresh network."""
    found = {name: np.asarray(value) for name, value in get_weights(random_network(ARCH, 0)).items()}
    moved = {name: value + np.float32(0.25) for name, value in found.items() if name.endswith((".mean", ".var"))}
    return found | moved


def test_frozen_stages_keep_weights_and_statistics_to_the_bit(weights: dict[str, np.ndarray], tmp_path: Path) -> None:
    folder = make_taught(tmp_path, ARCH)
    tuned = Ingredients(fine_tuning=FineTuning(2, 0.5), regularisation=Regularisation(0.2, 0.2))
    config = TrainingConfig(2, 15, ingredients=tuned)
    result = train(ARCH, load(str(folder / "data.npz")), config, tmp_path / "out", initial_weights=weights)
    for name, value in result.weights.items():
        same = np.array_equal(np.asarray(value), weights[name])
        assert same == name.startswith(("0.", "1.")) or name.endswith(".bias"), name
    assert any(name.startswith("1.") and name.endswith(".var") for name in result.weights)


def test_frozen_stages_need_trained_weights_and_must_be_there(weights: dict[str, np.ndarray], tmp_path: Path) -> None:
    data = load(str(make_taught(tmp_path, ARCH) / "data.npz"))
    frozen = TrainingConfig(1, 15, ingredients=Ingredients(fine_tuning=FineTuning(1)))
    with pytest.raises(InvalidInput, match="stages are frozen at weights that were trained"):
        train(ARCH, data, frozen, tmp_path / "random")
    with pytest.raises(InvalidInput, match="with their statistics"):
        train(ARCH, data, frozen, tmp_path / "half", initial_weights=split_statistics(weights)[0])
    four = replace(frozen, ingredients=Ingredients(fine_tuning=FineTuning(4)))
    with pytest.raises(InvalidInput, match="has 3 stages, of which 4 cannot be frozen"):
        train(ARCH, data, four, tmp_path / "four", initial_weights=weights)


def test_rates_fall_by_stage_towards_the_input() -> None:
    tuning = FineTuning(rate_decay=0.5)
    names = ("0.0.conv.weight", "1.0.expand.weight", "2.0.expand.weight", "head.classifier.weight")
    assert [tuning.rate(name, 3) for name in names] == [0.125, 0.25, 0.5, 1]
    params = {name: jnp.ones(2) for name in names}
    optimizer = tuning.scaled(optax.sgd(1.0), 3)
    updates, _ = optimizer.update(params, optimizer.init(params), params)
    assert [float(-updates[name][0]) for name in names] == [0.125, 0.25, 0.5, 1]
    plain = optax.sgd(1.0)
    assert FineTuning().scaled(plain, 3) is plain  # the state of other trainings stays as it was


def test_without_rates_the_network_is_the_plain_one(weights: dict[str, np.ndarray]) -> None:
    network = merged(ARCH, weights)
    plain = network(X, batch_stats=True)
    np.testing.assert_array_equal(regularised(network, X, jax.random.key(0), Regularisation()), plain)
    stored = regularised(network, X, jax.random.key(0), Regularisation(), frozen=3)
    one = jnp.concatenate([regularised(network, X[i : i + 3], jax.random.key(0), Regularisation(), 3) for i in (0, 3)])
    assert not np.allclose(stored, plain) and not np.allclose(stored, one)  # the head is under the batch's statistics
    bare = replace(ARCH, head=Head())
    own = {name: value for name, value in weights.items() if not name.startswith("head.hidden")}
    own["head.classifier.weight"] = np.ones((16, 3), np.float32)
    np.testing.assert_allclose(
        regularised(merged(bare, own), X, jax.random.key(0), Regularisation(), 3), merged(bare, own)(X), atol=1e-5
    )


def test_blocks_are_left_out_at_their_rate_and_the_mean_stays(weights: dict[str, np.ndarray]) -> None:
    assert Regularisation(0, 0.4).depth_rates(ARCH) == (0, 0.2, 0)  # the middle of three; the others have no residual
    assert Regularisation(0, 0.4, "flat").depth_rates(ARCH) == (0, 0.4, 0)
    network = merged(ARCH, weights)
    run = jax.jit(lambda key: regularised(network, X, key, Regularisation(0.5)))
    many = jax.vmap(run)(jax.random.split(jax.random.key(0), 400))
    plain = network(X, batch_stats=True)
    assert float(many.std(0).mean()) > 0
    np.testing.assert_allclose(many.mean(0), plain, atol=5 * float(many.std(0).max()) / 20)


@pytest.mark.parametrize("bad", [{"rate_decay": 0.0}, {"rate_decay": 1.5}, {"frozen_stages": -1}])
def test_bounds(bad: dict[str, float]) -> None:
    with pytest.raises(InvalidInput):
        FineTuning(**bad)  # type: ignore[arg-type]
