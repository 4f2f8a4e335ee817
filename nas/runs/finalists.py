"""The finalists of a joint search: a stage's best candidates trained alone; the last one standing is its answer.

Shared weights rank roughly, and prefer what shares well. So each stage sends candidates into synchronous successive
halving (nas/search/schedulers/halving.py): all proxies are trained alone from scratch, the best third goes on from where it was.
The images are those of the search: what was held out for rewards decides, the test set is never seen.

Two thirds of the coarse stage's finalists are drawn from the whole space at random. Its own blocks are all alike (IB
k3 e4), so at one latency it sees sizes that dearer or cheaper blocks would not be at their best with; and a supernet
that prefers the wrong sizes cannot keep these out. The sizes of the winner are what the fine stage is about, and its
own depthwise options defend their place against the candidates of that stage.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path

import pandas as pd

from nas.arch import ArchSpec, save_arch
from nas.files import write_whole
from nas.progress import Progress, ProgressReporter
from nas.protocols import Genotype
from nas.records.results import Accuracy, trained_for
from nas.runs.plan import SearchPlan
from nas.runs.result_builder import as_accuracy
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

COLUMNS = ["stage", "digest", "spec", "epochs", "top1", "pictures", "supernet_top1"]


@dataclass(frozen=True)
class CandidateRanking:
    """How a stage's finalists ended, the winner first, and what each reached after each epoch."""

    deployed: tuple[ArchSpec, ...]
    candidates: tuple[Candidate, ...]  # their proxies, in the same order
    trial_results: tuple[TrialResult, ...]
    curves: dict[str, dict[int, float]]  # digest -> epoch -> top-1
    images: int

    @property
    def winner(self) -> ArchSpec:
        """The deployed network that was left."""
        return next(arch for arch in self.deployed if arch.digest == self.trial_results[0].digest)

    @property
    def words(self) -> str:
        """How the winner won, in one sentence."""
        best = self.trial_results[0]
        return (
            f"the best of {len(self.trial_results)} candidates whose proxies were trained alone, the better ones longer: "
            f"{best.top1:.2%} of {self.images:,} validation images after {best.epochs} epochs"
        )

    def accuracy(self, plan: SearchPlan) -> Accuracy:
        """Return what the winner's proxy reached on the validation images."""
        best = self.trial_results[0]
        return as_accuracy(plan, round(best.top1 * self.images), self.images, trained_for(best.epochs))

    def against(self, incumbent: "CandidateRanking") -> "CandidateRanking":
        """Return the verdict with the winner of another contest of the same length entered, by what it reached there.

        It is not trained again: that would end the same. Where they are equal it is placed before the others.
        """
        best, digest = incumbent.trial_results[0], incumbent.winner.digest
        trial_results = sorted((best, *self.trial_results), key=lambda one: (-one.epochs, -one.top1))
        candidate = next(one for one in incumbent.candidates if one.digest == digest)
        return CandidateRanking(
            (incumbent.winner, *self.deployed), (candidate, *self.candidates), tuple(trial_results),
            {digest: incumbent.curves[digest]} | self.curves, self.images,
        )  # fmt: skip


@dataclass(frozen=True)
class CandidateRetraining:
    """The trainings of the finalists of the stage `stage`: for how many epochs, in which run folder, and who trains."""

    stage: str
    rungs: tuple[int, ...]  # epochs
    plan: SearchPlan
    out: Path
    trainers: OpenTrainers = in_process

    def run(
        self, supernet: Mapping[ArchSpec, float], reporter: ProgressReporter, incumbent: CandidateRanking | None = None
    ) -> CandidateRanking | None:
        """Train the proxies of deployed networks, given with the supernet's top-1, NaN where it cannot tell.

        Goes on from what the folder holds. A `incumbent` takes part by what it won before; None where nobody opposes.
        """
        if not supernet:
            return incumbent
        if len(supernet) == 1 and incumbent is None:
            return None
        plan, dataset, rungs = self.plan, self.plan.dataset, self.rungs
        candidates = [self._candidate(arch, top1) for arch, top1 in supernet.items()]
        split = (plan.preset.validation_fraction, plan.settings.seed)
        batch = min(TrainingConfig.batch_size, round((1 - split[0]) * len(dataset.x_train)))
        settings = TrainingConfig(epochs=rungs[-1], batch_size=batch, seed=split[1])
        trials = make_trainings(
            [one.arch for one in candidates], dataset, settings, self.out / "finalists" / self.stage, split=split
        )
        curves: dict[str, dict[int, float]] = {}
        steps = halving.epochs(len(candidates), rungs)

        def seen(digest: str, epoch: int, top1: float) -> None:
            curves.setdefault(digest, {})[epoch] = top1
            best = max(max(curve.values()) for curve in curves.values())
            reporter.progress(
                Progress(f"{self.stage} finalists", sum(map(len, curves.values())), steps, argmax_top1=best)
            )

        with self.trainers(trials, seen) as run_rung:
            trial_results = run_halving(candidates, rungs, run_rung)
        ranking = CandidateRanking(
            tuple(supernet), tuple(candidates), tuple(trial_results), curves, len(trials.data.x_test)
        )
        return ranking.against(incumbent) if incumbent else ranking

    def _candidate(self, arch: ArchSpec, top1: float) -> Candidate:
        plan, model = self.plan, self.plan.model
        proxy = scale_down(arch, plan.proxy_resolution, plan.proxy_width)
        return Candidate(arch.digest, proxy, model.predict_ms(arch), model.unit, top1)


def top_candidates(
    genotypes: Sequence[Genotype], counts: dict[Genotype, int], origins: dict[Genotype, str], most: int
) -> list[Genotype]:
    """Return up to `most` of `genotypes`: each origin in turn sends its best by `counts`, so that none crowds out."""
    teams: dict[str, list[Genotype]] = {}
    for genotype in genotypes:
        teams.setdefault(origins[genotype], []).append(genotype)
    ranked = [sorted(team, key=lambda genotype: -counts[genotype]) for team in teams.values()]
    rounds = (genotype for row in zip_longest(*ranked) for genotype in row if genotype is not None)
    return list(islice(rounds, most))


def write_finalists(out: Path, stages: dict[str, CandidateRanking]) -> None:
    """Write `candidates.csv`, a row per stage, architecture and rung it was seen at, and their specs in `specs/`."""
    (out / "specs").mkdir(exist_ok=True)

    def rows() -> Iterator[tuple[str, str, str, int, float, int, float]]:
        for stage, ranking in stages.items():
            rungs = sorted({one.epochs for one in ranking.trial_results if one.state != FAILED})
            for arch, one in zip(ranking.deployed, ranking.candidates, strict=True):
                spec, curve = f"specs/{arch.digest[:12]}.json", ranking.curves.get(arch.digest, {})
                save_arch(arch, out / spec)
                for epochs in rungs:
                    if epochs in curve:
                        yield stage, arch.digest, spec, epochs, curve[epochs], ranking.images, one.supernet_top1

    write_whole(out / "finalists.csv", pd.DataFrame(list(rows()), columns=COLUMNS).to_csv(index=False))
