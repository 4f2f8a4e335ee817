"""A search on waveforms of generated tones, from .npz over log-mel spectrograms to the class of a .wav file."""

import json
import runpy
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from nas import registry
from nas.arch import ArchSpec, load_arch, save_arch
from nas.data import Dataset, load
from nas.errors import InvalidInput
from nas.export.weights import logits
from nas.nn.network import load_weights
from nas.ops import Conv, Head, LogMel, Shape
from nas.ops.uib import UIBChoices
from nas.records.results import load_result
from nas.records.signatures import signature_of
from nas.registry import DATA_SETS
from nas.runs.front_end import FrontEnd, front_end_of
from nas.runs.load_run import space_of_run
from nas.runs.plan import reference_of
from nas.runs.settings import SearchConfig
from nas.runs.single_training import for_classes
from nas.space.forms import stack
from nas.supernet import presets
from nas.training.loop import dataset_for
from nas.zoo import reference
from search_spaces.audio_1d import SPACE as AUDIO_1D
from search_spaces.audio_2d import SPACE as AUDIO_2D
from search_spaces.uib import uib_space
from tests.support.sounds import PITCHES, RATE, SAMPLES, save_wave, tone_arrays, tones
from tests.support.tiny import PRESET

for package in ("onnx", "onnxruntime"):
    pytest.importorskip(package, reason=f"{package} of the extra 'export' is not installed")
SMALL = uib_space(
    "ears", (stack("stage0", (8, 16), (1,), UIBChoices(((0, 3), (3, 3)))),), stem=(8,), fused=(8,), expansions=(1.0,),
    features=16, hidden=16, input_shape=Shape(32, 32, 3), num_classes=4,
)  # fmt: skip
SPACE = "tests.runs.test_sounds:SMALL"


def test_from_tones_to_the_class_of_a_wav_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: Callable[..., str]
) -> None:
    monkeypatch.setitem(presets.PRESETS, "tiny", replace(PRESET, xla_options=presets.SMOKE.xla_options))
    monkeypatch.chdir(tmp_path)
    registry.state(space=SPACE)
    np.savez("tones.npz", **tone_arrays(per_class=40, speakers=5))
    flags = ("search", "--space", SPACE, "--target", "pixel6-cpu", "--data", "tones.npz", "--preset", "tiny",
             "--bands", "8", "--dft", "fft", "--group", "speaker", "--one-stage", "--baseline", "none",
             "--latency", "0.0014ms", "--out", "run")  # fmt: skip
    plan = out(*flags, "--plan")
    assert "160 training waveforms of 400 samples at 2,000 Hz (0.2 s)" in plan
    assert "of other groups 'speaker' than the training set" in plan and "computes the DFT by an FFT" in plan
    out(*flags)
    result = load_result(tmp_path / "run" / "best.json")
    front = result.arch.stages[0][0]
    assert front == LogMel(RATE, window=50, hop=20, bands=8, transform="fft")
    assert result.arch.input_shape == (SAMPLES, 1, 1)
    space = space_of_run(tmp_path / "run", result)
    assert space.decode(space.encode(result.arch)) == result.arch
    out("train", "run", "--proxy", "--from-supernet", "--epochs", "1", "--batch-size", "32", "--out", "trained")
    assert out("export", "trained", "--format", "onnx", "-o", "net.onnx").splitlines()[-1].endswith("SOUND.wav")
    assert "int8" in out("export", "trained", "--format", "onnx", "--quantize", "int8", "-o", "net8.onnx")
    takes = signature_of(tmp_path / "trained")
    assert takes is not None and takes.input.is_waveform and takes.input.sample_rate == RATE
    assert f"waveform: {SAMPLES} samples at {RATE} Hz" in (tmp_path / "net.onnx.md").read_text()
    arch = load_arch(tmp_path / "trained" / "arch.json")
    weights, _ = load_weights(tmp_path / "trained" / "weights.safetensors", arch)
    data = load("tones.npz")
    expected = logits(arch, weights, takes.input.normalised(data.x_test[:4]))
    program = runpy.run_path("predict.py")
    about, logits_of = program["open_model"](tmp_path / "net.onnx")
    for x, own in zip(data.x_test, expected, strict=False):
        path = save_wave(Path("x.wav"), x[:, 0, 0])
        found = logits_of(program["as_input"](path, about))[0]
        assert np.abs(found - own).max() <= 1e-5 * np.abs(expected).max()


