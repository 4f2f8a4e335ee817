"""Study: what 500 images of six classes are worth, from random weights and from weights trained on other images.

Question: a user has some hundreds of images. What helps: a recipe for few images, or weights trained on other classes?
Command: nice -n 10 python -m experiments.few_images --data-dir DIR [--summary]   (10 processor minutes on one core)

The proxy of MobileNetV4-Conv-S (width 0.25, 16 px). Pretrained: on all images of four classes of the CIFAR-10 part
(airplane, automobile, bird, cat), by `ours`. Then 500 images of the other six, sampled anew for each seed and shared by
all arms, in 40 epochs of 15 steps; tested on the 6,000 test images of these classes. Arms: random or pretrained
weights, by `ours` or by `small-data`; in `tuned` each stage has 0.7 of the learning rate of the next, `frozen` keeps
two stages. A training that is in experiments/data/few_images.jsonl is not done again. Intervals are those of Student's
t over the seeds, of differences paired by seed.

Result (2 cores, busy with other jobs; the images are a JPEG re-encoding, so these are no figures of exact CIFAR-10):
pretrained on 8,000 images of four classes: 71.85 % of these

random, ours                      53.39 +- 4.32 % of 3 seeds
random, small-data                52.93 +- 4.16 % of 3 seeds, -0.46 +- 1.09 points over 'random, ours'
pretrained, ours                  57.08 +- 3.00 % of 3 seeds, 3.69 +- 1.47 points over 'random, ours'
pretrained, small-data            57.66 +- 1.71 % of 3 seeds, 4.27 +- 3.48 points over 'random, ours'
pretrained, small-data, tuned     56.09 +- 1.28 % of 3 seeds, 2.70 +- 3.23 points over 'random, ours'
pretrained, small-data, frozen    57.38 +- 2.32 % of 3 seeds, 3.99 +- 2.01 points over 'random, ours'

So trained weights help, by about 4 points, even those of only 8,000 images of four other classes. The recipe for few
images does not differ from the default here, from random or from trained weights, and rates that fall towards the input
do not help (not resolved). Against it: one small network, one pretraining, three seeds, one length of 40 epochs, no
setting of the recipe was chosen on these images.
"""

import argparse
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import jax
import numpy as np
from scipy import stats

from nas.arch import ArchSpec
from nas.data import Dataset, Labelled, build_dataset, load
from nas.nn.network import CLASSIFIER, get_weights, random_network, zero_init_residuals
from nas.runs.transfer import overlaid
from nas.space.scaling import scale_down
from nas.training.fine_tuning import FineTuning
from nas.training.loop import train
from nas.training.recipe import Overrides, load_recipe, resolved
from nas.zoo import reference

OTHERS, OWN = (0, 1, 2, 3), (4, 5, 6, 7, 8, 9)  # classes of the pretraining, and of the user
IMAGES, SIDE, WIDTH = 500, 16, 0.25
PRETRAINING_EPOCHS, EPOCHS, BATCH = 6, 40, 32
SEEDS = (0, 1, 2)
RESULTS = Path(__file__).parent / "data" / "few_images.jsonl"


@dataclass(frozen=True)
class Arm:
    """One way to train: from which weights, by which recipe, and how stages learn."""

    name: str
    pretrained: bool
    recipe: str
    tuning: FineTuning = field(default_factory=FineTuning)


ARMS = (
    Arm("random, ours", False, "ours"),
    Arm("random, small-data", False, "small-data"),
    Arm("pretrained, ours", True, "ours"),
    Arm("pretrained, small-data", True, "small-data"),
    Arm("pretrained, small-data, tuned", True, "small-data", FineTuning(rate_decay=0.7)),
    Arm("pretrained, small-data, frozen", True, "small-data", FineTuning(2)),
)


