"""nas deploy: a network trained, exported and checked into one folder; it goes on, and does nothing twice."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas import api
from nas.arch import ArchSpec, save_arch
from nas.cli import main
from nas.errors import InvalidInput
from nas.files import read_json
from nas.measure.benchmark import BenchmarkConfig
from nas.ops import Conv, Head, Shape
from nas.records.trainings import run_of_spec
from nas.runs import deploy as deployment
from nas.runs.deploy import DeployConfig, ExportConfig, subject_of
from nas.training.loop import TrainingConfig
from tests.export.test_single_file import EACH
from tests.support.run_folder import make_run

for package in ("onnx", "onnxruntime", "ai_edge_litert"):
    pytest.importorskip(package, reason=f"{package} of the extra 'export' is not installed")

ARCH = ArchSpec(Shape(8, 8, 3), ((Conv(4, 3, 2),),), Head(), 3)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a spec and a small data set."""
    folder = tmp_path_factory.mktemp("work")
    save_arch(ARCH, folder / "small.json")
    rng, y = np.random.default_rng(0), np.arange(60) % 3
    x = np.clip(rng.normal(60 + 60 * y[:, None, None, None], 20, size=(60, 8, 8, 3)), 0, 255).astype(np.uint8)
    np.savez(folder / "data.npz", x_train=x[:45], y_train=y[:45], x_test=x[45:], y_test=y[45:])
    return folder


def deployed(work: Path, out: str, **settings: Any) -> deployment.Deployment:
    """Deploy the small network."""
    settings = {"data": str(work / "data.npz"), "epochs": 1, "batch_size": 15} | settings
    return api.deploy(str(work / "small.json"), work / out, **settings)


