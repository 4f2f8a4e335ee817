"""Study: found audio networks beside MobileNetV1 and V2 on spoken digits: accuracy, modelled energy and memory.

Data: the Free Spoken Digit Dataset, 8 kHz, log-mel of 25 ms every 10 ms and 40 bands in front of every network. Two
protocols: `takes`, the official split (the first five takes of every speaker and digit are the test set), three seeds;
`speakers`, three folds that hold two of the six speakers out, all their takes the test set, whatever the search,
training and validation see. Searches run per protocol and fold on its training set alone (`--search`), by the command
of README; of their fronts the most accurate network is trained, and the one of least energy within a point of it.

    python -m experiments.audio_networks --data-dir DIR --search
    python -m experiments.audio_networks --data-dir DIR [--minutes 30]
    python -m experiments.audio_networks --summary

DIR holds fsdd.npz. Found networks lie in experiments/data/audio_networks/*.json, trainings in trainings.jsonl there: a
line each, with the number of test examples that were named right. A network is the same function whether its DFT is a
matrix product or an FFT, so accuracies hold for both and only energies differ. Stopped and started again, it goes on. A
network with a star behind its name was found on the training set of `takes`, which has recordings of all speakers: its
architecture, not its weights, has seen those whom it is tested on.

Result (20 epochs; mean and standard deviation over seeds or folds; KiB of activations in int8; mJ on cortex-m7, known
to ± 49 %, and on pixel6-cpu, computed; 'fft' by an FFT, 'alone' without the front end):

takes             top-1 %       parameters    KiB   cortex-m7   fft  alone   pixel6-cpu   fft  alone
ridge regression  92.7
audio-1d-best     99.0 +- 0.7       82,794   14.3        6.63  2.24   1.73        0.244 0.133  0.118
audio-2d-best     97.9 +- 1.1       17,378   38.4        6.17  1.78   1.27        0.263 0.152  0.137
mobilenetv1@0.25  93.1 +- 3.6      215,498   23.0        8.51  4.12   3.61        0.446 0.334  0.319
mobilenetv2@0.25  98.7 +- 1.0      250,778   57.7        8.17  3.78   3.28        0.607 0.496  0.481
mobilenetv2@0.5   99.3 +- 0.3      700,202   57.7       13.99  9.60   9.09        1.126 1.015  1.000
mobilenetv2       100 (one run)  2,236,106  115.3       34.05 29.66  29.15        2.660 2.549  2.534

speakers          top-1 %
ridge regression  58.4 +- 5.3      mobilenetv1@0.25  57.8 +- 9.8
audio-1d-best     67.7 +- 2.7      (a search on each fold's own speakers; 60,160 parameters, 2.13 mJ by an FFT)
audio-1d-best*    70.0 +- 11.6     mobilenetv2@0.25  64.9 +- 9.1
audio-2d-best*    62.4 +- 1.2      mobilenetv2@0.5   71.6 +- 2.7     mobilenetv2  82.3 (one fold)

With no difference in accuracy resolved, the found 1-D network takes 0.23 of the energy of MobileNetV2 of width 0.5 on
cortex-m7 and 0.13 on pixel6-cpu, both with an FFT (0.47 and 0.22 with matrix products, whose front end is three
quarters of what the found networks take on cortex-m7), a quarter of the memory and an eighth of the parameters. Against
the whole MobileNetV2, which is a point better on 300 takes and better on strangers, it takes a 13th and a 19th. So an
order of magnitude, as the paper found, is reached against that network, not at equal accuracy. Searches: 360 steps of a
supernet and 512 trials each, whose best had 39 % under shared weights.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("NPROC", "1")  # threads of XLA: the study runs beside other work

import numpy as np
import pandas as pd

from latency_models.target import load_target
from nas.arch import ArchSpec, load_arch, save_arch
from nas.cli import main as nas
from nas.data import Dataset, Labelled, build_dataset, load
from nas.ops.log_mel import LogMel, Transform
from nas.ops.mel import mel_numbers
from nas.space.scaling import behind_log_mel
from nas.training.loop import TrainingConfig, train
from nas.zoo import reference

FOLDER = Path(__file__).parent / "data/audio_networks"
JOURNAL = FOLDER / "trainings.jsonl"
SPACES = {"audio-1d": (), "audio-2d": ("--proxy-width", "0.5")}  # with further words of the search
SEARCHES = {"takes": (), "speakers": ("--dft", "fft", "--trials", "128")}  # further words of those of a protocol
TARGETS = ("cortex-m7", "pixel6-cpu")
BASELINES = ("mobilenetv1@0.25", "mobilenetv2@0.25", "mobilenetv2@0.5", "mobilenetv2")
RIDGE, PENALTIES = "ridge regression", 10.0 ** np.arange(-2, 5)
SAMPLES, RATE, CLASSES = 8000, 8000, 10
EPOCHS, BATCH = 20, 64
FOLDS, SEEDS = 3, 3
NEAR = 0.01  # of top-1 below a front's best, within which the network of least energy is taken


class Setting(NamedTuple):
    """A training set and a test set: the official takes, or a fold of the speakers."""

    protocol: str
    fold: int

    @property
    def name(self) -> str:
        """As it stands in names of files."""
        return f"{self.protocol}{self.fold}"


SETTINGS = (Setting("takes", 0), *(Setting("speakers", fold) for fold in range(FOLDS)))


def dataset_of(setting: Setting, data_dir: Path) -> Dataset:
    """Return the training and test recordings of a setting."""
    official = load("fsdd", data_dir)
    if setting.protocol == "takes":
        return official
    with np.load(data_dir / "fsdd.npz", allow_pickle=False) as stored:
        x, y, speaker = (np.concatenate([stored[f"{key}_{part}"] for part in ("train", "test")]) for key in
                         ("x", "y", "speaker"))  # fmt: skip
    held = np.isin(speaker, (2 * setting.fold, 2 * setting.fold + 1))
    return build_dataset(
        setting.name, Labelled(x[~held], y[~held].astype(np.int32)), Labelled(x[held], y[held].astype(np.int32)),
        class_names=official.class_names, sample_rate=official.sample_rate, groups={"speaker": speaker[~held]},
    )  # fmt: skip


def search(setting: Setting, space: str, data: Dataset, folder: Path) -> None:
    """Search on the training set of a setting alone, and keep two networks of the front that is found."""
    waves = np.asarray(data.x_train)[..., 0, 0]
    path = folder / f"{setting.name}.npz"  # its test set is a copy of some training examples: no other is at hand
    np.savez(
        path, x_train=waves, y_train=data.y_train, x_test=waves[::10], y_test=data.y_train[::10],
        speaker_train=data.groups["speaker"], sample_rate=np.int64(RATE),
    )  # fmt: skip
    run = folder / f"{setting.name}-{space}"
    words = ["search", "--space", space, "--data", str(path), "--group", "speaker", "--target", "cortex-m7"]
    words += ["--algorithm", "hybrid", "--minimize", "energy,memory", "--max-memory-kb", "64", *SPACES[space]]
    words += SEARCHES[setting.protocol]
    assert nas([*words, "--out", str(run)]) == 0, f"the search of {setting.name} in {space} failed"
    front = pd.read_csv(run / "front.csv").to_dict("records")
    energy = next(name for name in front[0] if str(name).startswith("energy"))
    best = max(front, key=lambda row: row["top1"])
    small = min((row for row in front if row["top1"] >= best["top1"] - NEAR), key=lambda row: row[energy])
    FOLDER.mkdir(parents=True, exist_ok=True)
    for role, row in (("best", best), ("small", small)):
        save_arch(load_arch(run / str(row["spec"])), FOLDER / f"{setting.name}-{space}-{role}.json")


def networks(setting: Setting) -> Iterator[tuple[str, ArchSpec]]:
    """Yield the networks of a setting: those found for it, those found on `takes`, and reference networks.

    The reference networks stand behind a log-mel front end.
    """
    for path in sorted(FOLDER.glob(f"{setting.name}-*.json")):
        yield path.stem.partition("-")[2], load_arch(path)
    if setting != SETTINGS[0]:
        for path in sorted(FOLDER.glob(f"{SETTINGS[0].name}-*.json")):
            yield f"{path.stem.partition('-')[2]}*", load_arch(path)
    for name in BASELINES:
        yield name, behind_log_mel(reference(name), SAMPLES, RATE, CLASSES)


def known() -> dict[tuple[str, int, str, int], dict[str, Any]]:
    """Return the trainings that are there, by protocol, fold, network and seed."""
    lines = JOURNAL.read_text().splitlines() if JOURNAL.is_file() else []
    found = [json.loads(line) for line in lines]
    return {(one["protocol"], one["fold"], one["network"], one["seed"]): one for one in found}


def keep(setting: Setting, network: str, seed: int, **numbers: Any) -> None:
    """Append a training to the journal."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    line = {"protocol": setting.protocol, "fold": setting.fold, "network": network, "seed": seed, **numbers}
    with JOURNAL.open("a") as file:
        file.write(json.dumps(line) + "\n")


