"""Listing of run folders from their files alone: state, target, progress, and the best architecture so far.

A running process holds the lock of its folder (nas.records.locks). Of runs of another release, what can be read is
listed.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from nas.errors import InvalidInput, UnknownName
from nas.records.experiment import read_experiment
from nas.records.journal import Record, newest_records, streamed_records
from nas.records.locks import holder
from nas.records.results import TOP1, metric_of_run, result_fields
from nas.records.trainings import read_settings, read_training
from nas.records.typed import read_object

State = Literal["running", "finished", "interrupted", "broken"]
MAX_DEPTH = 5  # levels of folders that are searched for runs
TRAINING = "nas.training"
LOOKED_BACK = 300  # records of a journal, beyond those of its last evaluations
BEST: dict[str, Any] = {"arch": dict[str, Any], "accuracy": dict[str, Any]}  # of best.json, beside the plain fields
DONE = "done"  # the stage of the last record of a run over a supernet that is trained once
MARKS = ("experiment.json", "settings.json")  # a folder with one of them is a run


@dataclass(frozen=True)
class Run:
    """The summary of one run folder; None where nothing is known.

    `latency` and `top1` are those of the best architecture so far.
    """

    path: str
    kind: str  # "search", "training", or the name of an algorithm
    state: State
    holder: str | None = None  # "process P on H", while it runs
    target: str | None = None
    preset: str | None = None
    stage: str | None = None  # of the last record
    step: int | None = None
    steps: int | None = None
    latency: float | None = None
    latency_unit: str = "ms"
    latency_error_percent: float | None = None  # half-width that holds 90 % of unseen networks, once finished
    top1: float | None = None  # a fraction; the score of another task
    loss: float | None = None
    entropy: float | None = None  # of the policy, as a fraction of the uniform one's
    note: str = ""  # why it is broken
    metric: str = TOP1  # what `top1` is of, where it is known


def runs_below(root: Path) -> list[Run]:
    """Return the runs in `root` and in the folders below it, by path; `InvalidInput` where `root` is no folder."""
    if not root.is_dir():
        raise InvalidInput(f"there is no folder {root}; name the one that holds the runs: nas runs DIR")
    return [read_run(path) for path in _run_folders(root)]


def _run_folders(root: Path) -> Iterator[Path]:
    """Yield the run folders below `root`, and inside them those of single targets."""
    deepest = len(root.parts) + MAX_DEPTH
    for folder, names, files in os.walk(root):
        names[:] = (
            sorted(name for name in names if not name.startswith(".")) if len(Path(folder).parts) < deepest else []
        )
        if any(mark in files for mark in MARKS):
            names[:] = [name for name in names if os.path.isfile(os.path.join(folder, name, MARKS[0]))]
            yield Path(folder)


def read_run(path: Path) -> Run:
    """Return the summary of the run folder `path`; where its files cannot be read it is "broken", with the reason."""
    running = holder(path)
    try:
        training = not (path / MARKS[0]).exists()
        run = _training(path) if training else _search(path)
    except (InvalidInput, UnknownName, OSError) as error:
        return Run(str(path), "unknown", "broken", running, note=str(error))
    if running is not None:
        return replace(run, state="running", holder=running)
    return run


def _search(path: Path) -> Run:
    """Return the summary of a search of any kind."""
    stored = read_experiment(path)
    settings, journal = _part(stored, "settings"), path / "journal.jsonl"
    config = _part(stored, "request")
    targets = stored.get("targets") or [settings.get("target") or f"ridge point {settings.get('ridge_point')}"]
    kind = config.get("algorithm") or stored.get("algorithm") or "search"
    run = Run(
        str(path), str(kind), "interrupted", target=", ".join(map(str, targets)), preset=_text(settings.get("preset")),
        metric=metric_of_run(stored),
    )  # fmt: skip
    run = _progress(run, journal)
    finished = run.stage == DONE if config else (path / "best.json").exists()
    if not finished:
        return run
    run = replace(run, state="finished", stage=None, step=None, steps=None)
    if not (path / "best.json").exists():
        return run
    return _best(run, read_object(path / "best.json", BEST | result_fields(), "the result of a search"))


def _progress(run: Run, journal: Path) -> Run:
    """Return `run` with the progress that the newest records of its journal show."""
    staged = (record for record in newest_records(journal) if "stage" in record)
    last = next(staged, None)
    if last is None:
        return run
    looked_at = [last, *islice(staged, LOOKED_BACK)]
    if "step" not in last:  # its evaluations are counted, however many
        while looked_at[-1]["stage"] == last["stage"] and (more := next(staged, None)):
            looked_at.append(more)
    controller = next((record for record in looked_at if "argmax_latency" in record), {})  # evaluations may follow it
    of_stage = [record for record in looked_at if record["stage"] == last["stage"]]
    accuracies = [a for record in of_stage for a in record.get("accuracy") or [] if a is not None]
    step = last.get("step") if "step" in last else sum(len(record.get("asked") or [0]) for record in of_stage)
    units = (record["latency_unit"] for record in (*looked_at, *_first(journal)) if "latency_unit" in record)
    return replace(
        run,
        latency=_number(controller.get("argmax_latency")),
        loss=_number(controller.get("loss")),
        entropy=_number(controller.get("entropy")),
        stage=str(last["stage"]),
        step=int(step or 0) if "decisions" not in last else 0,
        steps=last.get("steps"),
        latency_unit=str(next(units, "ms")),
        top1=max(accuracies) if accuracies else _number(controller.get("argmax_reward_top1")),
    )


def _first(journal: Path) -> Iterator[Record]:
    """Yield the first record of a journal, which begins a stage."""
    yield from islice(streamed_records(journal), 1)


def _best(run: Run, best: dict[str, Any]) -> Run:
    """Return `run` with the numbers of its best.json."""
    accuracy = _part(best, "accuracy")
    return replace(
        run,
        latency=_number(best.get("latency")),
        latency_unit=str(best.get("latency_unit", "ms")),
        latency_error_percent=_number(_part(best, "latency_error").get("percent")),
        top1=_number(accuracy.get("top1", accuracy.get("value"))),
        metric=_metric(accuracy),
        entropy=_number(best.get("policy_entropy")),
    )


def _metric(accuracy: dict[str, Any]) -> str:
    """Return the metric of an accuracy in a file; files of classification name none."""
    return str(_part(accuracy, "kind").get("metric", TOP1))


def _training(path: Path) -> Run:
    """Return the summary of a training of one network."""
    stored = read_settings(path)
    if stored.get("schema") != TRAINING:
        raise InvalidInput(f"{path}/settings.json is not of a training")
    run = Run(str(path), "training", "interrupted", stage="train", preset=None)
    if (path / "train.json").exists():
        about = read_training(path)
        steps, accuracy = about.get("steps"), _part(about, "accuracy")
        return replace(
            run,
            state="finished",
            stage=None,
            steps=steps,
            step=steps,
            top1=_number(accuracy.get("top1", accuracy.get("value"))),
            metric=_metric(accuracy),
        )
    saved = [int(entry.name) for entry in (path / "checkpoints").glob("*") if entry.name.isdecimal()]
    return replace(run, step=max(saved, default=0))


def _part(stored: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the object under a key, an empty one where it is something else."""
    value = stored.get(name)
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float | None:
    """Return `value` as a float, None where it is no number."""
    return float(value) if isinstance(value, int | float) else None


def _text(value: Any) -> str | None:
    """Return `value` as text, None for None."""
    return None if value is None else str(value)
