"""Which candidates a stage sends to be trained alone, and for how long: laws of the pure part."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.data import Preparation, load
from nas.errors import InvalidInput
from nas.protocols import Genotype
from nas.records.journal import Journal
from nas.runs.finalists import CandidateRanking, top_candidates, write_finalists
from nas.search.schedulers import halving
from nas.supernet.presets import QUICK, RetrainingBudget
from nas.training.candidates import Candidate, CandidateTrainings, TrialResult, ranking_table, table_notes
from nas.training.loop import TrainingConfig
from nas.training.trial import CURVE, LearningCurve
from nas.zoo import reference
from tests.support.target_data import save_target_data


@given(st.integers(1, 40), st.sets(st.integers(1, 30), min_size=1, max_size=4))
def test_the_epochs_counted_are_those_that_halving_runs(candidates: int, epochs: set[int]) -> None:
    budget = RetrainingBudget(candidates, 1, rungs=tuple(sorted(epochs)))
    state, done, trained = halving.init(tuple(map(str, range(candidates))), budget.rungs), 0, 0
    while not state.done:
        until, names = halving.ask(state)
        trained, done = trained + len(names) * (until - done), until
        for name in names:
            state = halving.tell(state, name, float(name))
    assert trained == halving.epochs(candidates, budget.rungs)


@given(st.dictionaries(st.integers(0, 99), st.tuples(st.integers(0, 9), st.sampled_from("abc"))), st.integers(1, 12))
def test_each_origin_sends_its_best_candidates(found: dict[int, tuple[int, str]], most: int) -> None:
    counts: dict[Genotype, int] = {(i,): count for i, (count, _) in found.items()}
    origins: dict[Genotype, str] = {(i,): origin for i, (_, origin) in found.items()}
    sent = top_candidates(list(counts), counts, origins, most)
    assert len(sent) == len(set(sent)) == min(most, len(found))
    for origin in set(origins.values()):
        team = [genotype for genotype in counts if origins[genotype] == origin]
        mine = [genotype for genotype in sent if origins[genotype] == origin]
        left = [counts[genotype] for genotype in team if genotype not in mine]
        assert all(counts[genotype] >= max(left, default=0) for genotype in mine)
        fair = min(len(team), most // len(set(origins.values())))
        assert len(mine) >= fair


def test_a_preset_takes_finalists_enough_for_a_choice() -> None:
    preset = QUICK.with_finalists(8)
    assert QUICK.with_finalists(None) is QUICK and preset.with_finalists(0).retraining is None
    assert preset.retraining == RetrainingBudget(8, 2, random=5)
    with pytest.raises(InvalidInput, match="at least 6, or 0 for none, got 5"):
        QUICK.with_finalists(5)


def test_the_description_names_who_is_trained_how_long() -> None:
    coarse, fine = RetrainingBudget(12, 4, random=8, rungs=(1, 4)).description()
    assert coarse.endswith("12 trained alone, 8 of them sampled from the whole space, 12 to epoch 1, then 4 to epoch 4")
    assert fine.endswith("4 more against the best of those, 4 to epoch 1, then 2 to epoch 4")


def ranking_of(names: list[str], reached: list[tuple[int, float]], curve: dict[int, float]) -> CandidateRanking:
    """A ranking of reference networks, which ended with `reached` in this order."""
    archs = [reference(name) for name in names]
    trial_results = [TrialResult(arch.digest, *end, "finished") for arch, end in zip(archs, reached, strict=True)]
    candidates = [Candidate(arch.digest, arch, 1.0, "ms", 0.5) for arch in archs]
    return CandidateRanking(
        tuple(archs), tuple(candidates), tuple(trial_results), {arch.digest: curve for arch in archs}, 100
    )


@pytest.mark.parametrize(("top1", "keeps"), [(0.79, True), (0.8, True), (0.81, False)])
def test_an_incumbent_keeps_its_place_unless_it_is_beaten_at_full_length(top1: float, keeps: bool) -> None:
    incumbent = ranking_of(["mobilenetv1", "mobilenetv2"], [(4, 0.8), (1, 0.95)], {1: 0.1, 4: 0.8})
    fine = ranking_of(["mobilenetv3-small", "mobilenetv3-large"], [(4, top1), (2, 0.9)], {1: 0.9})
    final = fine.with_incumbent(incumbent)
    assert final.winner == reference("mobilenetv1" if keeps else "mobilenetv3-small")
    assert [one.epochs for one in final.trial_results] == [4, 4, 2] and len(final.target_networks) == len(
        final.candidates
    ) == 3
    assert final.curves[incumbent.winner.digest] == {1: 0.1, 4: 0.8} and "the best of 3 candidates" in final.description


def test_of_a_regression_the_errors_of_candidates_are_those_of_their_learning_curves(tmp_path: Path) -> None:
    data = load(str(save_target_data(tmp_path / "set.npz")), preparation=Preparation(task="regression-ccc"))
    trials = CandidateTrainings(data, TrainingConfig(epochs=4), tmp_path)
    coarse = ranking_of(["mobilenetv1", "mobilenetv2"], [(4, 0.8), (4, 0.7)], {4: 0.8})
    for one in coarse.candidates[:1]:
        trials.of(one.digest).mkdir(parents=True)
        curve = LearningCurve(Journal(trials.of(one.digest) / "curve.jsonl", CURVE), lambda *_: None)
        for epoch in range(1, 5):
            curve.add(epoch, 0.2 * epoch, 0.1 / epoch)
    errors = {one.digest: trials.errors(one.digest) for one in coarse.candidates}
    assert list(errors.values()) == [{1: 0.1, 2: 0.05, 3: pytest.approx(1 / 30), 4: 0.025}, {}]  # none: earlier release
    fine = ranking_of(["mobilenetv3-small", "mobilenetv3-large"], [(4, 0.6), (2, 0.9)], {4: 0.6})
    final = fine.with_incumbent(replace(coarse, errors=errors))
    assert final.error(coarse.winner.digest, 4) == 0.025 and final.error(fine.trial_results[0].digest, 4) is None
    write_finalists(tmp_path, {"coarse": replace(coarse, errors=errors), "fine": fine})
    with (tmp_path / "finalists.csv").open() as file:
        written = {row["digest"]: row["standard_error"] for row in csv.DictReader(file)}
    assert written[coarse.winner.digest] == "0.025" and set(written.values()) == {"0.025", ""}
    write_finalists(tmp_path, {"coarse": coarse})  # of shares, which have their own
    assert "standard_error" not in (tmp_path / "finalists.csv").read_text()
    notes = list(table_notes(ranking_table(coarse.candidates, coarse.trial_results), trials))
    assert "CCC of proxies, on 32 validation images; standard error of the best 0.025" in notes