def costs(arch: ArchSpec) -> dict[str, float]:
    """Return what a network costs: parameters, activations in KiB of int8, and modelled energy in mJ per target.

    Energy is that of all, with the DFT of the front end as a matrix product and by an FFT ("fft"), and that of the
    network without its front end ("alone").
    """
    found = {"parameters": float(arch.params), "KiB": arch.peak_activation_elements / 1024}
    product, by_fft = with_transform(arch, "matmul"), with_transform(arch, "fft")
    for name in TARGETS:
        energy = load_target(name).energy_model()
        front = sum(energy.of_kernel(kernel) for kernel in product.kernels if kernel.name.startswith("0.0."))
        whole = energy.predict_mj(product)
        found |= {f"{name} mJ": whole, f"{name} fft": energy.predict_mj(by_fft), f"{name} alone": whole - front}
    return found


def with_transform(arch: ArchSpec, transform: Transform) -> ArchSpec:
    """Return the network with the DFT of its front end computed so: the same function, so its accuracy stays."""
    (front, *behind), *stages = arch.stages
    assert isinstance(front, LogMel)
    return replace(arch, stages=((replace(front, transform=transform), *behind), *stages))


def features(waves: np.ndarray[Any, Any], rate: int) -> np.ndarray[Any, Any]:
    """Return log-mel maps [N, frames * bands] of waveforms [N, T] int16."""
    op = LogMel(rate, round(0.025 * rate), round(0.01 * rate), 40)
    dft, mel, _ = mel_numbers(rate, op.window, op.bands, 0, 0, 0)
    starts = np.arange(0, waves.shape[1] - op.window + 1, op.hop)
    found = []
    for start in range(0, len(waves), 256):
        frames = waves[start : start + 256, starts[:, None] + np.arange(op.window)] / 32768
        squares = np.square(frames @ dft)
        power = (squares[..., : len(mel)] + squares[..., len(mel) :]) @ mel
        found.append(np.log(power / op.epsilon + 1).reshape(len(frames), -1))
    return np.concatenate(found)


