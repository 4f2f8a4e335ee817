"""Study: plain, distilled, reinforced and pretrained training of one small network, at equal steps and at equal time.

Question: which of the ways to train that this package has makes a small network better: a teacher in training
(`nas train --teacher`), a reinforced data set (`nas reinforce`, then `--data SET`), or weights of other images
(`--from`)?
Command: nice -n 10 python -m experiments.training_arms --data-dir DIR [--data D] [--summary] [--work FOLDER]
         nice -n 10 python -m experiments.training_arms --full [--epochs N] [--recipe R] [--arm A] --data-dir DIR

The proxy of MobileNetV4-Conv-S (width 0.25, 16 px), trained by `ours` on 4,000 images of the CIFAR-10 part, the same
for all, and tested on its test images. The teacher is the same network of width 0.5, trained on the same 4,000 images;
it is the teacher of two arms. The reinforced set has 16 samples of each image. Pretrained: on all of Fashion-MNIST, two
epochs. Equal steps: all arms train for 40 epochs. Equal time: for as many epochs as cost the processor seconds of the
plain arm, by the mean cost of a step in the first part; an arm within 10 % of the plain one keeps its epochs, and the
training is the same. What teacher, set and pretraining cost once is printed and not part of either. Intervals are
those of Student's t over the seeds, of differences paired by seed.

With --data fashion-mnist the images are those, pretraining is on the CIFAR-10 part, and there is one seed, whose
difference has no interval. With --full: the same network with half of its channels, at 32 px, on all 20,000 images,
plain and as the best of the other arms (of the highest mean at equal time), one seed, for as many epochs each.

What came out, 3 seeds: at equal steps plain 49.7 %, distilled 51.1, reinforced 47.0, pretrained 53.2; more than plain
1.4 +- 2.9, -2.7 +- 0.9 and 3.5 +- 4.1 points. At equal time (24 epochs distilled, the others as before) distilled
47.9 %, -1.8 +- 2.0 points.

On Fashion-MNIST, one seed: plain 85.4 %, distilled 85.7 (84.3 at equal time), reinforced 77.0, pretrained 86.0.

At full size, 30 epochs: plain 77.2 %, pretrained 79.2 %, 1,698 and 1,680 processor seconds; pretrained, 60 epochs:
79.5 %, 3,116. With --recipe the arms are trained by another recipe than ours: pretrained, 60 epochs of small-data
(crops, RandAugment, mixup or cutmix of half of the images): 80.7 %, 4,690 processor seconds beside other work.

Everything can be stopped at any moment and goes on with the same command: what ended is in
experiments/data/training_arms/trainings.jsonl (of --full in full_size.jsonl), a training under way in checkpoints in
FOLDER (default: runs/training-arms).
"""

import argparse
import io
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from scipy import stats

from nas.arch import ArchSpec, load_arch
from nas.data import Dataset, Preparation, load
from nas.data.pipeline import resize
from nas.data.replay import Recipe
from nas.export.weight_files import read_weights
from nas.files import write_whole
from nas.nn.network import CLASSIFIER, get_weights, random_network, zero_init_residuals
from nas.runs.reinforce import ReinforceConfig, load_teacher, reinforce, reinforcement
from nas.runs.teachers import teacher_of
from nas.runs.transfer import overlaid
from nas.space.scaling import scale_down
from nas.tasks.split import stratified_split
from nas.training.loop import TrainingConfig, TrainingProgress, train
from nas.training.recipe import Overrides, load_recipe, resolved
from nas.zoo import reference

PLAIN, DISTILLED, REINFORCED, PRETRAINED = ARMS = ("plain", "distilled", "reinforced", "pretrained")
SEEDS = (0, 1, 2)
NOISE = 0.1  # of processor time, on a machine with other load
SHARE, TEMPERATURE = 0.5, 2.0  # of distillation: the defaults of nas train
Known = dict[tuple[str, int, int], dict[str, Any]]  # a training by arm, seed and epochs
RESULTS = Path(__file__).parent / "data" / "training_arms" / "trainings.jsonl"
FULL_RESULTS = RESULTS.with_name("full_size.jsonl")


@dataclass(frozen=True)
class Scale:
    """How large the study is."""

    images: int = 4000
    epochs: int = 40
    teacher_epochs: int = 40
    pretraining_epochs: int = 2
    samples: int = 16
    batch: int = 128
    side: int = 16  # px
    width: float = 0.25
    teacher_width: float = 0.5
    network: str = "mobilenetv4-conv-s"
    recipe: str = "ours"  # of the arms; teacher and pretraining are trained by ours
    other: str = "fashion-mnist"
    seeds: tuple[int, ...] = SEEDS

    def arch(self, width: float, classes: int) -> ArchSpec:
        """Return the network with this share of its channels."""
        return scale_down(replace(reference(self.network), num_classes=classes), self.side, width)


