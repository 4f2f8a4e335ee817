"""A whole search on a tiny space: its files, that it resumes to the same bytes, and what it answers to bad requests."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from latency_models.calibration.forest_fit import fit_forest
from latency_models.forest import forest_text, load_forest
from latency_models.forest_table import ForestTable
from latency_models.target import load_target
from latency_models.target_file import target_toml
from nas.arch import load_arch
from nas.data import channel_stats
from nas.errors import InvalidInput, UnknownName
from nas.nn.network import load_weights
from nas.progress import Progress, SilentReporter
from nas.records.journal import Journal
from nas.records.picks import load_picks
from nas.records.results import SUPERNET, load_result
from nas.records.signatures import signature_of
from nas.report.describe import describe
from nas.runs import joint_search
from nas.runs.front import random_candidates
from nas.runs.joint_search import resume, search
from nas.runs.load_run import load_run
from nas.runs.plan import make_plan
from nas.runs.plan_text import describe_plan
from nas.runs.settings import SearchConfig
from nas.search.constraints import bounds
from nas.search.constraints.bounds import Bounded
from nas.search.constraints.project import upper_bounds
from nas.search.pareto import non_dominated
from nas.space.cost_table import PARAMS, WEIGHTS, compile_table, within
from nas.space.scaling import scale_down
from nas.supernet import presets
from nas.supernet.presets import PRESETS, SMOKE, RetrainingBudget
from nas.training.checkpoints import Checkpoints
from tests.support.tiny import PRESET, images, latency_range

TINY = replace(
    PRESET,
    retraining=RetrainingBudget(2, 1, random=2, rungs=(1, 2)),  # what wins the coarse stage is not in its space
)
RESULT_FILES = (
    "best.json", "coarse.json", "front.csv", "evaluated.csv", "finalists.csv", "journal.jsonl", "inherited.safetensors",
    "picks.json",
    "signature.json",
)  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SearchConfig:
    """SearchConfig of a search that takes seconds; every chunk is followed by a checkpoint."""
    data = images()
    np.savez(
        tmp_path / "quarters.npz", x_train=data.x_train, y_train=data.y_train, x_test=data.x_test, y_test=data.y_test
    )
    monkeypatch.setitem(presets.PRESETS, "tiny", TINY)
    monkeypatch.setattr(joint_search, "CHECKPOINT_SECONDS", 0.0)
    return SearchConfig(
        space="tests.support.tiny:SPACE",
        target="pixel6-cpu",
        latency_ms=0.02,
        data=str(tmp_path / "quarters.npz"),
        resolution=32,
        preset="tiny",
        proxy_resolution=8,
    )


class StopAt(SilentReporter):
    """A watcher that interrupts the search at one report, as Ctrl-C would."""

    def __init__(self, stage: str, step: int) -> None:
        self.at = stage, step

    def progress(self, event: Progress) -> None:
        """Raise where it is time."""
        if (event.stage, event.step) == self.at:
            raise KeyboardInterrupt


def with_mid_latency(settings: SearchConfig) -> SearchConfig:
    """Return the settings with a latency in the middle of what the space reaches."""
    low, high = latency_range(settings)
    return replace(settings, latency_ms=(low + high) / 2)


def test_interrupted_searches_end_with_the_bytes_of_an_uninterrupted_one(
    settings: SearchConfig, tmp_path: Path
) -> None:
    settings = with_mid_latency(settings)
    whole = tmp_path / "whole"
    result = search(settings, whole)
    broken = tmp_path / "broken"
    with pytest.raises(KeyboardInterrupt):
        search(settings, broken, StopAt("coarse", 2))
    for stop in (StopAt("coarse finalists", 1), StopAt("front", 8)):
        with pytest.raises(KeyboardInterrupt):
            resume(broken, stop)
    with open(broken / "journal.jsonl", "ab") as file:
        file.write(b'{"stage": "front", "geno')  # a torn last line
    assert resume(broken) == result == resume(whole)
    for name in RESULT_FILES:
        assert (whole / name).read_bytes() == (broken / name).read_bytes(), name
    _check_files(whole, settings)


def _check_files(run: Path, settings: SearchConfig) -> None:
    result = load_result(run / "best.json")
    assert load_arch(run / "best.json") == result.arch
    assert 0.98 <= result.latency / result.latency_budget <= 1
    shared = result.supernet_accuracy
    assert shared and shared.images == 24 and shared.kind.how == SUPERNET
    assert (result.proxy_resolution, result.proxy_width) == (8, 0.5)
    evaluated, front = pd.read_csv(run / "evaluated.csv"), pd.read_csv(run / "front.csv")
    assert len(evaluated) == 12 == evaluated["digest"].nunique() and result.arch.digest in set(evaluated["digest"])
    assert 1 <= len(front) == evaluated["on_front"].sum()
    assert front["top1"].is_monotonic_increasing and front["latency"].is_monotonic_increasing
    for row in front.itertuples():
        assert load_arch(run / str(row.spec)).digest == row.digest
    weights, origin = load_weights(run / "inherited.safetensors", scale_down(result.arch, 8, 0.5))
    assert "inherited" in origin and weights
    finalists = pd.read_csv(run / "finalists.csv")
    assert finalists.groupby("stage", sort=False).size().to_dict() == {"coarse": 3, "fine": 2}
    assert finalists.loc[finalists["stage"] == "coarse", "supernet_top1"].isna().all()
    coarse = load_result(run / "coarse.json")
    assert coarse.arch.digest == finalists.loc[finalists["epochs"].idxmax(), "digest"]
    for one in (coarse, result):
        assert one.accuracy.kind.how == "trained alone for 2 epochs, held-out pictures" and one.accuracy.images == 32
    assert coarse.supernet_accuracy is None  # its depthwise options are not the coarse stage's
    last = finalists[finalists["stage"] == "fine"]
    final = last[last["epochs"] == 2]  # the best of the coarse stage, and the last one beside it
    assert len(final) == 2 and coarse.arch.digest in set(final["digest"])
    equal = set(final.loc[final["top1"] == final["top1"].max(), "digest"])  # of these the fastest
    assert result.arch.digest in equal
    assert result.accuracy.top1 == final["top1"].max()
    assert shared.top1 == evaluated.set_index("digest")["top1"][result.arch.digest]
    assert any("the best of 2 candidates" in note for note in result.notes)
    picks, space = load_picks(run), make_plan(settings).space
    assert picks and picks.picks[0].digest == result.arch.digest and picks.images == 32 and not picks.paired
    for row in evaluated.itertuples():
        assert space.decode(tuple(map(int, str(row.genotype).split()))).digest == row.digest
    stored = json.loads((run / "experiment.json").read_text())
    assert SearchConfig.from_dict(stored["settings"]) == settings and "jax" in stored["versions"]
    assert (run / "report.html").read_text().startswith("<!")
    takes, plan = signature_of(run), make_plan(settings)
    assert takes == plan.signature and takes.class_names == plan.dataset.class_names
    assert takes.input.height == 32 and takes.input.mean == (channel_stats(plan.dataset)[0].item(),) * 3


def test_a_search_in_one_stage_makes_all_decisions_together_and_resumes_to_the_same_bytes(
    settings: SearchConfig, tmp_path: Path
) -> None:
    with_finalists = replace(with_mid_latency(settings), one_stage=True)
    settings = replace(with_finalists, finalists=0)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    result = search(settings, whole)
    with pytest.raises(KeyboardInterrupt):
        search(settings, broken, StopAt("whole", 2))
    assert resume(broken) == result
    for name in set(RESULT_FILES) - {"coarse.json", "finalists.csv"}:
        assert (whole / name).read_bytes() == (broken / name).read_bytes(), name
    assert not (whole / "coarse.json").exists()
    assert result.latency <= (settings.latency_ms or 0) * (1 + 1e-9)
    records = Journal(whole / "journal.jsonl").records
    assert [d["name"] for d in records[0]["decisions"]] == [d.name for d in make_plan(settings).space.decisions]
    assert {record["stage"] for record in records} == {"whole", "front"}
    run = load_run(whole)
    assert set(run.history["stage"]) == {"whole"} and not run.evaluated["arch"].isna().any()
    lines = describe_plan(make_plan(with_finalists))
    assert any("all decisions in one stage of 6 controller steps" in line for line in lines)
    assert (
        "finalists: 3 trained alone, 2 of them sampled from the whole space, 3 to epoch 1, then 1 to epoch 2" in lines
    )


def test_one_stage_has_fewer_steps_for_its_compilation_but_in_runs_that_began_without(settings: SearchConfig) -> None:
    settings = replace(settings, preset="quick", one_stage=True, proxy_width=0.5)
    earlier = SearchConfig.from_dict({**settings.to_dict(), "compilation_counts": False})
    assert "compilation_counts" not in earlier.to_dict() and SearchConfig.from_dict(earlier.to_dict()) == earlier
    assert earlier != settings and settings.is_asked_again(earlier)
    assert [make_plan(one).preset.whole.steps for one in (earlier, settings)] == [220, 150]
    assert SMOKE.whole.steps == 22 and all(one.whole.steps >= one.coarse.steps for one in PRESETS.values())


def test_random_candidates_satisfy_all_constraints(settings: SearchConfig) -> None:
    plan = make_plan(replace(with_mid_latency(settings), max_params=40_000))
    constraints = plan.constraints(plan.space)
    found = random_candidates(plan.space, constraints, 5, 0)
    assert 1 < len(found) <= 5 and len(set(found)) == len(found)
    assert constraints.satisfied_by(np.array(found)).all() and constraints.violation(np.array(found)).max() == 0
    assert random_candidates(plan.space, constraints, 5, 0) == found != random_candidates(plan.space, constraints, 5, 1)


def test_a_changed_data_set_is_not_resumed(settings: SearchConfig, tmp_path: Path) -> None:
    settings = with_mid_latency(settings)
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        search(settings, run, StopAt("coarse", 2))
    data = images(count=120)
    np.savez(settings.data, x_train=data.x_train, y_train=data.y_train, x_test=data.x_test, y_test=data.y_test)
    with pytest.raises(InvalidInput, match="has changed since this run began"):
        resume(run)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"latency_ms": 1e6}, r"the latency must lie between [\d.]+ and [\d.]+ ms .*, got 1e\+06 ms"),
        ({"latency_ms": float("nan")}, "latency_ms must be a finite number, got nan"),
        ({"latency_ms": 0.0}, "latency_ms must be positive, got 0.0"),
        ({"latency_ms": -1.0}, "latency_ms must be positive, got -1.0"),
        ({"max_params": 10}, r"max_params must be at least [\d,]+ .*, got 10"),
        ({"max_memory_kb": 0.5}, r"max_memory_kb must be at least ([\d.]+) .*, got 0\.5; .* \1 to [\d.]+ KiB of act"),
        ({"max_flash_kb": 0.5}, r"max_flash_kb must be at least ([\d.]+) .*, got 0\.5; .* \1 to [\d.]+ KiB of weights"),
        ({"max_memory_kb": 0.0}, "max_memory_kb must be positive, got 0.0"),
        ({"max_flash_kb": float("nan")}, "max_flash_kb must be a finite number, got nan"),
        ({"target": "rpi5", "max_energy_mj": 1.0}, "target 'rpi5' has no energy coefficients"),
        (
            {"target": "rpi5", "minimize": ("energy",)},
            "energy cannot be an objective: the target has no energy coefficients",
        ),
        ({"minimize": ("memroy",)}, "unknown objective 'memroy'; did you mean 'memory'"),
        ({"forest_bounds": ("a.json:3",)}, r"a bound on a forest is FILE\.forest\.json:MAX with a positive number"),
        ({"forest_bounds": ("absent.forest.json:3",)}, r"cannot read absent\.forest\.json"),
        ({"target": "edgtpu"}, "unknown target 'edgtpu'; did you mean"),
        ({"space": "uibb"}, "unknown space 'uibb'; did you mean 'uib'"),
        ({"data": "digitz"}, "unknown data set 'digitz'; did you mean 'digits'"),
        ({"preset": "quik"}, "unknown preset 'quik'; did you mean 'quick'"),
        ({"seed": -1}, "the seed must be 0 or larger"),
        ({"ridge_point": 30.0}, "give either --target pixel6-cpu or --ridge-point"),
        ({"peak_gmacs_per_s": 30.0}, "--peak-gmacs-per-s goes with --ridge-point"),
        ({"latency_ms": None, "latency_ratio": 1.0}, "are in ms: give --latency-ms instead of --latency-ratio"),
        ({"proxy_width": 0.01}, "makes options of"),
        ({"proxy_resolution": 2}, "the proxy resolution must be at least 8 px"),
    ],
)
def test_bad_requests_get_one_line_and_leave_nothing(
    settings: SearchConfig, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    with pytest.raises((InvalidInput, UnknownName), match=message) as error:
        search(replace(settings, **change), tmp_path / "run")  # type: ignore[arg-type]
    assert "\n" not in str(error.value) and not (tmp_path / "run").exists()


def test_bounds_that_exclude_each_other_are_answered_with_a_proof(settings: SearchConfig) -> None:
    low, high = latency_range(settings)
    space = make_plan(replace(settings, latency_ms=low)).space
    least = compile_table(space, PARAMS).minimum()[0]
    words = r"on 'pixel6-cpu', no architecture keeps params <= .* and latency_ms >= .* together \(proved"
    with pytest.raises(InvalidInput, match=words):
        make_plan(replace(settings, latency_ms=high, around=True, max_params=int(least * 1.02)))


def test_bounds_of_which_nothing_is_known_are_answered_with_the_nearest_miss(
    settings: SearchConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without cuts there is no proof; what is left is the nearest that descents find, in the units of the settings."""
    low, high = latency_range(settings)
    space = make_plan(replace(settings, latency_ms=low)).space
    least = compile_table(space, WEIGHTS).minimum()[0] * load_target("pixel6-cpu").model().bytes_per_weight / 1024
    monkeypatch.setattr(bounds, "MAX_CUTS", 0)
    nearest = r"the nearest takes [\d.]+% (more|less) than (\w+ [<>]= [\d.]+) in space"
    words = rf"none found that keeps flash_kb <= .*, nor a proof that there is none: {nearest} 'tiny'; loosen \2"
    with pytest.raises(InvalidInput, match=words):
        make_plan(replace(settings, latency_ms=high, around=True, max_flash_kb=least * 1.02))


