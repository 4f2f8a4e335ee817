"""The Python face: what it returns equals what the parts say, bad input is one line, and importing it is light."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from experiments.api_example import main as example
from latency_models.target import load_target, target_names
from nas import api
from nas.arch import load_arch, save_arch
from nas.errors import InvalidInput, UnknownName
from nas.files import dump_json, read_json
from nas.records.results import Result, load_result
from nas.runs import joint_search, multi_target
from nas.runs.multi_target import MultiTargetResult
from nas.runs.multi_target_settings import MultiTargetConfig, default_trials
from nas.runs.settings import SearchConfig
from nas.zoo import reference
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

    def resume(out: Path, reporter: object, *, trainers: object) -> Result:
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

    def begin(config: MultiTargetConfig, out: Path, reporter: object, *, workers: object) -> MultiTargetResult:
        calls.append(config)
        out.mkdir()
        (out / "experiment.json").write_text(dump_json({"request": config.to_dict()}))
        return MultiTargetResult(dict.fromkeys(config.names, result), {}, result if config.universal else None)

    def resume(out: Path, reporter: object, *, workers: object) -> MultiTargetResult:
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
