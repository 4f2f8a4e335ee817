"""Reinforced data sets: what is written is read, subsets stay inside themselves, sums are one, damage is seen."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.data import reinforced
from nas.data.reinforced import Reinforcement, Replays, Teacher, begin, read_replays, write_part
from nas.data.replay import UNIT, Recipe, draw
from nas.errors import InvalidInput

TEACHER = Teacher("teacher", "a" * 64, "b" * 64, "8")
ABOUT = Reinforcement("digits", "c" * 64, 10, 5, "8", (TEACHER,), Recipe(), 4, 3, 7)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A whole reinforced data set of 10 images in 3 parts."""
    monkeypatch.setattr(reinforced, "PART", 4)
    begin(tmp_path / "set", ABOUT)
    rng = np.random.default_rng(0)
    for part in range(ABOUT.parts):
        rows = ABOUT.rows(part)
        said = rng.dirichlet(np.ones(5), (len(rows), 4)).astype(np.float32)
        write_part(tmp_path / "set", ABOUT, part, draw(ABOUT.recipe, rows, 10, 4, 7), said)
    return tmp_path / "set"


def test_what_is_written_is_read(folder: Path) -> None:
    assert reinforced.read_reinforcement(folder) == ABOUT and ABOUT.parts == 3
    replays = read_replays(folder, ABOUT)
    drawn = draw(ABOUT.recipe, np.arange(10), 10, 4, 7)
    for stored, expected in zip(replays.samples, drawn, strict=True):
        np.testing.assert_array_equal(stored, expected)
    assert replays.classes.shape == replays.probabilities.shape == (10, 4, 3)
    assert (np.diff(replays.probabilities, axis=-1) <= 0).all()
    np.testing.assert_allclose(replays.dense(5).sum(-1), 1, atol=1e-6)
    assert replays.digest == read_replays(folder, ABOUT).digest != ""


def test_work_that_was_stopped_says_so_and_another_request_is_refused(folder: Path) -> None:
    part = folder / "parts" / "00001.npy"
    data = part.read_bytes()
    part.unlink()
    assert reinforced.missing_parts(folder, ABOUT) == [1]
    with pytest.raises(InvalidInput, match="has 2 of 3 parts; go on with the nas reinforce that began it"):
        read_replays(folder, ABOUT)
    part.write_bytes(data[:-1])
    with pytest.raises(InvalidInput, match=r"00001.npy is damaged"):
        read_replays(folder, ABOUT)
    stored = np.load(folder / "parts" / "00000.npy")
    np.save(part, stored[:2])
    with pytest.raises(InvalidInput, match="holds other samples"):
        read_replays(folder, ABOUT)
    stored["partner"][0, 0] = 10
    np.save(part, stored)
    with pytest.raises(InvalidInput, match="was altered: partner out of range"):
        read_replays(folder, ABOUT)
    begin(folder, ABOUT)
    with pytest.raises(InvalidInput, match="begun with another seed; name another folder"):
        begin(folder, Reinforcement(**{**ABOUT.__dict__, "seed": 8}))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**20), st.sets(st.integers(0, 11), min_size=4))
def test_a_subset_is_mixed_with_itself_alone(seed: int, chosen: set[int]) -> None:
    rows = np.array(sorted(chosen))
    samples = draw(Recipe(mixed=0.4), np.arange(12), 12, 16, seed)
    classes = np.arange(12 * 16, dtype=np.int32).reshape(12, 16, 1)  # which sample it is
    replays = Replays(samples, classes, np.ones((12, 16, 1), np.float32))
    part = replays.of_rows(rows)
    assert ((part.samples.partner >= 0) & (part.samples.partner < len(rows))).all()
    image, sample = np.divmod(part.classes[..., 0], 16)
    np.testing.assert_array_equal(image, np.broadcast_to(rows[:, None], image.shape))
    np.testing.assert_array_equal(rows[part.samples.partner], samples.partner[image, sample])  # the same second image
    np.testing.assert_array_equal(part.samples.share, samples.share[image, sample])
    kept = np.isin(samples.partner[rows], rows)
    np.testing.assert_array_equal(sample[kept], np.broadcast_to(np.arange(16), kept.shape)[kept])
    assert (part.samples.share <= UNIT).all()


def test_probabilities_of_all_classes() -> None:
    replays = Replays(
        draw(Recipe(), np.arange(1), 1, 1, 0), np.array([[[3, 0]]], np.int32), np.array([[[0.5, 0.2]]], np.float32)
    )
    np.testing.assert_allclose(replays.dense(5)[0, 0], [0.2, 0.1, 0.1, 0.5, 0.1], atol=1e-6)
    np.testing.assert_allclose(replays.dense(4)[0, 0], [0.2, 0.15, 0.15, 0.5], atol=1e-6)


def test_a_chosen_sample_stands_in_the_place_of_all_with_its_partner_behind_the_images(folder: Path) -> None:
    replays = read_replays(folder, ABOUT)
    rows, sample = np.array([7, 2, 2]), np.array([3, 0, 1])
    found, partner = replays.chosen(rows, sample)
    assert found.classes.shape == (3, *replays.classes.shape[1:])  # a program of the same shapes as for all samples
    np.testing.assert_array_equal(partner, replays.samples.partner[rows, sample])
    for drawn in range(4):
        np.testing.assert_array_equal(found.samples.matrix[:, drawn], replays.samples.matrix[rows, sample])
        np.testing.assert_array_equal(found.probabilities[:, drawn], replays.probabilities[rows, sample])
        assert found.samples.partner[:, drawn].tolist() == [3, 4, 5]