def test_bounds_that_hold_together_are_found(settings: SearchConfig) -> None:
    settings = bounded(settings)
    plan = make_plan(settings)
    start = Bounded(plan.space, upper_bounds(plan.constraints(plan.space))).start
    assert within(plan.limits(plan.space), start[None]).all()


def bounded(settings: SearchConfig) -> SearchConfig:
    """Return the settings with a latency and bounds on memory, flash and energy that can be kept together."""
    low, high = latency_range(settings)
    settings = replace(settings, latency_ms=low + 0.3 * (high - low), max_memory_kb=1e6, max_flash_kb=1e6)
    plan = make_plan(settings)
    near = Bounded(plan.space, upper_bounds(plan.constraints(plan.space))).draw(np.random.default_rng(0), 50)
    most = [float(np.quantile(table.score(near), 0.4)) / bound.per_unit
            for bound, (table, _) in zip(plan.bounds, plan.limits(plan.space), strict=True)]  # fmt: skip
    return replace(settings, max_memory_kb=most[0], max_flash_kb=most[1])


def forest_file(folder: Path, settings: SearchConfig) -> tuple[str, float]:
    """Return the file of a forest of energy, and a bound that some architectures of the latency budget keep."""
    plan = make_plan(settings)
    genotypes = plan.space.sample(np.random.default_rng(1), 40)
    archs = [plan.space.decode(genotype) for genotype in genotypes.tolist()]
    joules = np.array([arch.macs * 1e-6 + arch.params * 1e-5 for arch in archs])
    forest = replace(fit_forest(archs, [1] * 40, joules, of="energy"), cross_validated_mape_percent=3.0)
    path = folder / "joules.forest.json"
    path.write_text(forest_text(forest))
    near = Bounded(plan.space, upper_bounds(plan.constraints(plan.space))).draw(np.random.default_rng(0), 50)
    return str(path), float(np.quantile(ForestTable.of(plan.space, forest, "joules").score(near), 0.3))


