"""Attacks on files: each reads a sample of every kind of file that the engine reads, through the commands that read it.

A run folder is attacked in whole: any of its files is damaged, whatever it is, and any command that reads run folders
reads it. So a new file of a run is attacked as soon as a sample has it, and a new command as soon as it is in `READING`
(tests/fuzz/test_fuzz.py refuses to pass without).
"""

import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from nas.records.confusion import Confusion, save_confusion
from nas.records.front import Front, FrontPoint, save_front
from nas.records.history import EpochRow, History
from nas.records.model_evidence import (
    BatchRecord,
    ModelEvidence,
    SupernetRecord,
    TauRecord,
    TrainedNetwork,
    save_evidence,
)
from nas.records.picks import Pick, Picks, save_picks
from nas.records.results import load_result
from nas.records.verdict import Trained, Verdict, save_verdict
from tests.fuzz.mutators import mutate

RUNS = Path(__file__).parents[1] / "data/runs"
TEXT = (".json", ".jsonl", ".csv", ".toml")
NEVER_READ = (".html", ".png", ".svg", ".md", ".zip", ".lock")
READING = {  # command -> its words on a run folder or training called "run", where it reads such folders
    "runs": "runs .",
    "show": "show run",
    "describe": "describe run",
    "compare": "compare run mobilenetv1",
    "resume": "resume run",
    "finalists": "finalists run --epochs 1 --out o",
    "export": "export run --format json --out o.json",
    "sensitivity": "sensitivity run --images 4 --top 1",
    "train": "train run --plan",
    "scale": "scale run --phi 1",
    "deploy": "deploy run --data digits --plan",
    "rank": "rank run --plan",
    "reinforce": "reinforce digits --teacher run --plan",
    "watch": "watch run --once",
    "search": "search --algorithm nsga2 --from run --plan",
}  # fmt: skip
NO_READER = ("spaces", "zoo", "recipes", "targets", "measure", "calibrate", "completion")  # of run folders
FILES: dict[str, str] = {  # sample file -> the words of the command that reads it
    "spec.json": "describe spec.json",
    "mine.toml": "describe mobilenetv1 --target ./mine.toml",
    "some.forest.json": "describe mobilenetv1 --forest some.forest.json",
    "measured.csv": "calibrate measured.csv --name phone --force",
    "images.npz": "train mobilenetv1 --data images.npz --proxy --plan",
    "recipe.toml": "train mobilenetv1 --data images.npz --proxy --recipe recipe.toml --plan",
    "networks.csv": "measure networks.csv --out o.csv",
    "earlier.csv": "measure mobilenetv1 --out earlier.csv",
}


@dataclass(frozen=True)
class Attack:
    """A damaged file and the command that reads it; `reader` names what is attacked."""

    reader: str
    path: str
    content: bytes
    words: tuple[str, ...]


def prepare(folder: Path) -> dict[str, Callable[[random.Random], Attack]]:
    """Lay the samples into `folder`, and return for each reader what makes an attack on it."""
    samples = folder / "samples"
    samples.mkdir()
    make_files(samples)
    makers: dict[str, Callable[[random.Random], Attack]] = {}
    for name, words in FILES.items():
        if (samples / name).exists():
            makers[name] = _file_maker(name, (samples / name).read_bytes(), words.split())
    for run in sample_runs(folder / "runs"):
        for path in sorted(p for p in run.rglob("*") if p.is_file() and p.suffix not in NEVER_READ):
            if path.parent.name == "specs" and path != min(path.parent.iterdir()):
                continue  # all specs are alike, as are all trials
            if path.parent.parent.name == "trials" and path.parent != min(path.parent.parent.iterdir()):
                continue
            makers[f"{run.name}/{path.relative_to(run)}"] = _run_maker(run, path)
    return makers


def _file_maker(name: str, data: bytes, words: Sequence[str]) -> Callable[[random.Random], Attack]:
    return lambda rng: Attack(name, name, mutate(name, data, rng), tuple(words))


def _run_maker(run: Path, path: Path) -> Callable[[random.Random], Attack]:
    data, inside = path.read_bytes(), path.relative_to(run)

    def make(rng: random.Random) -> Attack:
        words = READING[rng.choice(sorted(READING))].split()
        return Attack(f"{run.name}/{inside}", f"run/{inside}", mutate(path.name, data, rng), tuple(words))

    return make


def lay_out(attack: Attack, source: Path, folder: Path) -> None:
    """Lay into `folder`, an empty one, what the command of an attack finds; `source` is that of `prepare`."""
    name, _, _ = attack.reader.partition("/")
    if (run := source / "runs" / name).is_dir():
        shutil.copytree(run, folder / "run")
    target = folder / attack.path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(attack.content)


