"""What the run folders below a folder hold, from their files alone: state, target, how far they are, the best so far.

A run at work holds its lock (nas.records.locks). Kinds of runs that this release does not know are told as far as they can be.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from nas.errors import InvalidInput
from nas.files import read_json
from nas.records.journal import Record, read_journal
from nas.records.locks import holder

State = Literal["running", "finished", "interrupted", "broken"]
DEEPEST = 5  # folders below the one that is looked through
TRAINING = "nas.training"
DONE = "done"  # the stage of the last record of a run over a supernet that is trained once
MARKS = ("experiment.json", "settings.json")  # a folder with one of them is a run


@dataclass(frozen=True)
class Run:
    """One run folder; None where nothing is known. `latency` and `top1` are those of the best architecture so far."""

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
    top1: float | None = None  # a fraction
    loss: float | None = None
    entropy: float | None = None  # of the policy, as a fraction of the uniform one's
    note: str = ""  # why it is broken


def runs_below(root: Path) -> list[Run]:
    """Return the runs in `root` and in the folders below it, by path; `InvalidInput` where `root` is no folder."""
    if not root.is_dir():
        raise InvalidInput(f"there is no folder {root}; name the one that holds the runs: nas runs DIR")
    return [read_run(path) for path in _folders(root)]


def _folders(root: Path) -> Iterator[Path]:
    """Yield the run folders, and those of single targets inside them."""
    deepest = len(root.parts) + DEEPEST
    for folder, names, files in os.walk(root):
        names[:] = (
            sorted(name for name in names if not name.startswith(".")) if len(Path(folder).parts) < deepest else []
        )
        if any(mark in files for mark in MARKS):
            names[:] = [name for name in names if os.path.isfile(os.path.join(folder, name, MARKS[0]))]
            yield Path(folder)


def read_run(path: Path) -> Run:
    """Return what is known of the run folder `path`; one whose files cannot be read is "broken", with the reason."""
    at_work = holder(path)
    try:
        training = not (path / MARKS[0]).exists()
        run = _training(path) if training else _search(path)
    except InvalidInput as error:
        return Run(str(path), "unknown", "broken", at_work, note=str(error))
    if at_work is not None:
        return replace(run, state="running", holder=at_work)
    return run


def _search(path: Path) -> Run:
    stored = _object(path / MARKS[0])
    settings, records = _part(stored, "settings"), read_journal(path / "journal.jsonl")[0]
    config = _part(stored, "request")
    targets = stored.get("targets") or [settings.get("target") or f"ridge point {settings.get('ridge_point')}"]
    kind = config.get("algorithm") or stored.get("algorithm") or "search"
    run = Run(
        str(path), str(kind), "interrupted", target=", ".join(map(str, targets)), preset=_text(settings.get("preset"))
    )
    run = _progress(run, records)
    finished = (path / "best.json").exists() if not config else bool(records) and records[-1].get("stage") == DONE
    if not finished:
        return run
    run = replace(run, state="finished", stage=None, step=None, steps=None)
    return _best(run, _object(path / "best.json")) if (path / "best.json").exists() else run


def _progress(run: Run, records: list[Record]) -> Run:
    """Return `run` with what the last records of its journal say."""
    staged = [record for record in records if "stage" in record]
    for record in staged[::-1]:
        if "argmax_latency" in record:  # of the controller, whatever was evaluated since
            run = replace(
                run,
                latency=_number(record.get("argmax_latency")),
                top1=_number(record.get("argmax_reward_top1")),
                loss=_number(record.get("loss")),
                entropy=_number(record.get("entropy")),
            )
            break
    if not staged:
        return run
    units = [record["latency_unit"] for record in staged if "latency_unit" in record]
    last = staged[-1]
    mine = [record for record in staged if record["stage"] == last["stage"]]
    accuracies = [a for record in mine for a in record.get("accuracy") or [] if a is not None]
    step = last.get("step") if "step" in last else sum(len(record.get("asked") or [0]) for record in mine)
    return replace(
        run,
        stage=str(last["stage"]),
        step=int(step or 0) if "decisions" not in last else 0,
        steps=last.get("steps"),
        latency_unit=str(units[-1]) if units else "ms",
        top1=max(accuracies) if accuracies else run.top1,
    )


def _best(run: Run, best: dict[str, Any]) -> Run:
    accuracy = _part(best, "accuracy")
    return replace(
        run,
        latency=_number(best.get("latency")),
        latency_unit=str(best.get("latency_unit", "ms")),
        top1=_number(accuracy.get("top1")),
        entropy=_number(best.get("policy_entropy")),
    )


def _training(path: Path) -> Run:
    stored = _object(path / "settings.json")
    if stored.get("schema") != TRAINING:
        raise InvalidInput(f"{path}/settings.json is not of a training")
    run = Run(str(path), "training", "interrupted", stage="train", preset=None)
    if (path / "train.json").exists():
        about = _object(path / "train.json")
        steps = about.get("steps")
        return replace(
            run,
            state="finished",
            stage=None,
            steps=steps,
            step=steps,
            top1=_number(_part(about, "accuracy").get("top1")),
        )
    saved = [int(entry.name) for entry in (path / "checkpoints").glob("*") if entry.name.isdecimal()]
    return replace(run, step=max(saved, default=0))


def _object(path: Path) -> dict[str, Any]:
    value = read_json(path)
    if not isinstance(value, dict):
        raise InvalidInput(f"{path} holds no object")
    return value


def _part(stored: dict[str, Any], name: str) -> dict[str, Any]:
    value = stored.get(name)
    return value if isinstance(value, dict) else {}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