def test_a_search_satisfies_several_bounds_and_a_forest(settings: SearchConfig, tmp_path: Path) -> None:
    settings = bounded(replace(settings, target=with_energy(tmp_path)))
    path, most = forest_file(tmp_path, settings)
    settings = replace(settings, forest_bounds=(f"{path}:{most!r}",), minimize=("energy", "flash", path), finalists=0)
    result = search(settings, tmp_path / "run")
    assert result.latency <= result.latency_budget
    assert result.peak_activation_bytes <= 1024 * (settings.max_memory_kb or 0) * (1 + 1e-9)
    assert result.weight_bytes <= 1024 * (settings.max_flash_kb or 0) * (1 + 1e-9)
    value = float(load_forest(Path(path)).predict([result.arch])[0])
    assert value <= most
    assert any("kept by checked repair; held-out error 3.0 %" in note for note in result.notes)
    front = pd.read_csv(tmp_path / "run" / "front.csv")
    assert list(front.columns)[-4:] == ["memory_kb", "flash_kb", "energy_mj", "joules_energy_mj"]
    assert len(front) and (front["joules_energy_mj"] <= most).all()
    assert (front["memory_kb"] <= (settings.max_memory_kb or 0) * (1 + 1e-9)).all()
    row = front[front["digest"] == result.arch.digest]
    if len(row):
        energy = load_target(settings.target or "").energy_model()
        assert row["energy_mj"].iloc[0] == pytest.approx(energy.predict_mj(result.arch))
        assert row["joules_energy_mj"].iloc[0] == pytest.approx(value)
    _check_answer(tmp_path / "run", settings, most)
    points = front[["top1", "latency", "energy_mj", "flash_kb", "joules_energy_mj"]].to_numpy()
    assert non_dominated(points, [False, True, True, True, True]).all()
    Path(path).write_text(Path(path).read_text().replace('"networks": 40', '"networks": 41'))
    (tmp_path / "run" / "best.json").unlink()
    with pytest.raises(InvalidInput, match=r"the forest .*joules.*\.forest\.json has changed since this run began"):
        resume(tmp_path / "run")


