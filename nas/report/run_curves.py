"""Training and search curves of a run from its journal: of a joint search's stages, or of a supernet and its trials."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from string import digits
from typing import Any, TypeVar

from nas.errors import InvalidInput
from nas.records import journal
from nas.records.model_evidence import TrainedNetwork, load_evidence
from nas.records.results import TOP1, axis_of

MOST_POINTS = 400  # of a curve; of one that is longer, between so many and twice as many are kept
Record = Mapping[str, Any]
T = TypeVar("T")
Stages = dict[str, tuple[Record, list[Record]]]  # name -> its first record, its records of progress
LOSSES = {"loss_largest": "largest", "loss_random": "random", "loss_smallest": "smallest"}  # networks of a supernet


def read_stages(path: Path) -> Stages:
    """Return the records of a journal by stage; a torn last line is left out, the last record of a step counts."""
    stages: dict[str, tuple[Record, dict[int, Record]]] = {}
    for record in records(path):
        name = record["stage"]
        if "decisions" in record:
            stages[name] = (record, {})
        elif "step" in record and "policy" in record:
            by_step = stages.setdefault(name, ({}, {}))[1]
            by_step[int(record["step"])] = record
            if len(by_step) > 2 * MOST_POINTS:  # those that stay are about evenly spaced, and the newest among them
                for step in sorted(by_step)[-2::-2]:
                    del by_step[step]
    return {name: (start, [by_step[step] for step in sorted(by_step)]) for name, (start, by_step) in stages.items()}


def records(path: Path) -> Iterator[Record]:
    """Yield the records of a journal, none where there is no file; `InvalidInput` for one that no search wrote."""
    for number, record in enumerate(journal.streamed_records(path), start=1):
        if not isinstance(record.get("stage"), str) or not isinstance(record.get("step", 0), int):
            raise InvalidInput(f"{path}, record {number}, is none of a search; it must have a stage")
        yield record


def stage_curves(name: str, start: Record, progress: Sequence[Record]) -> dict[str, Any]:
    """Return the curves of a stage as columns over its steps; accuracies and entropies in percent."""

    def column(key: str, factor: float = 1.0) -> list[float | None]:
        return [None if record.get(key) is None else factor * float(record[key]) for record in progress]

    return {
        "name": name,
        "unit": start.get("latency_unit", "ms"),
        "latency_budget": start.get("target_latency"),
        "decisions": list(start.get("decisions", ())),
        "steps": [int(record["step"]) for record in progress],
        "loss": column("loss"),
        "train_top1": column("train_top1", 100),
        "argmax_top1": column("argmax_reward_top1", 100),
        "argmax_latency": column("argmax_latency"),
        "sampled_latency": column("sampled_latency"),
        "entropy": column("entropy", 100),
        "policy": [record["policy"] for record in progress],
    }


def training_curves(run: Path, metric: str = TOP1) -> list[dict[str, Any]]:
    """Return the charts of a search over a supernet trained once: the supernet's losses, and the trials.

    A folder for one of several targets shows the records that the run's journal, one folder up, has of this target.
    `metric` is the name of what the scores are.

    Each chart has a title, x (the label of its axis), and series of name, dots (or a line) and points [[x, y]].
    """
    own = (run / "journal.jsonl").exists()
    losses, trials = list[Record](), dict[str, list[float]]()
    for record in records(run / "journal.jsonl" if own else run.resolve().parent / "journal.jsonl"):
        if "loss_largest" in record:
            losses.append(record)
        target, slash, _ = record["stage"].rpartition("/")
        if slash and isinstance(record.get("accuracy"), list) and (own or target == run.resolve().name):
            stage = record["stage"].rstrip(digits)  # those of a front end with the number of their latency budget
            trials.setdefault(stage, []).extend(100 * top1 for top1 in record["accuracy"] if top1 is not None)
    charts = [_loss_chart(_thinned(losses))] if losses else []
    charts += [_trials_chart(name, values, axis_of(metric)) for name, values in trials.items() if values]
    evidence = load_evidence(run)
    return charts + ([_prediction_chart(evidence.networks, axis_of(metric))] if evidence else [])


def _prediction_chart(networks: Sequence[TrainedNetwork], score: str) -> dict[str, Any]:
    """Return the chart of observed against predicted accuracies, each predicted from the other networks."""
    points = sorted([100 * one.predicted, 100 * one.observed] for one in networks)
    ends = [min(map(min, points)), max(map(max, points))]
    series = [
        {"name": "network", "dots": True, "points": points},
        {"name": "as predicted", "dots": False, "points": [[end, end] for end in ends]},
    ]
    return {"title": f"{score} observed, against predicted from the others", "x": f"predicted {score}",
            "series": series}  # fmt: skip


def _loss_chart(losses: Sequence[Record]) -> dict[str, Any]:
    series = [
        {"name": name, "dots": False, "points": [[r["step"], r[key]] for r in losses if key in r]}
        for key, name in LOSSES.items()
        if key in losses[0]
    ]
    return {"title": "loss of the supernet's networks (nats)", "x": "training steps", "series": series}


def _thinned(points: Sequence[T]) -> list[T]:
    """Return at most `2 * MOST_POINTS` of the points, evenly spaced, the last among them."""
    apart = max(1, -(-len(points) // (2 * MOST_POINTS)))
    return list(points[::-1][::apart][::-1])


def _trials_chart(name: str, values: Sequence[float], score: str) -> dict[str, Any]:
    numbered = list(enumerate(values, start=1))
    series = [
        {"name": "trial", "dots": True, "points": [[number, value] for number, value in _thinned(numbered)]},
        {"name": "best so far", "dots": False,
         "points": [[number, value] for number, value in _thinned(list(enumerate(accumulate(values, max), start=1)))]},
    ]  # fmt: skip
    return {"title": f"{score} of the trials: {name}", "x": "trials", "series": series}