def of_classes(data: Dataset, classes: tuple[int, ...], images: int | None = None, seed: int = 0) -> Dataset:
    """Return the examples of some classes, all or `images` training ones in equal parts, sampled by `seed`."""
    rng, number = np.random.default_rng(seed), {old: new for new, old in enumerate(classes)}
    rows = []
    for position, one in enumerate(classes):
        own = np.flatnonzero(data.y_train == one)
        if images is not None:
            own = rng.permutation(own)[: images // len(classes) + (position < images % len(classes))]
        rows.append(own)
    kept = np.sort(np.concatenate(rows))
    tested = np.flatnonzero(np.isin(data.y_test, classes))

    def part(x: object, y: np.ndarray, at: np.ndarray) -> Labelled:
        return Labelled(np.asarray(x)[at], np.array([number[int(label)] for label in y[at]], np.int32))

    names = tuple(data.class_names[one] for one in classes)
    return build_dataset(
        data.name, part(data.x_train, data.y_train, kept), part(data.x_test, data.y_test, tested), class_names=names,
        augmentation=data.augmentation,
    )  # fmt: skip


def proxy(classes: int) -> ArchSpec:
    """Return the network that is trained."""
    return scale_down(replace(reference("mobilenetv4-conv-s"), num_classes=classes), SIDE, WIDTH)


def known() -> dict[tuple[str, int], float]:
    """Return top-1 of the trainings so far, by arm and seed."""
    if not RESULTS.exists():
        return {}
    rows = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    return {(row["arm"], row["seed"]): row["top1"] for row in rows}


def run(data_dir: Path) -> None:
    """Train what is missing, and append it."""
    whole = load("cifar10", data_dir)
    pretrained: dict[str, object] | None = None
    for arm in ARMS:
        for seed in SEEDS:
            if (arm.name, seed) in known():
                continue
            if arm.pretrained and pretrained is None:
                pretrained = _pretrained(of_classes(whole, OTHERS))
            top1 = _trained(arm, of_classes(whole, OWN, IMAGES, seed), seed, pretrained)
            with RESULTS.open("a") as file:
                file.write(json.dumps({"arm": arm.name, "seed": seed, "top1": top1}) + "\n")
            print(f"{arm.name}, seed {seed}: {top1:.2%}", flush=True)
        jax.clear_caches()


def _pretrained(data: Dataset) -> dict[str, object]:
    """Return the weights of the network trained on the other classes."""
    config = resolved(load_recipe("ours"), Overrides(PRETRAINING_EPOCHS, 128))
    with TemporaryDirectory() as folder:
        result = train(proxy(len(OTHERS)), data, config, Path(folder) / "out")
    print(f"pretrained on {len(data.y_train):,} images: {result.accuracy.top1:.2%} of these classes", flush=True)
    return {name: value for name, value in result.weights.items() if name not in CLASSIFIER}


def _trained(arm: Arm, data: Dataset, seed: int, pretrained: dict[str, object] | None) -> float:
    """Return top-1 on the test images."""
    arch = proxy(len(OWN))
    config = resolved(load_recipe(arm.recipe), Overrides(EPOCHS, BATCH, seed=seed, fine_tuning=arm.tuning))
    start = None
    if arm.pretrained and pretrained is not None:
        start = overlaid(zero_init_residuals(arch, get_weights(random_network(arch, seed))), pretrained).weights
    with TemporaryDirectory() as folder:
        result = train(arch, data, config, Path(folder) / "out", initial_weights=start)
    return result.accuracy.top1


def interval(values: list[float]) -> str:
    """Return mean and half-width of the 95 % interval in percent."""
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return f"{100 * np.mean(values):6.2f} +- {100 * half:.2f}"


def summary() -> None:
    """Print top-1 of each arm, and what it differs from the first by."""
    found = known()
    for arm in ARMS:
        seeds = [seed for seed in SEEDS if (arm.name, seed) in found and (ARMS[0].name, seed) in found]
        if len(seeds) < 2:
            continue
        own = [found[arm.name, seed] for seed in seeds]
        over = [found[arm.name, seed] - found[ARMS[0].name, seed] for seed in seeds]
        more = "" if arm is ARMS[0] else f", {interval(over).strip()} points over '{ARMS[0].name}'"
        print(f"{arm.name:32} {interval(own)} % of {len(seeds)} seeds{more}")


def main() -> None:
    """Train what is missing, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="folder of the published files of CIFAR-10")
    parser.add_argument("--summary", action="store_true", help="print what is known; train nothing")
    args = parser.parse_args()
    if not args.summary:
        run(args.data_dir or Path("."))
    summary()


if __name__ == "__main__":
    main()
