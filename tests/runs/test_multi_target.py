"""Searches over a supernet trained once: files, resume from any point, targets, one network for all, bad requests."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nas.arch import load_arch
from nas.cli import main
from nas.errors import InvalidInput
from nas.nn.network import load_weights
from nas.progress import Progress, SilentReporter
from nas.records.journal import Journal
from nas.records.results import load_result
from nas.records.signatures import signature_of
from nas.runs import evaluators, multi_target, shared_supernet
from nas.runs.multi_target import MultiTargetResult, resume
from nas.runs.multi_target_settings import MultiTargetConfig, per_target
from nas.runs.plan import make_plan
from nas.runs.settings import SearchConfig
from nas.runs.stages import SingleTarget
from nas.space.scaling import scale_down
from nas.supernet import presets
from tests.support.tiny import PRESET, images, latency_range

TINY = replace(
    PRESET,
    xla_options=(("xla_backend_optimization_level", 0),),
)
TARGETS = ("pixel6-cpu", "pixel8-edgetpu")
TRIALS = 16
BUILD = shared_supernet.build_evaluator
EVALUATORS: dict[str, Any] = {}
FILES = ("best.json", "front.csv", "evaluated.csv", "coarse.json", "inherited.safetensors")


def build_once(payload: dict[str, Any]) -> Any:
    """Return the evaluator of a payload, compiled once for all runs of the same weights."""
    key = sha256(b"".join(np.asarray(value).tobytes() for value in payload["weights"].values())).hexdigest()
    if key not in EVALUATORS:
        EVALUATORS[key] = BUILD(payload)
    return EVALUATORS[key]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SearchConfig]:
    """Settings of runs that take seconds; every chunk of training is followed by a checkpoint."""
    folder = tmp_path_factory.mktemp("data")
    data = images()
    np.savez(folder / "quarters.npz", x_train=data.x_train, y_train=data.y_train, x_test=data.x_test,
             y_test=data.y_test)  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(presets.PRESETS, "tiny", TINY)
        patch.setattr(shared_supernet, "CHECKPOINT_SECONDS", 0.0)
        patch.setattr(evaluators, "SUPERNET", replace(evaluators.SUPERNET, build=build_once))
        yield SearchConfig(
            space="tests.support.tiny:SPACE", data=str(folder / "quarters.npz"), resolution=32, preset="tiny",
            proxy_resolution=8,
        )  # fmt: skip


def middle_ms(base: SearchConfig, target: str) -> float:
    """The middle of what the space reaches on a target."""
    low, high = latency_range(replace(base, target=target))
    return (low + high) / 2


@pytest.fixture(scope="module")
def config_of(base: SearchConfig) -> Callable[..., MultiTargetConfig]:
    """Return the function that makes requests."""

    def make(*targets: str, algorithm: str = "regularized-evolution", **changes: Any) -> MultiTargetConfig:
        settings = per_target(base, targets, [middle_ms(base, target) for target in targets])
        return MultiTargetConfig(settings, algorithm, TRIALS, **changes)

    return make


@pytest.fixture(scope="module")
def two(
    config_of: Callable[..., MultiTargetConfig], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, MultiTargetResult]:
    """A finished run for two targets, with one network for both."""
    out = tmp_path_factory.mktemp("runs") / "two"
    return out, multi_target.specialise(config_of(*TARGETS, universal=True), out)


def copied(run: Path, to: Path) -> Path:
    """Copy a run's folder as far as its experiment.json, journal and weights, and return the copy."""
    to.mkdir()
    for name in ("experiment.json", "journal.jsonl", shared_supernet.FILE):
        (to / name).write_bytes((run / name).read_bytes())
    return to


def same_results(run: Path, other: Path, *, folders: tuple[str, ...] = (*TARGETS,)) -> None:
    """Check that two runs ended with the same bytes."""
    for folder in folders:
        for name in FILES:
            assert (run / folder / name).read_bytes() == (other / folder / name).read_bytes(), (folder, name)


