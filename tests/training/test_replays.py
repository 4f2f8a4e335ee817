"""Samples on the device: what a step sees is what was stored, whatever the batch."""

import jax
import numpy as np

from nas.data.reinforced import Replays
from nas.data.replay import Recipe, draw, in_pixels, replayed
from nas.ops import Size
from nas.training.replays import ReplayTable

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 8, 10, 3)).astype(np.uint8)


def test_a_step_sees_a_stored_image_beside_its_own_probabilities() -> None:
    samples = draw(Recipe(), np.arange(7), 7, 3, 0)
    said = np.random.default_rng(1).dirichlet(np.ones(5), (7, 3)).astype(np.float32)
    classes = np.argsort(-said, axis=-1)[..., :2].astype(np.int32)
    replays = Replays(samples, classes, np.take_along_axis(said, classes, -1))
    table, size = ReplayTable.of(replays, Size(8, 10)), Size(8, 10)
    rows = np.array([4, 0, 4, 6, 1])
    step = jax.jit(lambda key, rows: table.batch(key, jax.numpy.asarray(IMAGES), rows, 5))
    shown, soft = map(np.asarray, step(jax.random.key(3), rows))
    np.testing.assert_allclose(soft.sum(-1), 1, atol=1e-6)
    seen = set()
    for image, target, row in zip(shown, soft, rows, strict=True):
        each = [type(own)(*(np.asarray(part)[row, s][None] for part in own)) for own in [in_pixels(samples, size)]
                for s in range(3)]  # fmt: skip
        stored = [np.asarray(replayed(IMAGES[row][None], IMAGES[one.partner], one))[0] for one in each]
        (found,) = {s for s in range(3) if np.array_equal(stored[s], image)}
        np.testing.assert_allclose(target, replays.dense(5)[row, found], atol=1e-6)
        seen.add((int(row), found))
    others = {tuple(np.asarray(step(jax.random.key(key), rows)[0]).ravel()[:200].tolist()) for key in range(6)}
    assert len(others) > 1 and len(seen) >= 4
