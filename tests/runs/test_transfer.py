"""A training that starts from another: what is taken, the classifier of other classes, and narrower networks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nas import train as api_train
from nas.arch import ArchSpec, save_arch
from nas.cli import main
from nas.data import load
from nas.errors import InvalidInput
from nas.nn.network import get_weights, load_weights, random_network
from nas.ops import Conv, Head, Shape
from nas.runs.single_training import TrainingSubject
from nas.runs.transfer import overlaid, pretrained_of, started_from_training
from tests.support.taught import make_taught

ARCH = ArchSpec(Shape(8, 8, 3), ((Conv(6, 3, 2),), (Conv(8, 1),)), Head(), 3)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of three classes in teacher/, and data of two other classes."""
    folder = make_taught(tmp_path_factory.mktemp("work"), ARCH)
    with np.load(folder / "data.npz") as three:
        kept = {name: three[f"y_{name}"] < 2 for name in ("train", "test")}
        arrays = {f"{kind}_{name}": three[f"{kind}_{name}"][kept[name]] for kind in "xy" for name in kept}
    np.savez(folder / "two.npz", **arrays, class_names=np.array(["dark", "grey"]))
    return folder


def test_all_but_the_classifier_is_taken_for_other_classes(work: Path) -> None:
    subject = TrainingSubject(replace(ARCH, num_classes=2))
    found = started_from_training(subject, str(work / "teacher"), load(str(work / "two.npz")), 0)
    own, _ = load_weights(work / "teacher" / "weights.safetensors", ARCH)
    assert found.weights is not None
    for name, value in found.weights.items():
        assert np.array_equal(value, own[name]) != name.startswith("head.classifier"), name
    assert "tensors taken whole" in found.start_lines[0]
    assert any("classifier replaced" in line and "3 outputs (0, 1, 2)" in line for line in found.start_lines)


def test_the_classifier_of_the_same_classes_is_kept(work: Path) -> None:
    found = started_from_training(TrainingSubject(ARCH), str(work / "teacher"), load(str(work / "data.npz")), 0)
    own, _ = load_weights(work / "teacher" / "weights.safetensors", ARCH)
    assert found.weights is not None and all(np.array_equal(found.weights[name], own[name]) for name in own)
    assert len(found.start_lines) == 1


def test_narrower_and_wider_layers_take_the_leading_channels() -> None:
    wide = {name: np.asarray(value) for name, value in get_weights(random_network(ARCH, 1)).items()}
    small = replace(ARCH, stages=((Conv(4, 3, 2),), (Conv(12, 1),)))
    fresh = {name: np.asarray(value) for name, value in get_weights(random_network(small, 0)).items()}
    taken = overlaid(fresh, wide)
    np.testing.assert_array_equal(taken.weights["0.0.conv.weight"], wide["0.0.conv.weight"][..., :4])
    second = taken.weights["1.0.conv.weight"]
    np.testing.assert_array_equal(second[:, :8], wide["1.0.conv.weight"][:4])
    np.testing.assert_array_equal(second[:, 8:], fresh["1.0.conv.weight"][:, 8:])
    assert "0.0.conv.weight" in taken.parts and "head.classifier.bias" in taken.whole
    assert "the leading channels" in taken.lines("x")[0]


def test_the_command_says_what_it_takes_and_freezes(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = work / "arch.json"
    save_arch(ARCH, spec)
    words = ["train", str(spec), "--data", str(work / "two.npz"), "--epochs", "1", "--batch-size", "10"]
    words += ["--from", str(work / "teacher"), "--freeze-stages", "1", "--lr-decay-per-stage", "0.5"]
    assert main([*words, "--out", str(work / "tuned"), "--plan"]) == 0
    shown = capsys.readouterr().out
    said = ("taken whole", "classifier replaced", "first 1 of 2 stages keep", "0.002 of the trained", "few images")
    assert all(text in shown for text in said)
    result = api_train(
        spec, work / "tuned", data=str(work / "two.npz"), start_from=work / "teacher", frozen_stages=1,
        rate_decay_per_stage=0.5, epochs=1, batch_size=10,
    )  # fmt: skip
    own, _ = load_weights(work / "teacher" / "weights.safetensors", ARCH)
    frozen = [name for name in own if name.startswith("0.")]
    assert frozen and all(np.array_equal(result.weights[name], own[name]) for name in frozen)
    assert not np.array_equal(result.weights["1.0.conv.weight"], own["1.0.conv.weight"])
    assert main([*words, "--out", str(work / "tuned")]) == 0  # the same training, which is finished
    shown = capsys.readouterr().out
    assert "confusion.csv, report.html" in shown and "most frequent mistakes" in shown
    assert (work / "tuned" / "report.html").read_text().count("<table") >= 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--from", "DIR", "--weights", "x.pth"], "a training starts from one of --weights and --from"),
        (["--freeze-stages", "1"], "--freeze-stages keeps trained weights: give --from TRAINING"),
        (["--tolerant-teacher", "DIR"], "--tolerant-teacher stands beside --teacher"),
        (["--from", "nowhere"], "nowhere is no finished training to start from"),
        (["--from", "DIR", "--freeze-stages", "3"], "has 2 stages, of which 3 cannot be frozen"),
        (["--from", "DIR", "--freeze-stages", "2"], "cannot be frozen: 1.0.conv.weight and 4 other tensors"),
        (["--recipe", "our"], "unknown recipe 'our'; did you mean 'ours'?"),
        (["--teacher", "DIR", "--tolerant-teacher", "DIR"], "teach regression"),
        (["--patience", "2"], "patience counts epochs without a better validation"),
        (["--recipe", "mobilenetv4-conv-s"], "batch_size must be at most the 45 training images, got 4096"),
    ],
)
def test_bad_requests_get_one_line(
    work: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    spec = work / "arch.json"
    wider = "2" in words and "--freeze-stages" in words
    save_arch(replace(ARCH, stages=((Conv(6, 3, 2),), (Conv(12, 1),))) if wider else ARCH, spec)
    found = [str(work / "teacher") if word == "DIR" else word for word in words]
    assert main(["train", str(spec), "--data", str(work / "data.npz"), "--out", str(work / "bad"), *found]) == 2
    error = capsys.readouterr().err
    assert message in error and not (work / "bad" / "settings.json").exists()


def test_what_is_no_training_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no finished training"):
        pretrained_of(str(tmp_path))
