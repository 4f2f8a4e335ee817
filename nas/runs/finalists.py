"""The finalists of a joint search: a stage's best candidates trained alone; the last one standing is its answer.

Shared weights rank roughly, and prefer what shares well. So each stage sends candidates into synchronous successive
halving (nas/search/schedulers/halving.py): all proxies are trained alone from scratch, the best third goes on from where it was.
The pictures are those of the search: what was held out for rewards decides, the test set is never seen.

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
from nas.records.results import Accuracy
from nas.runs.plan import SearchPlan
from nas.runs.result_builder import as_accuracy
from nas.search.schedulers import halving
from nas.space.scaling import scale_down
from nas.training.candidates import FAILED, Candidate, OpenTrainers, TrialResult, halved, in_process, trials_of
from nas.training.loop import TrainingConfig

COLUMNS = ["stage", "digest", "spec", "epochs", "top1", "pictures", "supernet_top1"]


@dataclass(frozen=True)
class CandidateRanking:
    """How a stage's finalists ended, the winner first, and what each reached after each epoch."""

    deployed: tuple[ArchSpec, ...]
    finalists: tuple[Candidate, ...]  # their proxies, in the same order
    outcomes: tuple[TrialResult, ...]
    curves: dict[str, dict[int, float]]  # digest -> epoch -> top-1
    pictures: int

    @property
    def winner(self) -> ArchSpec:
        """The deployed network that was left."""
        return next(arch for arch in self.deployed if arch.digest == self.outcomes[0].digest)

    @property
    def words(self) -> str:
        """How the winner won, in one sentence."""
        best = self.outcomes[0]
        return (
            f"the best of {len(self.outcomes)} candidates whose proxies were trained alone, the better ones longer: "
            f"{best.top1:.2%} of {self.pictures:,} held-out pictures after {best.epochs} epochs"
        )

    def accuracy(self, plan: SearchPlan) -> Accuracy:
        """Return what the winner's proxy reached on the held-out pictures."""
        best = self.outcomes[0]
        how = f"trained alone for {best.epochs} epochs, held-out pictures"
        return as_accuracy(plan, round(best.top1 * self.pictures), self.pictures, how)

    def against(self, champion: "CandidateRanking") -> "CandidateRanking":
        """Return the verdict with the winner of another contest of the same length entered, by what it reached there.

        It is not trained again: that would end the same. Where they are equal it is placed before the others.
        """
        held, digest = champion.outcomes[0], champion.winner.digest
        outcomes = sorted((held, *self.outcomes), key=lambda one: (-one.epochs, -one.top1))
        finalist = next(one for one in champion.finalists if one.digest == digest)
        return CandidateRanking(
            (champion.winner, *self.deployed), (finalist, *self.finalists), tuple(outcomes),
            {digest: champion.curves[digest]} | self.curves, self.pictures,
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
        self, supernet: Mapping[ArchSpec, float], watch: ProgressReporter, champion: CandidateRanking | None = None
    ) -> CandidateRanking | None:
        """Train the proxies of deployed networks, given with the supernet's top-1, NaN where it cannot tell.

        Goes on from what the folder holds. A `champion` takes part by what it won before; None where nobody opposes.
        """
        if not supernet:
            return champion
        if len(supernet) == 1 and champion is None:
            return None
        plan, dataset, rungs = self.plan, self.plan.dataset, self.rungs
        finalists = [self._finalist(arch, top1) for arch, top1 in supernet.items()]
        split = (plan.preset.held_out_fraction, plan.settings.seed)
        batch = min(TrainingConfig.batch_size, round((1 - split[0]) * len(dataset.x_train)))
        settings = TrainingConfig(epochs=rungs[-1], batch_size=batch, seed=split[1])
        trials = trials_of(
            [one.arch for one in finalists], dataset, settings, self.out / "finalists" / self.stage, split=split
        )
        curves: dict[str, dict[int, float]] = {}
        steps = halving.epochs(len(finalists), rungs)

        def seen(digest: str, epoch: int, top1: float) -> None:
            curves.setdefault(digest, {})[epoch] = top1
            best = max(max(curve.values()) for curve in curves.values())
            watch.progress(Progress(f"{self.stage} finalists", sum(map(len, curves.values())), steps, argmax_top1=best))

        with self.trainers(trials, seen) as run_rung:
            outcomes = halved(finalists, rungs, run_rung)
        verdict = CandidateRanking(tuple(supernet), tuple(finalists), tuple(outcomes), curves, len(trials.data.x_test))
        return verdict.against(champion) if champion else verdict

    def _finalist(self, arch: ArchSpec, top1: float) -> Candidate:
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
    """Write `finalists.csv`, a row per stage, architecture and rung it was seen at, and their specs in `specs/`."""
    (out / "specs").mkdir(exist_ok=True)

    def rows() -> Iterator[tuple[str, str, str, int, float, int, float]]:
        for stage, verdict in stages.items():
            rungs = sorted({one.epochs for one in verdict.outcomes if one.state != FAILED})
            for arch, one in zip(verdict.deployed, verdict.finalists, strict=True):
                spec, curve = f"specs/{arch.digest[:12]}.json", verdict.curves.get(arch.digest, {})
                save_arch(arch, out / spec)
                for epochs in rungs:
                    if epochs in curve:
                        yield stage, arch.digest, spec, epochs, curve[epochs], verdict.pictures, one.supernet_top1

    write_whole(out / "finalists.csv", pd.DataFrame(list(rows()), columns=COLUMNS).to_csv(index=False))
