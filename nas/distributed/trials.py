"""Trials under Ray Tune: each the stand-alone training of one network, stopped early by a scheduler.

A trial resumes from its own folder and tells its known epochs again, so schedulers see the whole curve after any crash.
Tune's own snapshots are not used: they are pickles, which run code when they are read. With several machines the folder
must lie on storage that all of them share.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import jax
from ray import tune
from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, MedianStoppingRule, TrialScheduler

from nas.arch import ArchSpec
from nas.distributed.cluster import Cluster, last_line
from nas.errors import InvalidInput
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
    Endings,
    RunRung,
    Seen,
    TrialResult,
    check_scheduler,
    default_rungs,
    halved,
    table,
)
from nas.training.trial import known_curve, train_until

LOST_WORKERS = 3  # how often a trial may lose its worker and go on
TIME = "epoch"


class DecayRule(FIFOScheduler):
    """Stops a trial whose curve, extrapolated, is unlikely to exceed the best accuracy that any trial has reached."""

    def __init__(self, epochs: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.epochs = epochs
        self.curves: dict[str, dict[int, float]] = {}

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
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
    never: Any = math.inf  # trials do not yield to others before there are enough to compare
    return MedianStoppingRule(time_attr=TIME, grace_period=max(1, epochs // 5), min_time_slice=never)


SCHEDULERS: dict[str, Callable[[int, int], Any]] = {
    "asha": asha, "median": median, "decay": lambda epochs, trials: DecayRule(epochs)
}  # fmt: skip


class _TrialCallback(Callback):
    """Takes in what trials report: every epoch goes to `seen`, an early stop to `endings`."""

    def __init__(self, seen: Seen, epochs: int, ended: Callable[[TrialResult], object]) -> None:
        self.seen, self.epochs, self.ended = seen, epochs, ended

    def __reduce__(self) -> Any:
        """Be anybody in Tune's snapshots, which nobody reads: what `seen` shows cannot be pickled."""
        return Callback, ()

    def on_trial_result(self, iteration: int, trials: Any, trial: Trial, result: dict[str, Any], **_: Any) -> None:
        digest, epoch, top1 = trial.config["trial"]["digest"], result[TIME], result["top1"]
        if "error" in result:
            self.ended(TrialResult(digest, 0, 0.0, FAILED, result["error"]))
            return
        self.seen(digest, epoch, top1)
        if epoch == trial.config["trial"]["until"] or result.get("done"):
            self.ended(TrialResult(digest, epoch, top1, FINISHED if epoch == self.epochs else STOPPED))

    def on_trial_error(self, iteration: int, trials: Any, trial: Trial, **_: Any) -> None:
        error = last_line(trial.get_error() or RuntimeError("the worker was lost too often"))
        self.ended(TrialResult(trial.config["trial"]["digest"], 0, 0.0, FAILED, error))


def _train(config: dict[str, Any], trials: CandidateTrainings) -> None:
    """Run one trial, in its worker."""
    trial = config["trial"]
    try:
        train_until(
            ArchSpec.from_dict(trial["arch"]), trials.data, trials.settings, trials.of(trial["digest"]),
            until=trial["until"], seen=lambda epoch, top1: tune.report({TIME: epoch, "top1": top1}),
        )  # fmt: skip
    except InvalidInput as error:  # trying again would end in the same
        tune.report({TIME: 0, "top1": 0.0, "error": str(error)})
    finally:
        jax.clear_caches()  # the worker goes on with another architecture