def test_one_folder_has_all_and_another_format_goes_beside(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = deployed(work, "a", quantize="int8")
    assert first.file == work / "a" / "small-int8.tflite" and first.predict == work / "a" / "predict.py"
    names = {path.name for path in (work / "a").iterdir()} - {".lock"}
    expected = {"deploy.json", "labels.txt", "predict.py", "preprocessor_config.json", "training"}
    assert names == expected | {"small-int8.tflite", "small-int8.tflite.md"}
    assert any("15 test images of" in line and "in float32" in line for line in first.lines)

    def trained_again(*_: Any, **__: Any) -> None:
        raise AssertionError("what is trained must not be trained again")

    monkeypatch.setattr(deployment, "train", trained_again)
    before = first.file.stat().st_mtime_ns
    again = deployed(work, "a", quantize="int8")
    assert again.file.stat().st_mtime_ns == before and "is there already" in again.lines[-1]
    other = deployed(work, "a", form="onnx")
    assert other.predict == work / "a" / "small.onnx.predict.py" and other.training == first.training
    uint8 = deployed(work, "a", form="onnx", input="uint8", opset=15)
    assert uint8.file.name == "small-uint8.onnx"
    with pytest.raises(InvalidInput, match="made with other settings"):
        deployed(work, "a", form="onnx", input="uint8")
    training = api.deploy(first.training, work / "b", form="stablehlo")
    assert training.training == first.training and training.predict == work / "b" / "predict.py"
    monkeypatch.setattr(deployment, "BenchmarkConfig", lambda: BenchmarkConfig(rounds=1, repeats=1))
    int8 = api.deploy(first.training, work / "c", form="onnx", quantize="int8", measure=True)
    assert "onnxruntime-int8, 1 threads" in (work / "c" / f"{int8.file.name}.md").read_text()
    assert "float32 network" not in (work / "c" / f"{int8.file.name}.md").read_text()  # what the file runs is measured


def test_a_deployment_that_was_stopped_goes_on(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(deployment, "_calibration", stop)
        with pytest.raises(KeyboardInterrupt):
            deployed(work, "stopped", quantize="int8")
    (work / "stopped" / "small-int8.tflite.md").write_text("of a killed export")
    found = deployed(work, "stopped", quantize="int8")
    assert found.file.is_file() and "killed" not in (work / "stopped" / "small-int8.tflite.md").read_text()
    assert list(read_json(work / "stopped" / "deploy.json")["files"]) == ["small-int8.tflite"]
    with pytest.raises(InvalidInput, match="epochs"):
        deployed(work, "stopped", quantize="int8", epochs=2)


def test_the_command_says_what_it_will_do_and_how_to_go_on(
    work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(work)
    command = ["deploy", "small.json", "--data", "data.npz", "--epochs", "1", "--batch-size", "15", "--format", "onnx"]
    assert main([*command, "--plan"]) == 0
    shown = capsys.readouterr().out
    assert (
        "training at full size: 1 epochs from random weights" in shown
        and "expected time: 0:" in shown
        and not (work / "small-deployed").exists()
    )
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "next: python small-deployed/predict.py IMAGE"
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["predict"] == "small-deployed/predict.py"
    Path("mine.toml").write_text("epochs = 3\nlabel_smoothing = 0.25\n")
    more = ["--weights", "small-deployed/training/weights.safetensors", "--recipe", "mine.toml", "--out", "warm"]
    assert main([*command, *more, "--teacher", "small-deployed"]) == 2  # the training is inside
    assert "a teacher must be a training, a run" in capsys.readouterr().err
    more += ["--teacher", "small-deployed/training"]
    assert main([*command, *more]) == 0
    shown = capsys.readouterr().out
    for line in (
        "weights of small-deployed/training/weights.safetensors: 7 of 7 tensors taken",
        "recipe mine.toml: AdamW, learning rate",
        "teacher small-deployed/training: 50% of the loss, temperature 2",
        "training at full size: 1 epochs",  # the flag overrides the recipe
    ):
        assert line in shown
    settings = read_json(Path("warm/training/settings.json"))
    assert settings["label_smoothing"] == 0.25 and settings["teacher_share"] == 0.5
    assert Path("warm/training/recipe.toml").is_file()
    assert main([*command, *more, "--plan"]) == 0
    assert "trained already, with these settings: warm/training" in capsys.readouterr().out
    for words, line in (
        (["--recipe", "our"], "unknown recipe 'our'; did you mean 'ours'?"),
        (["--temperature", "3"], "--teacher-share and --temperature go with --teacher"),
        (["--batch-size", "46"], "batch_size must be at most the 45 training images, got 46"),
    ):
        assert main([*command, "--out", "bad", *words]) == 2
        assert line in capsys.readouterr().err
    assert not Path("bad").exists()
    assert main(["deploy", "warm/training", "--recipe", "ours", "--out", "bad"]) == 2
    assert "is a training already, and is not trained again: leave recipe and teacher out" in capsys.readouterr().err


def test_what_cannot_be_deployed_is_refused_before_anything_is_trained(work: Path, tmp_path: Path) -> None:
    run, spec = str(make_run(tmp_path / "run", count=3)), str(work / "small.json")
    mix, attention = (ArchSpec(Shape(8, 8, 4), ((op,),), Head(), 3) for op in (EACH["mixconv"], EACH["mqa"]))
    inherited = DeployConfig(spec, data=str(work / "data.npz"), from_supernet=True)
    for match, make in (
        ("a spec holds no weights", lambda: ExportConfig(form="json")),
        ("unknown|no int8", lambda: ExportConfig(form="flax", quantize="int8")),
        ("must be int8", lambda: ExportConfig(quantize="int4")),
        ("no option opset", lambda: ExportConfig(form="tflite", opset=13)),
        ("timm has no option uint8 input", lambda: ExportConfig(form="timm", input="uint8")),
        ("one of float32, uint8", lambda: ExportConfig(input="float16")),
        ("HardSwish needs|Split needs", lambda: ExportConfig("onnx", opset=12).check(mix)),
        ("mobile_mqa", lambda: ExportConfig("tflite", "int8").check(attention)),
        ("choose onnx or flax", lambda: ExportConfig("timm").check(mix)),
        ("give both or neither", lambda: ExportConfig(calibration="digits")),
        ("give one", lambda: DeployConfig(spec, weights="w", from_supernet=True)),
        ("is no run of a search", lambda: subject_of(inherited, tmp_path / "x")),
        ("of width 0.5: their weights do not fit", lambda: deployment._supernet_weights(run, ARCH)),
    ):  # fmt: skip
        with pytest.raises((InvalidInput, LookupError), match=match) as error:
            make()
        assert "\n" not in str(error.value)
    assert not (tmp_path / "x").exists()


def test_a_network_of_a_front_is_deployed_on_the_data_of_its_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", count=3)
    spec = sorted((run / "specs").glob("*.json"))[0]
    assert run_of_spec(str(spec)) == run and run_of_spec(str(run)) is None
    assert DeployConfig(str(spec)).default_out == tmp_path / f"run-{spec.stem}-deployed"


def test_the_folder_is_named_after_the_network(tmp_path: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert DeployConfig(str(tmp_path)).default_out == tmp_path.with_name(f"{tmp_path.name}-deployed")
    assert DeployConfig(str(work / "small.json")).default_out == work / "small-deployed"
    (tmp_path / "uib-0.8ms").mkdir()
    assert DeployConfig(str(tmp_path / "uib-0.8ms")).default_out == tmp_path / "uib-0.8ms-deployed"
    assert DeployConfig(str(tmp_path / "uib-0.8ms")).file_name == "uib-0.8ms.tflite"
    assert DeployConfig("mobilenetv2@0.35,96px").default_out == Path("runs", "mobilenetv2-0.35,96px-deployed")
    assert DeployConfig("mobilenetv2@0.35,96px").file_name == "mobilenetv2-0.35-96px.tflite"
    assert TrainingConfig() == DeployConfig("x").training
