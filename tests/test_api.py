"""The Python face: what it returns equals what the parts say, bad input is one line, and importing it is light."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import nas
from experiments.api_example import main as example
from latency_models.target import load_target, target_names
from nas import api
from nas.arch import ArchSpec, load_arch, save_arch
from nas.data import Preparation
from nas.errors import InvalidInput, Stopped, UnknownName
from nas.files import dump_json, read_json
from nas.progress import Evaluation
from nas.records.results import Result, load_result
from nas.registry import SPACES
from nas.runs import joint_search, multi_target
from nas.runs.multi_target import MultiTargetResult
from nas.runs.multi_target_settings import MultiTargetConfig, default_trials
from nas.runs.settings import SearchConfig
from nas.zoo import ZOO, reference
from tests.support.run_folder import make_run

ARCH = replace(reference("mobilenetv3-small"), name="mine")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic finished run."""
    return make_run(tmp_path_factory.mktemp("runs") / "finished", count=6)


def test_importing_it_loads_nothing_heavy() -> None:
    report = "import sys, nas.api; print([m for m in ('jax', 'pandas', 'matplotlib', 'sklearn') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_predictions_are_those_of_the_models(run: Path, tmp_path: Path) -> None:
    save_arch(ARCH, tmp_path / "spec.json")
    costs = api.predict([ARCH, run, tmp_path / "spec.json", "mobilenetv2"], ["edgetpu", "rpi5"])
    assert costs["network"].tolist() == [name for name in ("mine", "finished", "spec", "mobilenetv2") for _ in range(2)]
    archs = [ARCH, load_result(run / "best.json").arch, ARCH, reference("mobilenetv2")]
    for (_, row), arch in zip(costs.iterrows(), [arch for arch in archs for _ in range(2)], strict=True):
        assert row["latency_ms"] == load_target(row["target"]).model().predict_ms(arch)
        assert (row["macs"], row["params"]) == (arch.macs, arch.params)
    assert api.predict(ARCH)["target"].tolist() == list(target_names())
    kernels = api.predict(ARCH, "rpi5", kernels=True)
    assert kernels["name"].tolist() == [kernel.name for kernel in ARCH.kernels]
    total = costs[costs["target"] == "rpi5"]["latency_ms"].iloc[0]
    assert kernels["latency_ms"].sum() + load_target("rpi5").model().constant == pytest.approx(total)


def test_a_comparison_is_written_where_a_folder_is_named(run: Path, tmp_path: Path) -> None:
    found = api.compare([run, "mobilenetv2"], ["rpi5"], out=tmp_path / "out")
    written = pd.read_csv(tmp_path / "out" / "comparison.csv")
    assert written["latency_ms"].tolist() == pytest.approx(found.rows["latency_ms"].tolist())
    with pytest.raises(InvalidInput, match="not empty"):
        api.compare([run], ["rpi5"], out=tmp_path / "out")


def test_an_export_is_that_of_the_format(run: Path, tmp_path: Path) -> None:
    assert api.export(run, tmp_path / "found.json")
    assert load_arch(tmp_path / "found.json") == load_result(run / "best.json").arch
    assert read_json(tmp_path / "found.json")["metadata"]["provenance.run"] == run.name
    with pytest.raises(InvalidInput, match="exists"):
        api.export(run, tmp_path / "found.json")
    with pytest.raises(InvalidInput, match="holds no weights"):
        api.export(run, tmp_path / "other.json", weights=tmp_path)
    with pytest.raises(UnknownName, match="format 'jsn'"):
        api.export(run, tmp_path / "other.json", form="jsn")
    assert not (tmp_path / "other.json").exists()


