"""Tests of the search with an accuracy model: trainings are replaced by formulas, all else is the real run."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nas.arch import ArchSpec, load_arch
from nas.errors import InvalidInput, UnknownName
from nas.files import read_json
from nas.records.journal import Journal, read_journal
from nas.records.model_evidence import FILE, load_evidence
from nas.records.picks import load_picks
from nas.records.results import Result
from nas.runs import shared_supernet, trained_alone
from nas.runs.joint_search import resume, search
from nas.runs.load_run import load_run
from nas.runs.model_budget import in_one_program, model_budget, rungs
from nas.runs.multi_target_settings import MultiTargetConfig
from nas.runs.plan import make_plan
from nas.runs.settings import SearchConfig
from nas.supernet.presets import load_preset
from nas.training.candidates import CandidateTrainings
from nas.training.int8_score import Int8Score
from nas.training.trainees import OnTraineeEpoch, TrainAll, Trained, Trainee, Trainers
from nas.training.trial import CURVE, LearningCurve
from tests.support.target_data import save_target_data

SMALL = SearchConfig(
    space="uib_smoke", target="edgetpu", preset="smoke", accuracy_model="ridge", core_hours=0.12, supernet_share=0.0
)
Formula = Callable[[ArchSpec], float]


def by_parameters(arch: ArchSpec) -> float:
    """Return an accuracy that grows with the parameters of the proxy."""
    return 0.3 + 0.1 * float(np.log(arch.params / 1e4))


def trainers(
    formula: Formula, *, stop_after: int | None = None, backwards: bool = False, fails: str = "", noise: float = 0.002,
    error: float | None = None, int8: Formula | None = None,
) -> Trainers:  # fmt: skip
    """Return trainers whose accuracies are a formula with noise of the seed; the real ones have this interface.

    With an `error` they leave learning curves with it, as those of a task without classes do; `int8` is the formula of
    scores in int8, in searches for that.
    """
    done = 0

    @contextmanager
    def opened(trials: CandidateTrainings, on_epoch: OnTraineeEpoch) -> Iterator[TrainAll]:
        def train(trainees: Sequence[Trainee]) -> Iterator[Trained]:
            nonlocal done
            for one in reversed(trainees) if backwards else trainees:
                done += 1
                if stop_after is not None and done > stop_after:
                    raise KeyboardInterrupt
                if one.digest.startswith(fails or "-"):
                    yield Trained(one, (), "the loss is no longer finite")
                    continue
                own = noise * np.random.default_rng([int(one.digest[:8], 16), one.seed]).standard_normal()
                curve = tuple(formula(one.arch) - 0.1 / (1 + epoch) + own for epoch in range(one.epochs))
                for epoch, top1 in enumerate(curve, start=1):
                    on_epoch(one, epoch, top1)
                if error is not None:
                    folder = trials.of(one.digest, one.seed)
                    folder.mkdir(parents=True, exist_ok=True)
                    known = LearningCurve(Journal(folder / "curve.jsonl", CURVE), lambda *_: None)
                    for epoch, top1 in enumerate(curve, start=1):
                        known.add(epoch, top1, error)
                in_int8 = Int8Score(int8(one.arch), curve[-1]) if int8 and trials.int8 else None
                yield Trained(one, curve, "", in_int8)

        yield train

    return Trainers(trainees=opened)


@pytest.fixture(scope="module", autouse=True)
def small_pool() -> Iterator[None]:
    """Let the model choose among few networks, which are drawn faster."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_module("nas.search.accuracy.search"), "POOL", 200)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    """Return a finished search with its folder."""
    out = tmp_path_factory.mktemp("model") / "run"
    return search(SMALL, out, trainers=trainers(by_parameters)), out


def contents(run: Path) -> dict[str, bytes]:
    """Return the files of a run, but for its progress and lock."""
    return {
        str(path.relative_to(run)): path.read_bytes()
        for path in sorted(run.rglob("*")) if path.is_file() and not path.name.startswith(".")
    }  # fmt: skip


def test_the_model_finds_what_the_formula_rewards(finished: tuple[Result, Path]) -> None:
    result, out = finished
    evidence = load_evidence(out)
    assert evidence is not None and evidence.trusted and evidence.tau is not None and evidence.tau.low > 0
    assert sum(batch.by_model for batch in evidence.batches) > 0
    table = pd.read_csv(out / "evaluated.csv")
    assert result.params >= table["params"].quantile(0.9)
    assert result.latency <= result.latency_budget
    assert result.accuracy.standard_error > 0 and "estimated" in result.accuracy.kind.how


def test_its_folder_is_read_as_any_other(finished: tuple[Result, Path]) -> None:
    result, out = finished
    data = load_run(out)
    assert data.result == result and len(data.evaluated) == len(data.history["arch"].unique())
    assert data.picks is not None and data.picks.picks[0].digest == result.arch.digest
    assert load_arch(out / data.picks.picks[0].spec) == result.arch
    page = (out / "report.html").read_text()
    assert "Accuracy model" in page and "leave-one-out" in page
    assert resume(out) == result


@pytest.mark.parametrize("stopped", [0, 8, 13])
def test_a_stopped_search_goes_on_to_the_same_bytes(
    finished: tuple[Result, Path], tmp_path: Path, stopped: int
) -> None:
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        search(SMALL, out, trainers=trainers(by_parameters, stop_after=stopped))
    assert (out / "report.html").exists()
    resume(out, trainers=trainers(by_parameters))
    assert contents(out) == contents(finished[1])


def test_the_order_of_results_changes_nothing(finished: tuple[Result, Path], tmp_path: Path) -> None:
    search(SMALL, tmp_path / "run", trainers=trainers(by_parameters, backwards=True))
    assert contents(tmp_path / "run") == contents(finished[1])


def test_of_a_regression_the_errors_are_those_of_its_metric(tmp_path: Path) -> None:
    data = save_target_data(tmp_path / "set.npz", count=200)
    config, run = replace(SMALL, data=str(data), task="regression-ccc", core_hours=0.06), tmp_path / "run"
    result = search(config, run, trainers=trainers(by_parameters, error=0.123))
    batches = [record for record in read_journal(run / "journal.jsonl")[0] if "asked" in record]
    assert all(set(record["errors"]) == {0.123} for record in batches)
    evidence = load_evidence(run)
    assert evidence is not None
    best = next(one for one in evidence.networks if one.digest == result.arch.digest)
    assert result.accuracy.standard_error == pytest.approx(np.hypot(0.123, best.estimate_error))
    rows = pd.read_csv(run / "evaluated.csv").set_index("digest")
    for one in evidence.networks:
        assert rows["standard_error"][one.digest] == pytest.approx(np.hypot(0.123, one.estimate_error))
    assert set(pd.read_csv(run / "finalists.csv")["standard_error"]) == {0.123}
    assert "\u00b1 0.123" in (run / "report.html").read_text()  # of the finalists
    picks = load_picks(run)
    assert picks is not None and {one.standard_error for one in picks.picks} == {0.123}
    before = contents(run)
    for name in ("best.json", "evaluated.csv", "finalists.csv", "picks.json"):
        (run / name).unlink()
    assert resume(run) == result and contents(run) == before  # from the journal: nothing is trained


def test_a_failed_training_is_passed_over(finished: tuple[Result, Path], tmp_path: Path) -> None:
    best = finished[0].arch.digest
    result = search(SMALL, tmp_path / "run", trainers=trainers(by_parameters, fails=best))
    assert result.arch.digest != best
    records = [one for one in read_journal(tmp_path / "run/journal.jsonl")[0] if "accuracy" in one]
    assert any(None in record["accuracy"] for record in records)


def test_of_equally_accurate_networks_the_answer_is_the_fastest_and_the_first_pick(tmp_path: Path) -> None:
    result = search(SMALL, tmp_path / "run", trainers=trainers(lambda arch: 0.5, noise=0.0))
    data = load_run(tmp_path / "run")
    seeds: dict[str, set[int]] = {}  # of the trainings again, of the networks that may be the answer
    space = make_plan(SMALL).space
    for record in read_journal(tmp_path / "run/journal.jsonl")[0]:
        for genotype, seed in zip(record.get("asked", ()), record.get("seeds", ()), strict=True):
            if seed != SMALL.seed:
                seeds.setdefault(space.decode(genotype).digest, set()).add(seed)
    assert len(seeds) > 1 and len(set(map(len, seeds.values()))) == 1
    latencies = data.evaluated[data.evaluated["digest"].isin(seeds)]["latency"]
    assert data.picks is not None and data.picks.picks[0].digest == result.arch.digest
    assert result.latency == pytest.approx(latencies.min())


def test_random_is_random_search_with_halving(tmp_path: Path) -> None:
    out, by = tmp_path / "run", trainers(by_parameters, int8=lambda arch: 0.9 - by_parameters(arch))
    result = search(replace(SMALL, accuracy_model="random", quantize="int8"), out, trainers=by)
    evidence = load_evidence(out)
    assert evidence is not None and not evidence.trusted
    assert sum(batch.by_model for batch in evidence.batches) == 0
    # Scores in int8 count, which fall with the parameters here; those in float32 stand beside them.
    assert "in int8" in result.accuracy.kind.how and any("in float32" in note for note in result.notes)
    best = min((load_arch(path) for path in (out / "specs").glob("*.json")), key=lambda arch: arch.params)
    assert result.arch == best
    table = pd.read_csv(out / "finalists.csv")
    assert np.allclose(table["top1"] + table["float_top1"], 0.9, atol=0.12) and table["float_top1"].notna().all()
    assert load_run(out).result == result
    before = contents(out)
    for name in ("best.json", "finalists.csv", "report.html"):
        (out / name).unlink()
    assert resume(out, trainers=by) == result and contents(out) == before


@pytest.mark.parametrize("ranks", [True, False])
def test_a_supernet_chooses_only_where_it_ranks_the_trainings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, ranks: bool
) -> None:
    plan = make_plan(SMALL)

    class Evaluator:
        def accuracy(self, genotypes: Any) -> Any:
            proxies = plan.proxy(plan.space)
            values = [by_parameters(proxies.decode(tuple(row))) for row in np.asarray(genotypes).tolist()]
            return np.array(values if ranks else [1 - value for value in values])

    def trained(plan: Any, run: Path, *_: Any) -> None:
        shared_supernet.save(shared_supernet.sandwich_training(plan).init_state().params, run / shared_supernet.FILE)

    monkeypatch.setattr(shared_supernet, "train", trained)
    monkeypatch.setattr(shared_supernet, "build_evaluator", lambda payload: Evaluator())
    monkeypatch.setattr(import_module("nas.runs.model_budget"), "FEWEST_SUPERNET_STEPS", 1)
    search(replace(SMALL, supernet_share=0.5), tmp_path / "run", trainers=trainers(by_parameters))
    evidence = load_evidence(tmp_path / "run")
    assert evidence is not None and evidence.supernet is not None
    assert evidence.supernet.used == ranks
    assert (evidence.supernet.scored > len(evidence.networks)) == ranks
    assert (tmp_path / "run/inherited.safetensors").exists()


def test_core_hours_set_the_whole() -> None:
    budgets = [model_budget(make_plan(replace(SMALL, core_hours=hours))) for hours in (0.1, 0.2, 0.4)]
    spent = [one.trainings_s + one.supernet_s for one in budgets]
    assert all(0.75 * hours * 3600 < s <= hours * 3600 for s, hours in zip(spent, (0.1, 0.2, 0.4), strict=True))
    assert all(one.share <= SMALL.supernet_share for one in budgets)


def test_short_trainings_are_those_of_one_program_but_in_runs_that_began_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    earlier = SearchConfig.from_dict({**SMALL.to_dict(), "one_program": False})
    assert "one_program" not in earlier.to_dict() and SearchConfig.from_dict(earlier.to_dict()) == earlier
    assert SearchConfig.from_dict(SMALL.to_dict()) == SMALL
    assert earlier != SMALL and SMALL.is_asked_again(earlier) and not replace(SMALL, seed=1).is_asked_again(earlier)
    several, before = (MultiTargetConfig((one, one), "random", 4) for one in (SMALL, earlier))
    assert several.is_asked_again(before) and not replace(several, trials=5).is_asked_again(before)
    assert not MultiTargetConfig((SMALL,), "random", 4).is_asked_again(before)
    plans = [make_plan(one) for one in (SMALL, earlier)]
    assert [in_one_program(plan) for plan in plans] == [True, False]
    new, old = (model_budget(plan).schedule for plan in plans)
    assert new.candidates > old.candidates  # for the same core hours
    assert not in_one_program(replace(plans[0], settings=replace(SMALL, quantize="int8")))
    monkeypatch.setattr(import_module("nas.runs.model_budget"), "ONE_PROGRAM_STEPS", 1)  # more images than that
    assert not in_one_program(plans[0])
    assert model_budget(plans[0]).schedule == old


def test_networks_on_few_images_are_trained_for_as_many_steps_as_tell_them_apart() -> None:
    few = make_plan(replace(SMALL, space="uib", preset="standard", core_hours=None))
    steps = round(0.8 * len(few.dataset.y_train)) // 128
    assert rungs(few) == (6, 18) and 5 * steps < 48 <= 6 * steps
    assert model_budget(few).schedule.rungs == (6, 18)
    assert model_budget(replace(few, settings=replace(few.settings, core_hours=0.5))).schedule.rungs == (6, 18)
    two_stages = make_plan(replace(few.settings, accuracy_model="none", finalists=6))
    assert two_stages.preset.retraining is not None and two_stages.preset.retraining.rungs == (6, 12, 24)
    assert trained_alone.rungs_of(few) == (6, 18)
    for settings in (SMALL, replace(SMALL, trial_steps=1), SearchConfig.from_dict({"preset": "standard"})):
        assert rungs(replace(few, settings=settings, preset=load_preset(settings.preset))) == (1, 3)


def test_what_cannot_be_is_refused_in_one_line() -> None:
    for wrong, words in (
        ({"core_hours": 0.0001}, "processor seconds"), ({"accuracy_model": "none"}, "core hours are those of"),
        ({"accuracy_model": "forest"}, "unknown accuracy model 'forest'"), ({"finalists": 6}, "finalists are those of"),
        ({"supernet_share": 0.7}, "between 0 and 0.5"), ({"core_hours": -1.0}, "core_hours must be positive"),
    ):  # fmt: skip
        with pytest.raises((InvalidInput, UnknownName), match=words) as caught:
            model_budget(make_plan(replace(SMALL, **wrong)))  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)


def test_runs_of_releases_without_a_model_go_on_without() -> None:
    stored = {"preset": "standard", "space": "uib"}
    assert SearchConfig.from_dict(stored).model_name is None
    assert SearchConfig(preset="standard").model_name == "ridge"
    assert SearchConfig(preset="standard", finalists=12).model_name is None
    assert SearchConfig(preset="quick").model_name is None
    assert SearchConfig(preset="paper").model_name is None


def test_an_altered_journal_is_refused(finished: tuple[Result, Path], tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(finished[1], out)
    (out / "best.json").unlink()
    records = read_journal(out / "journal.jsonl")[0]
    records[-1]["accuracy"][0] = 7.5
    (out / "journal.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    with pytest.raises(InvalidInput, match=r"accuracy of 7\.5"):
        resume(out, trainers=trainers(by_parameters))


def test_an_altered_file_is_refused(finished: tuple[Result, Path], tmp_path: Path) -> None:
    data = read_json(finished[1] / FILE)
    for key, value in (("tau", {"value": "high"}), ("networks", [3]), ("schema", "other"), ("noise", None)):
        (tmp_path / FILE).write_text(json.dumps({**data, key: value}))
        with pytest.raises(InvalidInput, match="does not hold the accuracy model"):
            load_evidence(tmp_path)
