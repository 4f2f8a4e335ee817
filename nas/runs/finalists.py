"""Candidate re-training in a joint search: the top candidates of a stage are trained alone, and the best is its answer.

Shared weights rank roughly, and prefer networks that share well. So each stage sends candidates into synchronous
successive halving (nas/search/schedulers/halving.py): all proxies are trained alone from scratch, and the best third
goes on from where it was. Images are those of the search: accuracies are taken on its validation set, and the test set
is never seen.

Two thirds of the coarse stage's candidates are sampled from the whole space at random. The coarse space itself has
blocks that are all alike (IB k3 e4), so at one latency it shows sizes that may not be the best for cheaper or more
expensive blocks; and a supernet that prefers wrong sizes cannot keep the random ones out. The sizes of the best one are
those that the fine stage searches with, and it takes part again, with its own blocks, among that stage's
candidates.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from pathlib import Path

import pandas as pd

from nas.arch import ArchSpec, save_arch
from nas.files import subfolder, write_whole
from nas.progress import Progress, ProgressReporter, report_timing
from nas.progress.time_left import Begun
from nas.protocols import Genotype
from nas.records.results import TOP1, Score, title_by_name, trained_for
from nas.runs.answer import Candidates, by_cost
from nas.runs.plan import SearchPlan
from nas.runs.result_builder import as_accuracy, as_count
from nas.search.schedulers import halving
from nas.space.scaling import scale_down
from nas.training.candidates import (
    FAILED,
    Candidate,
    OpenTrainers,
    TrialResult,
    in_process,
    make_trainings,
    run_halving,
)
from nas.training.loop import TrainingConfig

NOT_ALWAYS = ["standard_error", "float_top1"]  # columns of finalists.csv that are left out where they hold nothing
COLUMNS = ["stage", "digest", "spec", "epochs", "top1", "pictures", "supernet_top1", *NOT_ALWAYS]
Row = tuple[str, str, str, int, float, int, float, float | None, float | None]  # of finalists.csv


@dataclass(frozen=True)
class CandidateRanking:
    """The ranking of a stage's candidates after they were trained alone."""

    target_networks: tuple[ArchSpec, ...]
    candidates: tuple[Candidate, ...]  # with their proxies, in the same order
    trial_results: tuple[TrialResult, ...]  # best first
    curves: dict[str, dict[int, float]]  # digest -> epoch -> top-1
    images: int  # on which accuracies were taken
    metric: str = TOP1  # the name of what they are
    errors: Mapping[str, Mapping[int, float]] = field(default_factory=dict)  # digest -> epoch -> standard error

    def error(self, digest: str, epochs: int) -> float | None:
        """Return the standard error of a score, None for that of a share."""
        return self.errors.get(digest, {}).get(epochs)

    @property
    def winner(self) -> ArchSpec:
        """The target network of the best candidate."""
        return next(arch for arch in self.target_networks if arch.digest == self.trial_results[0].digest)

    @property
    def description(self) -> str:
        """A note on how the winner was found. Files of results keep it: its wording stays that of release 0.1."""
        best = self.trial_results[0]
        reached = f"{best.top1:.2%} of" if self.metric == TOP1 else f"{title_by_name(self.metric)} {best.top1:.3f} on"
        return (
            f"the best of {len(self.trial_results)} candidates whose proxies were trained alone, the better ones "
            f"longer: {reached} {self.images:,} held-out pictures after {best.epochs} epochs"
        )

    def at_full_length(self, plan: SearchPlan) -> Candidates:
        """Return the candidates that were trained as long as the winner: those that compare with it."""
        best = self.trial_results[0]
        last = {one.digest: one.top1 for one in self.trial_results if one.epochs == best.epochs and one.state != FAILED}
        known = zip(self.target_networks, self.candidates, strict=True)
        rows = [
            (arch, one.latency, as_count(plan, last[one.digest], self.images), self.error(one.digest, best.epochs))
            for arch, one in known
            if one.digest in last
        ]
        archs, latencies, correct, errors = zip(*rows, strict=True)
        return by_cost(
            archs, latencies, correct, self.images, self.accuracy(plan).kind,
            errors=None if None in errors else errors,
        )  # fmt: skip

    def accuracy(self, plan: SearchPlan) -> Score:
        """Return the accuracy of the winner's proxy on the validation images."""
        best = self.trial_results[0]
        count, error = as_count(plan, best.top1, self.images), self.error(best.digest, best.epochs)
        return as_accuracy(plan, count, self.images, trained_for(best.epochs), error)

    def with_incumbent(self, incumbent: "CandidateRanking") -> "CandidateRanking":
        """Return the ranking with the winner of another one of the same length in it, at the accuracy it reached there.

        It is not trained again: that would give the same weights.
        """
        best, digest = incumbent.trial_results[0], incumbent.winner.digest
        candidate = next(one for one in incumbent.candidates if one.digest == digest)
        trial_results = _best_first((best, *self.trial_results), (candidate, *self.candidates))
        return CandidateRanking(
            (incumbent.winner, *self.target_networks), (candidate, *self.candidates), trial_results,
            {digest: incumbent.curves[digest]} | self.curves, self.images, self.metric,
            {digest: incumbent.errors.get(digest, {}), **self.errors},
        )  # fmt: skip