def test_a_space_without_a_front_end_gets_the_one_of_its_input() -> None:
    two, one = (FrontEnd(8000).before(space).with_input((8000, 1), 1, 10) for space in (AUDIO_2D, AUDIO_1D))
    first = two.decode((0,) * len(two.decisions))
    assert first.stages[0][0] == LogMel(8000, 200, 80, 40) and first.sequences[-1] is False
    assert one.decode((0,) * len(one.decisions)).stages[0][0] == LogMel(8000, 200, 80, 40, "sequence")
    several = FrontEnd(16000, (20.0, 25.0), (10.0, 20.0), (32, 40)).before(AUDIO_1D)
    assert [len(d.options) for d in several.decisions if d.name.startswith("logmel")] == [2, 2, 2]
    again = FrontEnd(8000).before(two)
    assert again == two  # it has a front end, at this rate
    with pytest.raises(InvalidInput, match="the space 'audio-2d' has a front end of its own; leave --window-ms"):
        FrontEnd(8000, bands=(32,)).before(two)
    with pytest.raises(InvalidInput, match=r"has a front end of its own; leave .* --dft out"):
        FrontEnd(8000, dft="fft").before(two)


def test_how_the_dft_is_computed_is_a_setting_that_older_runs_lack() -> None:
    plain, by_fft = SearchConfig(), SearchConfig(dft="fft")
    assert "dft" not in plain.to_dict() and by_fft.to_dict()["dft"] == "fft"
    assert SearchConfig.from_dict(by_fft.to_dict()) == by_fft
    front = front_end_of(by_fft, 8000)
    assert front is not None and FrontEnd(**front.to_dict()) == front and "dft" not in FrontEnd(8000).to_dict()
    with pytest.raises(InvalidInput, match=r"--bands and --dft are of the spectrograms of waveforms; leave them out"):
        front_end_of(by_fft, None)
    beside = reference_of(by_fft, Shape(8000, 1, 1), 10, 8000)
    assert beside.stages[0] == (LogMel(8000, 200, 80, 40, transform="fft"),)
    assert reference_of(plain, Shape(8000, 1, 1), 10, 8000).stages[0] == (LogMel(8000, 200, 80, 40),)


def test_a_network_at_another_rate_is_refused_and_references_hear_spectrograms(tmp_path: Path) -> None:
    np.savez(tmp_path / "tones.npz", **tone_arrays())
    data = load(str(tmp_path / "tones.npz"))
    arch = ArchSpec(Shape(SAMPLES, 1, 1), ((LogMel(8000, 100, 50, 8), Conv(4)),), Head(), len(PITCHES))
    with pytest.raises(InvalidInput, match=r"op 0\.0 of the spec takes waveforms at 8000 Hz, but .* has 2000 Hz"):
        dataset_for(arch, data)
    heard = for_classes("mobilenetv2", reference("mobilenetv2"), data)
    assert heard.stages[0] == (LogMel(RATE, 50, 20, 40),) and heard.num_classes == len(PITCHES)
    assert heard.input_shape == (SAMPLES, 1, 1) and heard.kernels[2].window == (3, 3)


def published_tones(folder: Path) -> Dataset:
    """Return tones as a data set of a name, whose file lies in the folder that --data-dir names."""
    return replace(load(str(folder / "tones.npz")), name="tones")