class StopAt(SilentReporter):
    """A watcher that interrupts a run at one report, as Ctrl-C would."""

    def __init__(self, stage: str, step: int) -> None:
        self.at = stage, step

    def progress(self, event: Progress) -> None:
        """Raise where it is time."""
        if (event.stage, event.step) == self.at:
            raise KeyboardInterrupt


# ------------------------------------------------------------------------------------------------------ what it leaves


def test_each_target_has_the_files_of_a_run(two: tuple[Path, MultiTargetResult], base: SearchConfig) -> None:
    _, found = two
    assert list(found.results) == list(TARGETS)
    for target, folder in found.folders.items():
        result = load_result(folder / "best.json")
        assert result == found.results[target] and result.target == target
        assert result.latency <= result.latency_budget * (1 + 1e-9)
        assert load_arch(folder / "best.json") == result.arch
        evaluated, front = pd.read_csv(folder / "evaluated.csv"), pd.read_csv(folder / "front.csv")
        assert TRIALS < len(evaluated) <= 2 * TRIALS and set(evaluated["origin"]) == {"coarse", "fine"}
        assert (evaluated["latency"] <= result.latency_budget * (1 + 1e-9)).all()
        assert result.accuracy.top1 == evaluated["top1"].max()
        assert front["top1"].is_monotonic_increasing
        for row in front.itertuples():
            assert load_arch(folder / str(row.spec)).digest == row.digest
        load_weights(folder / "inherited.safetensors", scale_down(result.arch, 8, 0.5))
        stored = json.loads((folder / "experiment.json").read_text())
        assert SearchConfig.from_dict(stored["settings"]).target == target
        assert (folder / "report.html").read_text().startswith("<!")
        takes = signature_of(folder)
        assert takes and takes == signature_of(two[0]) and takes.class_names == ("0", "1", "2", "3")


def test_a_coarse_stage_moves_in_filters_and_depths_only(
    two: tuple[Path, MultiTargetResult], base: SearchConfig
) -> None:
    run, found = two
    space = make_plan(replace(base, target=TARGETS[0], latency_ms=middle_ms(base, TARGETS[0]))).space
    coarse = load_result(run / TARGETS[0] / "coarse.json").arch
    assert space.coarse().decode(space.coarse().encode(replace(coarse, name=space.coarse().name))).stages
    best = found.results[TARGETS[0]].arch
    assert [len(stage) for stage in best.stages] == [len(stage) for stage in coarse.stages]


def test_costs_to_minimise_are_objectives_beside_error_and_latency(base: SearchConfig) -> None:
    target = TARGETS[0]
    plan = make_plan(replace(base, target=target, latency_ms=middle_ms(base, target), minimize=("flash",)))
    genotypes = plan.space.sample(np.random.default_rng(0), 5)
    archs = [plan.space.decode(genotype) for genotype in genotypes.tolist()]
    flash_kb = [sum(kernel.weights for kernel in arch.kernels) * plan.model.bytes_per_weight / 1024 for arch in archs]
    latency_budget = np.stack([np.full(5, 0.75), [plan.model.predict_ms(arch) for arch in archs], flash_kb], 1)
    np.testing.assert_allclose(SingleTarget(plan).objectives(genotypes, np.full(5, 0.25)), latency_budget, rtol=1e-12)


def test_the_network_for_all_is_written_with_the_regrets_of_every_network(two: tuple[Path, MultiTargetResult]) -> None:
    run, found = two
    data = json.loads((run / "universal.json").read_text())
    assert data == found.regrets and data["targets"] == list(TARGETS)
    assert [row["name"] for row in data["networks"]] == [*TARGETS, "universal"]
    universal = data["networks"][-1]
    assert found.universal is not None and universal["digest"] == found.universal.arch.digest
    assert all(universal["keeps_bounds"].values())
    for row in data["networks"]:
        for name, result in found.results.items():
            assert row["keeps_bounds"][name] == (row["latency"][name] <= result.latency_budget * (1 + 1e-9))
        usable = all(row["keeps_bounds"].values())
        assert row["worst_regret"] == (max(row["regret"].values()) if usable else None)
        assert row["top1"] <= universal["top1"] or not usable
    for target in TARGETS:  # by hand, from the table of that target's own search
        own = pd.read_csv(run / target / "evaluated.csv")
        best = own.top1[own.latency <= found.results[target].latency_budget * (1 + 1e-9)].max()
        assert universal["regret"][target] >= best - universal["top1"] - 1e-9
        quicker = own.top1[own.latency <= universal["latency"][target]]
        assert not universal["on_front"][target] or quicker.max() <= universal["top1"] + 1e-9 or quicker.empty