def _check_answer(run: Path, settings: SearchConfig, most: float) -> None:
    """Check that the answer is the best of all evaluated networks that keep all bounds, as are those beside it."""
    result, evaluated, picks = load_result(run / "best.json"), pd.read_csv(run / "evaluated.csv"), load_picks(run)
    bounds = {"latency": settings.latency_ms, "memory_kb": settings.max_memory_kb, "flash_kb": settings.max_flash_kb,
              "joules_energy_mj": most}  # fmt: skip
    kept = evaluated[np.all([evaluated[name] <= (bound or 0) * (1 + 1e-9) for name, bound in bounds.items()], axis=0)]
    best = kept[kept["top1"] == kept["top1"].max()]
    assert result.accuracy.top1 == best["top1"].iloc[0] and result.latency == pytest.approx(best["latency"].min())
    assert picks and picks.paired and picks.candidates == len(kept)
    assert {one.digest for one in picks.picks} <= set(kept["digest"]) and picks.picks[0].digest == result.arch.digest
    for one in picks.picks:
        assert load_arch(run / one.spec).digest == one.digest and one.difference <= one.difference_error


ENERGY = ("[energy]", 'power_w = { value = 2.0, source = "s", confidence = "estimated" }',
          'pj_per_mac = { value = 5.0, source = "s", confidence = "estimated" }',
          'pj_per_byte = { value = 40.0, source = "s", confidence = "estimated" }')  # fmt: skip