def test_training_on_tones_learns_them_and_remembers_where_they_lie(
    tmp_path: Path, out: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = tone_arrays(per_class=40)
    x, y = tones(10, seed=2)
    np.savez(tmp_path / "tones.npz", **values | {"x_test": x, "y_test": y})
    monkeypatch.setitem(DATA_SETS, "tones", "tests.runs.test_sounds:published_tones")
    data = ("--data", "tones", "--data-dir", tmp_path)
    front = LogMel(RATE, window=50, hop=25, bands=8)
    save_arch(ArchSpec(Shape(SAMPLES, 1, 1), ((front, Conv(8, 3, 2)),), Head(), 4, name="ear"), tmp_path / "ear.json")
    words = ("train", tmp_path / "ear.json", *data, "--epochs", "12", "--batch-size", "32", "--augment-noise", "0.01",
             "--augment-time-mask", "0", "--out", tmp_path / "t")  # fmt: skip
    shown = out(*words)
    plan = out("train", tmp_path / "ear.json", *data, "--plan")
    assert "waveforms of 400 samples at 2,000 Hz (0.2 s), 4 classes" in plan
    top1 = float(shown.partition("test top-1 ")[2].partition("%")[0])
    assert top1 >= 70
    exported = out("export", tmp_path / "t", "--format", "onnx", "--quantize", "int8", "-o", tmp_path / "ear.onnx")
    assert "test images of tones: same class as float32" in exported  # found without --data-dir
    (tmp_path / "moved").mkdir()
    (tmp_path / "tones.npz").rename(tmp_path / "moved" / "tones.npz")
    assert out(*(tmp_path / "moved" if word is tmp_path else word for word in words)).count("test top-1") == 1


def test_from_a_folder_of_speech_commands_to_the_word_of_a_wav_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: Callable[..., str]
) -> None:
    """Class folders, lists, background noise, keywords and silence: training, int8 file, and what `predict.py` says."""
    pytest.importorskip("ai_edge_litert")
    monkeypatch.chdir(tmp_path)
    names, (x, y) = ("down", "left", "right", "up"), tones(40)
    for number, (samples, label) in enumerate(zip(x, y, strict=True)):
        save_wave(Path("words") / names[label] / f"s{number % 5}_nohash_{number // 5}.wav", samples)
    hum = np.random.default_rng(0).normal(0, 3000, 5 * SAMPLES).astype(np.int16)
    save_wave(Path("words") / "_background_noise_" / "hum.wav", hum)
    for part, take in (("validation", 1), ("testing", 2)):
        chosen = (path for path in sorted(Path("words").glob("[!_]*/*.wav")) if path.stem.startswith(f"s{take}_"))
        Path(f"words/{part}_list.txt").write_text("".join(f"{path.parent.name}/{path.name}\n" for path in chosen))
    front = LogMel(RATE, window=50, hop=25, bands=8)
    save_arch(ArchSpec(Shape(SAMPLES, 1, 1), ((front, Conv(16, 3, 2)),), Head(), 4, name="ear"), Path("ear.json"))
    shown = out("train", "ear.json", "--data", "words", "--keywords", "up,left", "--silence", "--epochs", "20",
                "--batch-size", "16", "--learning-rate", "0.02", "--augment-time-mask", "0",
                "--out", "trained")  # fmt: skip
    assert "4 classes" in shown and float(shown.partition("test top-1 ")[2].partition("%")[0]) >= 75
    takes = signature_of(tmp_path / "trained")
    assert takes is not None and takes.class_names == ("up", "left", "unknown", "silence")
    deployed = out("deploy", "trained", "--quantize", "int8", "--out", "deployed")
    assert (
        "test images of words: same class as float32 on" in deployed and "not the data of the training" not in deployed
    )
    assert Path("deployed/labels.txt").read_text().split() == list(takes.class_names)
    x, y = tones(4, seed=2)
    heard = [{"left": "left", "up": "up"}.get(names[label], "unknown") for label in y]
    recordings = [*zip(x, heard, strict=True), (np.zeros(SAMPLES, np.int16), "silence")]
    files = [f"{number}.wav" for number in range(len(recordings))]
    for name, (samples, _) in zip(files, recordings, strict=True):
        save_wave(Path(name), np.repeat(samples, 2), rate=2 * RATE)  # of another rate: it is resampled
    monkeypatch.setattr(sys, "argv", ["predict.py", "--json", *files])
    with redirect_stdout(StringIO()) as said:
        runpy.run_path("deployed/predict.py", run_name="__main__")
    answers = [json.loads(line)["class"] for line in said.getvalue().splitlines()]
    correct = [answer == word for answer, (_, word) in zip(answers, recordings, strict=True)]
    assert len(answers) == len(files) and sum(correct) >= 0.75 * len(files)
