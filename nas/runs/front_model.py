"""Search for a whole front with an accuracy model: networks near every budget of all targets are trained alone.

One regression on all of them predicts which are the best near each budget; these are trained next, the best of each
budget longest and twice. The accuracy of a point is what its own trainings and the model estimate, with the errors of
seeds and images together. An accuracy does not depend on the target, so one search serves all.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nas.files import dump_json, subfolder, write_whole
from nas.progress import ProgressReporter, report_timing
from nas.progress.time_left import Begun
from nas.protocols import Genotypes
from nas.records.front import save_front
from nas.records.journal import Journal
from nas.records.model_evidence import ModelEvidence, save_evidence
from nas.records.results import Result, save_result
from nas.records.signatures import save_signature
from nas.report.run_page import write_report
from nas.runs.answer import by_cost, make_picks, write_picks
from nas.runs.front import write_front
from nas.runs.front_budget import front_bands, front_budget
from nas.runs.front_search import FrontOfTarget
from nas.runs.model_search import ModelSearchRun
from nas.runs.multi_target_settings import TARGET_SCHEMA, VERSION
from nas.runs.phases import WRITING
from nas.runs.plan import SearchPlan
from nas.runs.settings import NO_BASELINE, default_settings
from nas.runs.stages import SingleTarget
from nas.search.accuracy.features import one_hot, static_features
from nas.search.accuracy.front import FrontModelSearch
from nas.search.accuracy.model import accuracy_model
from nas.search.accuracy.search import Answer, ModelSearch, State
from nas.search.constraints.bounds import Bounded
from nas.training.trainees import Trainers

ROUNDING = 1e-12  # relative


class FrontModelRun(ModelSearchRun):
    """The work on the fronts of one or several targets; `folders` get their results."""

    def __init__(
        self, plans: Sequence[SearchPlan], folders: Sequence[Path], out: Path, journal: Journal,
        reporter: ProgressReporter, trainers: Trainers,
    ) -> None:  # fmt: skip
        plans = tuple(map(_alone, plans))
        super().__init__(plans[0], out, reporter, trainers)
        self.targets, self.folders, self.journal = tuple(map(SingleTarget, plans)), tuple(folders), journal
        self.root = out
        self.budget = front_budget(plans)
        self.view: FrontOfTarget | None = None  # of the target whose results are written

    @cached_property
    def algorithm(self) -> ModelSearch:
        """The search; its features are those of a search for one latency, and the latencies on all targets."""
        space, static = self.plan.space, static_features(self.plan.space, self.plan.proxy(self.plan.space))
        assert self.plan.accuracy_model is not None

        def features(genotypes: Genotypes) -> NDArray[np.float64]:
            latencies = [np.log(target.latency.score(genotypes)) for target in self.targets]
            return np.column_stack([static(genotypes), *latencies])

        def keeps(genotypes: Genotypes) -> NDArray[np.bool_]:
            columns = [
                target.latency.score(genotypes) <= budget * (1 + ROUNDING)
                for target in self.targets
                for budget in target.plan.front
            ]
            return np.stack(columns, 1)

        bands = front_bands(self.targets)
        model, decisions = accuracy_model(self.plan.accuracy_model), one_hot(space.decisions)
        return FrontModelSearch(bands, features, self.budget.schedule, model, decisions, bands=bands, keeps=keeps)

    def conclude(self, algorithm: ModelSearch, state: State) -> Result:
        """Write the results of every target, and return that of the first."""
        report_timing(self.reporter, Begun(WRITING))
        ranking = algorithm.ranking(state)
        evidence = self.evidence(algorithm, state, ranking)
        pairs = zip(self.targets, self.folders, strict=True)
        results = [self._of_target(target, folder).write(ranking, state, evidence) for target, folder in pairs]
        return results[0]

    def _of_target(self, target: SingleTarget, folder: Path) -> "FrontModelRun":
        """Return this run as the writer of one target's results."""
        own = copy.copy(self)
        own.plan, own.out = target.plan, folder
        own.targets = (target,)
        return own

    def write(self, ranking: Sequence[Answer], state: State, evidence: ModelEvidence) -> Result:
        """Write the results of one target from the networks trained, and return its result."""
        full = max(one.epochs for one in ranking)
        trained = {one.genotype: one for one in ranking if one.epochs == full}
        accuracies = {genotype: self.accuracy(one) for genotype, one in trained.items()}
        errors = {genotype: one.standard_error for genotype, one in accuracies.items()}
        view = FrontOfTarget.of(self.targets[0], {genotype: one.top1 for genotype, one in accuracies.items()})
        self.view = view
        if self.out != self.root:
            subfolder(self.root, self.out.name)
            stored = {"schema": TARGET_SCHEMA, "version": VERSION, "settings": self.plan.settings.to_dict()}
            write_whole(self.out / "experiment.json", dump_json({**stored, "algorithm": self.plan.accuracy_model}))
        save_evidence(evidence, self.out)
        self.write_trainings(ranking)
        write_front(self.out, self.plan.space, self.plan, self.front(ranking), view.budget_of)
        save_front(view.record(self.images, accuracies[view.chosen].kind, errors), self.out)
        within = [one for one in trained.values() if self._is_within(one)]
        archs = [self.plan.space.decode(one.genotype) for one in within]
        latencies = [self.plan.model.predict_ms(arch) for arch in archs]
        correct = [accuracies[one.genotype].top1 * self.images for one in within]
        kind, own = accuracies[view.chosen].kind, [self.image_error(one) for one in within] if self.errors else None
        found = by_cost(archs, latencies, correct, self.images, kind, errors=own)
        picks = make_picks(self.plan, found)
        write_picks(self.out, found, picks)
        save_signature(self.plan.signature, self.out)
        result = self.result(trained[view.chosen], evidence, picks)
        save_result(result, self.out / "best.json")
        write_report(self.out, default_settings())
        return result

    def _is_within(self, one: Answer) -> bool:
        """Return whether a network may be the answer of the budget that the run stands for."""
        rows = np.array([one.genotype], np.int32)
        within = Bounded(self.plan.space, tuple(self.targets[0].limits(self.plan.space)))
        return bool(within.feasible(rows)[0])

    def notes(self, best: Answer, evidence: ModelEvidence) -> Iterator[str]:
        """Yield the notes of a result."""
        assert self.view is not None
        yield self.view.note
        yield from super().notes(best, evidence)


def _alone(plan: SearchPlan) -> SearchPlan:
    """Return the plan without what a front has not: a supernet beside its accuracy model, and a verdict."""
    return replace(plan, settings=replace(plan.settings, supernet_share=0.0, baseline=NO_BASELINE))
