"""Searches of a regression and of several labels, from their data to reports that speak of CCC and of macro F1."""

import csv
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from nas.cli import main
from nas.cli.live import progress_text
from nas.progress import Progress
from nas.records.journal import Journal, read_journal
from nas.records.networks import load_item
from nas.records.picks import load_picks
from nas.records.results import SUPERNET, AccuracyKind, Score, accuracy_from, metric_of, result_of_run
from nas.runs import joint_search, trained_alone
from nas.runs.joint_search import _packed, _unpacked
from nas.runs.settings import SearchConfig
from nas.search.selection import paired_difference, score_error, total
from nas.supernet import presets
from nas.tasks import score_contributions
from nas.tasks.metric import Concordance, binomial_error
from nas.tasks.regression import Regression
from nas.training.candidates import CandidateTrainings
from nas.training.trainees import OnTraineeEpoch, Trained, Trainee
from nas.training.trial import CURVE, LearningCurve
from tests.support.target_data import save_target_data
from tests.support.tiny import PRESET, latency_range

TARGETS = ("cortex-m7", "pixel6-cpu")
TINY = replace(PRESET, xla_options=(("xla_backend_optimization_level", 0),))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A search in one stage for CCC."""
    folder = tmp_path_factory.mktemp("regression")
    settings = SearchConfig(
        space="tests.support.tiny:SMALL", latency_ms=0.05, resolution=32, preset="tiny", proxy_resolution=8,
        data=str(save_target_data(folder / "set.npz", count=200)), task="regression-ccc", one_stage=True,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(presets.PRESETS, "tiny", TINY)
        low, high = latency_range(settings)
        joint_search.search(replace(settings, latency_ms=(low + high) / 2), folder / "run")
        yield folder / "run"


def test_a_search_maximises_the_score_of_its_task(run: Path) -> None:
    result = result_of_run(run)
    score = result.accuracy
    assert score.kind.metric == "ccc" and score.kind.title == "CCC" and score.kind.how == SUPERNET
    assert result.supernet_accuracy == score
    stored = json.loads((run / "best.json").read_text())["accuracy"]
    assert set(stored) == {"value", "standard_error", "pictures", "kind"} and accuracy_from(stored) == score
    with (run / "evaluated.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {metric_of(row["accuracy_kind"]) for row in rows} == {"ccc"}
    assert all(0 <= float(row["top1"]) <= 1 and 0 < float(row["standard_error"]) < 1 for row in rows)


def test_the_journal_holds_what_each_image_adds_to_the_score(run: Path) -> None:
    evaluated = [record for record in read_journal(run / "journal.jsonl")[0] if "genotype" in record]
    shared = result_of_run(run).supernet_accuracy
    assert evaluated and shared is not None
    images = shared.examples
    for record in evaluated:
        hits = _unpacked(record["hits"], images, False)
        assert "correct" not in record and len(hits) == images
        assert total(hits) / images == pytest.approx(record["score"], abs=1e-6)


def test_a_finished_run_goes_on_to_nothing_and_is_shown(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (run / "best.json").read_bytes()
    assert joint_search.resume(run).accuracy.kind.metric == "ccc" and (run / "best.json").read_bytes() == before
    assert main(["show", str(run)]) == 0
    shown = capsys.readouterr().out
    assert "proxy CCC" in shown and "top-1" not in shown
    assert main(["runs", str(run.parent)]) == 0
    listed = capsys.readouterr().out
    assert "CCC 0." in listed and "best score" in listed and "top-1" not in listed
    page = (run / "report.html").read_text()
    assert re.search(r'"metrics": ?\["CCC"', page)
    assert "CCC: 0." in page and "2 outputs" in page and "Top-1" not in page


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A search for the labels of images over a supernet trained once, for two targets and for both."""
    folder = tmp_path_factory.mktemp("labels")
    data = save_target_data(folder / "set.npz", count=200, labels=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(presets.PRESETS, "tiny", TINY)
        config = SearchConfig(
            space="tests.support.tiny:SMALL", latency_ms=1e-9, resolution=32, preset="tiny", proxy_resolution=8,
            data=str(data), task="multi-label",
        )  # fmt: skip
        highest = [latency_range(replace(config, target=target))[1] for target in TARGETS]
        words = ["search", "--space", "tests.support.tiny:SMALL", "--data", str(data), "--task", "multi-label"]
        words += ["--target", ",".join(TARGETS), "--latency-ms", ",".join(map(str, highest))]
        words += ["--universal", "--algorithm", "nsga2", "--trials", "6"]
        words += ["--preset", "tiny", "--resolution", "32", "--proxy-resolution", "8", "--out", str(folder / "run")]
        assert main(words) == 0
        yield folder / "run"


def test_scores_over_a_supernet_trained_once_have_the_error_of_their_metric(labelled: Path) -> None:
    records = [record for record in read_journal(labelled / "journal.jsonl")[0] if "asked" in record]
    known = {tuple(pair) for one in records for pair in zip(one["accuracy"], one["errors"], strict=True)}
    with (labelled / "cortex-m7" / "evaluated.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = [(float(row["top1"]), float(row["standard_error"])) for row in rows]
    assert found and {metric_of(row["accuracy_kind"]) for row in rows} == {"macro_f1"}
    for score, error in found:
        assert min(abs(score - a) + abs(error - b) for a, b in known) < 1e-5
    score = result_of_run(labelled / "cortex-m7").accuracy
    assert (score.kind.metric, score.kind.title) == ("macro_f1", "macro F1")
    assert score.standard_error in {error for _, error in known}
    assert all(abs(error - binomial_error(value, score.examples)) > 1e-4 for value, error in found if 0 < value < 1)


def test_the_screens_of_such_a_search_name_its_metric(labelled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(labelled)]) == 0
    shown = capsys.readouterr().out
    assert "regret in macro F1" in shown and "best macro F1 of any network" in shown and "top-1" not in shown
    score = result_of_run(labelled / "cortex-m7").accuracy
    assert score.text in shown and f"{100 * score.value:.2f}" not in shown
    page = (labelled / "cortex-m7" / "report.html").read_text()
    assert "macro F1 x 100 of the trials" in page and '"trial_images"' not in page


def test_such_a_search_goes_on_to_the_same_bytes(labelled: Path) -> None:
    before = {path: path.read_bytes() for path in labelled.glob("*/*.*") if path.suffix in (".json", ".csv")}
    journal = labelled / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-3]))
    assert main(["resume", str(labelled)]) == 0
    assert journal.read_bytes() == b"".join(lines)
    assert {path: path.read_bytes() for path in before} == before