def test_a_search_is_begun_or_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, Any]] = []

    def search(settings: SearchConfig, out: Path, reporter: object, *, trainers: object) -> Result:
        calls.append(("search", settings))
        make_run(out, count=4)
        return load_result(out / "best.json")

    def resume(out: Path, reporter: object, **by: object) -> Result:
        calls.append(("resume", out))
        return load_result(out / "best.json")

    monkeypatch.setattr(joint_search, "search", search)
    monkeypatch.setattr(joint_search, "resume", resume)
    first = api.search(tmp_path / "run", target="rpi5", seed=3)
    assert calls == [("search", SearchConfig(target="rpi5", seed=3))]
    with pytest.raises(InvalidInput, match="other settings"):
        api.search(tmp_path / "run", target="rpi5", seed=4)
    stored = {"settings": {**vars(SearchConfig(target="rpi5", seed=3))}}
    (tmp_path / "run" / "experiment.json").write_text(dump_json(stored))
    assert api.search(tmp_path / "run", target="rpi5", seed=3) == first and calls[-1][0] == "resume"
    with pytest.raises(TypeError, match="targt"):
        api.search(tmp_path / "other", targt="rpi5")  # type: ignore[call-arg]
    with pytest.raises(UnknownName, match="did you mean 'nsga2'"):
        api.search(tmp_path / "other", target="rpi5", algorithm="nsga")
    with pytest.raises(InvalidInput, match="not with joint"):
        api.search(tmp_path / "other", target="rpi5", trials=5)


def test_several_targets_share_a_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    result = load_result(make_run(tmp_path / "one", count=4) / "best.json")

    def begin(config: MultiTargetConfig, out: Path, reporter: object, **by: object) -> MultiTargetResult:
        calls.append(config)
        out.mkdir()
        (out / "experiment.json").write_text(dump_json({"request": config.to_dict()}))
        return MultiTargetResult(dict.fromkeys(config.names, result), {}, result if config.universal else None)

    def resume(out: Path, reporter: object, **by: object) -> MultiTargetResult:
        calls.append(out)
        return MultiTargetResult({"rpi5": result}, {})

    monkeypatch.setattr(multi_target, "specialise", begin)
    monkeypatch.setattr(multi_target, "resume", resume)
    found = api.specialise(tmp_path / "run", ["rpi5", "edgetpu"], universal=True, seed=2, latencies_ms=[9.0, 0.7])
    assert list(found) == ["rpi5", "edgetpu", "universal"]
    assert [(one.target, one.latency_ms, one.seed) for one in calls[0].settings] == [
        ("rpi5", 9.0, 2),
        ("edgetpu", 0.7, 2),
    ]
    assert calls[0].algorithm == "nsga2" and calls[0].trials == default_trials("nsga2", "quick")
    again = api.specialise(tmp_path / "run", ["rpi5", "edgetpu"], universal=True, seed=2, latencies_ms=[9.0, 0.7])
    assert list(again) == ["rpi5"]
    assert calls[1] == tmp_path / "run"
    with pytest.raises(InvalidInput, match="other settings"):
        api.specialise(tmp_path / "run", ["rpi5", "edgetpu"])
    with pytest.raises(TypeError, match="'target'"):
        api.specialise(tmp_path / "other", ["rpi5"], target="rpi5")  # type: ignore[call-arg]


def test_the_example_runs(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example(["--run", str(run), "--out", str(tmp_path / "example")])
    assert "mobilenetv4-conv-s" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "example").iterdir()} == {"compared", "found.json", "found.json.md"}


# ----------------------------------------------------------------------------------------------- runs, events, training

FOREIGN = {
    "space": "tests.extending.space:SPACE", "target": "tests.extending.target:CHIP", "algorithm": "random",
    "evaluator": "tests.extending.evaluator:LOG_MACS", "trials": 24, "resolution": 96, "latency_ms": 0.1,
}  # fmt: skip


def stored(root: Path, name: str, to: Path) -> Path:
    """A copy of a run of release 0.1."""
    return Path(shutil.copytree(root / "tests" / "data" / "runs" / name, to / name))


