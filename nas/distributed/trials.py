"""Candidate re-training under Ray Tune: a trial trains one network alone, and a scheduler may stop it early.

A trial resumes from its own folder and reports its known epochs again, so schedulers see the whole curve after a crash.
Tune's own snapshots are not used: they are pickles, which run code when they are read. With several machines the folder
must lie on storage that all of them share.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
from ray import tune
from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from nas.arch import ArchSpec
from nas.distributed.cluster import Cluster, last_line
from nas.errors import InvalidInput
from nas.progress.stop import raise_if_stopped
from nas.search.schedulers import halving, learning_curve
from nas.training.candidates import (
    DROPPED,
    FAILED,
    FINISHED,
    HALVING,
    STOPPED,
    Candidate,
    CandidateRow,
    CandidateTrainings,
    EndedTrials,
    OnCandidateEpoch,
    RunRung,
    TrialResult,
    check_scheduler,
    default_rungs,
    ranking_table,
    run_halving,
)
from nas.training.members import MemberTrainer
from nas.training.streaming import is_streamed
from nas.training.trainees import OnTraineeEpoch, TrainAll, Trained, Trainee
from nas.training.trial import train_until

LOST_WORKERS = 3  # how often a trial may lose its worker and go on
TIME = "epoch"  # the key of what Tune calls time in the results of a trial


class DecayRule(FIFOScheduler):
    """Scheduler that stops a trial whose learning curve is unlikely to exceed the best accuracy of any trial so far.

    The curve is extrapolated by `nas.search.schedulers.learning_curve`.
    """

    def __init__(self, epochs: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.epochs = epochs
        self.curves: dict[str, dict[int, float]] = {}

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Return Tune's word for stopping or continuing the trial."""
        curve = self.curves.setdefault(trial.trial_id, {})
        curve[result[TIME]] = result["top1"]
        best = max(max(other.values()) for other in self.curves.values())
        known = [curve[epoch] for epoch in sorted(curve)]
        stop = learning_curve.unlikely_to_improve(known, self.epochs, best)
        return str(TrialScheduler.STOP if stop else TrialScheduler.CONTINUE)


def asha(epochs: int, trials: int) -> Any:
    """Return asynchronous halving (arXiv 1810.05934), with the first rung and the factor of the synchronous one."""
    first = halving.rungs(epochs, trials)[0]
    return AsyncHyperBandScheduler(time_attr=TIME, grace_period=first, max_t=epochs, reduction_factor=halving.FACTOR)