class FormulaTrainer:
    """Trains nothing, but leaves the learning curves of its trainings where the real one does."""

    reached: ClassVar[set[tuple[float, float]]] = set()  # all scores with their errors

    def __init__(self, trials: CandidateTrainings, on_epoch: OnTraineeEpoch) -> None:
        self.trials, self.on_epoch = trials, on_epoch

    def train(self, trainees: Sequence[Trainee]) -> Iterator[Trained]:
        for one in trainees:
            folder = self.trials.of(one.digest)
            folder.mkdir(parents=True, exist_ok=True)
            curve = LearningCurve(Journal(folder / "curve.jsonl", CURVE), lambda *_: None)
            for epoch in range(1, one.epochs + 1):
                score = int(one.digest[:4], 16) / 0x20000 + 0.01 * epoch
                self.reached.add((score, score / 20))
                curve.add(epoch, score, score / 20)
            yield Trained(one, tuple(curve.known))


def test_scores_of_networks_trained_alone_have_the_error_of_their_metric(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A regression by `--evaluator trained`: the errors of its trainings are those of journal, tables and screens."""
    monkeypatch.setitem(presets.PRESETS, "tiny", TINY)
    monkeypatch.setattr(trained_alone, "MemberTrainer", FormulaTrainer)
    save_target_data(tmp_path / "set.npz", count=200)
    words = ["search", "--space", "tests.support.tiny:SMALL", "--data", str(tmp_path / "set.npz")]
    words += [
        "--target",
        TARGETS[0],
        "--task",
        "regression-ccc",
        "--algorithm",
        "random",
        "--evaluator",
        "trained",
        "--trials",
        "2",
    ]
    words += ["--preset", "tiny", "--resolution", "32", "--proxy-resolution", "8", "--latency-ms", "0.14"]
    run = tmp_path / "run"
    assert main([*words, "--out", str(run)]) == 0
    records = [record for record in read_journal(run / "journal.jsonl")[0] if "asked" in record]
    known = [pair for one in records for pair in zip(one["accuracy"], one["errors"], strict=True)]
    result = result_of_run(run).accuracy
    assert result.kind.metric == "ccc" and len(set(known)) > 1 and set(known) <= FormulaTrainer.reached
    with (run / "evaluated.csv").open() as file:
        rows = [(float(row["top1"]), float(row["standard_error"])) for row in csv.DictReader(file)]
    entries = [(entry.top1, entry.standard_error) for entry in load_item(run)]
    pick = load_picks(run)
    assert pick is not None
    picks = [(one.top1, one.standard_error or 0) for one in pick.picks]
    for score, error in [*rows, (result.value, result.standard_error), *entries, *picks]:
        assert min(abs(score - a) + abs(error - b) for a, b in known) < 1e-5
    capsys.readouterr()
    assert main(["show", str(run)]) == 0
    assert f"{result.text} +- {result.error_text} (" in capsys.readouterr().out


@pytest.mark.parametrize(("metric", "said"), [("top1", "best 50.0%"), ("ccc", "best 0.500")])
def test_the_line_of_progress_has_the_format_of_the_metric(metric: str, said: str) -> None:
    assert progress_text(Progress("front", 1, 2, argmax_top1=0.5, metric=metric)) == said


def test_the_task_of_the_run_is_that_of_its_data(run: Path) -> None:
    config = json.loads((run / "experiment.json").read_text())
    assert config["settings"]["task"] == "regression-ccc"
    assert any("accuracy stands for CCC" in line for line in config["plan"])


def test_differences_of_numbers_are_taken_image_by_image() -> None:
    rng = np.random.default_rng(0)
    targets = rng.normal(size=(200, 1)).astype(np.float32)
    task = Regression.of(targets, "ccc")
    standard = np.asarray(task.scaled(targets))
    one, other = (standard + 0.3 * rng.normal(size=standard.shape) + shift for shift in (0.0, 0.5))
    hits = [score_contributions(task, outputs, targets) for outputs in (one, other)]
    values = [Concordance().value(Concordance().add(Concordance().zero(), x, standard)) for x in (one, other)]
    assert [total(each) / 200 for each in hits] == pytest.approx(values, abs=1e-5)
    difference, error = paired_difference(*hits)
    assert difference == pytest.approx(values[0] - values[1], abs=1e-5)
    alone = [score_error(each) for each in hits]
    assert 0 < error < np.hypot(*(each or 0 for each in alone)) and score_error(hits[0] > 0) is None
    assert np.array_equal(_unpacked(_packed(hits[0]), 200, False), hits[0])


def test_a_score_of_another_metric_is_told_from_a_share() -> None:
    kind = AccuracyKind("set", "d", 8, 1.0, "trained alone", "macro_f1")
    score = Score.of(0.5, 100, kind, 0.02)
    assert accuracy_from(score.to_dict()) == score and (score.text, score.error_text) == ("0.500", "0.020")
    assert kind.label().startswith("macro F1: set, ") and metric_of(kind.stored_label()) == "macro_f1"
    share = Score.of(0.5, 100, AccuracyKind("set", "d", 8, 1.0, "trained alone"))
    assert list(share.to_dict()) == ["top1", "standard_error", "pictures", "kind"]
    assert "metric" not in share.to_dict()["kind"]
    assert share.text == "50.00%" and metric_of(share.kind.stored_label()) == "top1"
