"""Mixup and cutmix: pixels and targets are mixed in the same shares."""

import jax
import jax.numpy as jnp
import numpy as np

from nas.training.mixing import Mixing, mixed, mixed_targets

IMAGES = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 3)).astype(np.uint8)
RUN = jax.jit(mixed, static_argnames="mixing")


def test_mixup_blends_by_the_share() -> None:
    shown, partner, share = map(np.asarray, RUN(jax.random.key(0), IMAGES, Mixing(0.5, mixup_alpha=0.8)))
    assert sorted(partner) == list(range(64)) and share.min() >= 0.5
    assert 0.3 < (share < 1).mean() < 0.7
    s = share[:, None, None, None]
    np.testing.assert_allclose(shown, np.rint(s * IMAGES + (1 - s) * IMAGES[partner]), atol=1)
    np.testing.assert_array_equal(shown[share == 1], IMAGES[share == 1])


def test_cutmix_takes_as_many_pixels_as_it_says() -> None:
    flat = np.broadcast_to(np.arange(64, dtype=np.uint8)[:, None, None, None], (64, 16, 16, 1))
    shown, partner, share = map(np.asarray, RUN(jax.random.key(1), flat, Mixing(1.0, cutmix_alpha=1.0)))
    own = (shown == np.arange(64)[:, None, None, None]).mean((1, 2, 3))
    others = partner != np.arange(64)
    np.testing.assert_allclose(own[others], share[others], atol=1e-6)
    assert share.min() >= 0.45 and share.std() > 0.05


def test_both_are_drawn_and_targets_still_sum_to_one() -> None:
    mixing = Mixing(1.0, 0.8, 1.0, 0.5)
    shown, partner, share = RUN(jax.random.key(2), IMAGES, mixing)
    pasted = (np.asarray(shown) == IMAGES[np.asarray(partner)]).all(-1).mean((1, 2))
    assert (pasted > 0.2).any() and (pasted < 0.05).any()
    soft = jax.nn.one_hot(jnp.arange(64) % 5, 5)
    targets = mixed_targets(soft, partner, share)
    np.testing.assert_allclose(targets.sum(1), 1, atol=1e-6)
    np.testing.assert_array_equal(np.asarray(targets.argmax(1)), np.arange(64) % 5)  # its own label stays the main one


def test_what_one_alpha_leaves() -> None:
    assert (Mixing(1, 0.2).by_cutmix, Mixing(1, 0, 1.0).by_cutmix, Mixing(1, 0.2, 1.0, 0.3).by_cutmix) == (0, 1, 0.3)
    _, _, share = RUN(jax.random.key(0), IMAGES, Mixing(0.0, 0.2))
    assert (np.asarray(share) == 1).all()