FULL = Scale(images=20_000, epochs=30, pretraining_epochs=1, side=32, width=0.5, teacher_width=1.0, seeds=(0,))
TEST_IMAGES = 10_000
DATA = "cifar10"


@dataclass
class Clock:
    """Processor seconds of a step: of all steps after the first event, which compiled."""

    first: tuple[int, float] | None = None
    last: tuple[int, float] | None = None

    def __call__(self, event: TrainingProgress) -> None:
        """Note a dispatch."""
        now = (event.step, time.process_time())
        self.first, self.last = self.first or now, now

    @property
    def step_s(self) -> float | None:
        """Processor seconds of a step; None where there were not two dispatches."""
        if self.first is None or self.last is None or self.last[0] == self.first[0]:
            return None
        return (self.last[1] - self.first[1]) / (self.last[0] - self.first[0])


@dataclass
class Study:
    """One study: its folder of work, its journal, and what trainings share."""

    scale: Scale
    work: Path
    results: Path
    source: Dataset
    other: Dataset
    loaded: dict[str, Any] = field(default_factory=dict)

    # ------------------------------------------------------------------------------------------------ the journal

    def known(self) -> Known:
        """Return the trainings so far, by arm, seed and epochs."""
        return known_in(self.results, self.scale.recipe)

    def append(self, row: Mapping[str, Any]) -> None:
        """Append a training that has ended; what a kill left of a last line goes."""
        self.results.parent.mkdir(parents=True, exist_ok=True)
        content = self.results.read_bytes() if self.results.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        with self.results.open("r+b" if content else "wb") as file:
            file.truncate(len(whole))
            file.seek(0, os.SEEK_END)
            file.write((json.dumps(row) + "\n").encode())
            file.flush()
            os.fsync(file.fileno())

    # ------------------------------------------------------------------------------------------------ what is shared

    def config(self, epochs: int, seed: int = 0, recipe: str = "ours") -> TrainingConfig:
        """Return the settings of a training."""
        return resolved(load_recipe(recipe), Overrides(epochs, self.scale.batch, seed=seed))

    def data(self) -> Dataset:
        """Return the images, mirrored and shifted in training; a file of them is what a set is made of."""
        path = self.work / "images.npz"
        if "data" not in self.loaded:
            if not path.exists():
                _write_images(self.source, self.scale, path)
            self.loaded["data"] = load(str(path), preparation=Preparation(flip=True))
        found: Dataset = self.loaded["data"]
        return found

    def teacher(self) -> str:
        """Return the folder of the teacher, trained where it is not yet."""
        out = self.work / "teacher"
        if not (out / "train.json").exists():
            self.once("teacher", self.scale.teacher_width, self.data(), self.scale.teacher_epochs, out)
        return str(out)

    def reinforced(self) -> Dataset:
        """Return the reinforced set, made where it is not yet."""
        out, data = self.work / "set", self.data()
        if "set" not in self.loaded:
            started = time.process_time()
            config = ReinforceConfig((self.teacher(),), self.scale.samples, recipe=Recipe(flip=True))
            teachers = [load_teacher(text, data) for text in config.teachers]
            about = reinforcement(str(self.work / "images.npz"), data, config, teachers)
            reinforce(about, data, teachers, out)
            print(f"reinforced set: {time.process_time() - started:.0f} processor seconds here", flush=True)
            self.loaded["set"] = load(str(out))
        found: Dataset = self.loaded["set"]
        return found

    def pretrained(self) -> Path:
        """Return the folder of the network trained on other images, trained where it is not yet."""
        out = self.work / "pretrained"
        if not (out / "train.json").exists():
            self.once("pretrained", self.scale.width, self.other, self.scale.pretraining_epochs, out)
        return out

    def once(self, name: str, width: float, data: Dataset, epochs: int, out: Path) -> None:
        """Train a network that arms share, and say what it cost in this process."""
        started = time.process_time()
        result = train(self.scale.arch(width, data.num_classes), data, self.config(epochs), out)
        spent = time.process_time() - started
        print(f"{name}: {result.accuracy.top1:.2%} on {data.name}, {spent:.0f} processor seconds here", flush=True)

    # ------------------------------------------------------------------------------------------------ trainings

    def run(self) -> None:
        """Train what is missing: first at equal steps, seed by seed, then at equal time."""
        for seed in self.scale.seeds:
            for arm in ARMS:
                self.training(arm, seed, self.scale.epochs)
        for arm, epochs in epochs_at_equal_time(self.known(), self.scale).items():
            for seed in self.scale.seeds:
                self.training(arm, seed, epochs)

    def run_full(self, arms: Sequence[str]) -> None:
        """Train as these arms do, at equal steps."""
        for arm in arms:
            self.training(arm, self.scale.seeds[0], self.scale.epochs)

    def training(self, arm: str, seed: int, epochs: int) -> None:
        """Train one network, unless the journal has it."""
        if (arm, seed, epochs) in self.known():
            return
        recipe = {} if self.scale.recipe == "ours" else {"recipe": self.scale.recipe}
        out = self.work / "-".join([arm, str(seed), str(epochs), *recipe.values()])
        if (out / "train.json").exists():  # it ended, and was stopped before it was journalled: its time is lost
            shutil.rmtree(out)
        arch, data = self.scale.arch(self.scale.width, self.data().num_classes), self.data()
        more: dict[str, Any] = {}
        if arm == DISTILLED:
            more["teacher"] = teacher_of(self.teacher(), data, SHARE, TEMPERATURE)
        elif arm == REINFORCED:
            data = self.reinforced()
        elif arm == PRETRAINED:
            more["initial_weights"] = self.start(arch, seed)
        clock = Clock()
        result = train(arch, data, self.config(epochs, seed, self.scale.recipe), out, clock, **more)
        row = {"arm": arm, "seed": seed, "epochs": epochs, "top1": result.accuracy.top1, "step_s": clock.step_s}
        row |= recipe
        self.append(row)
        shutil.rmtree(out)
        print(f"{arm}, seed {seed}, {epochs} epochs: {result.accuracy.top1:.2%}", flush=True)
        jax.clear_caches()

    def start(self, arch: ArchSpec, seed: int) -> dict[str, Any]:
        """Return the weights of other images, with a classifier of its own for these classes."""
        folder = self.pretrained()
        known, _ = read_weights(folder, load_arch(folder / "arch.json"))
        own = zero_init_residuals(arch, get_weights(random_network(arch, seed)))
        return dict(overlaid(own, {name: known[name] for name in known if name not in CLASSIFIER}).weights)


