"""Searches for a whole front: budgets and answers, what is shared, files, names of points, resume, refusals."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nas import api
from nas.arch import ArchSpec, load_arch
from nas.cli import main
from nas.cli.parser import build_parser
from nas.errors import InvalidInput
from nas.progress import Progress, SilentReporter
from nas.records.front import FILE, Front, load_front, spec_of_point
from nas.records.model_evidence import load_evidence
from nas.records.networks import load_item, resolve
from nas.records.picks import load_picks
from nas.records.results import load_result, standard_error
from nas.runs import multi_target
from nas.runs.front_config import FrontConfig, budgets_of
from nas.runs.load_run import load_run
from nas.runs.multi_target import MultiTargetResult, resume
from nas.runs.multi_target_settings import SUPERNET, MultiTargetConfig, make_plans, per_target
from nas.runs.settings import SearchConfig
from nas.runs.single_training import training_data
from nas.supernet import presets
from tests.runs.test_model_search import trainers
from tests.support.evaluators import RUGGED_IMAGES
from tests.support.tiny import PRESET, images

TARGETS = ("pixel6-cpu", "pixel8-edgetpu")
TRIALS, POINTS = 8, 5
FILES = ("best.json", "front.csv", "front.json", "evaluated.csv", "picks.json", "report.html", "experiment.json")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SearchConfig]:
    """Settings of runs that take a second: nothing is trained."""
    data, folder = images(), tmp_path_factory.mktemp("data")
    np.savez(folder / "quarters.npz", x_train=data.x_train, y_train=data.y_train, x_test=data.x_test,
             y_test=data.y_test)  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(presets.PRESETS, "tiny", PRESET)
        yield SearchConfig(
            space="tests.support.tiny:SPACE", data=str(folder / "quarters.npz"), resolution=32, preset="tiny",
            proxy_resolution=8,
        )  # fmt: skip


@pytest.fixture(scope="module")
def config_of(base: SearchConfig) -> Callable[..., MultiTargetConfig]:
    """Return the function that makes the settings of a front on some targets."""

    def make(*targets: str, front: FrontConfig | None = None, **changes: Any) -> MultiTargetConfig:
        settings = per_target(replace(base, **changes), targets, ())
        return MultiTargetConfig(
            settings, "regularized-evolution", TRIALS, evaluator="tests.support.evaluators:RUGGED",
            front=front or FrontConfig(points=POINTS),
        )  # fmt: skip

    return make


@pytest.fixture(scope="module")
def two(
    config_of: Callable[..., MultiTargetConfig], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, MultiTargetResult]:
    """A finished run for the fronts of two targets."""
    out = tmp_path_factory.mktemp("runs") / "two"
    return out, multi_target.specialise(config_of(*TARGETS), out)


def front_of(folder: Path) -> Front:
    """Return the front of a run, which must have one."""
    front = load_front(folder)
    assert front is not None
    return front


class StopAt(SilentReporter):
    """A reporter that interrupts a run at one report, as Ctrl-C would."""

    def __init__(self, stage: str) -> None:
        self.at = stage

    def progress(self, event: Progress) -> None:
        """Raise where it is time."""
        if event.stage == self.at:
            raise KeyboardInterrupt


class Backwards:
    """An executor that evaluates the batches of a round backwards, as many workers might, and gives them in order."""

    def __init__(self, build: Any, payload: Any) -> None:
        self.evaluator = build(payload)

    def evaluate(self, batches: Any) -> Iterator[Any]:
        """Yield in the order of the batches."""
        yield from reversed([self.evaluator.accuracy(batch) for batch in reversed(batches)])

    def close(self) -> None:
        """Release nothing."""


def same_files(run: Path, other: Path) -> None:
    """Check that two runs ended with the same bytes."""
    for name in ("journal.jsonl", "experiment.json", *(f"{target}/{name}" for target in TARGETS for name in FILES)):
        assert (run / name).read_bytes() == (other / name).read_bytes(), name


# ----------------------------------------------------------------------------------------------- budgets and answers


@pytest.mark.parametrize("target", TARGETS)
def test_every_budget_has_the_most_accurate_network_that_any_search_evaluated(
    two: tuple[Path, MultiTargetResult], config_of: Callable[..., MultiTargetConfig], target: str
) -> None:
    run, _ = two
    config, front = config_of(*TARGETS), front_of(run / target)
    plans = make_plans(config)
    number = TARGETS.index(target)
    assert config.front is not None
    assert tuple(point.latency_budget for point in front.points) == budgets_of(config.front, number, plans[number])
    ends = front.points[0].latency_budget, front.points[-1].latency_budget
    assert front.reachable == plans[number].reachable == ends
    evaluated = pd.read_csv(run / target / "evaluated.csv")
    for point in front.points:
        kept = evaluated[evaluated.latency <= point.latency_budget * (1 + 1e-12)]
        assert point.top1 == kept.top1.max() and point.latency == kept.latency[kept.top1 == point.top1].min()
        assert point.standard_error > 0 and 0 <= point.luck <= point.top1
        arch = load_arch(run / target / point.spec)
        assert (arch.digest, arch.macs, arch.params) == (point.digest, point.macs, point.params)
        assert plans[number].model.predict_ms(arch) == pytest.approx(point.latency, rel=1e-12)


@pytest.mark.parametrize("target", TARGETS)
def test_the_front_spans_its_range_and_rises(two: tuple[Path, MultiTargetResult], target: str) -> None:
    front, table = front_of(two[0] / target), pd.read_csv(two[0] / target / "front.csv")
    assert front.share_spanned > 0.8
    assert table.latency.is_monotonic_increasing and table.top1.is_monotonic_increasing and table.top1.is_unique
    assert (table.latency <= table.latency_budget * (1 + 1e-12)).all() and (table.standard_error > 0).all()
    assert list(table.digest) == [point.digest for point in front.networks]
    assert list(table.latency_budget) == [point.latency_budget for point in front.networks]
    assert list(table.columns[:9]) == [
        "digest", "spec", "latency", "latency_unit", "top1", "standard_error", "macs", "params", "accuracy_kind",
    ]  # fmt: skip


def test_candidates_use_their_budget(two: tuple[Path, MultiTargetResult], base: SearchConfig) -> None:
    run, _ = two
    for target in TARGETS:
        front, evaluated = front_of(run / target), pd.read_csv(run / target / "evaluated.csv")
        budgets = [point.latency_budget for point in front.points]
        for number, budget in enumerate(budgets, start=1):
            own = evaluated[evaluated.origin.isin([f"{target}/{stage}{number}" for stage in ("coarse", "whole")])]
            assert (own.latency <= budget * (1 + 1e-12)).all()
            # The space is small: a few percent may hold no network at all.
            assert own.empty or number == 1 or own.latency.min() > budgets[number - 2] * (1 - 1e-12)


def test_networks_are_evaluated_once_and_serve_all_targets(two: tuple[Path, MultiTargetResult]) -> None:
    run, _ = two
    tables = [pd.read_csv(run / target / "evaluated.csv") for target in TARGETS]
    assert set(tables[0].digest) == set(tables[1].digest) and tables[0].digest.is_unique
    assert {origin.split("/")[0] for origin in tables[0].origin} == set(TARGETS)
    accuracies = [dict(zip(table.digest, table.top1, strict=True)) for table in tables]
    assert accuracies[0] == accuracies[1]


# ---------------------------------------------------------------------------------------------------- what it leaves


def test_a_run_stands_for_the_network_nearest_to_the_reference(two: tuple[Path, MultiTargetResult]) -> None:
    run, found = two
    for target, result in found.results.items():
        front = front_of(run / target)
        assert result == load_result(run / target / "best.json") and result.arch.digest == front.chosen
        assert result.latency_budget in [point.latency_budget for point in front.points]
        assert result.latency <= result.latency_budget * (1 + 1e-12)
        assert any("RUN@" in note for note in result.notes)
        picks = load_picks(run / target)
        assert picks is not None and picks.picks[0].digest == front.chosen
        assert resolve(run / target).arch == result.arch


def test_the_front_can_be_compared_loaded_and_shown(
    two: tuple[Path, MultiTargetResult], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, _ = two
    folder = run / TARGETS[0]
    front, entries, data = front_of(folder), load_item(folder), load_run(folder)
    assert {entry.arch.digest for entry in entries} == {point.digest for point in front.points}
    by_digest = {point.digest: point for point in front.points}
    for entry in entries:
        point = by_digest[entry.arch.digest]
        assert (entry.top1, entry.standard_error) == (point.top1, point.standard_error) and entry.latency_budget is None
    assert list(data.front.latency_budget) == [point.latency_budget for point in front.networks]
    assert TRIALS * POINTS // 2 < len(data.history) <= TRIALS * POINTS + 4
    assert all(arch is not None for arch in data.evaluated["arch"])
    assert main(["compare", str(run), "--targets", "pixel6-cpu", "--out", str(tmp_path / "compared"), "--json"]) == 0
    rows = json.loads((tmp_path / "compared" / "comparison.json").read_text())["rows"]
    assert sum(row["item"] == f"two/{TARGETS[0]}" for row in rows) == len(front.networks)
    capsys.readouterr()
    assert main(["show", str(run)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for target in TARGETS:
        assert f"front on {target}" in shown
        assert all(point.digest[:8] in shown for point in front_of(run / target).points)
    assert main(["show", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["front"] == front.to_dict() | json.loads((folder / FILE).read_text())
    page = (folder / "report.html").read_text()
    assert "The front" in page and all(point.digest[:8] in page for point in front.points)


def test_a_latency_behind_a_run_names_a_network_of_its_front(
    two: tuple[Path, MultiTargetResult], capsys: pytest.CaptureFixture[str], base: SearchConfig
) -> None:
    run, _ = two
    folder = run / TARGETS[0]
    front = front_of(folder)
    for point in front.networks:
        for text in (f"{folder}@{point.latency * 1.0000001}ms", f"{folder}@{point.latency * 1000.0001}us"):
            entry = resolve(text)
            assert entry.arch.digest == point.digest and entry.top1 == point.top1
            assert entry.name.startswith(f"two/{TARGETS[0]}@") and spec_of_point(text) == str(folder / point.spec)
    slow = f"{folder}@{front.points[-1].latency_budget:.6g}ms"
    assert main(["describe", slow, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["macs"] == front.points[-1].macs
    assert api.spec(slow).digest == front.points[-1].digest
    spec = str(folder / front.points[-1].spec)
    assert training_data(spec, folder / "none", None, None).digest == base.load_data().digest


@pytest.mark.parametrize(
    ("behind", "message"),
    [
        ("1e-6ms", "takes at most 1e-6ms; the fastest takes"),
        ("soon", "a latency in ms must stand behind @"),
        ("3kg", "a latency in ms must stand behind @"),
    ],
)
def test_a_latency_that_names_nothing_gets_one_line(
    two: tuple[Path, MultiTargetResult], capsys: pytest.CaptureFixture[str], behind: str, message: str
) -> None:
    assert main(["describe", f"{two[0] / TARGETS[0]}@{behind}"]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert main(["describe", f"{two[0]}@{behind}"]) == 2
    assert f"name one: {two[0] / TARGETS[0]}@{behind}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change",
    [
        {"points": []}, {"points": [{}]}, {"reachable": 3}, {"schema": "other"}, {"images": "many"}, {"chosen": None},
    ],
)  # fmt: skip
def test_an_altered_front_is_refused(
    two: tuple[Path, MultiTargetResult], tmp_path: Path, change: dict[str, Any]
) -> None:
    stored = json.loads((two[0] / TARGETS[0] / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps(stored | change))
    with pytest.raises(InvalidInput, match="does not hold the front of a search"):
        load_front(tmp_path)


# ------------------------------------------------------------------------------------------------------------ resume


def test_a_search_stopped_anywhere_and_any_executor_give_the_same_bytes(
    two: tuple[Path, MultiTargetResult], config_of: Callable[..., MultiTargetConfig], tmp_path: Path
) -> None:
    run, found = two
    broken = tmp_path / "two"
    with pytest.raises(KeyboardInterrupt):
        multi_target.specialise(config_of(*TARGETS), broken, StopAt(f"{TARGETS[0]}/whole3"), workers=Backwards)
    with pytest.raises(KeyboardInterrupt):
        resume(broken, StopAt(f"{TARGETS[1]}/coarse2"))
    assert resume(broken, workers=Backwards).results == found.results
    same_files(run, broken)
    journal = (run / "journal.jsonl").read_bytes()
    (broken / "journal.jsonl").write_bytes(journal[: 2 * len(journal) // 3])
    resume(broken)
    same_files(run, broken)
    with pytest.raises(InvalidInput, match="a search for a whole front is not extended"):
        resume(broken, more=4)


# ------------------------------------------------------------------------------------------------ an accuracy model


def formula(arch: ArchSpec) -> float:
    """Return an accuracy that grows with the parameters of the proxy."""
    return 0.5 + 0.05 * float(np.log(arch.params / 5e3))


@pytest.fixture(scope="module")
def model_config(config_of: Callable[..., MultiTargetConfig]) -> MultiTargetConfig:
    """Settings of the fronts of two targets whose networks are trained alone."""
    settings = config_of(*TARGETS, front=FrontConfig(points=3), accuracy_model="ridge", core_hours=0.3)
    return replace(settings, evaluator=SUPERNET)


@pytest.fixture(scope="module")
def by_model(
    model_config: MultiTargetConfig, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, MultiTargetResult]:
    """A finished run with these settings; a formula takes the place of the trainings."""
    out = tmp_path_factory.mktemp("model") / "two"
    return out, multi_target.specialise(model_config, out, trainers=trainers(formula))


@pytest.mark.parametrize("target", TARGETS)
def test_a_front_by_an_accuracy_model_answers_every_budget(
    by_model: tuple[Path, MultiTargetResult], model_config: MultiTargetConfig, target: str
) -> None:
    run, found = by_model
    plan = make_plans(model_config)[TARGETS.index(target)]
    front, evaluated = front_of(run / target), pd.read_csv(run / target / "evaluated.csv")
    assert tuple(point.latency_budget for point in front.points) == plan.front and front.share_spanned > 0.8
    top1 = [point.top1 for point in front.points]
    assert top1 == sorted(top1) and "estimated" in front.accuracy_kind
    for point in front.points:
        row = evaluated[evaluated.digest == point.digest].iloc[0]
        assert point.latency <= point.latency_budget * (1 + 1e-12) and row.top1 == pytest.approx(point.top1)
        assert row.standard_error == pytest.approx(point.standard_error)
        assert point.standard_error > standard_error(point.top1, front.images)  # seeds too, not images alone
    result = found.results[target]
    assert result.arch.digest == front.chosen and result.supernet_accuracy is None
    assert any("trained alone" in note for note in result.notes) and any("RUN@" in note for note in result.notes)
    entries = {entry.arch.digest: entry for entry in load_item(run / target)}
    assert all(entries[point.digest].standard_error == pytest.approx(point.standard_error) for point in front.points)
    evidence = load_evidence(run / target)
    assert evidence is not None and len(evidence.networks) == len(evaluated)
    assert not (run / "supernet.safetensors").exists()


def test_a_front_by_an_accuracy_model_goes_on_to_the_same_bytes(
    by_model: tuple[Path, MultiTargetResult], model_config: MultiTargetConfig, tmp_path: Path
) -> None:
    broken = tmp_path / "two"
    with pytest.raises(KeyboardInterrupt):
        multi_target.specialise(model_config, broken, trainers=trainers(formula, stop_after=20))
    assert resume(broken, trainers=trainers(formula, backwards=True)).results == by_model[1].results
    same_files(by_model[0], broken)


def test_an_accuracy_model_and_a_supernet_exclude_each_other(model_config: MultiTargetConfig) -> None:
    with pytest.raises(InvalidInput, match="an accuracy model trains networks alone"):
        make_plans(replace(model_config, source="0" * 64))


# ---------------------------------------------------------------------------------------------------- ranges, bounds


def test_ends_of_a_range_may_be_left_out_and_reach_no_further_than_the_space(
    config_of: Callable[..., MultiTargetConfig],
) -> None:
    (plan,) = make_plans(config_of(TARGETS[0]))
    low, high = plan.reachable
    middle = (low + high) / 2
    for asked, expected in (
        ((None, None), (low, high)), ((middle, None), (middle, high)), ((None, middle), (low, middle)),
        ((low / 2, high * 2), (low, high)), ((low / 2, middle), (low, middle)),
    ):  # fmt: skip
        budgets = budgets_of(FrontConfig((asked,), 3), 0, plan)
        assert (budgets[0], budgets[-1]) == expected
    with pytest.raises(InvalidInput, match="the front must lie between"):
        budgets_of(FrontConfig(((high * 2, high * 3),)), 0, plan)


def test_the_range_is_what_the_bounds_leave(config_of: Callable[..., MultiTargetConfig], tmp_path: Path) -> None:
    config = config_of(TARGETS[0], max_params=6000, front=FrontConfig(points=3))
    (plan,) = make_plans(config)
    assert config.front is not None
    budgets = budgets_of(config.front, 0, plan)
    assert plan.reachable[0] == budgets[0] < budgets[-1] < plan.reachable[1]
    multi_target.specialise(config, tmp_path / "run")
    front, evaluated = front_of(tmp_path / "run"), pd.read_csv(tmp_path / "run" / "evaluated.csv")
    assert (evaluated.params <= 6000).all() and front.points[-1].latency > budgets[0]


def test_each_target_may_have_a_range_of_its_own(config_of: Callable[..., MultiTargetConfig]) -> None:
    plans = make_plans(config_of(*TARGETS))
    middles = [sum(plan.reachable) / 2 for plan in plans]
    front = FrontConfig(tuple((middle, None) for middle in middles), 2)
    found = make_plans(config_of(*TARGETS, front=front))
    assert [budgets_of(front, number, plan)[0] for number, plan in enumerate(found)] == middles
    assert FrontConfig.from_dict(json.loads(json.dumps(front.to_dict()))) == front
    with pytest.raises(InvalidInput, match="the stored settings of the front are malformed"):
        FrontConfig.from_dict({"ranges": 3, "points": 2})


# ------------------------------------------------------------------------------------------------- flags and the API


def test_flags_and_folder_of_a_front() -> None:
    parser = build_parser(["search"])
    cases = {
        (): ((None, None),), ("0.5..4",): ((0.5, 4.0),), ("500us..4ms",): ((0.5, 4.0),), ("0.5..",): ((0.5, None),),
        ("..4",): ((None, 4.0),), ("0.5..4,3..",): ((0.5, 4.0), (3.0, None)),
    }  # fmt: skip
    for given, expected in cases.items():
        args = parser.parse_args(["search", "--front", *given])
        assert tuple((one.low, one.high) for one in args.front) == expected
    assert FrontConfig().points == 8


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--front", "4..0.5"], "must go from a latency to a larger one, got '4..0.5'"),
        (["--front", "4"], "must be a range of latencies such as 0.5..4"),
        (["--front", "fast..slow"], "must be positive and finite, got 'fast'"),
        (["--front", "2..4", "--target", "edgetpu"], "the front must lie between 0.6426 and 1.075 ms"),
        (["--front", "0.7..1,1..2"], "--front takes one range for all targets or one for each, got 2 for 1"),
        (["--front", "--latency-ms", "3"], "not allowed with argument --front"),
        (["--front", "--around"], "--around and --front exclude each other"),
        (["--front", "--minimize", "macs"], "--minimize and --front exclude each other"),
        (["--front", "--universal", "--target", "edgetpu,rpi5"], "--universal and --front exclude each other"),
        (["--front", "--algorithm", "reinforce"], "'reinforce' learns a policy for one latency"),
        (["--front", "--front-points", "1"], "a front has at least 2 points"),
        (["--front-points", "4"], "--front-points goes with --front"),
        (["--front", "1ms..2ms", "--ridge-point", "10"], "give --front without a unit"),
        (["--front", "--finalists", "9"], "--finalists goes with joint"),
        (["--front", "--supernet-share", "0.1"], "--supernet-share goes with --algorithm joint and one latency"),
        (
            ["--front", "--accuracy-model", "ridge", "--core-hours", "0.01"],
            "core hours, got 0.01; give more hours or fewer points",
        ),
        (["--front", "--accuracy-model", "ridge", "--trials", "9"], "has no --trials: give --core-hours"),
        (["--front", "--core-hours", "1"], "core hours are those of a search with an accuracy model"),
    ],
)
def test_bad_requests_get_one_line_and_leave_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    assert main(["search", *flags, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not (tmp_path / "run").exists()


def test_the_plan_says_every_budget_and_which_part_of_the_range_is_reached(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "--target", "edgetpu", "--front", "0.5..0.9", "--front-points", "3", "--plan"]) == 0
    shown = capsys.readouterr().out
    assert "a front of at most 0.6426, 0.7605, 0.9 ms, within 0.5..0.9 on pixel8-edgetpu" in shown
    assert "170 trials near each latency of its front" in shown and "runs/uib-edgetpu-front0.5..0.9-" in shown


def test_a_front_from_python(base: SearchConfig, tmp_path: Path) -> None:
    def search(out: Path, front: Any) -> Any:
        return api.search(
            out, space=base.space, data=base.data, resolution=32, preset="tiny", proxy_resolution=8, trials=2,
            target=TARGETS[0], evaluator="tests.support.evaluators:RUGGED", front=front, front_points=2,
        )  # fmt: skip

    found = search(tmp_path / "run", True)
    front = api.load(tmp_path / "run").front
    assert found.arch.digest in set(front.digest) and len(front) == 2
    assert search(tmp_path / "run", (None, None)) == found  # the same settings: the finished run is read
    with pytest.raises(InvalidInput, match="front must be True or two latencies"):
        search(tmp_path / "other", 3)
    assert found.accuracy.images == RUGGED_IMAGES
