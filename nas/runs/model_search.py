"""The search with an accuracy model, from settings to a finished run folder.

Networks within the constraints are trained alone, as proxies; a model of their accuracies learns which to train next
(nas/search/accuracy/search.py), and the best of those trained longest and most often is the answer. Beside it a
supernet of the whole space may be trained after the first batch: it gives weights to start from and a score of every
network. Its score becomes a feature of the model, and chooses among more networks, only where it ranks the search's
own trainings.

Every step is resumable: batches and scores from the journal, trainings from their folders, the supernet from its
checkpoint. No clock decides what is computed, and the number of workers changes no byte.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nas.arch import save_arch
from nas.data import at_resolution, validation_view
from nas.errors import InvalidInput
from nas.files import subfolder, write_whole
from nas.progress import Evaluation, Progress, ProgressReporter, report_timing
from nas.progress.time_left import Begun, Schedule
from nas.protocols import Genotype, Genotypes
from nas.records.journal import Journal, Record
from nas.records.model_evidence import (
    BatchRecord,
    ModelEvidence,
    SupernetRecord,
    TauRecord,
    TrainedNetwork,
    save_evidence,
)
from nas.records.picks import Picks
from nas.records.results import Result, Score, estimated_for, save_result, share_text, standard_error
from nas.records.signatures import save_signature
from nas.report.run_page import write_report
from nas.runs import shared_supernet
from nas.runs.answer import Candidates, by_cost, learnt_nothing, make_picks, write_picks
from nas.runs.finalists import Row, table_of
from nas.runs.front import FrontEvaluation, write_front
from nas.runs.model_budget import ModelBudget, band, in_one_program, model_budget, with_supernet_steps
from nas.runs.phases import WRITING, model_phases
from nas.runs.plan import SearchPlan
from nas.runs.plan_text import describe_plan
from nas.runs.result_builder import as_accuracy, as_count, build_result, save_inherited
from nas.runs.settings import NO_BASELINE, default_settings
from nas.runs.verdict import make_verdict, wants_verdict
from nas.search.accuracy.evidence import Tau, tau_with_interval
from nas.search.accuracy.features import one_hot, static_features
from nas.search.accuracy.model import accuracy_model
from nas.search.accuracy.search import Answer, FeasibleSet, ModelSearch, State, Training
from nas.search.accuracy.table import best_within
from nas.search.constraints.bounds import Bounded
from nas.search.constraints.repair import Constraints
from nas.search.loop import scores_of
from nas.space.cost_table import CostTable
from nas.space.scaling import scale_down
from nas.supernet.evaluator import SupernetEvaluator
from nas.supernet.members import family_here
from nas.training.candidates import CandidateTrainings
from nas.training.loop import TrainingConfig
from nas.training.trainees import TrainAll, Trained, Trainee, Trainers

STAGE, SCORES = "trained alone/whole", "supernet scores"  # of the journal's batches of trainings, and of its scores
EARNED = 0.1  # tau with the search's own trainings that the supernet must exceed before its scores choose
POOL = 96  # networks that a supernet is asked about, once it has earned that
Scores = dict[Genotype, float]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class WithinConstraints:
    """The feasible set of a search: genotypes within all bounds and near the latency budget, forests' bounds too."""

    bounded: Bounded
    constraints: Constraints

    def draw(self, rng: np.random.Generator, count: int) -> Genotypes:
        """Return up to `count` distinct genotypes [N, D]."""
        if not self.constraints.predicted_limits:
            return self.bounded.draw(rng, count)
        rows = self.bounded.draw(rng, 4 * count)
        return rows[self.constraints.satisfied_by(rows)][:count]

    def best(self, table: CostTable) -> Genotype | None:
        """Return the genotype of the least value in `table`, None where none is found or a forest refuses it."""
        found = best_within(self.bounded.decisions, table, self.bounded.limits)
        return found if found and self.constraints.satisfied_by(np.array([found], np.int32))[0] else None


