"""nas rank: what is trained, what is kept, the files, and that the order of trainings changes no byte."""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nas import api
from nas.cli import main
from nas.errors import InvalidInput
from nas.files import read_json
from nas.progress import Progress, SilentReporter
from nas.records.journal import Journal
from nas.runs import ranking as rankings
from nas.runs.ranking import Ranking, RankingConfig, make_ranking, rank
from nas.runs.settings import SearchConfig
from nas.search.accuracy.evidence import kendall_tau
from nas.search.accuracy.ranking import ACCURACY_MODEL, EARLY
from nas.training.candidates import CandidateTrainings
from nas.training.int8_score import Int8Score
from nas.training.trainees import OnTraineeEpoch, OpenTrainees, TrainAll, Trained, Trainee
from nas.training.trial import CURVE
from tests.support.tiny import images

Run = Callable[..., str]
SEARCH = SearchConfig(space="uib_smoke", preset="smoke", baseline="none")
FILES = ("rank.csv", "rank.json", "rank.svg", "rank.png", "most_accurate.json")


def trainers(backwards: bool = False, failing: str = "") -> OpenTrainees:
    """Return what pretends to train: the accuracy follows from the MACs, the seed and the epoch."""

    @contextmanager
    def opened(trials: CandidateTrainings, on_epoch: OnTraineeEpoch) -> Iterator[TrainAll]:
        def train(trainees: Sequence[Trainee]) -> Iterator[Trained]:
            for one in trainees[::-1] if backwards else trainees:
                folder = trials.of(one.digest, one.seed)
                folder.mkdir(parents=True, exist_ok=True)
                noise = np.random.default_rng([one.seed, int(one.digest[:6], 16)]).normal(0, 0.01)
                curve = tuple(0.3 + one.arch.macs / 1e7 + 0.1 * epoch + noise for epoch in range(one.epochs))
                journal = Journal(folder / "curve.jsonl", CURVE)
                for epoch, top1 in enumerate(curve, start=1):
                    if epoch > len(journal.records):
                        journal.append({"epoch": epoch, "top1": top1})
                    on_epoch(one, epoch, top1)
                failed = bool(failing) and one.digest.startswith(failing)
                in_int8 = Int8Score(curve[-1] - 0.1, curve[-1]) if trials.int8 else None
                yield Trained(one, () if failed else curve, "the loss is no longer finite" if failed else "", in_int8)

        yield train

    return opened


@pytest.fixture(scope="module")
def ranking() -> Ranking:
    data = images(classes=10, count=400)
    return make_ranking(RankingConfig(SEARCH, networks=6, seeds=2, epochs=2), data)


