"""Proposals: the design against brute force, what is known already, and a band around one latency."""

import numpy as np
import pytest

from latency_models.calibration import propose as proposing
from latency_models.calibration.propose import PRIOR, REMAINDER, Design, propose
from latency_models.roofline import Roofline
from nas.errors import InvalidInput
from nas.registry import SPACES, load

MODEL = Roofline("plain", 1.0, 1 / 31.2)


@pytest.fixture
def few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small space needs few samples."""
    for name, count in (("DIRECTIONS", 20), ("DRAWS", 20), ("UNIFORM", 200), ("CANDIDATES", 200), ("REFERENCES", 100)):
        monkeypatch.setattr(proposing, name, count)
    monkeypatch.setattr(proposing, "LEAST_IN_BAND", 20)


def covariance(a: np.ndarray, b: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """The prior, written out for each pair."""
    far = np.array([[(((x - y) / spread) ** 2).sum() for y in b] for x in a])
    return np.asarray(a @ b.T / PRIOR + REMAINDER * np.exp(-far / (2 * a.shape[1])))


@pytest.mark.parametrize("known", [0, 3])
def test_each_proposal_leaves_the_least_mean_variance(known: int) -> None:
    rng = np.random.default_rng(0)
    reference = rng.uniform(0.5, 1.5, (20, 3))
    size = np.sqrt((reference**2).mean(0))
    candidates, measured = rng.uniform(0.2, 2, (8, 3)), rng.uniform(0.2, 2, (known, 3))
    chosen = Design.of(candidates, reference, measured).choose(3)
    c, r, m = candidates / size, reference / size, measured / size
    spread = r.std(0)

    def left(rows: list[int]) -> float:
        """Mean variance of the reference networks after the candidates `rows` and what is known are measured."""
        seen = np.concatenate([m, c[rows]])
        cross = covariance(r, seen, spread)
        gained = cross @ np.linalg.solve(covariance(seen, seen, spread) + np.eye(len(seen)), cross.T)
        return float(np.diag(covariance(r, r, spread) - gained).mean())

    rows: list[int] = []
    for _ in range(3):
        rows.append(min((row for row in range(8) if row not in rows), key=lambda row: left([*rows, row])))
    assert list(chosen.rows) == rows
    assert chosen.width == pytest.approx(np.sqrt((left(rows) + 1) / (left([]) + 1)), rel=1e-6)


def test_what_is_measured_already_is_not_proposed_and_changes_what_is(few_samples: None) -> None:
    space = load("space", SPACES, "tiny")
    first = propose(space, MODEL, 4)
    archs = [space.decode(genotype) for genotype, _ in first.networks]
    second = propose(space, MODEL, 4, known=archs)
    assert not {genotype for genotype, _ in first.networks} & {genotype for genotype, _ in second.networks}
    assert first.width < second.width < 1  # what is known well is not narrowed as much


def test_a_band_is_proposed_for_alone_and_one_out_of_reach_refused(few_samples: None) -> None:
    space = load("space", SPACES, "tiny")
    whole = [latency for _, latency in propose(space, MODEL, 8).networks]
    middle = float(np.sqrt(whole[0] * whole[-1]))
    near = [latency for _, latency in propose(space, MODEL, 8, near_ms=middle).networks]
    distance = np.abs(np.log(np.array(near) / middle)).max(), np.abs(np.log(np.array(whole) / middle)).max()
    assert distance[0] < distance[1]
    with pytest.raises(InvalidInput, match="no network of space 'tiny' takes"):
        propose(space, MODEL, 3, near_ms=3 * whole[-1])