def _write_images(source: Dataset, scale: Scale, path: Path) -> None:
    """Write the training images that all arms share, of all classes in their proportions, and all test images."""
    rows: Any = slice(None)
    if scale.images < len(source.y_train):
        rows = stratified_split(source.y_train, scale.images, 0)[1]
    x_train, x_test = (resize(np.asarray(x), scale.side) for x in (np.asarray(source.x_train)[rows], source.x_test))
    stream = io.BytesIO()
    np.savez(stream, x_train=x_train, y_train=source.y_train[rows], x_test=x_test, y_test=source.y_test)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, stream.getvalue())


def known_in(path: Path, recipe: str = "ours") -> Known:
    """Return the trainings by this recipe in a journal, by arm, seed and epochs."""
    rows = [row for row in read_rows(path) if row.get("recipe", "ours") == recipe]
    return {(row["arm"], row["seed"], row["epochs"]): row for row in rows}


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a journal; a torn last line is left out."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]]


def epochs_at_equal_time(known: Known, scale: Scale) -> dict[str, int]:
    """Return the epochs of each arm that cost what the plain arm does, by the mean cost of a step over the seeds.

    Empty until all trainings at equal steps have ended; an arm that costs what the plain one does keeps its epochs.
    """
    found = {arm: [known.get((arm, seed, scale.epochs), {}).get("step_s") for seed in scale.seeds] for arm in ARMS}
    costs = {arm: [float(cost) for cost in each if cost is not None] for arm, each in found.items()}
    if any(len(each) < len(scale.seeds) for each in costs.values()):
        return {}
    shares = {arm: float(np.mean(each) / np.mean(costs[PLAIN])) for arm, each in costs.items()}
    same = {arm for arm, share in shares.items() if abs(share - 1) <= NOISE}
    return {arm: scale.epochs if arm in same else max(1, round(scale.epochs / shares[arm])) for arm in ARMS}


def best_of_others(known: Known, scale: Scale) -> str | None:
    """Return the arm, but the plain one, of the highest mean at equal time; None until all trainings have ended."""
    means = {}
    for arm, epochs in epochs_at_equal_time(known, scale).items():
        found = [known[key]["top1"] for seed in scale.seeds if (key := (arm, seed, epochs)) in known]
        if len(found) == len(scale.seeds) and arm != PLAIN:
            means[arm] = float(np.mean(found))
    return max(means, key=lambda arm: means[arm]) if len(means) == len(ARMS) - 1 else None