def test_a_run_is_data_frames_with_a_spec_in_every_row(root: Path, tmp_path: Path) -> None:
    for name in ("finished", "many/edgetpu", "many/pixel6-cpu"):
        folder = root / "tests" / "data" / "runs" / name
        run = api.load(folder)
        assert run.result == load_result(folder / "best.json")
        assert [arch.digest for arch in run.front["arch"]] == run.front["digest"].tolist()
        assert [arch.digest for arch in run.evaluated["arch"]] == run.evaluated["digest"].tolist()
        assert run.evaluated["on_front"].sum() == len(run.front) > 0
        assert all(isinstance(arch, ArchSpec) for arch in run.history["arch"]) and len(run.history) > 3
    latencies = [load_target("pixel6-cpu").model().predict_ms(arch) for arch in run.evaluated["arch"]]
    assert run.evaluated["latency"].tolist() == pytest.approx(latencies)
    best = run.history[run.history["arch"] == run.result.arch]
    assert set(run.history) == {"stage", "trial", "arch", "top1"} and best["top1"].max() == run.result.accuracy.top1
    with pytest.raises(InvalidInput, match="several targets; name the results of one"):
        api.load(root / "tests" / "data" / "runs" / "many")
    with pytest.raises(InvalidInput, match="no run folder"):
        api.load(tmp_path)


def test_the_steps_of_a_joint_search_are_its_history(root: Path) -> None:
    run = api.load(root / "tests" / "data" / "runs" / "finished")
    last = run.history[run.history["stage"] == "fine"].iloc[-1]
    predicted = load_target("edgetpu").model().predict_ms(last["arch"])
    assert last["argmax_latency"] == pytest.approx(predicted) and 0 <= last["entropy"] <= 1


def test_runs_are_listed_with_their_states(root: Path, tmp_path: Path) -> None:
    stored(root, "finished", tmp_path)
    stored(root, "killed-fine", tmp_path)
    listed = api.runs(tmp_path).set_index("path")
    states = {Path(path).name: state for path, state in listed["state"].items()}
    assert states == {"finished": "finished", "killed-fine": "interrupted"}


def test_listings_hold_what_is_registered() -> None:
    assert api.targets()["name"].tolist() == list(target_names())
    assert "mobilenetv4-conv-s" in api.zoo()["name"].tolist()
    spaces = api.spaces("edgetpu").set_index("name")
    assert (spaces["min_latency_ms"] < spaces["max_latency_ms"]).all() and set(spaces.index) == set(SPACES)
    assert api.spaces().shape[1] == spaces.shape[1] - 1
    described = api.describe("mobilenetv4-conv-s", "rpi5")
    assert described.latency == load_target("rpi5").model().predict_ms(reference("mobilenetv4-conv-s"))