def median(epochs: int, trials: int) -> Any:
    """Return the rule that stops a trial below the median of the others' running means (Vizier, KDD 2017, 3.2.2)."""
    # The rule would pause a trial until there are enough others to compare with; an infinite slice makes it run on.
    never: Any = math.inf
    return MedianStoppingRule(time_attr=TIME, grace_period=max(1, epochs // 5), min_time_slice=never)


SCHEDULERS: dict[str, Callable[[int, int], Any]] = {
    "asha": asha, "median": median, "decay": lambda epochs, trials: DecayRule(epochs)
}  # fmt: skip


class _TrialCallback(Callback):
    """Passes on what trials report: every epoch to `on_epoch`, how a trial ended to `ended`."""

    def __init__(self, on_epoch: OnCandidateEpoch, epochs: int, ended: Callable[[TrialResult], object]) -> None:
        self.on_epoch, self.epochs, self.ended = on_epoch, epochs, ended

    def __reduce__(self) -> Any:
        """Pickle as an empty callback: Tune pickles it into snapshots, which nobody reads, and `on_epoch` cannot be."""
        return Callback, ()

    def on_trial_result(self, iteration: int, trials: Any, trial: Trial, result: dict[str, Any], **_: Any) -> None:
        """Pass on an epoch of a trial; the last one, or an error in its place, ends it."""
        raise_if_stopped()
        digest, epoch, top1 = trial.config["trial"]["digest"], result[TIME], result["top1"]
        if "error" in result:
            self.ended(TrialResult(digest, 0, 0.0, FAILED, result["error"]))
            return
        self.on_epoch(digest, epoch, top1)
        if epoch == trial.config["trial"]["until"] or result.get("done"):
            self.ended(TrialResult(digest, epoch, top1, FINISHED if epoch == self.epochs else STOPPED))

    def on_trial_error(self, iteration: int, trials: Any, trial: Trial, **_: Any) -> None:
        """Pass on the failure of a trial that raised, or that lost its worker too often."""
        error = last_line(trial.get_error() or RuntimeError("the worker was lost too often"))
        self.ended(TrialResult(trial.config["trial"]["digest"], 0, 0.0, FAILED, error))


def _train(config: dict[str, Any], trials: CandidateTrainings, as_member: bool = False) -> None:
    """Train the candidate of one trial; Tune calls this in a worker."""
    trial = config["trial"]
    if as_member:
        _train_member(trial, trials)
        return
    try:
        train_until(
            ArchSpec.from_dict(trial["arch"]), trials.data, trials.config, trials.of(trial["digest"]),
            until=trial["until"], on_epoch=lambda epoch, top1: tune.report({TIME: epoch, "top1": top1}),
        )  # fmt: skip
    except InvalidInput as error:  # the loss is no longer finite: as a result, since an error would be tried again
        tune.report({TIME: 0, "top1": 0.0, "error": str(error)})
    finally:
        jax.clear_caches()  # the worker goes on with another architecture, which has programs of its own


def _train_member(trial: dict[str, Any], trials: CandidateTrainings) -> None:
    """Train the candidate of one trial as `MemberTrainer` does; the worker keeps the program of a family."""
    one = Trainee(trial["digest"], ArchSpec.from_dict(trial["arch"]), trials.config.seed, trial["until"])
    trainer = MemberTrainer(trials, lambda _, epoch, top1: tune.report({TIME: epoch, "top1": top1}), group=1)
    for result in trainer.train([one]):
        if result.error:
            tune.report({TIME: 0, "top1": 0.0, "error": result.error})
    if trials.family is None:
        jax.clear_caches()  # the worker goes on with another architecture, which has programs of its own


class TuneRunner:
    """Trains candidates as trials of Ray Tune on the workers of a cluster, as `MemberTrainer` does if so asked."""

    def __init__(
        self, cluster: Cluster, trials: CandidateTrainings, on_epoch: OnCandidateEpoch, *, as_members: bool = False
    ) -> None:
        self.cluster, self.trials, self.on_epoch, self.as_members = cluster, trials, on_epoch, as_members

    def rung(self) -> RunRung:
        """Return the function that trains the candidates of a rung of synchronous halving on the workers."""

        def run(candidates: Sequence[Candidate], until: int) -> Iterator[TrialResult]:
            found: dict[str, TrialResult] = {}
            waiting = []
            for one in candidates:
                # A candidate whose folder has all epochs needs no worker: report its curve from here.
                curve = self.trials.known_curve(one.digest, until)
                waiting += [] if curve else [one]
                for epoch, top1 in enumerate(curve, start=1):
                    self.on_epoch(one.digest, epoch, top1)
                    found[one.digest] = TrialResult(one.digest, epoch, top1, self._state(epoch))
            if waiting:
                self._fit(waiting, dict.fromkeys((one.digest for one in waiting), until), None, found.setdefault)
            for trial_result in found.values():
                yield replace(trial_result, state=DROPPED) if trial_result.state == STOPPED else trial_result

        return run

    def scheduled(self, candidates: Sequence[Candidate], scheduler: Any) -> list[TrialResult]:
        """Train all candidates under a scheduler of Tune, and return how each ended.

        A trial that ended in an earlier run is started again, up to the epoch where it ended: it trains nothing, but
        reports its curve, which the scheduler needs to judge the others.
        """
        ended, epochs = EndedTrials(self.trials.folder), self.trials.config.epochs
        until = {one.digest: ended.known[one.digest].epochs if one.digest in ended.known else epochs
                 for one in candidates}  # fmt: skip
        if not all(one.digest in ended.known and self._ended(one, until[one.digest]) for one in candidates):
            again = [one for one in candidates if until[one.digest] > 0]
            self._fit(again, until, scheduler, lambda digest, trial_result: ended.add(trial_result))
        return [ended.known[one.digest] for one in candidates]

    def _state(self, epoch: int) -> str:
        """Return the state of a trial that ended after `epoch`."""
        return FINISHED if epoch == self.trials.config.epochs else STOPPED

    def _ended(self, one: Candidate, until: int) -> bool:
        """Return whether nothing is left to do for a trial: it has failed, or its curve and weights are there."""
        return until == 0 or bool(self.trials.known_curve(one.digest, until))

    def _fit(
        self, candidates: Sequence[Candidate], until: dict[str, int], scheduler: Any,
        ended: Callable[[str, TrialResult], object],
    ) -> None:  # fmt: skip
        """Train each candidate to its epoch `until`, and call `ended` with the digest and result of each."""
        configs = [{"digest": one.digest, "arch": one.arch.to_dict(), "until": until[one.digest]} for one in candidates]
        resources = {"cpu": self.cluster.threads, "gpu": self.cluster.gpus_each}
        callback = _TrialCallback(
            self.on_epoch, self.trials.config.epochs, lambda trial_result: ended(trial_result.digest, trial_result)
        )
        tuner = tune.Tuner(
            tune.with_resources(tune.with_parameters(_train, trials=self.trials, as_member=self.as_members), resources),
            param_space={"trial": tune.grid_search(configs)},
            tune_config=tune.TuneConfig(
                metric="top1", mode="max", scheduler=scheduler, reuse_actors=True,
                max_concurrent_trials=self.cluster.workers,
            ),
            run_config=tune.RunConfig(
                name="trials", storage_path=self.cluster.scratch, verbose=0, callbacks=[callback],
                failure_config=tune.FailureConfig(max_failures=LOST_WORKERS),
            ),
        )  # fmt: skip
        tuner.fit()


@contextmanager
def _runner(
    trials: CandidateTrainings, on_epoch: OnCandidateEpoch, workers: int, address: str | None
) -> Iterator[TuneRunner]:
    """Yield a runner on a cluster of its own, which ends with the context."""
    images = trials.data.x_train
    sent = 0 if is_streamed(images) else images.nbytes  # workers read files themselves where these are too many
    with Cluster(workers, address=address, payload_bytes=sent) as cluster:
        yield TuneRunner(cluster, trials, on_epoch)


@contextmanager
def on_workers(
    trials: CandidateTrainings, on_epoch: OnCandidateEpoch, *, workers: int, address: str | None = None
) -> Iterator[RunRung]:
    """Yield the function that trains the candidates of a rung on workers, here or on the cluster at `address`."""
    with _runner(trials, on_epoch, workers, address) as runner:
        yield runner.rung()


@contextmanager
def trainees_on_workers(
    trials: CandidateTrainings, on_epoch: OnTraineeEpoch, *, workers: int, address: str | None = None
) -> Iterator[TrainAll]:
    """Yield the function that trains networks, each with its seed and length, on workers here or at `address`.

    As members of the trainings' family a worker compiles once for all that it trains, else once for each.
    """
    images = trials.data.x_train
    sent = 0 if is_streamed(images) else images.nbytes
    with Cluster(workers, address=address, payload_bytes=sent) as cluster:

        def train(trainees: Sequence[Trainee]) -> Iterator[Trained]:
            for seed, epochs in dict.fromkeys((one.seed, one.epochs) for one in trainees):
                alike = [one for one in trainees if (one.seed, one.epochs) == (seed, epochs)]
                yield from _train_alike(cluster, _OfSeed.of_all(trials, seed), alike, on_epoch)

        yield train


def _train_alike(
    cluster: Cluster, trials: CandidateTrainings, trainees: Sequence[Trainee], on_epoch: OnTraineeEpoch
) -> Iterator[Trained]:
    """Train networks with one seed to one epoch on the workers of a cluster, and yield their results."""
    by_digest = {one.digest: one for one in trainees}
    curves: dict[str, dict[int, float]] = {digest: {} for digest in by_digest}

    def note(digest: str, epoch: int, top1: float) -> None:
        curves[digest][epoch] = top1
        on_epoch(by_digest[digest], epoch, top1)

    candidates = [Candidate(one.digest, one.arch, math.nan, "", math.nan) for one in trainees]
    for result in TuneRunner(cluster, trials, note, as_members=True).rung()(candidates, trainees[0].epochs):
        known = curves[result.digest]
        curve = () if result.state == FAILED else tuple(known[epoch] for epoch in range(1, result.epochs + 1))
        in_int8 = trials.score_in_int8(result.digest, result.epochs) if curve else None
        yield Trained(by_digest[result.digest], curve, result.error, in_int8)


@dataclass(frozen=True)
class _OfSeed(CandidateTrainings):
    """The trainings of one seed among those of several."""

    whole: CandidateTrainings = field(kw_only=True)

    @classmethod
    def of_all(cls, trials: CandidateTrainings, seed: int) -> "_OfSeed":
        """Return the trainings of `trials` with this seed."""
        config = replace(trials.config, seed=seed)
        return cls(trials.data, config, trials.folder, trials.family, trials.int8, whole=trials)

    def of(self, digest: str, seed: int | None = None) -> Path:
        """Return the folder that the trainings of all seeds have for one of this seed."""
        return self.whole.of(digest, self.config.seed if seed is None else seed)


def run_trials(
    candidates: Sequence[Candidate],
    trials: CandidateTrainings,
    *,
    scheduler: str = HALVING,
    workers: int = 1,
    address: str | None = None,
    rungs: tuple[int, ...] | None = None,
    on_epoch: OnCandidateEpoch = lambda digest, epoch, top1: None,
) -> list[CandidateRow]:
    """Train the candidates on `workers` under the named scheduler, and return the rows of finalists.csv, best first.

    Synchronous halving gives the same result with any number of workers; under the other schedulers it depends on
    which trial reports first.
    """
    check_scheduler(scheduler)
    epochs = trials.config.epochs
    with _runner(trials, on_epoch, workers, address) as runner:
        if scheduler == HALVING:
            trial_results = run_halving(candidates, rungs or default_rungs(candidates, trials), runner.rung())
        else:
            trial_results = runner.scheduled(candidates, SCHEDULERS[scheduler](epochs, len(candidates)))
    return ranking_table(candidates, trial_results)
