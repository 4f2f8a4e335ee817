"""nas reinforce: a teacher's probabilities of replayed images, parts that a stopped work goes on with, bad requests."""

from pathlib import Path

import numpy as np
import pytest

from nas.arch import ArchSpec, load_arch
from nas.cli import main
from nas.data import at_resolution, load, validation_view
from nas.data.reinforced import read_reinforcement, read_replays
from nas.data.replay import in_pixels, replayed
from nas.errors import InvalidInput
from nas.export.weight_files import read_weights
from nas.export.weights import logits
from nas.nn.network import get_weights, random_network, save_weights
from nas.ops import Conv, Head, Shape, Size
from nas.records.signatures import signature_of
from tests.support.taught import make_taught

ARCH = ArchSpec(Shape(8, 8, 3), ((Conv(4, 3, 2),),), Head(), 3)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small data set, and a teacher that was trained on it."""
    return make_taught(tmp_path_factory.mktemp("work"), ARCH)


def reinforce(work: Path, out: str, *words: str) -> int:
    """Run the command."""
    return main(["reinforce", str(work / "data.npz"), "--samples", "3", "--out", str(work / out), *words])


def test_what_the_teacher_says_of_the_replayed_images_is_stored(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--teacher", str(work / "teacher")]
    assert reinforce(work, "set", *words, "--plan") == 0 and not (work / "set").exists()
    assert reinforce(work, "set", *words) == 0
    assert "135 samples of 45 images" in capsys.readouterr().out
    about = read_reinforcement(work / "set")
    replays = read_replays(work / "set", about)
    assert (about.images, about.classes, about.top_k) == (45, 3, 3)
    images = np.asarray(load(str(work / "data.npz")).x_train)
    own = in_pixels(replays.samples, Size(8, 8))
    for sample in (0, 2):
        one = type(own)(*(each[:, sample] for each in own))
        shown = np.asarray(replayed(images, images[one.partner], one))
        signature, (weights, _) = signature_of(work / "teacher"), read_weights(work / "teacher", ARCH)
        assert signature is not None
        said = np.exp(logits(ARCH, weights, signature.input.normalised(shown)))
        said /= said.sum(-1, keepdims=True)
        np.testing.assert_allclose(replays.dense(3)[:, sample], said, atol=1e-5)


def test_a_stopped_work_goes_on_to_the_same_bytes_and_teachers_are_averaged(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.data.reinforced.PART", 20)
    save_weights(work / "other.safetensors", get_weights(random_network(ARCH, 1)), ARCH, "random")
    words = [
        "--teacher",
        str(work / "teacher"),
        "--teacher",
        f"{work / 'teacher' / 'arch.json'}={work / 'other.safetensors'}",
    ]
    assert load_arch(work / "teacher" / "arch.json").digest == ARCH.digest
    assert reinforce(work, "two", *words) == 0
    before = {path.name: path.read_bytes() for path in (work / "two" / "parts").iterdir()}
    assert len(before) == 3
    (work / "two" / "parts" / "00001.npy").unlink()
    assert reinforce(work, "two", *words) == 0
    assert {path.name: path.read_bytes() for path in (work / "two" / "parts").iterdir()} == before
    for i, each in enumerate(words[1::2]):
        assert reinforce(work, f"one{i}", "--teacher", each) == 0
    said = [read_replays(work / name, read_reinforcement(work / name)).dense(3) for name in ("two", "one0", "one1")]
    np.testing.assert_allclose(said[0], (said[1] + said[2]) / 2, atol=1e-6)


def test_trainings_and_searches_replay_it(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reinforce(work, "replayed", "--teacher", str(work / "teacher")) == 0
    spec, base = str(work / "teacher" / "arch.json"), load(str(work / "data.npz"))
    words = ["train", spec, "--data", str(work / "replayed"), "--epochs", "3", "--batch-size", "15"]
    assert main([*words, "--out", str(work / "student")]) == 0
    assert "3 augmented samples of each training image are replayed, and taught by" in capsys.readouterr().out
    data = load(str(work / "replayed"))
    assert data.replays is not None and data.digest != base.digest
    np.testing.assert_array_equal(np.asarray(data.x_train), np.asarray(base.x_train))
    assert at_resolution(data, 4).digest not in (data.digest, at_resolution(base, 4).digest)
    view = validation_view(data, 0.2, 0)  # mixed with images of the training part alone
    assert view.replays is not None and view.replays.samples.partner.max() < len(view.x_train) == 36
    assert main([*words, "--out", str(work / "other"), "--flip"]) == 2
    assert "is reinforced: its images are replayed as they were augmented" in capsys.readouterr().err
    (work / "data.npz").rename(work / "gone.npz")
    with pytest.raises(InvalidInput, match="which are not here"):
        load(str(work / "replayed"))
    (work / "gone.npz").rename(work / "data.npz")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--teacher", "nothing-here"], "a teacher must be a training, a run, or NETWORK=FILE"),
        (["--teacher", "mobilenetv2=x.pth"], "knows 1000 classes"),
        (["--teacher", "TEACHER", "--mixed", "2"], "share of mixed samples must lie between 0 and 1"),
        (["--teacher", "TEACHER", "--samples", "2000"], "samples of an image must be from 1 to 1,024"),
    ],
)
def test_bad_requests_get_one_line(
    work: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    found = [str(work / "teacher") if word == "TEACHER" else word for word in words]
    assert reinforce(work, "bad", *found) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not (work / "bad").exists()