def full_summary(rows: list[dict[str, Any]], scale: Scale, test_images: int) -> list[str]:
    """Return the trainings at full size, each with its standard error and what its steps cost."""
    lines = []
    for row in rows:
        error = (row["top1"] * (1 - row["top1"]) / test_images) ** 0.5
        steps = scale.images // scale.batch * row["epochs"]
        cost = "" if row["step_s"] is None else f", {row['step_s'] * steps:,.0f} processor seconds"
        lines.append(
            f"{scale.side} px, {scale.images:,} images: {row['arm']:10} {row['epochs']:3} epochs by "
            f"{row.get('recipe', 'ours')}, "
            f"{row['top1']:.2%} +- {error:.2%} of {test_images:,} test images{cost}"
        )
    return lines


def interval(values: list[float]) -> str:
    """Return mean and half-width of the 95 % interval in percent."""
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return f"{100 * np.mean(values):.2f} +- {100 * half:.2f}"


def summary(known: Known, scale: Scale) -> list[str]:
    """Return top-1 of each arm at equal steps and at equal time, and what it differs from the plain one by."""
    lines = []
    equal = epochs_at_equal_time(known, scale)
    for title, epochs_of in (("steps", dict.fromkeys(ARMS, scale.epochs)), ("processor time", equal)):
        if not epochs_of:
            lines.append(f"equal {title}: not all trainings at equal steps have ended")
            continue
        for arm in ARMS:
            plain, own = (
                {seed: known[key]["top1"] for seed in scale.seeds if (key := (each, seed, epochs_of[each])) in known}
                for each in (PLAIN, arm)
            )
            seeds = [seed for seed in scale.seeds if seed in plain and seed in own]
            head = f"equal {title}: {arm:10} {epochs_of[arm]:3} epochs"
            if len(scale.seeds) == 1 and seeds:
                more = "" if arm == PLAIN else f", {100 * (own[seeds[0]] - plain[seeds[0]]):+.2f} points over plain"
                lines.append(f"{head}, {own[seeds[0]]:.2%} with one seed{more}")
                continue
            if len(seeds) < 2:
                lines.append(f"{head}, {len(seeds)} of {len(scale.seeds)} seeds so far")
                continue
            over = [own[seed] - plain[seed] for seed in seeds]
            more = "" if arm == PLAIN else f", {interval(over)} points over plain"
            lines.append(f"{head}, {interval([own[seed] for seed in seeds])} % of {len(seeds)} seeds{more}")
    return lines


def full(args: argparse.Namespace) -> None:
    """Train at full size what is missing, and print what is known of it."""
    scale = replace(FULL, epochs=args.epochs, recipe=args.recipe)
    if not args.summary:
        best = best_of_others(known_in(RESULTS), Scale())
        if best is None:
            raise SystemExit("which arm is best is not known: run this study without --full first")
        source, other = (load(name, args.data_dir) for name in (DATA, scale.other))
        arms = {"plain": [PLAIN], "best": [best], None: [PLAIN, best]}[args.arm]
        Study(scale, args.work / "full", FULL_RESULTS, source, other).run_full(arms)
    print("\n".join(full_summary(read_rows(FULL_RESULTS), scale, TEST_IMAGES)))


def main() -> None:
    """Train what is missing, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=[DATA, Scale.other], default=DATA, help=f"other than {DATA}: one seed")
    parser.add_argument("--data-dir", type=Path, help="folder of the published files of CIFAR-10 and Fashion-MNIST")
    parser.add_argument("--work", type=Path, default=Path("runs/training-arms"), help="folder of trainings under way")
    parser.add_argument("--summary", action="store_true", help="print what is known; train nothing")
    parser.add_argument("--full", action="store_true", help="one network at 32 px on all images instead")
    parser.add_argument("--arm", choices=["plain", "best"], help="of --full, alone: two processes train both")
    parser.add_argument("--epochs", type=int, default=FULL.epochs, help=f"of --full (default: {FULL.epochs})")
    parser.add_argument("--recipe", default=FULL.recipe, help=f"of the arms of --full (default: {FULL.recipe})")
    args = parser.parse_args()
    if args.full:
        full(args)
        return
    scale = Scale() if args.data == DATA else Scale(other=DATA, seeds=(0,))
    results = RESULTS if args.data == DATA else RESULTS.with_name(f"{args.data}.jsonl")
    if not args.summary:
        source, other = (load(name, args.data_dir) for name in (args.data, scale.other))
        work = args.work if args.data == DATA else args.work / args.data
        Study(scale, work, results, source, other).run()
    print("\n".join(summary(known_in(results), scale)))


if __name__ == "__main__":
    main()