class TuneRunner:
    """Runs trials on the workers of a cluster."""

    def __init__(self, cluster: Cluster, trials: CandidateTrainings, seen: Seen) -> None:
        self.cluster, self.trials, self.seen = cluster, trials, seen

    def rung(self) -> RunRung:
        """Return the way to train the trials of a rung of synchronous halving on the workers."""

        def run(candidates: Sequence[Candidate], until: int) -> Iterator[TrialResult]:
            found: dict[str, TrialResult] = {}
            waiting = []
            for one in candidates:
                curve = known_curve(self.trials.settings, self.trials.of(one.digest), until)
                waiting += [] if curve else [one]
                for epoch, top1 in enumerate(curve, start=1):
                    self.seen(one.digest, epoch, top1)
                    found[one.digest] = TrialResult(one.digest, epoch, top1, self._state(epoch))
            if waiting:
                self._fit(waiting, dict.fromkeys((one.digest for one in waiting), until), None, found.setdefault)
            for trial_result in found.values():
                yield replace(trial_result, state=DROPPED) if trial_result.state == STOPPED else trial_result

        return run

    def scheduled(self, candidates: Sequence[Candidate], scheduler: Any) -> list[TrialResult]:
        """Train all under a scheduler of Tune; trials that have ended already tell it their curves again."""
        endings, epochs = Endings(self.trials.folder), self.trials.settings.epochs
        until = {one.digest: endings.known[one.digest].epochs if one.digest in endings.known else epochs
                 for one in candidates}  # fmt: skip
        if not all(one.digest in endings.known and self._ended(one, until[one.digest]) for one in candidates):
            again = [one for one in candidates if until[one.digest] > 0]
            self._fit(again, until, scheduler, lambda digest, trial_result: endings.add(trial_result))
        return [endings.known[one.digest] for one in candidates]

    def _state(self, epoch: int) -> str:
        return FINISHED if epoch == self.trials.settings.epochs else STOPPED

    def _ended(self, one: Candidate, until: int) -> bool:
        """Whether nothing is left to do for a trial: it has failed, or its curve and weights are there."""
        return until == 0 or bool(known_curve(self.trials.settings, self.trials.of(one.digest), until))

    def _fit(
        self, candidates: Sequence[Candidate], until: dict[str, int], scheduler: Any,
        ended: Callable[[str, TrialResult], object],
    ) -> None:  # fmt: skip
        """Run trials, each to its epoch, and pass on how each ended."""
        configs = [{"digest": one.digest, "arch": one.arch.to_dict(), "until": until[one.digest]} for one in candidates]
        resources = {"cpu": self.cluster.threads, "gpu": self.cluster.gpus_each}
        reporter = _TrialCallback(
            self.seen, self.trials.settings.epochs, lambda trial_result: ended(trial_result.digest, trial_result)
        )
        tuner = tune.Tuner(
            tune.with_resources(tune.with_parameters(_train, trials=self.trials), resources),
            param_space={"trial": tune.grid_search(configs)},
            tune_config=tune.TuneConfig(
                metric="top1", mode="max", scheduler=scheduler, reuse_actors=True,
                max_concurrent_trials=self.cluster.workers,
            ),
            run_config=tune.RunConfig(
                name="trials", storage_path=self.cluster.scratch, verbose=0, callbacks=[reporter],
                failure_config=tune.FailureConfig(max_failures=LOST_WORKERS),
            ),
        )  # fmt: skip
        tuner.fit()


@contextmanager
def _runner(trials: CandidateTrainings, seen: Seen, workers: int, address: str | None) -> Iterator[TuneRunner]:
    with Cluster(workers, address=address, payload_bytes=trials.data.x_train.nbytes) as cluster:
        yield TuneRunner(cluster, trials, seen)


@contextmanager
def on_workers(
    trials: CandidateTrainings, seen: Seen, *, workers: int, address: str | None = None
) -> Iterator[RunRung]:
    """Give the way to train the trials of a rung on workers, here or on the cluster at `address`."""
    with _runner(trials, seen, workers, address) as runner:
        yield runner.rung()


def run_trials(
    candidates: Sequence[Candidate],
    trials: CandidateTrainings,
    *,
    scheduler: str = HALVING,
    workers: int = 1,
    address: str | None = None,
    rungs: tuple[int, ...] | None = None,
    seen: Seen = lambda digest, epoch, top1: None,
) -> list[CandidateRow]:
    """Train the finalists on `workers` under the named scheduler and return the table, the best first.

    The halving's outcome is the same with any number of workers; that of the others depends on who comes first.
    """
    check_scheduler(scheduler)
    epochs = trials.settings.epochs
    with _runner(trials, seen, workers, address) as runner:
        if scheduler == HALVING:
            trial_results = halved(candidates, rungs or default_rungs(candidates, trials), runner.rung())
        else:
            trial_results = runner.scheduled(candidates, SCHEDULERS[scheduler](epochs, len(candidates)))
    return table(candidates, trial_results)