def sample_runs(folder: Path) -> Iterator[Path]:
    """Lay runs of every kind into `folder` and yield them: those of an older release, and a new one made up."""
    from tests.support.run_folder import make_run

    shutil.copytree(RUNS, folder, ignore=shutil.ignore_patterns("README.md", "expected.json"))
    add_newer_files(make_run(folder / "made-up", count=6))
    add_files_of_a_validated_training(folder / "trained")
    make_run(folder / "made-up-killed", count=6, finished=False)
    yield from sorted(path for path in folder.iterdir() if path.is_dir())


def add_newer_files(run: Path) -> None:
    """Write the files that runs of the older release do not have into a finished run."""
    best = load_result(run / "best.json")
    arch, error = best.arch, best.accuracy.standard_error
    ours = Trained("found", arch.digest, best.latency, best.accuracy)
    save_verdict(Verdict(ours, replace(ours, name="mobilenetv4-conv-s"), "ms", 60, 0, 0.01, 0.01), run)
    pick = Pick(("fastest",), arch.digest, f"specs/{arch.digest[:12]}.json", best.latency, best.accuracy.top1, 0.0,
                error, arch.macs, arch.params, best.peak_activation_bytes)  # fmt: skip
    images = best.accuracy.images
    save_picks(Picks(best.accuracy.kind.stored_label(), images, True, 30, 5, 0.01, "ms", (pick,)), run)
    tau = TauRecord(0.3, 0.1, 0.5, 24, 0.95)
    network = TrainedNetwork(arch.digest, 0.5, 0.49, 0.5, 0.01, 3, 2)
    batches = (BatchRecord("model", 8, 6, tau),)
    supernet = SupernetRecord(100, 0.2, tau, False, 64)
    save_evidence(ModelEvidence("ridge", True, True, tau, 0.01, (network,), batches, supernet, 900.0), run)
    point = FrontPoint(best.latency, arch.digest, pick.spec, best.latency, 0.5, 0.01, 0.0, 9, arch.macs, arch.params)
    kind = best.accuracy.kind.stored_label()
    save_front(Front(kind, images, "ms", (0.1, 9.0), "mobilenetv4-conv-s", arch.digest, (point,)), run)


def add_files_of_a_validated_training(training: Path) -> None:
    """Write what a training of the older release lacks: the history of its epochs and its confusion matrix."""
    rows = tuple(EpochRow(epoch, 0.01 / epoch, 1.0, 0.5, 1.1, 0.4 + 0.1 * epoch) for epoch in (1, 2, 3))
    History("top-1", 100, 20, 2, rows).write(training)
    save_confusion(training, Confusion(("a", "b"), ((3, 1), (0, 4))))


def make_files(folder: Path) -> None:
    """Write a valid sample of every file that a flag or an argument takes."""
    from latency_models.calibration.forest_fit import fit_forest
    from latency_models.forest import forest_text
    from latency_models.target import load_target
    from latency_models.target_file import target_toml
    from nas.arch import save_arch
    from nas.measure.benchmark import BenchmarkRow, write_measurements
    from nas.training.config import TrainingConfig
    from nas.training.recipe import recipe_toml
    from nas.zoo import reference
    from tests.support.run_folder import SPACE

    rng = np.random.default_rng(0)
    save_arch(reference("mobilenetv1"), folder / "spec.json")
    (folder / "mine.toml").write_text(target_toml(load_target("pixel6-cpu")))
    names = ("mobilenetv1", "mobilenetv2", "mobilenetv4-conv-s", "mobilenetv3-large-100", "mobilenetv3-small-100")
    rows = [f"{name},{latency}\n" for name, latency in zip(names, (9.0, 7.5, 6.1, 6.8, 2.9), strict=True)]
    (folder / "measured.csv").write_text("model,latency_ms\n" + "".join(rows))
    x, y = rng.integers(0, 255, (40, 8, 8), dtype=np.uint8), (np.arange(40) % 4).astype(np.int64)
    np.savez(folder / "images.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    archs = [SPACE.decode(genotype) for genotype in SPACE.sample(rng, 12).tolist()]
    forest = fit_forest(archs, [1] * 12, np.array([arch.macs * 1e-6 for arch in archs]), of="energy")
    (folder / "some.forest.json").write_text(forest_text(replace(forest, cross_validated_mape_percent=3.0)))
    (folder / "recipe.toml").write_text(recipe_toml(TrainingConfig(epochs=1, batch_size=8), "ours"))
    (folder / "networks.csv").write_text("arch,name\nmobilenetv1,a\nspec.json,b\n")
    row = BenchmarkRow("mobilenetv1", 9.0, 1, 0.1, "onnxruntime", 1, "some machine", "some version", "")
    write_measurements(folder / "earlier.csv", [row])
