"""The finalists of a search trained alone, the weak ones stopped early: the folder, the stages, and the table.

Nothing here knows Ray. By default trials are halved synchronously (nas.search.schedulers.halving); how the trials of a rung are
run, one after the other or on workers, is a `RunRung`. What is known lies in their folders: going on replays it.
"""

import csv
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, astuple, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from nas.arch import ArchSpec
from nas.data import Dataset, at_resolution
from nas.errors import InvalidInput, unknown_name
from nas.files import dump_json, new_folder, read_json, write_whole
from nas.records.journal import Journal
from nas.search.schedulers import halving
from nas.training.loop import TrainingConfig
from nas.training.trial import train_until, validation_view

SCHEMA, VERSION = "nas.finalists", 1
HALVING = "halving"
SCHEDULERS = (HALVING, "asha", "median", "decay")  # the first is synchronous, ours, and needs no workers
FINISHED, DROPPED, STOPPED, FAILED = "finished", "dropped", "stopped early", "failed"


@dataclass(frozen=True)
class Candidate:
    """One candidate: the network that is trained, its digest and costs as deployed, and what the supernet says."""

    digest: str  # of the deployed network
    arch: ArchSpec  # that is trained: the proxy
    latency: float
    latency_unit: str
    supernet_top1: float


@dataclass(frozen=True)
class CandidateTrainings:
    """What all trials have in common; the data set is the `held_out_view` at the networks' resolution."""

    data: Dataset
    settings: TrainingConfig
    folder: Path

    def of(self, digest: str) -> Path:
        """Return the folder of one trial."""
        return self.folder / "trials" / digest[:12]


@dataclass(frozen=True)
class TrialResult:
    """How a trial ended, or ended a rung: epochs, top-1 on validation images after them, in what way, and why."""

    digest: str
    epochs: int
    top1: float
    state: str
    error: str = ""


@dataclass(frozen=True)
class CandidateRow:
    """One line of finalists.csv."""

    place: int  # among the trained
    digest: str
    latency: float
    latency_unit: str
    supernet_top1: float
    alone_top1: float
    epochs: int
    state: str
    supernet_place: int
    gained: int  # places, from the supernet's ranking to this one
    error: str


Seen = Callable[[str, int, float], None]  # digest, epoch, top-1
RunRung = Callable[[Sequence[Candidate], int], Iterator[TrialResult]]  # trains all to an epoch; outcomes in any order
OpenTrainers = Callable[
    [CandidateTrainings, Seen], AbstractContextManager[RunRung]
]  # who trains: this process, or workers


def check_scheduler(name: str) -> None:
    """Raise `UnknownName` for a scheduler that does not exist."""
    if name not in SCHEDULERS:
        raise unknown_name("scheduler", name, SCHEDULERS)


def opened(folder: Path, candidates: Sequence[Candidate], dataset: Dataset, about: Mapping[str, Any]) -> None:
    """Make `folder` that of these trials, or check that it is; `InvalidInput` names the first difference."""
    identity = {"schema": SCHEMA, "version": VERSION, **about, "data": dataset.name, "data_digest": dataset.digest}
    identity["finalists"] = [one.digest for one in candidates]
    path = folder / "finalists.json"
    if not path.exists():
        new_folder(folder)
        write_whole(path, dump_json(identity))
        return
    there = read_json(path)
    if not isinstance(there, dict) or there.get("schema") != SCHEMA:
        raise InvalidInput(f"{path} is not of trained finalists; name another folder with --out")
    for name in {**identity, **there}:
        if there.get(name) != identity.get(name):
            raise InvalidInput(
                f"{folder} holds trials with another {name} ({there.get(name)!r}, not {identity.get(name)!r}); "
                "go on with the same or name another folder with --out"
            )


def trials_of(
    archs: Sequence[ArchSpec], dataset: Dataset, settings: TrainingConfig, folder: Path, *, split: tuple[float, int]
) -> CandidateTrainings:
    """Return what the trials share; `split` is the search's validation fraction and seed. All networks have one input."""
    inputs = {(arch.input_shape, arch.num_classes) for arch in archs}
    if len(inputs) != 1:
        raise InvalidInput(f"finalists must have the same input and classes, got {len(inputs)} different kinds")
    ((shape, classes),) = inputs
    if classes != dataset.num_classes:
        raise InvalidInput(f"the finalists have {classes} classes, but {dataset.name} has {dataset.num_classes}")
    view = validation_view(at_resolution(dataset, shape.height), *split)
    if settings.batch_size > len(view.x_train):
        raise InvalidInput(f"the batch size must be at most {len(view.x_train)}, got {settings.batch_size}")
    return CandidateTrainings(view, settings, folder.resolve())


