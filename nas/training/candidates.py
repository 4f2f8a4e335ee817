"""Candidate re-training: the top candidates of a search trained alone, the weak ones stopped early, and their ranking.

By default trials are stopped by synchronous successive halving (nas.search.schedulers.halving). How the trials of a
rung are run, one after the other in this process or on workers, is a `RunRung`; Ray is in nas.distributed alone. Every
trial keeps its learning curve in its folder, so going on replays what is known.
"""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, astuple, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from nas.arch import ArchSpec
from nas.data import Dataset, at_resolution, validation_view
from nas.errors import InvalidInput, unknown_name
from nas.files import dump_json, new_folder, read_json, write_whole
from nas.records.journal import Journal
from nas.records.results import TOP1, points_text, standard_error
from nas.records.typed import refused, typed
from nas.registry import lazy
from nas.search.schedulers import halving
from nas.training.family import Family
from nas.training.int8_score import Int8Score, known_scores
from nas.training.loop import TrainingConfig
from nas.training.trial import known_curve, known_errors, train_until

stats = lazy("scipy.stats")  # takes 0.3 s to import, and most searches train no candidates alone

SCHEMA, VERSION = "nas.finalists", 1
HALVING = "halving"
SCHEDULERS = (HALVING, "asha", "median", "decay")  # the first is synchronous, ours, and needs no workers
FINISHED, DROPPED, STOPPED, FAILED = "finished", "dropped", "stopped early", "failed"


@dataclass(frozen=True)
class Candidate:
    """One candidate: the proxy that is trained, with digest and latency of its target network."""

    digest: str  # of the target network
    arch: ArchSpec  # of the proxy
    latency: float
    latency_unit: str
    supernet_top1: float  # under shared weights, a fraction


@dataclass(frozen=True)
class CandidateTrainings:
    """The trainings of all candidates: the data, settings and folder that they share."""

    data: Dataset  # a `validation_view` at the networks' resolution
    config: TrainingConfig
    folder: Path
    family: Family | None = None  # whose one program trains all networks; None: each is a program of its own
    int8: bool = False  # whether members are scored in int8 too, after the last epoch that is asked for

    def of(self, digest: str, seed: int | None = None) -> Path:
        """Return the folder of one trial; `seed` is that of the training where it differs from the search's."""
        other = "" if seed in (None, self.config.seed) else f"-s{seed}"
        return self.folder / "trials" / f"{digest[:12]}{other}"

    def errors(self, digest: str, seed: int | None = None) -> dict[int, float]:
        """Return the standard errors of the scores of one trial by epoch; of shares, which have their own, none.

        Of trials that are scored in int8 those of these scores.
        """
        if self.data.has_classes:
            return {}
        folder = self.of(digest, seed)
        if self.int8:
            return {epoch: one.error for epoch, one in known_scores(folder).items() if one.error is not None}
        known = enumerate(known_errors(folder), start=1)
        return {epoch: error for epoch, error in known if error is not None}

    def known_curve(self, digest: str, epochs: int, seed: int | None = None) -> list[float]:
        """Return the scores after each epoch [epochs] of a trial with nothing left to do, else an empty list."""
        folder = self.of(digest, seed)
        scored = not self.int8 or epochs in known_scores(folder)
        return known_curve(self.config, folder, epochs) if scored else []

    def score_in_int8(self, digest: str, epochs: int, seed: int | None = None) -> Int8Score | None:
        """Return the score in int8 of a trial after so many epochs; None where it was not taken."""
        return known_scores(self.of(digest, seed)).get(epochs) if self.int8 else None


@dataclass(frozen=True)
class TrialResult:
    """The result of a trial: how it ended, or how far it came in a rung."""

    digest: str
    epochs: int
    top1: float  # on validation images, after these epochs
    state: str  # one of `FINISHED`, `DROPPED`, `STOPPED`, `FAILED`
    error: str = ""


@dataclass(frozen=True)
class CandidateRow:
    """One row of finalists.csv."""

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


