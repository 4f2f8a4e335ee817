"""nas reinforce: a teacher's probabilities of replayed images, parts that a stopped work goes on with, bad requests."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.arch import ArchSpec, load_arch
from nas.cli import main
from nas.data import Framing, Preparation, at_resolution, load, validation_view
from nas.data.reinforced import read_reinforcement, read_replays
from nas.data.replay import in_pixels, replayed
from nas.errors import InvalidInput
from nas.export.weight_files import read_weights
from nas.export.weights import logits
from nas.nn.network import get_weights, random_network, save_weights
from nas.ops import Conv, Head, Shape, Size
from nas.records.signatures import signature_of
from nas.runs.reinforce import ReinforceConfig, load_teacher, reinforcement
from nas.runs.reinforce import reinforce as write_set
from nas.runs.teacher_answers import InProcessMakers
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


def test_workers_write_the_same_bytes(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas.data.reinforced.PART", 20)
    words = ["--teacher", str(work / "teacher")]
    assert reinforce(work, "here", *words) == 0
    assert reinforce(work, "there", *words, "--workers", "2") == 0
    parts = [sorted((work / name / "parts").iterdir()) for name in ("here", "there")]
    assert [path.read_bytes() for path in parts[0]] == [path.read_bytes() for path in parts[1]]
    assert len(parts[1]) == 3


def test_a_part_that_is_given_up_is_named_and_the_others_are_written(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.data.reinforced.PART", 20)
    dataset = load(str(work / "data.npz"))
    teacher = load_teacher(str(work / "teacher"), dataset)
    about = reinforcement("data.npz", dataset, ReinforceConfig(("teacher",), 2), [teacher])

    class Lossy(InProcessMakers):
        def evaluate(self, batches: Sequence[np.ndarray]) -> Iterator[np.ndarray | None]:
            for rows, found in zip(batches, super().evaluate(batches), strict=True):
                yield None if rows[0] == 20 else found

    with pytest.raises(InvalidInput, match="part 1 of"):
        write_set(about, dataset, [teacher], work / "lossy", makers=Lossy)
    assert [path.name for path in sorted((work / "lossy" / "parts").iterdir())] == ["00000.npy", "00002.npy"]
    write_set(about, dataset, [teacher], work / "lossy")
    assert read_replays(work / "lossy", about).classes.shape == (45, 2, 3)


def test_folders_of_image_files_are_reinforced_at_a_size(
    work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, folder = np.asarray(load(str(work / "data.npz")).x_train), work / "photos"
    for part, rows in (("train", range(36)), ("test", range(36, 45))):
        for row in rows:
            (folder / part / "abc"[row % 3]).mkdir(parents=True, exist_ok=True)
            image = Image.fromarray(x[row].repeat(2, 0).repeat(3, 1))  # 16 x 24 px
            image.save(folder / part / "abc"[row % 3] / f"{row}.png")
    words = ["reinforce", str(folder), "--teacher", str(work / "teacher"), "--samples", "2"]
    words += ["--out", str(work / "files"), "--fit", "squash"]
    assert main([*words, "--resolution", "8"]) == 0
    about, data = read_reinforcement(work / "files"), load(str(work / "files"))
    assert (about.size, about.framing, data.size, data.framing) == ("8", Framing("squash"), (8, 8), Framing("squash"))
    replays, images = read_replays(work / "files", about), np.asarray(data.x_train)
    one = type(own := in_pixels(replays.samples, data.size))(*(each[:, 1] for each in own))
    shown = np.asarray(replayed(images, images[one.partner], one))
    signature, (weights, _) = signature_of(work / "teacher"), read_weights(work / "teacher", ARCH)
    assert signature is not None
    said = np.exp(logits(ARCH, weights, signature.input.normalised(shown)))
    np.testing.assert_allclose(replays.dense(3)[:, 1], said / said.sum(-1, keepdims=True), atol=1e-5)
    assert load(str(work / "files"), preparation=Preparation(fit="squash")).digest == data.digest
    with pytest.raises(InvalidInput, match="--fit squash --background 255: leave --fit and --background out"):
        load(str(work / "files"), preparation=Preparation(fit="pad"))
    assert main([*words, "--resolution", "9"]) == 2
    assert "was begun with another size" in capsys.readouterr().err
    Image.fromarray(x[40]).save(folder / "train" / "a" / "0.png")
    with pytest.raises(InvalidInput, match="are not those that"):
        load(str(work / "files"))


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
        (["--teacher", "TEACHER", "--fit", "pad"], "holds no image files, which alone are framed; leave --fit out"),
        (["--teacher", "TEACHER", "--resolution", "5000"], "resolution must be from 1 to 1024 pixels, got 5000"),
        (["--teacher", "TEACHER", "--workers", "2000"], "number of workers must lie between 1 and 1024"),
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