def ridge(setting: Setting, data: Dataset) -> None:
    """Fit ridge regression to one-hot labels; its penalty is chosen on a fifth of the training set."""
    rate = data.sample_rate or 0
    x, x_test = (features(np.asarray(part)[..., 0, 0], rate) for part in (data.x_train, data.x_test))
    mean, std = x.mean(0), x.std(0) + 1e-6
    x, x_test = ((part - mean) / std for part in (x, x_test))
    y = np.eye(data.num_classes)[data.y_train] - 1 / data.num_classes
    held = np.arange(len(x)) % 5 == 0

    def predicted(rows: np.ndarray[Any, Any], penalty: float, of: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        kernel = x[rows] @ x[rows].T  # fewer examples than values: the dual form
        return of @ x[rows].T @ np.linalg.solve(kernel + penalty * x.shape[1] * np.eye(len(kernel)), y[rows])

    right = [(predicted(~held, one, x[held]).argmax(1) == data.y_train[held]).mean() for one in PENALTIES]
    answers = predicted(np.ones(len(x), bool), PENALTIES[int(np.argmax(right))], x_test).argmax(1)
    keep(setting, RIDGE, 0, right=int((answers == data.y_test).sum()), of=len(answers))


def run_trainings(data_dir: Path, minutes: float) -> None:
    """Train what is missing until the time is up."""
    until = time.monotonic() + 60 * minutes
    sets = {setting: dataset_of(setting, data_dir) for setting in SETTINGS}
    for setting, data in sets.items():
        if (setting.protocol, setting.fold, RIDGE, 0) not in known():
            ridge(setting, data)
    for seed in range(SEEDS):
        for setting, data in sets.items():
            for name, arch in networks(setting):
                done = (setting.protocol, setting.fold, name, seed) in known()
                once = (setting.protocol == "speakers" and seed) or (name == BASELINES[-1] and (seed or setting.fold))
                if done or once:
                    continue  # the folds are the seeds of `speakers`; the largest network is trained once in each
                if time.monotonic() > until:
                    return
                started = time.process_time()
                with tempfile.TemporaryDirectory() as folder:
                    config = TrainingConfig(EPOCHS, BATCH, seed=seed)
                    result = train(arch, replace(data, group=None), config, Path(folder) / "training")
                right = round(result.accuracy.top1 * len(data.y_test))
                seconds = round(time.process_time() - started, 1)
                keep(setting, name, seed, right=right, of=len(data.y_test), epochs=EPOCHS, cpu_s=seconds)
                print(f"{setting.name} {name} seed {seed}: {right / len(data.y_test):.3f}, {seconds:.0f} s", flush=True)


def summary() -> None:
    """Print mean accuracies with their spread over seeds or folds, and the mean costs of what was trained."""
    found = known().values()
    archs = {(setting, name): arch for setting in SETTINGS for name, arch in networks(setting)}
    for protocol in dict.fromkeys(one["protocol"] for one in found):
        print(
            f"\n{protocol:18s} top-1 %         " + "".join(f"{word:>18s}" for word in costs(next(iter(archs.values()))))
        )
        own = [one for one in found if one["protocol"] == protocol]
        for network in dict.fromkeys(one["network"] for one in own):
            rows = [one for one in own if one["network"] == network]
            top1 = np.array([100 * one["right"] / one["of"] for one in rows])
            spread = f"± {top1.std(ddof=1):.1f}" if len(rows) > 1 else "one run"
            each = [costs(archs[key]) for one in rows if (key := (Setting(protocol, one["fold"]), network)) in archs]
            means = [np.mean([one[word] for one in each]) for word in each[0]] if each else []
            print(f"{network:18s} {top1.mean():5.1f} {spread:9s}" + "".join(f"{mean:18,.4g}" for mean in means))


def main() -> None:
    """Search, train, or print."""
    parser = argparse.ArgumentParser(description="found audio networks beside MobileNets on spoken digits")
    parser.add_argument("--data-dir", type=Path, help="folder of fsdd.npz")
    parser.add_argument("--search", action="store_true", help="search the networks first")
    parser.add_argument("--runs", type=Path, default=Path("runs/audio-networks"), help="folder of the searches")
    parser.add_argument("--spaces", nargs="+", choices=SPACES, default=list(SPACES), help="those to search")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--summary", action="store_true")
    args = parser.parse_args()
    if args.search:
        args.runs.mkdir(parents=True, exist_ok=True)
        for setting in SETTINGS:
            for space in args.spaces:
                if not (FOLDER / f"{setting.name}-{space}-best.json").is_file():
                    search(setting, space, dataset_of(setting, args.data_dir), args.runs)
    elif not args.summary:
        run_trainings(args.data_dir, args.minutes)
    summary()


if __name__ == "__main__":
    main()
