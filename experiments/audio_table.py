"""Audio table: many small networks for spoken digits, each trained alone, to simulate searches on.

Networks of `audio-1d` and `audio-2d` with fewer options (`SPACES_OF_TABLE`), drawn uniformly over genotypes. The input
is a log-mel spectrogram of the Free Spoken Digit Dataset (8 kHz, one second, windows and hops of 40 ms, 20 bands): a
sequence of 25 steps with 20 channels, or a map of 25 x 20 x 1. Each network is trained alone, at full width, on the
training takes of four speakers; what the table calls accuracy is the top-1 on all 1,000 takes of the two other speakers
(`unseen`), beside it that on the 200 official test takes of the four (`known`), each under the normalisation statistics
of batches of 100 after every second epoch. All networks of a space are members of one compiled program
(nas/training/members.py), which computes what each would alone, up to rounding.

    nice -n 10 python -m experiments.audio_table --data-dir DIR [--networks 256] [--minutes 40]
    python -m experiments.audio_table --summary

DIR holds fsdd.npz. The first command trains what is missing, and appends a line for every training to
experiments/data/audio_table/trainings.jsonl: stopped and started again it goes on. The second needs no recordings, and
prints what the table holds. `experiments/audio_strategies.py` searches it.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

os.environ.setdefault("NPROC", "1")  # threads of XLA: the table is made beside other work

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.data import Dataset, epoch_indices
from nas.data.arrays import DataKind
from nas.data.dataset import Labelled, build_dataset
from nas.ops import Head, Shape
from nas.ops.conv import ConvChoices
from nas.ops.uib import UIBChoices
from nas.search.constraints.bounds import Bounded
from nas.space.forms import Single, stack
from nas.space.staged import StagedSpace
from nas.supernet.members import SpaceFamily
from nas.training.loop import TrainingConfig, TrainingPlan
from nas.training.members import MemberProgram, run_scored, run_steps
from nas.training.optimizers import AdamW
from nas.training.step import ImageSplit, image_splits

FOLDER = Path(__file__).parent / "data/audio_table"
JOURNAL = FOLDER / "trainings.jsonl"
RATE, WINDOW_S, HOP_S, BANDS, LOWEST_HZ = 8000, 0.04, 0.04, 20, 60.0
FRAMES = 25
ANY = UIBChoices(((0, 0), (0, 3), (3, 0), (3, 5)), (1.0, 2.0))
STRIDED = UIBChoices(ANY.dws[1:], ANY.expansions)
SPACES_OF_TABLE = {
    "audio-1d": StagedSpace(
        name="audio-1d of the table",
        input_shape=Shape(FRAMES, 1, BANDS),
        num_classes=10,
        stages=(
            Single("stem", ConvChoices((1, 3)), filters=(16, 32)),
            stack("stage0", (16, 32), (1, 2), STRIDED, ANY),
            stack("stage1", (16, 32, 48), (1, 2), STRIDED, ANY),
            stack("stage2", (32, 48, 64), (1, 2), STRIDED, ANY),
        ),
        head=Head(),
    ),
    "audio-2d": StagedSpace(
        name="audio-2d of the table",
        input_shape=Shape(FRAMES, BANDS, 1),
        num_classes=10,
        stages=(
            Single("stem", ConvChoices((3,)), filters=(8, 16, 24), stride=2),
            stack("stage0", (16, 32), (1, 2), STRIDED, ANY),
            stack("stage1", (32, 48), (1, 2), STRIDED, ANY),
        ),
        head=Head(),
    ),
}
UNSEEN_SPEAKERS = (4, 5)  # of six
EPOCHS, EVERY = 12, 2  # in all, and from one score to the next
EVALUATION_BATCH = 100  # divides 1,000 takes of the unseen speakers and 200 of the others
MAX_STEPS = 64


def log_mel(waves: NDArray[Any]) -> NDArray[np.float32]:
    """Return the log-mel energies [N, frames, bands] of waveforms [N, samples] in int16, Hann windows, HTK's mel scale.

    An independent numpy form of a front end; frames that do not fit into the waveform are left out.
    """
    window, hop = round(RATE * WINDOW_S), round(RATE * HOP_S)
    size = 1 << (window - 1).bit_length()
    starts = np.arange(0, waves.shape[1] - window + 1, hop)
    filters = mel_filters(size)
    taper = np.hanning(window + 1)[:-1]
    found = []
    for part in np.array_split(waves, max(1, len(waves) // 256)):
        frames = (part / 32768.0)[:, starts[:, None] + np.arange(window)] * taper
        power = np.abs(np.fft.rfft(frames, size)) ** 2
        found.append(np.log(power @ filters + 1e-6).astype(np.float32))
    return np.concatenate(found)


def mel_filters(size: int) -> NDArray[np.float64]:
    """Return triangular filters [size // 2 + 1, bands] between `LOWEST_HZ` and half the rate."""
    mel_ends = 2595 * np.log10(1 + np.array([LOWEST_HZ, RATE / 2]) / 700)
    edges = 700 * (10 ** (np.linspace(mel_ends[0], mel_ends[1], BANDS + 2) / 2595) - 1)
    bins = np.linspace(0, RATE / 2, size // 2 + 1)[:, None]
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    return np.maximum(0, np.minimum((bins - low) / (middle - low), (high - bins) / (high - middle)))


def spoken_digits(data_dir: Path, space: str) -> tuple[Dataset, dict[str, tuple[Any, Any]]]:
    """Return the data set of a space, tested on the unseen speakers, and (x, y) of both test sets by name."""
    stored = np.load(data_dir / "fsdd.npz", allow_pickle=False)
    x = {part: log_mel(stored[f"x_{part}"]) for part in ("train", "test")}
    x = {part: values[..., None] if space == "audio-2d" else values[:, :, None] for part, values in x.items()}
    y = {part: stored[f"y_{part}"].astype(np.int32) for part in x}
    unseen = {part: np.isin(stored[f"speaker_{part}"], UNSEEN_SPEAKERS) for part in x}
    others = {name: np.concatenate([v[part][unseen[part]] for part in v]) for name, v in (("x", x), ("y", y))}
    tests = {"unseen": (others["x"], others["y"]), "known": (x["test"][~unseen["test"]], y["test"][~unseen["test"]])}
    train = Labelled(x["train"][~unseen["train"]], y["train"][~unseen["train"]])
    kind: DataKind = "maps" if space == "audio-2d" else "sequences"
    return build_dataset(f"fsdd as {kind}", train, Labelled(*tests["unseen"]), kind=kind), tests


def drawn(space: StagedSpace, count: int) -> NDArray[np.int32]:
    """Return `count` distinct genotypes [count, D]; the first ones stay the same."""
    rng, found = np.random.default_rng(0), dict[tuple[int, ...], None]()
    while len(found) < count:
        found |= dict.fromkeys(map(tuple, Bounded(space).draw(rng, 64).tolist()))
    return np.array(list(found)[:count], np.int32)


def trainings() -> list[dict[str, Any]]:
    """Return the trainings so far."""
    return [json.loads(line) for line in JOURNAL.read_text().splitlines()] if JOURNAL.exists() else []


class Trainer:
    """Trains networks of one space of the table."""

    def __init__(self, name: str, data_dir: Path) -> None:
        self.space, (self.data, tests) = SPACES_OF_TABLE[name], spoken_digits(data_dir, name)
        train = image_splits(self.data)[0]
        assert isinstance(train, ImageSplit)
        self.train = train
        x, y = (np.concatenate([values[i] for values in tests.values()]) for i in (0, 1))
        self.tests = train._replace(x=jnp.asarray(x), y=jnp.asarray(y))
        # Batches of each test set, drawn at random from it: both are scored by one program.
        self.rows, start = dict[str, NDArray[np.int32]](), 0
        for key, (_, labels) in tests.items():
            order = start + np.random.default_rng(0).permutation(len(labels))
            self.rows[key], start = order.astype(np.int32).reshape(-1, EVALUATION_BATCH), start + len(labels)

    def curves(self, arch: ArchSpec, seed: int) -> dict[str, list[float]]:
        """Train a network; return its top-1 on each test set after every `EVERY` epochs."""
        config = TrainingConfig(
            epochs=EPOCHS, batch_size=64, seed=seed, optimizer=AdamW(learning_rate=4e-3), ema_decay=0.98
        )
        family = SpaceFamily(self.space)
        plan = TrainingPlan(family.arch, config, self.data, self.train)
        program, genotype = MemberProgram(family, plan.step_config), jnp.asarray(family.genotype(arch))
        state, curves = program.init_state(arch, seed), {key: list[float]() for key in self.rows}
        for epoch in range(EPOCHS):
            rows = np.zeros((MAX_STEPS, config.batch_size), np.int32)
            order = epoch_indices(seed, epoch, len(self.data.x_train), config.batch_size)
            rows[: len(order)] = order
            state, _ = run_steps(program, state, genotype, jnp.asarray(rows), len(order), jnp.int32(seed), self.train)
            if (epoch + 1) % EVERY == 0:
                for key, batches in self.rows.items():
                    correct = sum(
                        int(run_scored(program, state.average, genotype, row[None], _ALL, self.tests).total[0])
                        for row in jnp.asarray(batches)
                    )
                    curves[key].append(correct / batches.size)
        return curves


_ALL = np.ones((1, EVALUATION_BATCH), bool)


def make(data_dir: Path, networks: int, seeds: int, minutes: float) -> None:
    """Train what is missing of `networks` networks of each space, for at most so many minutes."""
    began, done = time.monotonic(), {(one["space"], one["number"], one["seed"]) for one in trainings()}
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, space in SPACES_OF_TABLE.items():
        trainer: Trainer | None = None
        genotypes = drawn(space, networks).tolist()
        for seed, number in product(range(seeds), range(networks)):
            if (name, number, seed) in done:
                continue
            if time.monotonic() - began > 60 * minutes:
                return
            trainer = trainer or Trainer(name, data_dir)
            arch, started = space.decode(genotypes[number]), time.process_time()
            record = {
                "space": name,
                "number": number,
                "genotype": genotypes[number],
                "digest": arch.digest,
                "seed": seed,
            }
            record |= {"digest": arch.digest, **trainer.curves(arch, seed)}
            record["processor_s"] = round(time.process_time() - started, 1)
            with JOURNAL.open("a") as file:
                file.write(json.dumps(record) + "\n")
            shown = f"unseen {record['unseen'][-1]:.3f}, known {record['known'][-1]:.3f}, {record['processor_s']} s"
            print(f"{name} {number:3d} seed {seed}: {shown}", flush=True)


def summary(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield lines on what the table holds."""
    for name, space in SPACES_OF_TABLE.items():
        rows = [one for one in found if one["space"] == name]
        if not rows:
            continue
        unseen = np.array([one["unseen"][-1] for one in rows])
        archs = [space.decode(one["genotype"]) for one in rows]
        least, middle, most = np.percentile([arch.macs / 1e6 for arch in archs], [0, 50, 100])
        digests, seconds = len({one["digest"] for one in rows}), sum(one["processor_s"] for one in rows)
        yield (
            f"{name}: {len(rows)} trainings of {digests} networks, {seconds / 60:.0f} processor minutes; "
            f"{least:.2f} to {most:.2f} M MACs (median {middle:.2f}); top-1 on unseen speakers {unseen.min():.3f} to "
            f"{unseen.max():.3f}, median {np.median(unseen):.3f}"
        )


def main() -> None:
    """Train, or say what is there."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data-dir", type=Path, default=Path("."))
    parser.add_argument("--networks", type=int, default=256, help="of each space")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--summary", action="store_true", help="what the table holds; trains nothing")
    args = parser.parse_args()
    if not args.summary:
        make(args.data_dir, args.networks, args.seeds, args.minutes)
    for line in summary(trainings()):
        print(line)


if __name__ == "__main__":
    main()