def in_turn(trials: CandidateTrainings, seen: Seen) -> RunRung:
    """Return the way to train the trials of a rung one after the other in this process."""

    def run(candidates: Sequence[Candidate], until: int) -> Iterator[TrialResult]:
        for one in candidates:
            try:
                curve = train_until(
                    one.arch, trials.data, trials.settings, trials.of(one.digest), until=until,
                    seen=partial(seen, one.digest),
                )  # fmt: skip
            except InvalidInput as error:  # a loss that is no longer finite
                yield TrialResult(one.digest, 0, 0.0, FAILED, str(error))
            else:
                whole = until == trials.settings.epochs
                yield TrialResult(one.digest, until, curve[-1], FINISHED if whole else DROPPED)

    return run


@contextmanager
def in_process(trials: CandidateTrainings, seen: Seen) -> Iterator[RunRung]:
    """Give the way to train in this process."""
    yield in_turn(trials, seen)


def halved(candidates: Sequence[Candidate], steps: tuple[int, ...], run: RunRung) -> list[TrialResult]:
    """Run synchronous halving over the rungs `steps` and return how each trial ended, the best first."""
    by_digest = {one.digest: one for one in candidates}
    state, trial_results = halving.init(tuple(by_digest), steps), {}
    while not state.done:
        until, names = halving.ask(state)
        for trial_result in run([by_digest[name] for name in names], until):
            trial_results[trial_result.digest] = trial_result
            score = halving.FAILED if trial_result.state == FAILED else trial_result.top1
            state = halving.tell(state, trial_result.digest, score)
    return [trial_results[place.trial] for place in state.left]


def table(candidates: Sequence[Candidate], trial_results: Sequence[TrialResult]) -> list[CandidateRow]:
    """Return the rows, the best first: longer runs, then higher top-1; failed trials last."""
    by_digest = {one.digest: one for one in candidates}
    alone = _places({one.digest: (one.state != FAILED, one.epochs, one.top1) for one in trial_results})
    supernet = _places({one.digest: (one.supernet_top1,) for one in candidates})
    rows = []
    for trial_result in sorted(trial_results, key=lambda one: (alone[one.digest], one.digest)):
        one, place, before = by_digest[trial_result.digest], alone[trial_result.digest], supernet[trial_result.digest]
        rows.append(
            CandidateRow(
                place, one.digest, one.latency, one.latency_unit, one.supernet_top1, trial_result.top1, trial_result.epochs,
                trial_result.state, before, before - place, trial_result.error,
            )
        )  # fmt: skip
    return rows


def _places(keys: Mapping[str, tuple[float, ...]]) -> dict[str, int]:
    """Return the place of each from 1 on, by descending key; equal ones share the best place of theirs."""
    ordered = sorted(keys.values(), reverse=True)
    return {name: 1 + ordered.index(key) for name, key in keys.items()}


def kendall_tau(rows: Sequence[CandidateRow]) -> float | None:
    """Return Kendall's tau-b between the supernet's places and those of the trained; None where one ranks all equal."""
    from scipy.stats import kendalltau

    kept = [row for row in rows if row.state != FAILED]
    places = [[row.supernet_place for row in kept], [row.place for row in kept]]
    if any(len(set(one)) < 2 for one in places):
        return None
    return float(kendalltau(*places).statistic)


def table_lines(rows: Sequence[CandidateRow], trials: CandidateTrainings) -> Iterator[str]:
    """Yield what a reader of the table must know."""
    tau = kendall_tau(rows)
    shown = "not defined: one of them ranks all equal" if tau is None else f"{tau:+.2f}"
    yield f"Kendall's tau between the supernet's ranking and this one: {shown} ({len(rows)} networks)"
    images = len(trials.data.x_test)
    best = rows[0].alone_top1
    error = 100 * math.sqrt(best * (1 - best) / images)
    yield f"top-1 of proxies, on {images:,} validation images; standard error of the best {error:.2f} points"
    if len({row.epochs for row in rows}) > 1:
        yield "networks that were stopped early are ranked behind those trained longer, by their top-1 then"


def default_rungs(candidates: Sequence[Candidate], trials: CandidateTrainings) -> tuple[int, ...]:
    """Return the epochs at which the halving of these finalists thins them out."""
    return halving.rungs(trials.settings.epochs, len(candidates))


def write_table(rows: Sequence[CandidateRow], folder: Path) -> None:
    """Write finalists.csv."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([[field.name for field in fields(CandidateRow)], *map(astuple, rows)])
    write_whole(folder / "finalists.csv", text.getvalue())


class Endings:
    """Which trials a scheduler stopped or finished, and when: the journal endings.jsonl of the folder."""

    def __init__(self, folder: Path) -> None:
        self._journal = Journal(folder / "endings.jsonl")
        self.known = {record["digest"]: TrialResult(**record) for record in self._journal.records}

    def add(self, trial_result: TrialResult) -> None:
        """Note how a trial ended; the first word stands."""
        if trial_result.digest not in self.known:
            self._journal.append(asdict(trial_result))
            self.known[trial_result.digest] = trial_result
