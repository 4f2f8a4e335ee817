"""A search for the front of accuracy, energy and memory in one command, on spectrograms as maps."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from latency_models.calibration import forest_fit
from latency_models.energy import battery_shares
from latency_models.forest import forest_text, load_forest
from nas import registry
from nas.arch import load_arch, save_arch
from nas.cli import main
from nas.records.results import load_result
from nas.runs import multi_target
from nas.runs.plan import make_plan
from nas.runs.settings import SearchConfig
from nas.search.pareto import non_dominated
from tests.support.sounds import tone_arrays

COMMAND = (
    "search", "--space", "audio-2d", "--data", "maps.npz", "--target", "cortex-m7", "--algorithm", "hybrid",
    "--minimize", "energy,memory", "--max-memory-kb", "64", "--evaluator", "tests.support.evaluators:RUGGED",
    "--trials", "8",
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run, made as a user makes it."""
    folder = tmp_path_factory.mktemp("cost_front")
    rng = np.random.default_rng(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        parts = {}
        for part, count in (("train", 60), ("test", 20)):
            parts |= {f"x_{part}": rng.normal(-30, 10, (count, 49, 40, 1)).astype(np.float32)}
            parts |= {f"y_{part}": np.arange(count) % 2}
        np.savez("maps.npz", **parts)
        assert main([*COMMAND, "--out", "run"]) == 0
    return folder / "run"


def test_the_front_is_that_of_accuracy_energy_and_memory(run: Path) -> None:
    evaluated, front = pd.read_csv(run / "evaluated.csv"), pd.read_csv(run / "front.csv")
    points = evaluated[["top1", "energy_mj", "memory_kb"]].to_numpy()
    expected = non_dominated(points, (False, True, True)) & (points[:, 2] <= 64)
    assert set(front["digest"]) == set(evaluated["digest"][expected]) and len(front) > 3
    assert evaluated["origin"].eq("whole").all() and (evaluated["memory_kb"] <= 64).all()
    best = load_result(run / "best.json")
    assert best.accuracy.top1 == pytest.approx(front["top1"].max())
    energies = dict(zip(front["digest"], front["energy_mj"], strict=True))
    spec = load_arch(run / front["spec"][0])
    assert energies[spec.digest] == pytest.approx(890e-9 * spec.macs)


def test_the_screen_has_the_front_and_the_energy_of_a_day(run: Path, out: Callable[..., str]) -> None:
    shown = " ".join(out("show", run).split())
    energy = 890e-9 * load_result(run / "best.json").arch.macs
    assert f"{energy:.4g} mJ an inference ± 49 %" in shown and "one inference a second (86,400)" in shown
    assert f"a watch (3.6 kJ) {100 * battery_shares(energy)['a watch']:.2g} %" in shown
    assert "energy mj" in shown and "in accuracy, energy and memory" in shown


def test_a_search_that_stopped_goes_on_to_the_same_front(run: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    cut.mkdir()
    (cut / "experiment.json").write_bytes((run / "experiment.json").read_bytes())
    lines = (run / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (cut / "journal.jsonl").write_bytes(b"".join(lines[:3]))
    multi_target.resume(cut, data=str(run.parent / "maps.npz"))
    assert (cut / "front.csv").read_bytes() == (run / "front.csv").read_bytes()
    assert (cut / "journal.jsonl").read_bytes() == (run / "journal.jsonl").read_bytes()


def test_a_run_of_before_fronts_of_costs_is_read_as_it_was(run: Path) -> None:
    request = json.loads((run / "experiment.json").read_text())["request"]
    assert request.pop("cost_front") is True
    assert not multi_target.MultiTargetConfig.from_dict(request).cost_front


def test_energy_of_a_device_without_coefficients_is_refused(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(run.parent)
    assert main([*(word if word != "cortex-m7" else "rpi5" for word in COMMAND), "--out", "other"]) == 2
    assert "energy cannot be an objective" in capsys.readouterr().err
    assert not (run.parent / "other").exists()


def test_a_forest_of_measured_energies_is_minimized_for_sounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: Callable[..., str]
) -> None:
    """From a table of energies over `nas calibrate` to a front of accuracy, the forest's energy and memory."""
    monkeypatch.chdir(tmp_path)
    small = forest_fit.regressor(5)
    monkeypatch.setattr(forest_fit, "regressor", lambda *_: small)
    np.savez("tones.npz", **tone_arrays())
    words = ("search", "--space", "tests.support.tiny:SPACE", "--bands", "16", "--proxy-width", "1", "--data",
             "tones.npz", "--target", "cortex-m7", "--algorithm", "hybrid", "--evaluator",
             "tests.support.evaluators:RUGGED", "--trials", "4")  # fmt: skip
    registry.state(space="tests.support.tiny:SPACE")
    config = SearchConfig(space="tests.support.tiny:SPACE", bands=(16,), data="tones.npz", target="cortex-m7")
    plan = make_plan(replace(config, proxy_width=1.0))
    rng, lines = np.random.default_rng(0), ["arch,latency_ms,energy_mj"]
    for number, row in enumerate(plan.space.sample(rng, 24).tolist()):
        arch = plan.space.decode(row)
        save_arch(arch, tmp_path / f"n{number}.json")
        energy = plan.required_energy.predict_mj(arch) * np.exp(rng.normal(0, 0.05))
        lines.append(f"n{number}.json,{plan.model.predict_ms(arch)},{energy}")
    Path("measured.csv").write_text("\n".join(lines))
    grown = out("calibrate", "measured.csv", "--model", "forest", "--of", "energy", "--name", "mcu")
    assert "next: nas search --algorithm hybrid --minimize mcu.forest.json" in grown
    found = out(*words, "--minimize", "mcu.forest.json,memory", "--out", "run")
    forest = load_forest(Path("mcu.forest.json"))
    evaluated, front = pd.read_csv("run/evaluated.csv"), pd.read_csv("run/front.csv")
    points = evaluated[["top1", "mcu_energy_mj", "memory_kb"]].to_numpy()
    assert set(front["digest"]) == set(evaluated["digest"][non_dominated(points, (False, True, True))])
    archs = [load_arch(Path("run") / spec) for spec in front["spec"]]
    assert front["mcu_energy_mj"].to_numpy() == pytest.approx(forest.predict(archs))
    own = forest.predict([load_result(Path("run/best.json")).arch])[0]
    shown = " ".join(out("show", "run").split())
    assert "mcu energy mj" in shown and f"{own:.4g}" in shown and forest.error_note in shown
    assert "the front of accuracy against mcu.forest.json and memory" in shown
    assert "target network at 400 steps" in shown and "not of the target network" not in shown  # its proxy is itself
    assert f"energy as the forest mcu predicts it: {forest.error_note}" in found and "does not know" not in found
    others = replace(forest, kinds=("conv", "pointwise"))  # networks without a log-mel front end, say
    Path("mcu.forest.json").write_text(forest_text(others))
    assert load_forest(Path("mcu.forest.json")).kinds == others.kinds
    warned = out(*words, "--minimize", "mcu.forest.json,memory", "--plan")
    assert "the forest mcu does not know the space: none of its 24 networks had depthwise or" in warned