@dataclass(frozen=True)
class CandidateRetraining:
    """The re-training of one stage's candidates: its settings, and `run`, which does it."""

    stage: str
    rungs: tuple[int, ...]  # epochs after which a third goes on
    plan: SearchPlan
    out: Path  # the run folder
    trainers: OpenTrainers = in_process

    def run(
        self, supernet: Mapping[ArchSpec, float], reporter: ProgressReporter, incumbent: CandidateRanking | None = None
    ) -> CandidateRanking | None:
        """Train the proxies of target networks alone, and return their ranking.

        `supernet` holds the networks with their top-1 under shared weights, NaN where that is not known. The winner of
        the ranking `incumbent` takes part without being trained again. None where there is one network only. Goes on
        from what the run folder holds.
        """
        if not supernet:
            return incumbent
        if len(supernet) == 1 and incumbent is None:
            return None
        plan, dataset, rungs = self.plan, self.plan.dataset, self.rungs
        candidates = [self._candidate(arch, top1) for arch, top1 in supernet.items()]
        split = (plan.preset.validation_fraction, plan.settings.seed)
        batch = min(TrainingConfig.batch_size, round((1 - split[0]) * len(dataset.x_train)))
        config = TrainingConfig(epochs=rungs[-1], batch_size=batch, seed=split[1])
        trials = make_trainings(
            [one.arch for one in candidates], dataset, config, self.out / "finalists" / self.stage, split=split
        )
        curves: dict[str, dict[int, float]] = {}
        steps = halving.epochs(len(candidates), rungs)

        def on_epoch(digest: str, epoch: int, top1: float) -> None:
            curves.setdefault(digest, {})[epoch] = top1
            best = max(max(curve.values()) for curve in curves.values())
            reporter.progress(
                Progress(
                    f"{self.stage} finalists", sum(map(len, curves.values())), steps, argmax_top1=best,
                    metric=self.plan.metric,
                )
            )  # fmt: skip

        report_timing(reporter, Begun(f"{self.stage} finalists"))
        with self.trainers(trials, on_epoch) as run_rung:
            trial_results = run_halving(candidates, rungs, run_rung)
        ranking = CandidateRanking(
            tuple(supernet), tuple(candidates), _best_first(trial_results, candidates), curves, len(trials.data.x_test),
            self.plan.metric, {one.digest: trials.errors(one.digest) for one in candidates},
        )  # fmt: skip
        return ranking.with_incumbent(incumbent) if incumbent else ranking

    def _candidate(self, arch: ArchSpec, top1: float) -> Candidate:
        """Return the candidate of a target network, with its proxy."""
        plan, model = self.plan, self.plan.model
        proxy = scale_down(arch, plan.proxy_resolution, plan.proxy_width)
        return Candidate(arch.digest, proxy, model.predict_ms(arch), model.unit, top1)


def _best_first(trial_results: Sequence[TrialResult], candidates: Sequence[Candidate]) -> tuple[TrialResult, ...]:
    """Return the trials, best first: trained longest, then most accurate, then fastest; failed ones come last.

    So the first is dominated by none of those that were trained as long. Equals keep their order, an incumbent first.
    """
    latency = {one.digest: one.latency for one in candidates}
    return tuple(sorted(trial_results, key=lambda one: (-one.epochs, -one.top1, latency[one.digest])))


def top_candidates(
    genotypes: Sequence[Genotype], counts: dict[Genotype, float], origins: dict[Genotype, str], limit: int
) -> list[Genotype]:
    """Return the top candidates, up to `limit`: the best by `counts` of every origin in turn.

    So no origin can crowd out the others: the policy's architectures are many and alike.
    """
    by_origin: dict[str, list[Genotype]] = {}
    for genotype in genotypes:
        by_origin.setdefault(origins[genotype], []).append(genotype)
    ranked = [sorted(group, key=lambda genotype: -counts[genotype]) for group in by_origin.values()]
    rounds = (genotype for row in zip_longest(*ranked) for genotype in row if genotype is not None)
    return list(islice(rounds, limit))


def write_finalists(out: Path, stages: dict[str, CandidateRanking]) -> None:
    """Write `finalists.csv`, a row per stage, architecture and rung that it reached, and their specs in `specs/`."""
    subfolder(out, "specs")

    def rows() -> Iterator[Row]:
        for stage, ranking in stages.items():
            rungs = sorted({one.epochs for one in ranking.trial_results if one.state != FAILED})
            for arch, one in zip(ranking.target_networks, ranking.candidates, strict=True):
                spec, curve = f"specs/{arch.digest[:12]}.json", ranking.curves.get(arch.digest, {})
                save_arch(arch, out / spec)
                for epochs in rungs:
                    if epochs in curve:
                        yield (
                            stage, arch.digest, spec, epochs, curve[epochs], ranking.images, one.supernet_top1,
                            ranking.error(arch.digest, epochs), None,
                        )  # fmt: skip

    write_whole(out / "finalists.csv", table_of(list(rows())))


def table_of(rows: Sequence[Row]) -> str:
    """Return finalists.csv; the standard errors of shares, which follow from them, have no column.

    Scores in float32 have one where the others are in int8.
    """
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.drop(columns=[name for name in NOT_ALWAYS if table[name].isna().all()]).to_csv(index=False)
