"""Search for many targets over a supernet that is trained once: the run folder, from training to results.

The weights hold the whole space and serve every target (nas/supernet/sandwich.py); the stages of each target search
over them (nas/runs/stages.py). A run for one target has its results in its folder, a run for several in a folder per
target, each in the form that every run has. All is resumed from one journal: the training from its last checkpoint, a
search by replay.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from nas.data import split_for_search
from nas.errors import InvalidInput
from nas.files import dump_json, new_folder, read_bytes, subfolder, write_whole
from nas.progress import ProgressReporter, SilentReporter, report_timing
from nas.progress.time_left import Schedule
from nas.protocols import Genotype
from nas.records.experiment import DEPENDS_ON, read_experiment
from nas.records.front import save_front
from nas.records.journal import Journal, read_journal
from nas.records.locks import locked
from nas.records.named_code import check_named, resume_command
from nas.records.networks import UNIVERSAL
from nas.records.results import Result, Score, load_result, save_result, title_by_name
from nas.records.signatures import save_signature
from nas.report.run_page import write_report
from nas.runs import shared_supernet
from nas.runs.answer import Candidates, by_cost, learnt_nothing, make_picks, write_picks
from nas.runs.data_of_run import absolute_data, find_data, load_data_of_run
from nas.runs.dependencies import (
    OF_WEIGHTS,
    Change,
    Dependencies,
    accepted_changes,
    continuation,
    lines_on,
    recorded,
    versions,
)
from nas.runs.evaluators import evaluator_source
from nas.runs.front import PREDICTED_DIGITS, FrontEvaluation, write_front
from nas.runs.front_budget import front_budget
from nas.runs.front_model import FrontModelRun
from nas.runs.front_search import FrontOfTarget, search_front
from nas.runs.multi_target_settings import (
    SCHEMA,
    TARGET_SCHEMA,
    VERSION,
    MultiTargetConfig,
    check_around,
    make_plans,
    read_all_sources,
)
from nas.runs.phases import model_phases, multi_target_phases
from nas.runs.plan import TOLERANCE, SearchPlan
from nas.runs.plan_text import describe_plans
from nas.runs.regret import read_regret_table, regret_table
from nas.runs.result_builder import as_accuracy, as_count, build_result, save_inherited
from nas.runs.settings import default_settings
from nas.runs.stages import (
    MinimaxRegret,
    SingleTarget,
    StageRunner,
    StagesResult,
    all_evaluated,
    check_search,
    search_universal,
)
from nas.search.loop import OpenExecutor, Pool, in_process
from nas.search.strategy import strategy
from nas.space.staged import StagedSpace
from nas.training.members import IN_PROCESS
from nas.training.trainees import Trainers

PACKAGES = ("jax", "flax", "optax", "numpy", "scikit-learn", "scipy")
DONE = "done"  # the journal's record of a finished run


@dataclass(frozen=True)
class MultiTargetResult:
    """The results of a run: one per target and, where it was asked for, that of one network for all targets."""

    results: dict[str, Result]  # name of the target -> result, in the order of the configuration
    folders: dict[str, Path]  # name of the target -> folder
    universal: Result | None = None
    regrets: dict[str, Any] = field(default_factory=dict)  # the content of universal.json


def specialise(
    config: MultiTargetConfig,
    out: Path,
    reporter: ProgressReporter | None = None,
    *,
    workers: OpenExecutor = in_process,
    trainers: Trainers = IN_PROCESS,
    source: Path | None = None,
    accept_changes: bool = False,
) -> MultiTargetResult:
    """Search as `config` says, into the new folder `out`, and return the results.

    `source` is a run whose supernet is copied instead of trained, see `supernet_of_run`; where something that its
    weights depend on has changed, that is refused, or with `accept_changes` recorded. `workers` opens the executor
    that evaluates candidates, `trainers` train those of a front with an accuracy model; no result depends on them.
    Raises `InvalidInput` or `UnknownName` before any work where `config` cannot be met.
    """
    evaluator_source(config.evaluator)  # one that is none is refused before any work
    check_around(config)
    plans = make_plans(config)
    for objective, space in _objectives(config, plans):
        check_search(config, objective, space)
    if config.accuracy_model:
        front_budget(plans)  # core hours that are too few too
    shown, changes = reporter or SilentReporter(), tuple[Change, ...]()
    if source is not None:
        changes, lines = _use_of_weights(source, plans, accept_changes)
        shared_supernet.read(source / shared_supernet.FILE, plans[0])
        for line in lines:
            shown.say(line)
    new_folder(out)
    with locked(out):
        new_folder(out)  # again: another process may have used it before we had the lock
        if source is not None:
            write_whole(out / shared_supernet.FILE, read_bytes(source / shared_supernet.FILE))
        stored = recorded(_stored(config, plans), changes, by="search --from")
        write_whole(out / "experiment.json", dump_json(stored))
        return _MultiTargetRun(config, plans, out, shown, workers, trainers).finish()


def resume(
    run: Path,
    reporter: ProgressReporter | None = None,
    *,
    workers: OpenExecutor = in_process,
    trainers: Trainers = IN_PROCESS,
    more: int = 0,
    data: str | None = None,
    accept_changes: bool = False,
) -> MultiTargetResult:
    """Go on with the run in the folder `run`; `more` adds trials to the fine stage of each target of a finished run.

    `data` is where its images are now, by default where they were or beside the run. Where something that the run
    depends on has changed, that is refused, or with `accept_changes` recorded.
    """
    stored = stored_run(run)
    config = MultiTargetConfig.from_dict(stored.get("request"))
    if _finished(run, config) and not more:
        return load_results(run, config)
    check_named(stored)
    with locked(run):
        if more and not _finished(run, config):
            raise InvalidInput(f"{run} is not finished; go on with: {resume_command(run)}, and extend it then")
        shown = reporter or SilentReporter()
        sources = read_all_sources(config, load_data_of_run(run, config.settings[0], stored.get("data", {}), data))
        now = Dependencies.of(sources, stored["request"])
        going_on = continuation(run, stored, now, accept=accept_changes)
        if more:
            config = replace(config, more_trials=config.more_trials + more)
            going_on = going_on.with_settings("request", config.to_dict())
        work = _MultiTargetRun(config, make_plans(config, sources), run, shown, workers, trainers)
        going_on.begin(run, stored, shown)
        return work.finish()


def stored_run(run: Path) -> dict[str, Any]:
    """Return the experiment.json of a run of this kind; `InvalidInput` where `run` is none."""
    stored = read_experiment(run)
    if stored.get("schema") == TARGET_SCHEMA:
        raise InvalidInput(f"{run} holds the results of one target; resume the whole run: {resume_command(run.parent)}")
    if stored.get("schema") != SCHEMA or stored.get("version") != VERSION:
        raise InvalidInput(f"{run} is no run over a supernet trained once, or of another release; start a new one")
    return stored


def supernet_of_run(run: Path) -> tuple[MultiTargetConfig, str]:
    """Return the configuration of a run whose supernet another run may use, and the SHA-256 of its weights."""
    if not (run / "experiment.json").exists():
        raise InvalidInput(f"{run} is no run folder: it has no experiment.json")
    if read_experiment(run).get("schema") == "nas.experiment":
        raise InvalidInput(
            f"{run} is a joint search, whose weights serve one target only; --from needs a run of another --algorithm"
        )
    config = MultiTargetConfig.from_dict(stored_run(run).get("request"))
    data = find_data(config.settings[0].data, run)
    config = replace(config, settings=tuple(replace(one, data=absolute_data(data)) for one in config.settings))
    if not (run / shared_supernet.FILE).exists():
        raise InvalidInput(f"{run} has no trained supernet yet; go on with: {resume_command(run)}")
    return config, shared_supernet.digest(run / shared_supernet.FILE)


def load_results(run: Path, config: MultiTargetConfig) -> MultiTargetResult:
    """Return the results of a finished run from its files."""
    folders = _folders(run, config)
    results = {name: load_result(folder / "best.json") for name, folder in folders.items()}
    if not config.universal:
        return MultiTargetResult(results, folders)
    universal = load_result(run / UNIVERSAL / "best.json")
    return MultiTargetResult(results, folders, universal, read_regret_table(run / "universal.json", config.names))


def _folders(run: Path, config: MultiTargetConfig) -> dict[str, Path]:
    """Return the folder of the results of each target."""
    return {name: run if len(config.names) == 1 else run / name for name in config.names}


def _finished(run: Path, config: MultiTargetConfig) -> bool:
    """Return whether the journal of the run ends with the record of a finished one."""
    records = read_journal(run / "journal.jsonl")[0]
    return bool(records) and records[-1] == _done(config)


def _done(config: MultiTargetConfig) -> dict[str, Any]:
    """Return the last record of a finished run; more trials make it another one."""
    return {"stage": DONE, "trials": config.trials, "more_trials": config.more_trials}


def _use_of_weights(run: Path, plans: Sequence[SearchPlan], accept: bool) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """Return what has changed that the supernet of `run` depends on, `InvalidInput` unless accepted, and lines."""
    stored = stored_run(run)
    now = Dependencies.of([plan.sources for plan in plans], stored["request"])
    changes = accepted_changes(run, stored, now, accept=accept, only=OF_WEIGHTS)
    return changes, lines_on(stored, changes)


def _stored(config: MultiTargetConfig, plans: tuple[SearchPlan, ...]) -> dict[str, Any]:
    """Return the content of experiment.json; `settings` are those of the first target."""
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "settings": plans[0].settings.to_dict(),
        "targets": list(config.names),
        "request": config.to_dict(),
        "data": plans[0].data_identity,
        "versions": versions(PACKAGES),
        "plan": describe_plans(config, plans),
        DEPENDS_ON: Dependencies.of([plan.sources for plan in plans], config.to_dict()).digests,
    }


def _objectives(
    config: MultiTargetConfig, plans: tuple[SearchPlan, ...]
) -> Iterator[tuple[SingleTarget | MinimaxRegret, StagedSpace]]:
    """Yield the objectives of the searches, each with the space that it begins in."""
    if strategy(config.algorithm).projects:
        return
    targets = tuple(map(SingleTarget, plans))
    yield from ((target, target.full_space.coarse()) for target in targets)
    if config.universal:
        yield MinimaxRegret(targets), targets[0].full_space


class _MultiTargetRun:
    """The work on one run folder; after a crash it is done again, and goes on from what is there."""

    def __init__(
        self,
        config: MultiTargetConfig,
        plans: tuple[SearchPlan, ...],
        out: Path,
        reporter: ProgressReporter,
        workers: OpenExecutor,
        trainers: Trainers,
    ) -> None:
        self.config, self.plans, self.out, self.reporter, self.workers = config, plans, out, reporter, workers
        self.trainers = trainers
        self.folders = _folders(out, config)
        self.journal = Journal(out / "journal.jsonl")
        self.source = evaluator_source(config.evaluator)
        self.images = self.source.images(plans[0])

    def finish(self) -> MultiTargetResult:
        """Do what is left: train, search for each target, then for all; write every result when it is known."""
        self.reporter.plan(describe_plans(self.config, self.plans))
        if self.config.accuracy_model:
            return self.front_by_model()
        training = self.source.trains_supernet and not (self.out / shared_supernet.FILE).exists()
        report_timing(self.reporter, Schedule(multi_target_phases(self.config, self.plans, training=training)))
        weights = self.weights() if self.source.trains_supernet else None
        payload = partial(self.source.payload, self.plans[0], weights)
        self.pool = pool = Pool(lambda: self.workers(self.source.build, payload()), self.config.batch)
        stages, seed = StageRunner(self.config, pool, self.journal, self.reporter), self.plans[0].settings.seed
        try:
            if self.config.front:
                self.search_fronts(stages, weights)
                return self.finished()
            found = []
            for (name, folder), plan in zip(self.folders.items(), self.plans, strict=True):
                target = SingleTarget(plan, by_latency=not self.config.cost_front)
                found.append(stages.search(name, target, seed))
                picked = self.candidates(plan, stages, found[-1])
                if picked and not plan.settings.around:  # of equally accurate and fast ones, the smallest
                    found[-1] = replace(found[-1], best=plan.space.encode(picked.archs[picked.best]))
                self.write_target(folder, plan, found[-1], weights, picked)
            if self.config.universal:
                self.search_universal(stages, found, weights)
            return self.finished()
        finally:
            pool.close()

    def finished(self) -> MultiTargetResult:
        """Write the end of the run, and return its results."""
        save_signature(self.plans[0].signature, self.out)
        self.journal.append(_done(self.config))
        return load_results(self.out, self.config)

    def front_by_model(self) -> MultiTargetResult:
        """Search for the fronts by training networks alone, with an accuracy model of them."""
        folders = list(self.folders.values())
        search = FrontModelRun(self.plans, folders, self.out, self.journal, self.reporter, self.trainers)
        report_timing(self.reporter, Schedule(model_phases(self.plans[0], search.budget, verdict=False)))
        search.search()
        return self.finished()

    def search_fronts(self, stages: StageRunner, weights: shared_supernet.Weights | None) -> None:
        """Search for the front of every target, and write the results of all from all that was evaluated."""
        targets = tuple(map(SingleTarget, self.plans))
        accuracy, origin = dict[Genotype, float](), dict[Genotype, str]()
        for name, target in zip(self.config.names, targets, strict=True):
            found = search_front(stages, name, target, target.plan.settings.seed, accuracy)
            accuracy |= found.accuracy
            origin = found.origin | origin
        for (name, folder), target in zip(self.folders.items(), targets, strict=True):
            view = FrontOfTarget.of(target, accuracy)
            searched = StagesResult(name, view.chosen, view.chosen, accuracy, origin)
            picked = self.candidates(target.plan, stages, searched)
            self.write_target(folder, target.plan, searched, weights, picked, view)

    def weights(self) -> shared_supernet.Weights:
        """Return the supernet's weights, which are trained first where no earlier start of the run did that."""
        path = self.out / shared_supernet.FILE
        if not path.exists():
            shared_supernet.train(self.plans[0], self.out, self.journal, self.reporter)
        weights = shared_supernet.read(path, self.plans[0])
        if self.config.source not in (None, digest := shared_supernet.digest(path)):
            raise InvalidInput(f"{path} was altered: its SHA-256 is {digest:.12}, not {self.config.source:.12}")
        return weights

    def write_target(
        self,
        folder: Path,
        plan: SearchPlan,
        found: StagesResult,
        weights: shared_supernet.Weights | None,
        candidates: Candidates | None,
        whole: FrontOfTarget | None = None,
    ) -> None:
        """Write the results of one target, in the form that every run folder has; of a `whole` front front.json too."""
        if folder != self.out:
            subfolder(self.out, folder.name)
        notes = []
        if candidates:
            picks = make_picks(plan, candidates)
            write_picks(folder, candidates, picks)
            notes = [picks.luck_note] if picks.luck_note else []
        exact = whole is not None  # a whole front is chosen by them, where counts are not whole
        correct = {
            genotype: round(top1 * self.images, PREDICTED_DIGITS) if exact else as_count(plan, top1, self.images)
            for genotype, top1 in found.accuracy.items()
        }
        kind = as_accuracy(plan, 0, self.images, self.source.how).kind
        errors = self.pool.errors_of(correct)
        evaluation = FrontEvaluation(correct, found.origin, self.images, kind, errors)
        by_latency = not self.config.cost_front
        write_front(folder, plan.space, plan, evaluation, whole.budget_of if whole else None, by_latency=by_latency)
        if whole:
            save_front(whole.record(self.images, kind, errors), folder)
            notes.insert(0, whole.note)
        elif not self.config.cost_front:
            save_result(self.result(plan, found, found.coarse), folder / "coarse.json")
        self.write_network(folder, plan, found, weights, notes)

    def candidates(self, plan: SearchPlan, stages: StageRunner, found: StagesResult) -> Candidates | None:
        """Return all evaluated networks that may be the answer for one target; None where there are none."""
        target = SingleTarget(plan)
        genotypes, accuracies = all_evaluated([found])
        kept = stages.kept(target, genotypes)
        if not kept.any():
            return None
        archs = [plan.space.decode(tuple(row)) for row in genotypes[kept].tolist()]
        correct = [round(top1 * self.images, PREDICTED_DIGITS) for top1 in accuracies[kept].tolist()]
        kind = as_accuracy(plan, 0, self.images, self.source.how).kind
        errors = self.pool.errors_of(list(map(tuple, genotypes[kept].tolist())))
        return by_cost(
            archs, target.latency.score(genotypes[kept]).tolist(), correct, self.images, kind,
            errors=None if errors is None else list(errors.values()),
        )  # fmt: skip

    def write_network(
        self,
        folder: Path,
        plan: SearchPlan,
        found: StagesResult,
        weights: shared_supernet.Weights | None,
        notes: Sequence[str] = (),
    ) -> None:
        """Write the chosen network, its settings and its inherited weights; `notes` are further ones on it."""
        if folder != self.out:
            subfolder(self.out, folder.name)
        if folder != self.out:
            stored = {"schema": TARGET_SCHEMA, "version": VERSION, "settings": plan.settings.to_dict()}
            write_whole(folder / "experiment.json", dump_json({**stored, "algorithm": self.config.algorithm}))
        if weights is not None:
            save_inherited(folder / "inherited.safetensors", weights, plan.proxy(plan.space), found.best)
        save_signature(self.plans[0].signature, folder)
        save_result(self.result(plan, found, found.best, notes), folder / "best.json")
        write_report(folder, default_settings())

    def result(self, plan: SearchPlan, found: StagesResult, genotype: Genotype, more: Sequence[str] = ()) -> Result:
        """Return one architecture that a search evaluated, with all its costs; `more` are further notes."""
        accuracy = as_accuracy(
            plan, as_count(plan, found.accuracy[genotype], self.images), self.images, self.source.how,
            self.pool.errors.get(genotype),
        )  # fmt: skip
        arch = plan.space.decode(genotype)
        chance = self.chance_note(plan, accuracy)
        notes = [*self.notes(plan, found), *plan.remarks(arch), *([chance] if chance else []), *more]
        return build_result(plan, arch, accuracy, accuracy, entropy=found.entropy, notes=notes, learnt=chance is None)

    def chance_note(self, plan: SearchPlan, accuracy: Score) -> str | None:
        """Return a sentence where a network is no better under shared weights than a constant answer."""
        if not self.source.trains_supernet:
            return None  # what another evaluator's accuracies are taken on is not known
        val = split_for_search(plan.dataset, plan.preset.validation_fraction, plan.settings.seed)[1]
        labels = plan.dataset.y_train[val]
        return learnt_nothing(plan, accuracy, labels)

    def notes(self, plan: SearchPlan, found: StagesResult) -> Iterator[str]:
        """Yield the notes of a result. Files of results keep them: their wording stays that of release 0.1."""
        config = self.config
        more = config.trials + config.more_trials
        stages = f"{config.trials} trials of filters and depths, {more} of blocks"
        if config.cost_front:
            costs = " and ".join(plan.settings.minimize)
            stages = f"{config.trials + more} trials of all decisions for a front of accuracy, {costs}"
        if config.front:
            stages = f"{config.trials} trials near each of {config.front.points} latency budgets"
        if found.name == UNIVERSAL and config.universal:
            stages = f"{config.trials + more} trials of the whole space, begun with those for each target"
        over = "a supernet trained once" if self.source.trains_supernet else f"the evaluator {config.evaluator}"
        yield f"{config.algorithm} over {over}: {stages}"
        if not found.satisfied:
            budget = f"{plan.latency_budget:.4g} {plan.model.unit}"
            within = f"land on {budget} within {TOLERANCE:.0%} and keep all bounds"
            yield f"this search could not {within if plan.settings.around else f'keep {budget} and all other bounds'}"
        if few := plan.few_images_note(self.images):
            yield few
        if found.name == UNIVERSAL and self.config.universal:
            yield f"one network for {', '.join(config.names)}; the latency here is that on the first"

    def search_universal(
        self, stages: StageRunner, found: list[StagesResult], weights: shared_supernet.Weights | None
    ) -> None:
        """Search for the network of minimax regret, and write it with the table of the regrets of all networks."""
        targets = tuple(map(SingleTarget, self.plans))
        searched, known = search_universal(stages, targets, found, self.plans[0].settings.seed)
        objective, accuracy = MinimaxRegret(targets), searched.accuracy
        rows = {one.name: objective.row(known, one.best, accuracy[one.best]) for one in (*found, searched)}
        self.write_network(self.out / UNIVERSAL, self.plans[0], searched, weights)
        title = title_by_name(self.plans[0].metric)
        write_whole(self.out / "universal.json", dump_json(regret_table(self.config.names, rows, title)))