@dataclass(frozen=True)
class ScoredPool:
    """A feasible set of which a supernet has scored a `pool` [N, D]: a draw of as many or more gives the pool itself.

    So the model chooses among the networks whose score it knows, and a small random draw comes from everywhere.
    """

    whole: FeasibleSet
    pool: Genotypes

    def draw(self, rng: np.random.Generator, count: int) -> Genotypes:
        """Return up to `count` distinct genotypes [N, D]."""
        return self.pool if count >= len(self.pool) else self.whole.draw(rng, count)


class ModelSearchRun:
    """The work on one run folder; every method can be called again after a crash, and goes on from what is there."""

    def __init__(self, plan: SearchPlan, out: Path, reporter: ProgressReporter, trainers: Trainers) -> None:
        assert plan.accuracy_model is not None
        self.plan, self.out, self.reporter, self.trainers = plan, out, reporter, trainers
        self.journal = Journal(out / "journal.jsonl")
        self.budget: ModelBudget = model_budget(plan)
        self.curves: dict[tuple[str, int], dict[int, float]] = {}  # (digest, seed) -> epoch -> top-1
        self.observed: list[tuple[Training, float]] = []  # in the order told
        self.floats: dict[Training, float] = {}  # top-1 in float32 at the last epoch of each training
        self.scores: Scores = {}  # under shared weights
        self.errors: dict[Training, float] = {}  # the standard errors of what was observed, where it is no share
        self.score_errors: Scores = {}  # those of the scores

    def finish(self) -> Result:
        """Do what is left and return the result; after Ctrl-C the report shows what there is so far."""
        self.reporter.plan(describe_plan(self.plan))
        report_timing(self.reporter, Schedule(model_phases(self.plan, self.budget, verdict=wants_verdict(self.plan))))
        try:
            return self.search()
        except KeyboardInterrupt:
            write_report(self.out, default_settings())
            raise

    def search(self) -> Result:
        """Train what the model asks for, choose, and write the results."""
        algorithm = self.algorithm
        state = algorithm.init(self.plan.settings.seed)
        batches = iter([record for record in self.journal.records if record["stage"] == STAGE])
        with ExitStack() as stack:
            train: TrainAll | None = None
            while asked := algorithm.ask(state):
                known = next(batches, None)
                if known is None and train is None:
                    report_timing(self.reporter, Begun(STAGE, sum(map(len, self.curves.values()))))
                    train = stack.enter_context(self.trainers.trainees(self.trainings, self.on_epoch))
                top1 = self.trained(asked, train) if known is None else self.recorded(known, asked)
                if known is None:
                    self.record(state, asked, top1)
                self.observed += zip(asked, top1, strict=True)
                algorithm = self.with_supernet() if self.budget.supernet_steps else algorithm
                state = algorithm.tell(state, asked, top1)
        return self.conclude(algorithm, state)

    # ------------------------------------------------------------------------------------------------------ algorithm

    @cached_property
    def feasible(self) -> WithinConstraints:
        """The networks that may be trained and be the answer."""
        return WithinConstraints(band(self.plan), self.plan.constraints(self.plan.space))

    @cached_property
    def algorithm(self) -> ModelSearch:
        """The search without a supernet's scores."""
        space, name = self.plan.space, self.plan.accuracy_model
        assert name is not None
        return ModelSearch(
            self.feasible, static_features(space, self.plan.proxy(space)), self.budget.schedule, accuracy_model(name),
            one_hot(space.decisions),
        )  # fmt: skip

    def with_supernet(self) -> ModelSearch:
        """Return the search as the supernet's tau with all trainings so far has it: with its scores, or without."""
        self.score(dict.fromkeys(training.genotype for training, _ in self.observed))
        if self.supernet_tau.value <= EARNED:
            return self.algorithm
        self.score(dict.fromkeys(map(tuple, self.pool.tolist())))
        static = self.algorithm.features

        def features(genotypes: Genotypes) -> Floats:
            column = [self.scores.get(tuple(row), np.nan) for row in genotypes.tolist()]
            return np.concatenate([static(genotypes), np.array(column, np.float64)[:, None]], 1)

        return replace(self.algorithm, feasible=ScoredPool(self.feasible, self.pool), features=features)

    @cached_property
    def pool(self) -> Genotypes:
        """The networks that the supernet is asked about once it has earned that, [N, D]."""
        return self.feasible.draw(np.random.default_rng([self.plan.settings.seed, 7]), POOL)

    @property
    def supernet_tau(self) -> Tau:
        """The tau of the supernet's scores with the first accuracies of the networks trained alone."""
        first: dict[Genotype, float] = {}
        for training, top1 in self.observed:
            if np.isfinite(top1) and training.genotype in self.scores:
                first.setdefault(training.genotype, top1)
        return tau_with_interval([self.scores[genotype] for genotype in first], list(first.values()))

    # ------------------------------------------------------------------------------------------------------ trainings

    @cached_property
    def trainings(self) -> CandidateTrainings:
        """What all trainings share: images with the search's validation images, the full length, the folder."""
        plan, seed = self.plan, self.plan.settings.seed
        data = at_resolution(plan.dataset, plan.proxy_resolution)
        view = validation_view(data, plan.preset.validation_fraction, seed)
        config = TrainingConfig(
            epochs=self.budget.schedule.rungs[-1],
            seed=seed,
            batch_size=min(TrainingConfig.batch_size, len(view.x_train)),
        )
        steps = self.budget.schedule.epochs * (len(view.x_train) // config.batch_size)
        family = family_here(plan.proxy(plan.space), short_steps=steps if in_one_program(plan) else 0)
        return CandidateTrainings(view, config, (self.out / "trainings").resolve(), family, int8=plan.settings.is_int8)

    def trainee(self, training: Training) -> Trainee:
        """Return the training of a proxy that the search asks for by a genotype."""
        arch = self.plan.space.decode(training.genotype)
        proxy = scale_down(arch, self.plan.proxy_resolution, self.plan.proxy_width)
        return Trainee(arch.digest, proxy, training.seed, training.epochs)

    def trained(self, asked: Sequence[Training], train: TrainAll | None) -> list[float]:
        """Train what is asked, and return the top-1 of each at its last epoch, in int8 where the search is for that.

        NaN for one that failed.
        """
        assert train is not None
        trainees = [self.trainee(training) for training in asked]
        found: dict[Trainee, Trained] = {one.trainee: one for one in train(trainees)}
        for one in found.values():
            if one.error:
                self.reporter.say(f"{one.trainee.digest[:12]} with seed {one.trainee.seed} failed: {one.error}")
        for training, trainee in zip(asked, trainees, strict=True):
            known = self.trainings.errors(trainee.digest, trainee.seed)
            self.errors |= {training: known[trainee.epochs]} if trainee.epochs in known else {}
            if (in_int8 := found[trainee].in_int8) is not None:
                self.floats[training] = in_int8.float_value
        scores = [found[one].score for one in trainees]
        return [np.nan if score is None else score for score in scores]

    def on_epoch(self, trainee: Trainee, epoch: int, top1: float) -> None:
        """Report an epoch of a training."""
        self.curves.setdefault((trainee.digest, trainee.seed), {})[epoch] = top1
        best = max(max(curve.values()) for curve in self.curves.values())
        done, metric = sum(map(len, self.curves.values())), self.plan.metric
        self.reporter.progress(
            Progress(STAGE, done, max(done, self.budget.schedule.epochs), argmax_top1=best, metric=metric)
        )

    def record(self, state: State, asked: Sequence[Training], top1: Sequence[float]) -> None:
        """Write a batch with its results into the journal."""
        errors = [self.errors.get(training) for training in asked]
        self.journal.append(
            {
                "stage": STAGE, "purpose": state.rounds[-1].purpose,
                "asked": [list(training.genotype) for training in asked], "seeds": [one.seed for one in asked],
                "epochs": [training.epochs for training in asked],
                "accuracy": [float(value) if np.isfinite(value) else None for value in top1],
                **({} if all(error is None for error in errors) else {"errors": errors}),
                **({"float_accuracy": [self.floats.get(one) for one in asked]} if self.plan.settings.is_int8 else {}),
            }
        )  # fmt: skip
        for training, value in zip(asked, top1, strict=True):
            known = float(value) if np.isfinite(value) else None
            self.reporter.candidate(Evaluation(STAGE, training.genotype, known))

    def recorded(self, record: Record, asked: Sequence[Training]) -> list[float]:
        """Return the results of a batch that the journal holds; `InvalidInput` where it is another batch."""
        known = [
            Training(tuple(genotype), seed, epochs)
            for genotype, seed, epochs in zip(record["asked"], record["seeds"], record["epochs"], strict=True)
        ]
        if tuple(known) != tuple(asked):
            raise InvalidInput(
                f"{self.journal.path} holds trainings that this release would not ask for: go on with the release that "
                "began the run, or start a new one"
            )
        top1 = [np.nan if value is None else float(value) for value in record["accuracy"]]
        if wrong := [value for value in top1 if not (np.isnan(value) or 0 <= value <= 1)]:
            raise InvalidInput(
                f"{self.journal.path} was altered: it has an accuracy of {wrong[0]:g}, and they lie between 0 and 1; "
                "start a new run"
            )
        errors = zip(asked, record.get("errors", ()), strict=False)
        self.errors |= {training: error for training, error in errors if error is not None}
        floats = zip(asked, record.get("float_accuracy", ()), strict=False)
        self.floats |= {training: float(value) for training, value in floats if value is not None}
        for training, value in zip(asked, top1, strict=True):  # so that the reporter counts them as done
            curve = self.curves.setdefault((self.plan.space.decode(training.genotype).digest, training.seed), {})
            curve |= dict.fromkeys(range(len(curve) + 1, training.epochs), 0.0)  # of epochs that it does not hold
            curve[training.epochs] = float(np.nan_to_num(value))
        return top1

    # ------------------------------------------------------------------------------------------------------- supernet

    def score(self, genotypes: Mapping[Genotype, object]) -> None:
        """Score networks under shared weights, those that the journal knows not again."""
        for record in self.journal.records:
            if record["stage"] == SCORES:
                known = list(map(tuple, record["networks"]))
                self.scores |= dict(zip(known, map(float, record["scores"]), strict=True))
                self.score_errors |= dict(zip(known, record.get("errors", ()), strict=False))
        fresh = [genotype for genotype in genotypes if genotype not in self.scores]
        if not fresh:
            return
        found, *errors = scores_of(self.supernet, np.array(fresh, np.int32)).reshape(len(fresh), -1).T.tolist()
        more = {"errors": errors[0]} if errors else {}  # of shares they follow from the scores
        self.journal.append({"stage": SCORES, "networks": [list(one) for one in fresh], "scores": found, **more})
        self.scores |= dict(zip(fresh, found, strict=True))
        self.score_errors |= dict(zip(fresh, more.get("errors", ()), strict=False))

    @cached_property
    def supernet(self) -> SupernetEvaluator:
        """The evaluator of the supernet, which is trained first where no earlier start of the run did that."""
        plan = with_supernet_steps(self.plan, self.budget.supernet_steps)
        if not (self.out / shared_supernet.FILE).exists():
            shared_supernet.train(plan, self.out, self.journal, self.reporter)
        weights = shared_supernet.read(self.out / shared_supernet.FILE, plan)
        return shared_supernet.build_evaluator(shared_supernet.evaluator_payload(plan, weights))

    # -------------------------------------------------------------------------------------------------------- results

    def conclude(self, algorithm: ModelSearch, state: State) -> Result:
        """Choose among the networks trained, and write the results."""
        ranking = algorithm.ranking(state)
        found = self.candidates(ranking)
        arch = found.archs[found.best]  # of equally accurate ones the fastest
        best = next(one for one in ranking if self.plan.space.decode(one.genotype) == arch)
        make_verdict(self.plan, arch, self.out, self.reporter)
        report_timing(self.reporter, Begun(WRITING))
        evidence = self.evidence(algorithm, state, ranking)
        save_evidence(evidence, self.out)
        self.write_trainings(ranking)
        picks = make_picks(self.plan, found)
        write_picks(self.out, found, picks)
        write_front(self.out, self.plan.space, self.plan, self.front(ranking))
        if self.budget.supernet_steps:
            weights = shared_supernet.read(self.out / shared_supernet.FILE, self.plan)
            proxies = self.plan.proxy(self.plan.space)
            save_inherited(self.out / "inherited.safetensors", weights, proxies, best.genotype)
        save_signature(self.plan.signature, self.out)
        result = self.result(best, evidence, picks)
        save_result(result, self.out / "best.json")
        write_report(self.out, default_settings())
        return result

    def accuracy(self, answer: Answer) -> Score:
        """Return the estimated accuracy of a network, with the errors of estimate and images together."""
        how = estimated_for(self.budget.schedule.rungs[-1], in_int8=self.plan.settings.is_int8)
        kind = as_accuracy(self.plan, 0, self.images, how).kind
        top1 = float(np.clip(answer.mean, 0, 1))
        error = float(np.hypot(answer.standard_error, self.image_error(answer)))
        return Score(top1, min(error, 1.0), self.images, kind)

    def image_error(self, answer: Answer) -> float:
        """Return the standard error that the accuracy of a network has from the validation images alone.

        They are the same for all its trainings, so that it is that of one of them: the mean over those observed.
        """
        observed = (one for one, _ in self.observed if (one.genotype, one.epochs) == (answer.genotype, answer.epochs))
        known = [self.errors[one] for one in observed if one in self.errors]
        return float(np.mean(known)) if known else standard_error(float(np.clip(answer.mean, 0, 1)), self.images)

    @property
    def images(self) -> int:
        """The validation images on which all trainings are scored."""
        return len(self.trainings.data.y_test)

    def candidates(self, ranking: Sequence[Answer]) -> Candidates:
        """Return the networks that may be the answer: those trained as long and as often as it."""
        best = ranking[0]
        equal = [one for one in ranking if (one.epochs, one.seeds) == (best.epochs, best.seeds)]
        archs = [self.plan.space.decode(one.genotype) for one in equal]
        latencies = [self.plan.model.predict_ms(arch) for arch in archs]
        correct = [one.mean * self.images for one in equal]
        errors = [self.image_error(one) for one in equal] if self.errors else None
        return by_cost(archs, latencies, correct, self.images, self.accuracy(best).kind, errors=errors)

    def front(self, ranking: Sequence[Answer]) -> FrontEvaluation:
        """Return all networks that were trained, with their estimated accuracies."""
        accuracies = {one.genotype: self.accuracy(one) for one in ranking}
        correct = {genotype: one.top1 * self.images for genotype, one in accuracies.items()}
        errors = {genotype: one.standard_error for genotype, one in accuracies.items()}
        purposes = (record for record in self.journal.records if record["stage"] == STAGE)
        origin: dict[Genotype, str] = {}
        for record in purposes:
            for genotype in record["asked"]:
                origin.setdefault(tuple(genotype), record["purpose"])
        return FrontEvaluation(correct, origin, self.images, accuracies[ranking[0].genotype].kind, errors)

    def result(self, best: Answer, evidence: ModelEvidence, picks: Picks) -> Result:
        """Return the answer with all its costs."""
        plan, arch, accuracy = self.plan, self.plan.space.decode(best.genotype), self.accuracy(best)
        chance = learnt_nothing(plan, accuracy, self.trainings.data.y_test)
        notes = [*([chance] if chance else []), *self.notes(best, evidence), *plan.remarks(arch)]
        notes += [picks.luck_note] if picks.luck_note else []
        shared = self.scores.get(best.genotype)
        supernet = None
        if shared is not None:
            images = shared_supernet.evaluation_image_count(plan)
            error = self.score_errors.get(best.genotype)
            supernet = as_accuracy(plan, as_count(plan, shared, images), images, error=error)
        return build_result(plan, arch, accuracy, supernet, entropy=0.0, notes=notes, learnt=chance is None)

    def notes(self, best: Answer, evidence: ModelEvidence) -> Iterator[str]:
        """Yield the notes of the result."""
        seeds = f"{best.seeds} seed{'s' if best.seeds > 1 else ''}"
        yield (
            f"the best by estimate of {len(evidence.networks)} networks whose proxies were trained alone; this one "
            f"with {seeds} for {best.epochs} epochs, {share_text(best.observed, self.plan.metric)} observed"
        )
        if self.plan.settings.is_int8:
            longest = best.genotype, best.epochs
            floats = [top1 for one, top1 in self.floats.items() if (one.genotype, one.epochs) == longest]
            yield (
                "accuracies are those in int8, of the fake-quantised forward pass; in float32 the same trainings of "
                f"this network reached {share_text(float(np.mean(floats)), self.plan.metric)} on average"
            )
        yield evidence.text
        if evidence.supernet_text:
            yield evidence.supernet_text
        elif self.plan.settings.supernet_share and evidence.informed:
            yield "no supernet: its share of the processor time is too little for one that ranks; give more core hours"
        if self.plan.settings.baseline != NO_BASELINE and not wants_verdict(self.plan):
            yield f"no verdict against {self.plan.settings.baseline}: the search is too short to train a baseline"
        if few := self.plan.few_images_note(self.images):
            yield few

    def evidence(self, algorithm: ModelSearch, state: State, ranking: Sequence[Answer]) -> ModelEvidence:
        """Return what the accuracy model and the supernet showed."""
        shown, predicted = algorithm.evidence(state), algorithm.predicted(state)
        assert self.plan.accuracy_model is not None
        networks = tuple(
            TrainedNetwork(
                self.plan.space.decode(one.genotype).digest, one.observed, predicted[one.genotype], one.mean,
                one.standard_error, one.epochs, one.seeds,
            )
            for one in ranking
        )  # fmt: skip
        batches = tuple(BatchRecord(r.purpose, r.networks, r.by_model, _record(r.tau)) for r in shown.rounds)
        noise = shown.noise if np.isfinite(shown.noise) else 0.0
        core_s = self.budget.trainings_s + self.budget.supernet_s
        return ModelEvidence(
            self.plan.accuracy_model, algorithm.model.informed, shown.trusted, _record(shown.tau), noise, networks,
            batches, self.supernet_record(), core_s,
        )  # fmt: skip

    def supernet_record(self) -> SupernetRecord | None:
        """Return what the supernet cost and showed, None where none was trained."""
        if not self.budget.supernet_steps:
            return None
        tau = self.supernet_tau
        record = _record(tau)
        assert record is not None
        return SupernetRecord(
            self.budget.supernet_steps, self.budget.share, record, tau.value > EARNED, len(self.scores)
        )

    def write_trainings(self, ranking: Sequence[Answer]) -> None:
        """Write finalists.csv, a row per network and epoch of its first training, and the specs of all."""
        subfolder(self.out, "specs")
        rows: list[Row] = []
        for one in ranking:
            arch = self.plan.space.decode(one.genotype)
            spec = f"specs/{arch.digest[:12]}.json"
            save_arch(arch, self.out / spec)
            for training, top1 in self.observed:
                if training.genotype == one.genotype and training.seed == self.plan.settings.seed and np.isfinite(top1):
                    score = self.scores.get(one.genotype, np.nan)
                    error, floats = self.errors.get(training), self.floats.get(training)
                    own = floats if self.plan.settings.is_int8 else None
                    rows.append(("alone", arch.digest, spec, training.epochs, top1, self.images, score, error, own))
        write_whole(self.out / "finalists.csv", table_of(rows))


def _record(tau: Tau | None) -> TauRecord | None:
    return None if tau is None else TauRecord(tau.value, tau.low, tau.high, tau.count, tau.confidence)