OnCandidateEpoch = Callable[[str, int, float], None]  # called with digest, epoch, top-1
RunRung = Callable[[Sequence[Candidate], int], Iterator[TrialResult]]  # trains all to an epoch; results in any order
# Opens what trains the candidates: this process (`in_process`), or workers (nas/distributed/trials.py).
OpenTrainers = Callable[[CandidateTrainings, OnCandidateEpoch], AbstractContextManager[RunRung]]


def check_scheduler(name: str) -> None:
    """Raise `UnknownName` for a scheduler that does not exist."""
    if name not in SCHEDULERS:
        raise unknown_name("scheduler", name, SCHEDULERS)


def open_folder(folder: Path, candidates: Sequence[Candidate], dataset: Dataset, about: Mapping[str, Any]) -> None:
    """Make `folder` the folder of these trials, or check that it is; `InvalidInput` names the first difference.

    `about` is what else must be equal for the trials to go on, beside candidates and data.
    """
    identity = {"schema": SCHEMA, "version": VERSION, **about, "data": dataset.name, "data_digest": dataset.digest}
    identity["finalists"] = [one.digest for one in candidates]
    identity |= {"metric": dataset.task.score.name} if dataset.task.score.name != TOP1 else {}
    path = folder / "finalists.json"
    if not path.exists():
        new_folder(folder)
        write_whole(path, dump_json(identity))
        return
    stored = read_json(path)
    if not isinstance(stored, dict) or stored.get("schema") != SCHEMA:
        raise InvalidInput(f"{path} is not of trained finalists; name another folder with --out")
    stored = {key: identity[key] for key in ("metric",) if key in identity} | stored  # which earlier releases lack
    for name in {**identity, **stored}:
        if stored.get(name) != identity.get(name):
            raise InvalidInput(
                f"{folder} holds trials with another {name} ({stored.get(name)!r}, not {identity.get(name)!r}); "
                "go on with the same or name another folder with --out"
            )


def make_trainings(
    archs: Sequence[ArchSpec], dataset: Dataset, config: TrainingConfig, folder: Path, *, split: tuple[float, int]
) -> CandidateTrainings:
    """Return what the trainings of `archs` share; `split` is the search's validation fraction and seed.

    `InvalidInput` where the networks differ in input or classes, or do not fit the data.
    """
    inputs = {(arch.input_shape, arch.num_classes) for arch in archs}
    if len(inputs) != 1:
        raise InvalidInput(f"finalists must have the same input and classes, got {len(inputs)} different kinds")
    ((shape, classes),) = inputs
    if classes != dataset.num_classes:
        raise InvalidInput(f"the finalists have {classes} classes, but {dataset.name} has {dataset.num_classes}")
    view = validation_view(at_resolution(dataset, shape.size), *split)
    if config.batch_size > len(view.x_train):
        raise InvalidInput(f"the batch size must be at most {len(view.x_train)}, got {config.batch_size}")
    return CandidateTrainings(view, config, folder.resolve())


def train_in_turn(trials: CandidateTrainings, on_epoch: OnCandidateEpoch) -> RunRung:
    """Return the function that trains the candidates of a rung one after the other in this process."""

    def run(candidates: Sequence[Candidate], until: int) -> Iterator[TrialResult]:
        for one in candidates:
            try:
                curve = train_until(
                    one.arch, trials.data, trials.config, trials.of(one.digest), until=until,
                    on_epoch=partial(on_epoch, one.digest),
                )  # fmt: skip
            except InvalidInput as error:  # the loss is no longer finite: the other candidates go on
                yield TrialResult(one.digest, 0, 0.0, FAILED, str(error))
            else:
                whole = until == trials.config.epochs
                yield TrialResult(one.digest, until, curve[-1], FINISHED if whole else DROPPED)

    return run


@contextmanager
def in_process(trials: CandidateTrainings, on_epoch: OnCandidateEpoch) -> Iterator[RunRung]:
    """Yield the function that trains the candidates of a rung in this process."""
    yield train_in_turn(trials, on_epoch)


def run_halving(candidates: Sequence[Candidate], steps: tuple[int, ...], run: RunRung) -> list[TrialResult]:
    """Run synchronous successive halving over the rungs `steps` (epochs); return how each trial ended, best first."""
    by_digest = {one.digest: one for one in candidates}
    state, trial_results = halving.init(tuple(by_digest), steps), {}
    while not state.done:
        until, names = halving.ask(state)
        for trial_result in run([by_digest[name] for name in names], until):
            trial_results[trial_result.digest] = trial_result
            score = halving.FAILED if trial_result.state == FAILED else trial_result.top1
            state = halving.tell(state, trial_result.digest, score)
    return [trial_results[place.trial] for place in state.left]