@pytest.fixture(scope="module")
def ranked(ranking: Ranking, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rank")
    assert rank(ranking, folder, SilentReporter(), trainers()) == []
    return folder


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "rank.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_has_what_a_replay_reads(ranking: Ranking, ranked: Path) -> None:
    found = rows(ranked)
    assert len(found) == 6
    assert len({row["digest"] for row in found}) == 6
    for row in found:
        genotype = [int(row[f"d{i}"]) for i in range(len(ranking.plan.space.decisions))]
        arch = ranking.plan.space.decode(genotype)
        assert (row["digest"], float(row["f_macs"])) == (arch.digest, arch.macs)
        assert float(row["cost"]) == pytest.approx(ranking.plan.model.predict_ms(arch))
        assert 0.98 <= float(row["cost"]) / ranking.plan.latency_budget <= 1
        assert row["accuracy_0"] == row["val_0_2"] != row["accuracy_1"]


def test_neither_the_order_of_trainings_nor_going_on_changes_a_byte(
    ranking: Ranking, ranked: Path, tmp_path: Path
) -> None:
    fewer = replace(ranking, config=replace(ranking.config, networks=4, seeds=1))
    rank(fewer, tmp_path, SilentReporter(), trainers())
    seen: list[int] = []

    class Reporter(SilentReporter):
        def progress(self, event: Progress) -> None:
            seen.append(event.step)

    rank(ranking, tmp_path, Reporter(), trainers(backwards=True))
    assert seen == list(range(9, 25))  # 4 networks of 2 epochs were there
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == {
        name: (ranked / name).read_bytes() for name in FILES
    }


def test_a_search_for_int8_is_ranked_in_int8(
    ranked: Path, tmp_path: Path, out: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.cli.commands.rank.open_trainees", lambda *_: trainers())
    flags = ("uib_smoke", "--preset", "smoke", "--networks", 4, "--seeds", 2, "--epochs", 2)
    shown = out("rank", *flags, "--target", "edgetpu", "--quantize", "int8", "--out", tmp_path)
    assert "accuracies are those in int8" in shown
    assert read_json(tmp_path / "rank.json")["quantize"] == "int8"
    for row in rows(tmp_path):
        for seed in range(2):
            assert float(row[f"accuracy_{seed}"]) == pytest.approx(float(row[f"val_{seed}_2"]) - 0.1)
    assert "quantize" not in read_json(ranked / "rank.json")


def test_networks_on_few_images_are_members_of_one_program_but_in_folders_that_began_without(
    ranking: Ranking, ranked: Path, tmp_path: Path
) -> None:
    families: list[object] = []

    @contextmanager
    def noting(trials: CandidateTrainings, on_epoch: OnTraineeEpoch) -> Iterator[TrainAll]:
        families.append(trials.family)
        with trainers()(trials, on_epoch) as train:
            yield train

    rank(ranking, tmp_path / "new", SilentReporter(), noting)
    stored = read_json(tmp_path / "new" / "ranking.json")
    assert stored.pop("one_program") is True
    (tmp_path / "new" / "ranking.json").write_text(json.dumps(stored))
    rank(ranking, tmp_path / "new", SilentReporter(), noting)
    assert families == [ranking.family, None] and ranking.family is not None
    assert rows(tmp_path / "new") == rows(ranked)


def test_the_evidence_is_that_of_the_table(ranked: Path) -> None:
    predictors = json.loads((ranked / "rank.json").read_text())["predictors"]
    table = {name: np.array([float(row[name]) for row in rows(ranked)]) for name in rows(ranked)[0] if name != "digest"}
    mean = (table["accuracy_0"] + table["accuracy_1"]) / 2
    for name, column in {"MACs": "f_macs", "parameters": "f_params", "latency": "cost"}.items():
        assert predictors[name]["value"] == pytest.approx(kendall_tau(table[column], mean))
    assert set(predictors) == {"MACs", "parameters", "latency", ACCURACY_MODEL, EARLY}


def test_a_failed_training_is_said_and_left_out(ranking: Ranking, ranked: Path, tmp_path: Path) -> None:
    digest = rows(ranked)[2]["digest"]
    notes = rank(ranking, tmp_path, SilentReporter(), trainers(failing=digest[:12]))
    assert notes == [f"{digest[:12]}, seed {seed}: the loss is no longer finite" for seed in (0, 1)]
    assert rows(tmp_path)[2]["accuracy_0"] == ""
    assert json.loads((tmp_path / "rank.json").read_text())["networks"] == 5


def test_a_folder_of_other_settings_is_refused(ranking: Ranking, ranked: Path) -> None:
    with pytest.raises(InvalidInput, match="holds a ranking with other epochs"):
        rank(replace(ranking, config=replace(ranking.config, epochs=3)), ranked, SilentReporter(), trainers())


def test_the_shared_weights_are_a_predictor(ranking: Ranking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[int] = []
    monkeypatch.setattr(rankings, "_evaluated", lambda plan, file, genotypes: np.arange(len(genotypes), dtype=float))
    shared = rankings.shared_supernet
    monkeypatch.setattr(shared, "train", lambda plan, *_: trained.append(shared.sandwich_training(plan).steps))
    own = replace(ranking, config=replace(ranking.config, supernet_steps=7))
    rank(own, tmp_path, SilentReporter(), trainers())
    assert trained == [7]
    assert "supernet" in json.loads((tmp_path / "rank.json").read_text())["predictors"]
    assert own.core_minutes > ranking.core_minutes


# ------------------------------------------------------------------------------------------------------ the command


def test_the_plan_says_the_cost_and_does_nothing(out: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown = out("rank", "uib_smoke", "--preset", "smoke", "--networks", "5", "--supernet-steps", "9", "--plan")
    assert "expected: 10 trainings, about " in shown
    assert "supernet of the whole space: 9 steps" in shown
    assert "would write runs/uib_smoke-pixel6-cpu-digits-smoke-s0-rank-supernet9: " in shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("run", "where"),
    [("finished", "at 0.688 ms on pixel8-edgetpu"), ("many/pixel6-cpu", "on pixel6-cpu"), ("many", "pixel8-edgetpu")],
)
def test_a_run_is_ranked_with_its_settings(run: str, where: str, out: Run, root: Path) -> None:
    shown = out("rank", root / "tests/data/runs" / run, "--plan")
    assert where in shown.splitlines()[1]
    assert f"would write {root}/tests/data/runs/{run}-rank: rank.json" in shown


def test_from_python(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.runs.workers.open_trainees", lambda *_: trainers())
    found = api.rank(root / "tests/data/runs/finished", tmp_path / "ranked", networks=4, epochs=1)
    assert (found.networks, found.seeds) == (4, 2)
    assert (tmp_path / "ranked" / "rank.csv").exists()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("rank uid", "unknown space 'uid'; did you mean 'uib'?"),
        ("rank no/such/run", "there is no run folder no/such/run"),
        ("rank tests/data/runs/finished --latency-ms 3", "leave --latency-ms out"),
        ("rank uib --target rpi5,edgetpu", "a ranking is for one target"),
        ("rank uib --networks 3 --plan", "networks must be at least 4, got 3"),
        ("rank uib --latency-ms 0.01 --plan", "the latency must lie between"),
    ],
)
def test_refusals(command: str, words: str, refusal: Run, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    assert words in refusal(*command.split())


def test_the_command_and_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("nas.cli.commands.rank.open_trainees", lambda *_: trainers())
    flags = ["rank", "uib_smoke", "--preset", "smoke", "--networks", "4", "--epochs", "1", "--out", str(tmp_path / "r")]
    assert main(flags) == 0
    shown = capsys.readouterr().out
    assert "a perfect predictor" in shown and f"next: nas show {tmp_path}/r" in shown
    assert main(["show", str(tmp_path / "r")]) == 0
    assert "what ranks networks of equal latency" in capsys.readouterr().out
    assert main(["describe", str(tmp_path / "r" / "most_accurate.json")]) == 0
    assert main(["show", str(tmp_path / "r"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.partition("{")[2].join(["{", ""]))["networks"] == 4
