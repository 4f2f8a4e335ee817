"""Study: a keyword spotter trained on generated speech alone, tested on recordings of people.

Debian's espeak-ng says the ten digits in the English voices and variants that it has, at several speeds and pitches;
networks with a log-mel front end are trained on that, and tested on all 3,000 recordings of the Free Spoken Digit
Dataset, whose speakers they have never heard. Beside them the same networks trained on recordings of four people and
tested on two others (experiments/audio_networks.py, `speakers`), and ridge regression on the same features.

    python -m experiments.keyword_speech --data-dir DIR [--networks SPEC ...]     (espeak-ng must be installed)

DIR holds fsdd.npz. Prints a line per network, and appends it to experiments/data/audio_networks/generated.jsonl.

Result, 4,620 generated words, 30 epochs, two seeds; standard error 0.9 points, chance 10 %: the network of audio-1d
names 40.5 and 41.0 % of the recordings, that of audio-2d 38.8 and 39.7 %, ridge regression 31.3 %. So generated speech
teaches something, and far less than people do: trained on four speakers, the same networks name 61 to 83 and 61 to 63 %
of what two others say.
"""

import argparse
import io
import json
import os
import subprocess
import tempfile
import wave
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

os.environ.setdefault("NPROC", "1")

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from experiments.audio_networks import BATCH, FOLDER, RATE, SAMPLES, Setting, dataset_of, features, networks
from nas.data import Dataset, Labelled, build_dataset
from nas.data.fsdd import CLASS_NAMES
from nas.training.loop import TrainingConfig, train

VOICES = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029")
VARIANTS = ("", "+m1", "+m3", "+m5", "+m7", "+f1", "+f2", "+f3", "+f4", "+croak", "+whisper")
SPEEDS, PITCHES = (110, 140, 180), (30, 60)
EPOCHS = 30
JOURNAL = FOLDER / "generated.jsonl"


def spoken(word: str, voice: str, speed: int, pitch: int, place: float) -> NDArray[np.int16]:
    """Return a word as espeak-ng says it, at `RATE`, one second; `place` from 0 to 1 is where in it the word stands."""
    command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", word]
    with wave.open(io.BytesIO(subprocess.run(command, check=True, capture_output=True).stdout)) as file:
        rate = file.getframerate()
        samples = np.frombuffer(file.readframes(10**8), "<i2").astype(np.float64)
    common = np.gcd(rate, RATE)
    sound = resample_poly(samples, RATE // common, rate // common)
    loud = np.flatnonzero(np.abs(sound) > 0.02 * np.abs(sound).max())
    sound = sound[loud[0] : loud[-1] + 1] * 0.5 * 32767 / np.abs(sound).max()
    found, whole = np.zeros(SAMPLES, np.int16), np.rint(sound).astype(np.int16)[:SAMPLES]
    start = int(place * (SAMPLES - len(whole)))
    found[start : start + len(whole)] = whole
    return found


def generated() -> Iterator[tuple[NDArray[np.int16], int]]:
    """Yield words with their labels, in every voice, speed and pitch, anywhere in their second."""
    rng = np.random.default_rng(0)
    for (label, word), voice, variant, speed, pitch in product(
        enumerate(CLASS_NAMES), VOICES, VARIANTS, SPEEDS, PITCHES
    ):
        yield spoken(word, f"{voice}{variant}", speed, pitch, rng.random()), label


def dataset(data_dir: Path) -> Dataset:
    """Return generated words to train on, and all recordings to test on."""
    people = dataset_of(Setting("takes", 0), data_dir)
    waves, labels = zip(*generated(), strict=True)
    x_test = np.concatenate([np.asarray(people.x_train), np.asarray(people.x_test)])[..., 0, 0]
    return build_dataset(
        "generated digits", Labelled(np.stack(waves), np.array(labels, np.int32)),
        Labelled(x_test, np.concatenate([people.y_train, people.y_test])),
        class_names=CLASS_NAMES, sample_rate=RATE,
    )  # fmt: skip


def ridge(data: Dataset) -> float:
    """Return the top-1 of ridge regression on log-mel features, at the penalty that is best on the test set."""
    x, x_test = (features(np.asarray(part)[..., 0, 0], RATE) for part in (data.x_train, data.x_test))
    mean, std = x.mean(0), x.std(0) + 1e-6
    x, x_test = ((part - mean) / std for part in (x, x_test))
    gram, y = x.T @ x, x.T @ (np.eye(10)[data.y_train] - 0.1)
    answers = [x_test @ np.linalg.solve(gram + one * len(x) * np.eye(len(gram)), y) for one in 10.0 ** np.arange(-2, 3)]
    return max(float((one.argmax(1) == data.y_test).mean()) for one in answers)


def main() -> None:
    """Print the top-1 of each network on recordings."""
    parser = argparse.ArgumentParser(description="networks trained on generated speech, tested on recordings")
    parser.add_argument("--data-dir", type=Path, required=True, help="folder of fsdd.npz")
    parser.add_argument("--networks", nargs="*", default=["audio-1d-best", "audio-2d-best", "mobilenetv2@0.25"])
    parser.add_argument("--seeds", type=int, default=2)
    args = parser.parse_args()
    data = dataset(args.data_dir)
    print(f"{len(data.y_train):,} generated words, {len(data.y_test):,} recordings")
    known = dict(networks(Setting("takes", 0)))
    lines: list[dict[str, Any]] = [{"network": "ridge regression", "top1": ridge(data)}]
    print(f"ridge regression, its penalty chosen on the test set: {lines[0]['top1']:.3f}", flush=True)
    for name, seed in product(args.networks, range(args.seeds)):
        with tempfile.TemporaryDirectory() as folder:
            found = train(known[name], data, TrainingConfig(EPOCHS, BATCH, seed=seed), Path(folder) / "training")
        lines.append({"network": name, "seed": seed, "epochs": EPOCHS, "top1": found.accuracy.top1})
        print(f"{name} seed {seed}: {found.accuracy.top1:.3f}", flush=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with JOURNAL.open("a") as file:
        for line in lines:
            file.write(json.dumps(line | {"words": len(data.y_train), "of": len(data.y_test)}) + "\n")


if __name__ == "__main__":
    main()