def ranking_table(candidates: Sequence[Candidate], trial_results: Sequence[TrialResult]) -> list[CandidateRow]:
    """Return the rows of finalists.csv, best first: longer trainings, then higher top-1; failed trials last."""
    by_digest = {one.digest: one for one in candidates}
    # Only top-1 after equally many epochs compare, so the number of epochs comes first.
    alone = _places({one.digest: (one.state != FAILED, one.epochs, one.top1) for one in trial_results})
    supernet = _places({one.digest: (one.supernet_top1,) for one in candidates})
    rows = []
    for trial_result in sorted(trial_results, key=lambda one: (alone[one.digest], one.digest)):
        one, place, before = by_digest[trial_result.digest], alone[trial_result.digest], supernet[trial_result.digest]
        rows.append(
            CandidateRow(
                place, one.digest, one.latency, one.latency_unit, one.supernet_top1, trial_result.top1,
                trial_result.epochs, trial_result.state, before, before - place, trial_result.error,
            )
        )  # fmt: skip
    return rows


def _places(keys: Mapping[str, tuple[float, ...]]) -> dict[str, int]:
    """Return the place of each name from 1 on, by descending key; equal keys share the best of their places."""
    ordered = sorted(keys.values(), reverse=True)
    return {name: 1 + ordered.index(key) for name, key in keys.items()}


def kendall_tau(rows: Sequence[CandidateRow]) -> float | None:
    """Return Kendall's tau-b between the supernet's ranking and that of the trained; None where one ranks all equal."""
    kept = [row for row in rows if row.state != FAILED]
    places = [[row.supernet_place for row in kept], [row.place for row in kept]]
    if any(len(set(one)) < 2 for one in places):
        return None
    return float(stats.kendalltau(*places).statistic)


def table_notes(rows: Sequence[CandidateRow], trials: CandidateTrainings) -> Iterator[str]:
    """Yield sentences below the table: rank correlation with the supernet, standard error, what was stopped early."""
    tau = kendall_tau(rows)
    shown = "not defined: one of them ranks all equal" if tau is None else f"{tau:+.2f}"
    yield f"Kendall's tau between the supernet's ranking and this one: {shown} ({len(rows)} networks)"
    images = len(trials.data.x_test)
    best, score = rows[0], trials.data.task.score
    known = standard_error(best.alone_top1, images) if trials.data.has_classes else None
    error = trials.errors(best.digest).get(best.epochs, known)
    shown = "" if error is None else f"; standard error of the best {points_text(error, score.name)}"
    yield f"{score.title} of proxies, on {images:,} validation images{shown}"
    if len({row.epochs for row in rows}) > 1:
        yield f"networks that were stopped early are ranked behind those trained longer, by their {score.title} then"


def default_rungs(candidates: Sequence[Candidate], trials: CandidateTrainings) -> tuple[int, ...]:
    """Return the epochs after which successive halving drops some of these candidates."""
    return halving.rungs(trials.config.epochs, len(candidates))


def write_table(rows: Sequence[CandidateRow], folder: Path) -> None:
    """Write finalists.csv."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([[field.name for field in fields(CandidateRow)], *map(astuple, rows)])
    write_whole(folder / "finalists.csv", text.getvalue())


class EndedTrials:
    """The trials that a scheduler stopped or finished, as the journal endings.jsonl of the folder records them."""

    def __init__(self, folder: Path) -> None:
        self._journal = Journal(folder / "endings.jsonl", ("digest",))
        with refused(self._journal.path, "how trials ended", "train into another folder"):
            results = [typed(TrialResult, record) for record in self._journal.records]
        self.known = {one.digest: one for one in results}

    def add(self, trial_result: TrialResult) -> None:
        """Record how a trial ended; only its first end counts."""
        if trial_result.digest not in self.known:
            self._journal.append(asdict(trial_result))
            self.known[trial_result.digest] = trial_result
