"""The same programs on several devices: batches are sharded, results equal those of one device, compiled once."""

import os
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from nas.nn.network import get_weights, merged, random_network
from nas.training import devices
from nas.training.devices import compute_dtype
from nas.training.step import ImageSplit
from tests.training.test_validation import ARCH

SCRIPT = """
import jax, jax.numpy as jnp, numpy as np
from nas.supernet import joint
from nas.training.devices import device_sharding, replicated
from tests.supernet.test_supernet import search_stage
assert len(jax.devices()) == 2
stage, graph, params, data = search_stage("coarse", steps=4)
rng = np.random.default_rng(0)
rows = [(rng.integers(0, 160, (2, 2, 16)), rng.integers(0, 40, (2, 16))) for _ in range(2)]
def run(devices):
    run_steps = joint.compile_steps(stage, graph, devices)
    state, images = replicated((joint.init_state(stage, params), data), devices)
    for train, val in rows:
        arrays = replicated((jnp.asarray(train), jnp.asarray(val)), devices)
        state, report = run_steps(state, images, *arrays)
        losses.extend(report.loss.tolist())
    assert run_steps._cache_size() == 1
    return state, losses
losses = []
one, first = run(None)
losses = []
two, second = run(device_sharding())
assert len(two.params["head.bias"].sharding.device_set) == 2
np.testing.assert_allclose(first, second, rtol=2e-3)  # Adam's first steps amplify rounding: weights differ more
print("equal")
"""

TRAINING = """
import sys, jax, numpy as np
from pathlib import Path
from nas.data import load
from nas.training import loop
from nas.training.recipe import Overrides, load_recipe, resolved
from tests.support.taught import make_taught
from tests.training.test_validation import ARCH
assert len(jax.devices()) == 2
folder = Path(sys.argv[1])
data = load(str(make_taught(folder, ARCH) / "data.npz"))
def run(name):
    config = resolved(load_recipe("small-data"), Overrides(2, 14))
    seen = []
    result = loop.train(ARCH, data, config, folder / name, lambda event: seen.append(event.loss))
    return np.array(seen), result
two, split = run("two")
loop.batch_devices = lambda _: 1
one, whole = run("one")
np.testing.assert_allclose(one[:2], two[:2], rtol=1e-4)  # the same images and the same dropout
for name in whole.weights:
    np.testing.assert_allclose(whole.weights[name], split.weights[name], atol=0.05)
print("equal")
"""


def two_devices(root: Path, *words: str) -> str:
    """Return what a script prints that runs where there are two devices; `words` are it and its arguments."""
    environment = {
        **os.environ,
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0",
        "PYTHONPATH": str(root),
    }
    done = subprocess.run(
        [sys.executable, "-c", *words], cwd=root, env=environment, capture_output=True, text=True, timeout=600
    )
    return done.stdout.strip() or done.stderr[-2000:]


def test_a_training_on_two_devices_is_that_on_one(root: Path, tmp_path: Path) -> None:
    assert two_devices(root, TRAINING, str(tmp_path)) == "equal"


def test_two_devices_give_what_one_gives(root: Path) -> None:
    assert two_devices(root, SCRIPT) == "equal"


def test_precision_is_that_of_activations_and_batches_are_split_where_devices_divide_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    split = ImageSplit(jnp.asarray(rng.integers(0, 256, (8, 8, 8, 3)), jnp.uint8), jnp.zeros(8), 0.5, 0.25)  # type: ignore[arg-type]
    weights = get_weights(random_network(ARCH, 0))
    assert split.inputs(split.x, ARCH).dtype == compute_dtype() == jnp.float32
    whole, half = (
        merged(ARCH, weights)(split.inputs(split.x, ARCH, precision), batch_stats=True)
        for precision in ("float32", "bfloat16")
    )
    assert half.dtype == jnp.float32 and not np.array_equal(whole, half)
    np.testing.assert_allclose(half, whole, atol=0.02)
    monkeypatch.setattr(devices.jax, "devices", lambda: [0, 1, 2, 3])
    assert (devices.batch_devices(128), devices.batch_devices(30)) == (4, 1)