# ------------------------------------------------------------------------------------------------------------- resume


def test_a_run_interrupted_in_every_phase_ends_with_the_same_bytes(
    two: tuple[Path, MultiTargetResult], config_of: Callable[..., MultiTargetConfig], tmp_path: Path
) -> None:
    run, _ = two
    broken = tmp_path / "broken"
    with pytest.raises(KeyboardInterrupt):
        multi_target.specialise(config_of(*TARGETS, universal=True), broken, StopAt("supernet", 2))
    for stop in (("pixel6-cpu/coarse", 6), ("pixel8-edgetpu/fine", 2), ("universal/whole", 4)):
        with pytest.raises(KeyboardInterrupt):
            resume(broken, StopAt(*stop))
    resume(broken)
    same_results(run, broken)
    for name in ("universal.json", "universal/best.json", shared_supernet.FILE, "journal.jsonl"):
        assert (run / name).read_bytes() == (broken / name).read_bytes(), name


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_a_journal_cut_anywhere_is_completed(two: tuple[Path, MultiTargetResult], tmp_path: Path, share: float) -> None:
    run, _ = two
    broken = copied(run, tmp_path / "broken")
    journal = (run / "journal.jsonl").read_bytes()
    (broken / "journal.jsonl").write_bytes(journal[: int(share * len(journal))])
    resume(broken)
    same_results(run, broken)
    assert (broken / "journal.jsonl").read_bytes() == journal
    assert (run / "universal.json").read_bytes() == (broken / "universal.json").read_bytes()


def test_a_budget_extends_a_finished_run_as_if_nothing_had_stopped_it(
    two: tuple[Path, MultiTargetResult], tmp_path: Path
) -> None:
    run, found = two
    at_once, broken = copied(run, tmp_path / "at-once"), copied(run, tmp_path / "broken")
    longer = resume(at_once, more=8)
    with pytest.raises(KeyboardInterrupt):
        resume(broken, StopAt("pixel8-edgetpu/fine", TRIALS + 2), more=8)
    with pytest.raises(InvalidInput, match="is not finished; go on with"):
        resume(broken, more=8)
    resume(broken)
    same_results(at_once, broken)
    for target in TARGETS:
        before, after = (pd.read_csv(folder / target / "evaluated.csv") for folder in (run, at_once))
        assert set(before["digest"]) < set(after["digest"]) and len(after) <= len(before) + 8
        assert longer.results[target].accuracy.top1 >= found.results[target].accuracy.top1


def test_a_finished_run_is_just_read(two: tuple[Path, MultiTargetResult], monkeypatch: pytest.MonkeyPatch) -> None:
    run, found = two
    monkeypatch.setattr(multi_target, "make_plans", None)
    assert resume(run) == found


# ------------------------------------------------------------------------------------------- targets, workers, weights


class Shuffled:
    """An executor that evaluates the batches of a round backwards, as many workers might, and gives them in order."""

    def __init__(self, build: Any, payload: Any) -> None:
        self.evaluator = build(payload)

    def evaluate(self, batches: Any) -> Iterator[Any]:
        """Yield in the order of the batches."""
        backwards = [self.evaluator.accuracy(batch) for batch in reversed(batches)]
        yield from reversed(backwards)

    def close(self) -> None:
        """Release nothing."""