def test_callbacks_see_every_candidate_and_a_stopped_search_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    seen: list[Evaluation] = []
    whole = api.search(tmp_path / "whole", on_candidate=seen.append, **FOREIGN)  # type: ignore[arg-type]
    history = api.load(tmp_path / "whole").history
    assert [one.top1 for one in seen] == history["top1"].tolist() and len(seen) == 48

    def stop(event: Evaluation) -> bool:
        return event.stage.endswith("fine")

    with pytest.raises(Stopped, match="on_candidate stopped the work in stage CHIP/fine"):
        api.search(tmp_path / "part", on_candidate=stop, **FOREIGN)  # type: ignore[arg-type]
    assert not (tmp_path / "part" / "best.json").exists()
    with pytest.raises(Stopped, match="on_step stopped"):
        api.search(tmp_path / "part", on_step=lambda event: True, **FOREIGN)  # type: ignore[arg-type]
    assert api.search(tmp_path / "part", **FOREIGN) == whole  # type: ignore[arg-type]
    for name in ("best.json", "front.csv", "evaluated.csv"):
        assert (tmp_path / "part" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert api.resume(tmp_path / "part") == {"CHIP": whole}


def test_a_stopped_training_goes_on_to_the_same_weights(root: Path, tmp_path: Path) -> None:
    run = root / "tests" / "data" / "runs" / "finished"
    settings = {"proxy": True, "epochs": 2, "batch_size": 256}
    whole = api.train(run, tmp_path / "whole", **settings)  # type: ignore[arg-type]
    with pytest.raises(Stopped, match="on_step stopped the training at step 1 of"):
        api.train(run, tmp_path / "part", on_step=lambda event: True, **settings)  # type: ignore[arg-type]
    again = api.train(run, tmp_path / "part", **settings)  # type: ignore[arg-type]
    assert again.accuracy == whole.accuracy and again.accuracy.kind.how == "trained alone, test pictures"
    for name in ("weights.safetensors", "train.json"):
        assert (tmp_path / "part" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    with pytest.raises(InvalidInput, match="go with proxy=True"):
        api.train(run, tmp_path / "other", from_supernet=True)


def test_measurements_are_rows_and_calibrate_a_target(tmp_path: Path) -> None:
    rows = api.measure([ARCH], runtime="tests.test_api:RUNTIME", rounds=3, repeats=2)
    assert rows["arch"].tolist() == ["mine"] and rows["latency_ms"].tolist() == [2.5]
    true = load_target("rpi5").model()
    names = [name for name in ZOO if not name.startswith("mobilenetv4-hybrid")][:14]
    table = pd.DataFrame({"arch": names, "latency_ms": [true.predict_ms(reference(name)) for name in names]})
    table.to_csv(tmp_path / "host.csv", index=False)
    report = api.calibrate(tmp_path / "host.csv", "host", like="rpi5", out=tmp_path / "host.toml")
    assert report.scores["kind-aware roofline"].mape_percent < 5 if "kind-aware roofline" in report.scores else report
    predicted = load_target(str(tmp_path / "host.toml")).model().predict_ms(ARCH)
    assert predicted == pytest.approx(true.predict_ms(ARCH), rel=0.1)
    with pytest.raises(InvalidInput, match="exists"):
        api.calibrate(tmp_path / "host.csv", "host", out=tmp_path / "host.toml")
    with pytest.raises(InvalidInput, match="keeps no measurements to add to"):
        api.add_measurements(tmp_path / "host.csv", "rpi5", "mine")


class _Runtime:
    """Takes 2.5 ms for whatever it runs."""

    name = "constant"

    def versions(self) -> str:
        """Return what it is."""
        return "constant 1"

    @contextmanager
    def open(self, *, threads: int, batch: int) -> Iterator[Any]:
        """Give what loads a network."""
        yield lambda arch: lambda runs: [2.5] * runs


RUNTIME = _Runtime()


def test_what_stands_in_the_package_is_loaded_when_asked_for() -> None:
    report = (
        "import sys, nas; before = set(sys.modules); import nas.search.trials, nas.compare, nas.export;"
        "from nas import ArchSpec, compare, export, predict, search;"
        "print(all(map(callable, (compare, export, predict, search))), nas.__version__ != '',"
        "[m for m in ('jax', 'ray', 'pandas') if m in sys.modules], any(m.startswith('nas.') for m in before))"
    )
    shown = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True).stdout
    assert shown == "True True [] False\n"
    with pytest.raises(AttributeError, match="no attribute 'serch'"):
        nas.serch  # type: ignore[attr-defined]  # noqa: B018


def test_a_run_whose_release_knew_fewer_settings_is_the_same_run(tmp_path: Path) -> None:
    known = {name: value for name, value in asdict(SearchConfig(seed=3)).items() if name not in asdict(Preparation())}
    (tmp_path / "experiment.json").write_text(dump_json({"settings": known, "request": {"settings": [known]}}))
    for key, wrap in (("settings", lambda one: one), ("request", lambda one: {"settings": [one]})):
        assert api._begun(tmp_path, key, wrap(asdict(SearchConfig(seed=3))))
        for other in (SearchConfig(seed=4), SearchConfig(seed=3, fit="pad"), SearchConfig(seed=3, flip=True)):
            with pytest.raises(InvalidInput, match="holds a run with other settings"):
                api._begun(tmp_path, key, wrap(asdict(other)))
