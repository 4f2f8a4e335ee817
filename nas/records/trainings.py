"""The training of the network that a run found: which folder beside or inside the run has it."""

import glob
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nas.records.results import result_of_run
from nas.records.typed import Count, Fraction, read_object

FIELDS: dict[str, Any] = {  # of train.json
    "schema": str, "version": int, "digest": str, "arch": dict[str, Any], "settings": dict[str, Any], "steps": Count,
    "started_from": str, "accuracy": dict[str, Any], "balanced_accuracy": Fraction,
    "class_accuracy": tuple[dict[str, Any], ...], "input": dict[str, Any], "class_names": tuple[str, ...],
    "int8_accuracy": dict[str, Any],
    "task": dict[str, Any], "metrics": tuple[dict[str, Any], ...], "targets": dict[str, Any],
}  # fmt: skip
SETTINGS: dict[str, Any] = {  # of settings.json
    "schema": str, "version": int, "seed": int, "data": str, "data_digest": str, "data_dir": str,
}  # fmt: skip
DEPLOYED = "deployed"  # RUN-deployed: the folder of nas deploy
SPECS = "specs"  # in a run: the networks of its front
TRAINING = "training"  # in the folder of nas deploy: the training


def deployed_folder(network: Path) -> Path:
    """Return the folder where the network of a run or a training is deployed, unless another one is named."""
    named = network if network.name not in ("", "..") else network.resolve()
    return named.with_name(f"{named.name}-{DEPLOYED}")


def run_of_spec(network: str) -> Path | None:
    """Return the run whose front has the spec file RUN/specs/DIGEST.json, None for any other network."""
    path = Path(network)
    run = path.parent.parent
    return run if path.is_file() and path.parent.name == SPECS and (run / "experiment.json").is_file() else None


def training_of_run(run: Path) -> Path | None:
    """Return the folder of a finished training of the very network that `run` found, by its digest; None without one.

    Looked up in this order: RUN-deployed/training, folders in RUN, RUN-* and train-RUN-* beside it, in alphabetical
    order. A proxy's training is none of them.
    """
    digest = result_of_run(run).arch.digest
    return next((folder for folder in _candidates(run) if _digest(folder) == digest), None)


def _candidates(run: Path) -> Iterator[Path]:
    """Yield the folders that may be trainings of the network of `run`."""
    yield deployed_folder(run) / TRAINING
    yield from sorted(path.parent for path in run.glob("*/train.json"))
    name, beside = glob.escape(run.resolve().name), run.resolve().parent
    for pattern in (f"{name}-*/train.json", f"{name}-*/{TRAINING}/train.json", f"train-{name}-*/train.json"):
        yield from sorted(path.parent for path in beside.glob(pattern))


def read_training(folder: Path) -> dict[str, Any]:
    """Return the content of the train.json of a finished training; `InvalidInput` where it was altered."""
    return read_object(folder / "train.json", FIELDS, "the result of a training", "train again with: nas train")


def read_settings(folder: Path) -> dict[str, Any]:
    """Return the content of the settings.json of a training; `InvalidInput` where it was altered."""
    return read_object(folder / "settings.json", SETTINGS, "the settings of a training", "train into another folder")


def data_dir_of(training: Path) -> Path | None:
    """Return where the published data set of a training was found; None of the usual places, and where it is gone."""
    found = read_settings(training).get("data_dir") if (training / "settings.json").is_file() else None
    return Path(found) if found is not None and Path(found).is_dir() else None


def _digest(folder: Path) -> str | None:
    """Return the digest of the network that was trained in `folder`, None where it is no finished training."""
    return read_training(folder).get("digest") if (folder / "train.json").is_file() else None