def with_energy(folder: Path) -> str:
    """Return the file of a target that has figures of energy."""
    path = folder / "mine.toml"
    path.write_text("\n".join([target_toml(replace(load_target("pixel6-cpu"), energy=())), *ENERGY]))
    return str(path)


def test_what_is_said_to_be_the_least_is_a_bound_that_can_be_kept(settings: SearchConfig, tmp_path: Path) -> None:
    settings = replace(settings, target=with_energy(tmp_path))
    low, high = latency_range(settings)
    for name in ("max_memory_kb", "max_flash_kb", "max_energy_mj"):
        with pytest.raises(InvalidInput, match=rf"{name} must be at least") as error:
            make_plan(replace(settings, latency_ms=(low + high) / 2, **{name: 1e-6}))  # type: ignore[arg-type]
        least = float(str(error.value).split("at least ")[1].split()[0].replace(",", ""))
        plan = make_plan(replace(settings, latency_ms=low, **{name: 1.2 * least}))  # type: ignore[arg-type]
        (table, limit), (bound,) = plan.limits(plan.space)[0], plan.bounds
        assert table.minimum()[0] <= least * bound.per_unit <= 1.001 * table.minimum()[0]
        assert limit == pytest.approx(1.2 * least * bound.per_unit) and any(
            "hard bound" in line for line in describe_plan(plan)
        )


