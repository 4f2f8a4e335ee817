"""Evidence for rankings: a perfect predictor reaches the ceiling, noise reaches 0, and gaps are left out."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nas.errors import InvalidInput
from nas.records.ranking_table import RankingTable
from nas.search.accuracy.evidence import expected_ceiling, kendall_tau
from nas.search.accuracy.ranking import ACCURACY_MODEL, EARLY, RankingEvidence, evidence_of, noise_ceiling


def trained(networks: int, seeds: int, noise: float, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """True accuracies [N], and those of trainings [N, seeds] around them."""
    rng = np.random.default_rng(seed)
    true = 0.6 + 0.02 * rng.standard_normal(networks)
    return true, true[:, None] + 0.02 * noise * rng.standard_normal((networks, seeds))


def of(seed: int = 0, seeds: int = 2, noise: float = 0.5) -> RankingEvidence:
    true, accuracy = trained(48, seeds, noise, seed)
    chance = np.random.default_rng(seed + 1).standard_normal((48, 3))
    features = np.column_stack([true + 0.01 * chance[:, 0], chance])
    return evidence_of(accuracy, {"perfect": true, "chance": chance[:, 1]}, features, accuracy[:, 0])


@given(st.integers(0, 30))
@settings(max_examples=10)
def test_a_perfect_predictor_is_near_the_ceiling_and_chance_is_not(seed: int) -> None:
    found = of(seed)
    perfect, ceiling = found.predictors["perfect"], found.ceiling
    assert ceiling.low - 0.1 <= perfect.value <= ceiling.high + 0.1
    assert perfect.positive
    assert found.predictors[ACCURACY_MODEL].value > found.predictors["chance"].value
    assert ceiling.low < ceiling.expected < ceiling.high
    assert found.noise == pytest.approx(0.01, rel=0.4)


def test_the_simulated_ceiling_is_that_of_the_formula() -> None:
    accuracy = trained(60, 3, 1.0)[1]
    assert noise_ceiling(accuracy).expected == pytest.approx(expected_ceiling(accuracy), abs=0.02)


def test_without_features_that_tell_anything_the_model_shows_nothing() -> None:
    taus = []
    for seed in range(30):
        accuracy = trained(24, 2, 1.0, seed)[1]
        features = np.random.default_rng(seed + 100).standard_normal((24, 8))
        taus.append(evidence_of(accuracy, {}, features).predictors[ACCURACY_MODEL].value)
    assert abs(float(np.mean(taus))) < 0.1


def test_an_early_accuracy_is_not_judged_by_its_own_training() -> None:
    noise = np.random.default_rng(0).standard_normal((40, 2))  # nothing but noise
    found = evidence_of(noise, {"first seed": noise[:, 0]}, np.zeros((40, 1)), noise[:, 0])
    assert found.predictors["first seed"].positive  # what the mean contains ranks it
    assert found.predictors[EARLY].value == pytest.approx(kendall_tau(*noise.T))
    assert found.between_seeds is not None
    assert not found.between_seeds.positive


def test_failed_trainings_are_left_out_and_one_seed_has_no_ceiling() -> None:
    _, accuracy = trained(10, 2, 0.5)
    accuracy[3, 1] = np.nan
    assert evidence_of(accuracy, {}, np.zeros((10, 1))).networks == 9
    one = evidence_of(accuracy[:, :1], {}, np.zeros((10, 1)))
    assert one.between_seeds is None
    assert np.isnan(one.ceiling.expected)
    with pytest.raises(InvalidInput, match="at least 4 trained networks, got 3"):
        evidence_of(accuracy[:3], {}, np.zeros((3, 1)))


@pytest.mark.parametrize("seeds", [1, 2])
def test_evidence_survives_json(seeds: int) -> None:
    found = of(seeds=seeds)
    text = json.dumps(found.to_dict(), allow_nan=False)
    assert RankingEvidence.from_dict(json.loads(text)).to_dict() == found.to_dict()
    with pytest.raises(InvalidInput, match="no evidence of a ranking"):
        RankingEvidence.from_dict({"networks": 3})


def test_a_table_has_a_column_per_seed_decision_and_feature() -> None:
    curves = np.array([[[0.25, 0.5]], [[np.nan, np.nan]]])
    table = RankingTable(
        ("a", "b"), np.array([[1, 2], [3, 4]], np.int32), np.array([0.5, 1.0]), curves[:, :, -1],
        {"macs": np.array([7.0, 8.5])}, curves,
    )  # fmt: skip
    assert table.to_csv().splitlines() == [
        "digest,cost,accuracy_0,f_macs,d0,d1,val_0_1,val_0_2",
        "a,0.5,0.5,7,1,2,0.25,0.5",
        "b,1,,8.5,3,4,,",
    ]