def test_a_target_added_later_gets_what_it_would_have_got_at_once(
    two: tuple[Path, MultiTargetResult], config_of: Callable[..., MultiTargetConfig], tmp_path: Path
) -> None:
    run, found = two
    _, digest = multi_target.supernet_of_run(run)
    late = config_of(TARGETS[1], source=digest)
    added = multi_target.specialise(late, tmp_path / "late", workers=Shuffled, source=run)
    assert added.results == {TARGETS[1]: found.results[TARGETS[1]]}
    assert not (tmp_path / "late" / "checkpoints").exists()
    for name in FILES:
        assert (tmp_path / "late" / name).read_bytes() == (run / TARGETS[1] / name).read_bytes()
    altered = tmp_path / "late" / shared_supernet.FILE
    altered.write_bytes(altered.read_bytes()[:-4] + b"\0\0\0\1")
    (tmp_path / "late" / "journal.jsonl").write_bytes(b"")
    with pytest.raises(InvalidInput, match=r"was altered|was damaged after it was written"):
        resume(tmp_path / "late")


class Lossy(Shuffled):
    """An executor that gives up on every batch whose first genotype has an odd sum, in every stage some."""

    def evaluate(self, batches: Any) -> Iterator[Any]:
        """Yield None for these."""
        for batch in batches:
            yield None if batch[0].sum() % 2 else self.evaluator.accuracy(batch)


def test_what_no_worker_could_evaluate_is_left_out(
    two: tuple[Path, MultiTargetResult], config_of: Callable[..., MultiTargetConfig], tmp_path: Path
) -> None:
    run, _ = two
    config = config_of(TARGETS[0], source=multi_target.supernet_of_run(run)[1])
    lines: list[str] = []
    reporter = SilentReporter()
    reporter.say = lines.append  # type: ignore[method-assign]
    found = multi_target.specialise(config, tmp_path / "run", reporter, workers=Lossy, source=run)
    assert any("gave up on a batch of" in line for line in lines)
    records = Journal(tmp_path / "run" / "journal.jsonl").records
    reported = sum(len(record["accuracy"]) for record in records if "asked" in record)
    assert reported == 2 * TRIALS
    assert len(pd.read_csv(found.folders[TARGETS[0]] / "evaluated.csv")) < 2 * TRIALS


@pytest.mark.parametrize("algorithm", ["reinforce", "nsga2", "hybrid"])
def test_every_kind_of_algorithm_searches_the_same_weights(
    two: tuple[Path, MultiTargetResult], config_of: Callable[..., MultiTargetConfig], tmp_path: Path, algorithm: str
) -> None:
    run, _ = two
    config = config_of(TARGETS[0], algorithm=algorithm, source=multi_target.supernet_of_run(run)[1])
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    result = multi_target.specialise(config, whole, source=run).results[TARGETS[0]]
    assert result.latency <= result.latency_budget * (1 + 1e-9)
    evaluated = pd.read_csv(whole / "evaluated.csv")
    kept = evaluated[evaluated["latency"] <= result.latency_budget * (1 + 1e-9)]
    assert result.accuracy.top1 == kept["top1"].max()
    assert result.notes[0].startswith(f"{algorithm} over a supernet trained once")
    with pytest.raises(KeyboardInterrupt):
        multi_target.specialise(config, broken, StopAt(f"{TARGETS[0]}/fine", 8), source=run)
    resume(broken)
    for name in FILES:
        assert (whole / name).read_bytes() == (broken / name).read_bytes()


# -------------------------------------------------------------------------------------------------------- bad requests