def test_bounds_count_the_bytes_of_the_target(settings: SearchConfig) -> None:
    settings = replace(with_mid_latency(settings), max_memory_kb=1e6, max_flash_kb=1e6, max_macs=10**12)
    plan = make_plan(settings)
    genotype = plan.space.sample(np.random.default_rng(0), 1)
    arch = plan.space.decode(tuple(map(int, genotype[0])))
    described = describe(arch, plan.model)
    bytes_of = {"max_memory_kb": described.peak_activation_bytes, "max_flash_kb": described.weight_bytes}
    for bound, (table, _) in zip(plan.bounds, plan.limits(plan.space), strict=True):
        expected = bytes_of[bound.setting] / 1024 if bound.setting in bytes_of else arch.macs
        assert float(table.score(genotype)[0]) / bound.per_unit == pytest.approx(expected, rel=1e-12)
    stored = {name: value for name, value in asdict(settings).items() if not name.startswith("max_")}
    assert SearchConfig.from_dict(stored).max_memory_kb is None  # a file of before these bounds


def test_energy_is_noted_where_it_is_bounded(settings: SearchConfig, tmp_path: Path) -> None:
    settings = replace(with_mid_latency(replace(settings, target=with_energy(tmp_path))), max_energy_mj=1e6)
    plan = make_plan(settings)
    arch = plan.space.decode(plan.limits(plan.space)[0][0].minimum()[1])
    energy_mj = load_target(settings.target or "").energy_model().predict_mj(arch)
    assert next(plan.remarks(arch)) == f"predicted energy: {energy_mj:.4g} mJ a batch"
    assert plan.limits(plan.space)[0][0].minimum()[0] == pytest.approx(energy_mj)


def test_abstract_device_scores_relative_to_the_reference(settings: SearchConfig) -> None:
    base = replace(settings, space="uib", target=None, ridge_point=30.0, latency_ms=None, resolution=224)
    plan = make_plan(replace(base, proxy_resolution=16))
    assert plan.latency_budget == pytest.approx(1.0) and plan.model.unit.startswith("x ")
    in_ms = make_plan(replace(base, proxy_resolution=16, peak_gmacs_per_s=100.0))
    assert in_ms.model.unit == "ms" and in_ms.latency_budget > 0


def test_journal_drops_a_torn_line_and_refuses_a_broken_one(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    for step in range(3):
        journal.append({"stage": "coarse", "step": step})
    with open(path, "ab") as file:
        file.write(b'{"stage": "co')
    assert [record["step"] for record in Journal(path).records] == [0, 1, 2]
    journal.keep(lambda record: record["step"] < 2)
    assert len(Journal(path).records) == 2
    path.write_text('{"stage": "a"}\n{"b"\n{"stage": "c"}\n')
    with pytest.raises(InvalidInput, match="line 2, is not valid JSON"):
        Journal(path)


def test_a_broken_checkpoint_is_passed_over_for_the_one_before(tmp_path: Path) -> None:
    like = {"a": np.zeros(3, np.float32), "b": (np.zeros((), np.int32),)}
    checkpoints = Checkpoints(tmp_path / "c")
    assert checkpoints.latest(like) is None
    for step in (1, 2, 3):
        checkpoints.save(step, {"a": np.full(3, step, np.float32), "b": (np.asarray(step, np.int32),)})
    checkpoints.close()
    for file in (tmp_path / "c" / "3").rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    found = Checkpoints(tmp_path / "c").latest(like)
    assert found is not None and found[0] == 2 and found[1]["a"].tolist() == [2, 2, 2] and int(found[1]["b"][0]) == 2