def test_a_run_of_several_targets_says_which_folders_hold_results(
    two: tuple[Path, MultiTargetResult], capsys: pytest.CaptureFixture[str]
) -> None:
    run, found = two
    assert main(["describe", str(run)]) == 2
    assert f"name the results of one: {run / TARGETS[0]}, {run / TARGETS[1]}" in capsys.readouterr().err
    assert main(["describe", str(run / TARGETS[0])]) == 0
    assert main(["compare", str(run / TARGETS[0]), str(run / "universal"), "--targets", "pixel6-cpu"]) == 0
    assert main(["resume", str(run)]) == 0
    shown = capsys.readouterr().out
    over = sum(not keeps for row in found.regrets["networks"] for keeps in row["keeps_bounds"].values())
    assert "regret in points of top-1" in shown and shown.count("over,") == over
    assert f"nas compare {' '.join(str(run / name) for name in (*TARGETS, 'universal'))}" in " ".join(shown.split())
    assert main(["resume", str(run / TARGETS[0])]) == 2
    assert f"resume the whole run: nas resume {run}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--algorithm", "nsga3"], "unknown algorithm 'nsga3'; did you mean 'nsga2'"),
        (["--algorithm", "nsga2", "--universal"], "--universal needs several targets"),
        (["--algorithm", "nsga2", "--trials", "0"], "--trials: must be a whole number of at least 1, got '0'"),
        (["--trials", "5"], "--trials goes with an --algorithm over a supernet trained once"),
        (["--algorithm", "nsga2", "--bound", "x.forest.json:3"], "a bound on a forest is kept by checked repair"),
        (["--algorithm", "random", "--finalists", "8"], "--finalists goes with joint; after a search by random"),
        (["--workers", "2"], "train finalists, and the preset quick has none: name --finalists N"),
        (["--preset", "standard", "--finalists", "0", "--workers", "2"], "--finalists 0 asks for none: name"),
        (["--target", "edgetpu,pixel6-cpu"], "the joint search trains for one target"),
        (
            ["--algorithm", "nsga2", "--target", "edgetpu,pixel6-cpu", "--latency-ms", "1,2,3"],
            "--latency-ms must have one latency per target or be left out, got 3 for 2 targets",
        ),
        (["--algorithm", "nsga2", "--target", "edgetpu,pixel8-edgetpu"], "the targets must differ"),
        (["--algorithm", "nsga2", "--target", "edgetpu,"], "--target must be different names with commas between"),
        (["--algorithm", "reinforce", "--target", "edgetpu,pixel6-cpu", "--universal"], "locks on the latency of one"),
        (["--algorithm", "nsga2", "--latency-ms", "1e-4"], "the latency must lie between"),
        (["--algorithm", "nsga2", "--from", "JOINT"], "is a joint search, whose weights serve one target only"),
        (["--algorithm", "nsga2", "--from", "nowhere"], "nowhere is no run folder"),
    ],
)
def test_bad_requests_get_one_line_and_leave_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    joint = tmp_path / "joint"
    joint.mkdir()
    (joint / "experiment.json").write_text('{"schema": "nas.experiment"}')
    flags = [str(joint) if flag == "JOINT" else flag for flag in flags]
    assert main(["search", *flags, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not (tmp_path / "run").exists()


def test_weights_bring_their_settings_with_them(
    two: tuple[Path, MultiTargetResult], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, _ = two
    flags = ["--algorithm", "random", "--from", str(run), "--out", str(tmp_path / "run")]
    assert main(["search", *flags, "--preset", "paper"]) == 2
    assert "leave --preset out" in capsys.readouterr().err
    assert main(["resume", str(run), "--budget", "+0"]) == 2


def test_ray_workers_change_no_byte(
    two: tuple[Path, MultiTargetResult],
    config_of: Callable[..., MultiTargetConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    executor = pytest.importorskip("nas.distributed.executor")
    monkeypatch.setattr(evaluators, "SUPERNET", replace(evaluators.SUPERNET, build=BUILD))  # importable by workers
    run, _ = two
    config = config_of(TARGETS[1], source=multi_target.supernet_of_run(run)[1])
    for number in (1, 2):
        out = tmp_path / str(number)
        multi_target.specialise(config, out, workers=partial(executor.RayExecutor, workers=number), source=run)
        for name in FILES:
            assert (out / name).read_bytes() == (run / TARGETS[1] / name).read_bytes(), name
