"""The joint search, from settings to a finished run folder: coarse stage, fine stage, front, result.

In each stage a supernet and a policy are trained together (nas/supernet/joint.py). The coarse stage chooses filters and
depths, with all blocks alike; the fine stage the blocks of the network that the coarse one chose. A search in one stage
makes all decisions together, for as many steps as take the time of both: what MobileNetV4 compares its two stages with
(arXiv 2404.10518, section 6.1). Where the preset says so, candidates of a stage are trained alone, and the best of them
is its answer (nas/runs/finalists.py).

Every step is resumable: a stage goes on from its last checkpoint, the evaluation of candidates from the journal.
Clocks decide when a checkpoint is written and what time is left, never what is computed: the same seed gives the same
bytes.
"""

import base64
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.files import dump_json, new_folder, write_whole
from nas.progress import Evaluation, Progress, ProgressReporter, SilentReporter, report_timing
from nas.progress.stop import raise_if_stopped
from nas.progress.time_left import Begun, Compiled, Schedule
from nas.protocols import Genotype
from nas.records.experiment import DEPENDS_ON, read_experiment
from nas.records.journal import Journal, Record
from nas.records.locks import locked
from nas.records.named_code import check_named
from nas.records.picks import Picks
from nas.records.results import Result, Score, load_result, save_result
from nas.records.signatures import save_signature
from nas.report.run_page import write_report
from nas.runs.answer import Candidates, by_cost, learnt_nothing, make_picks, write_picks
from nas.runs.batches import BatchSampler, Rows
from nas.runs.data_of_run import load_data_of_run
from nas.runs.dependencies import Dependencies, continuation, versions
from nas.runs.finalists import CandidateRanking, CandidateRetraining, top_candidates, write_finalists
from nas.runs.front import FrontEvaluation, front_candidates, random_candidates, satisfying_candidates, write_front
from nas.runs.model_search import ModelSearchRun
from nas.runs.outside_start import start_params
from nas.runs.phases import WRITING, joint_phases
from nas.runs.plan import ROUNDING, TOLERANCE, SearchPlan, make_plan
from nas.runs.plan_text import describe_plan
from nas.runs.result_builder import CONVERGED_ENTROPY, as_accuracy, build_result, save_inherited
from nas.runs.settings import NO_BASELINE, SearchConfig, default_settings
from nas.runs.sources import read_sources
from nas.runs.verdict import make_verdict, wants_verdict
from nas.search.algorithms import reinforce
from nas.search.constraints.project import project, project_coarse, with_search_budget
from nas.search.constraints.repair import Constraints
from nas.search.selection import Hits, score_error, total
from nas.space.staged import StagedSpace
from nas.supernet import joint
from nas.supernet.buckets import buckets_for
from nas.supernet.evaluator import SupernetEvaluator
from nas.supernet.inherit import inherited
from nas.supernet.supernet import Params, Supernet, parameters
from nas.tasks import clipped
from nas.training.candidates import OpenTrainers
from nas.training.checkpoints import Checkpoints
from nas.training.devices import device_sharding, replicated
from nas.training.members import IN_PROCESS
from nas.training.trainees import Trainers

SCHEMA = "nas.experiment"
VERSION = 1
CHECKPOINT_SECONDS = 20.0
PROGRESS_IMAGES = 256  # of the validation set, for the accuracy that progress shows
COARSE, FINE, WHOLE = "coarse", "fine", "whole"  # stages; the last is the only one of a search in one stage
POOLS = {COARSE: "coarse pool", FINE: "front", WHOLE: "front"}  # the evaluation that a stage's candidates come from
FOLLOW = {COARSE: ("finalists", "checkpoints/fine"), FINE: ("finalists/fine",), WHOLE: ("finalists",)}  # made from it
PACKAGES = ("jax", "flax", "optax", "numpy")


def search(
    config: SearchConfig, out: Path, reporter: ProgressReporter | None = None, *, trainers: Trainers = IN_PROCESS
) -> Result:
    """Search as `config` says, into the new folder `out`, and return the result; nas.records.results lists the files.

    `trainers` opens what trains networks alone, where the settings ask for that: this process, or workers
    (nas/distributed/trials.py). With an accuracy model the search is that of nas/runs/model_search.py. Raises
    `InvalidInput` or `UnknownName` before any work where `config` cannot be met.
    """
    plan = make_plan(config)
    describe_plan(plan)  # core hours that are too few are reported before any work, too
    new_folder(out)
    with locked(out):
        new_folder(out)  # again: another process may have used it before we had the lock
        _store(plan, out)
        return _run(plan, out, reporter, trainers).finish()


def _run(
    plan: SearchPlan, out: Path, reporter: ProgressReporter | None, trainers: Trainers
) -> "_JointSearchRun | ModelSearchRun":
    """Return the work on a run folder: of a search in two stages, or of one with an accuracy model."""
    if plan.accuracy_model is not None:
        return ModelSearchRun(plan, out, reporter or SilentReporter(), trainers)
    return _JointSearchRun(plan, out, reporter or SilentReporter(), trainers.candidates)


def _store(plan: SearchPlan, out: Path) -> None:
    """Write settings, data and versions: what makes `out` a run folder that can be resumed."""
    settings = plan.settings.to_dict()
    stored = {
        "schema": SCHEMA, "version": VERSION, "settings": settings, "data": plan.data_identity,
        "versions": versions(PACKAGES),
        "plan": describe_plan(plan), "forests": plan.sources.forests,
        DEPENDS_ON: Dependencies.of([plan.sources], settings).digests,
    }  # fmt: skip
    write_whole(out / "experiment.json", dump_json(stored))


def resume(
    run: Path,
    reporter: ProgressReporter | None = None,
    *,
    trainers: Trainers = IN_PROCESS,
    data: str | None = None,
    accept_changes: bool = False,
) -> Result:
    """Go on with the search in the folder `run`, and return its result; that of a finished one is only read.

    `data` is where its images are now, by default where they were or beside the run. Where something that the run
    depends on has changed, that is refused, or with `accept_changes` recorded.
    """
    stored = stored_run(run)
    if _is_finished(run):
        return load_result(run / "best.json")
    check_named(stored)
    with locked(run):
        return _continue(run, stored, reporter or SilentReporter(), trainers, data, accept_changes)


def stored_run(run: Path) -> dict[str, Any]:
    """Return the experiment.json of a joint search; `InvalidInput` where `run` is none."""
    if not (run / "experiment.json").exists():
        raise InvalidInput(f"{run} is no run folder: it has no experiment.json")
    stored = read_experiment(run)
    if stored.get("schema") != SCHEMA or stored.get("version") != VERSION:
        raise InvalidInput(f"{run}/experiment.json is not of a search that this release can resume; start a new one")
    return stored


def _is_finished(run: Path) -> bool:
    """Return whether the search in `run` has its result, and a report that is no older."""
    best, report = run / "best.json", run / "report.html"
    return best.exists() and report.exists() and report.stat().st_mtime_ns >= best.stat().st_mtime_ns


def _continue(
    run: Path, stored: dict[str, Any], reporter: ProgressReporter, trainers: Trainers, data: str | None, accept: bool
) -> Result:
    """Do what is left of the search in `run`, whose lock this process holds."""
    config = SearchConfig.from_dict(stored.get("settings"))
    if (run / "best.json").exists():
        result = load_result(run / "best.json")
        if result.latency_model != config.latency_model:
            raise InvalidInput(
                f"{run}/best.json has the latency model '{result.latency_model}', the settings of the run have "
                f"'{config.latency_model}': a file was altered; start a new run"
            )
        write_report(run, default_settings())  # the process was killed between the two files
        return result
    sources = read_sources(config, load_data_of_run(run, config, stored.get("data", {}), data))
    going_on = continuation(run, stored, Dependencies.of([sources], stored["settings"]), accept=accept)
    work = _run(make_plan(config, sources=sources), run, reporter, trainers)
    going_on.begin(run, stored, reporter)
    return work.finish()


@dataclass(frozen=True)
class _FinishedStage:
    """A stage that is trained: its final state, and the architecture that it chose."""

    stage: joint.JointStage
    space: StagedSpace  # of target networks
    graph: Any  # of the supernet: nnx.GraphDef
    state: joint.SearchState
    genotype: Genotype  # chosen by the policy, or by candidate re-training
    satisfied: bool  # whether it satisfies the constraints
    ranking: CandidateRanking | None = None  # of its candidates, where they were trained alone

    @property
    def arch(self) -> ArchSpec:
        """The architecture that the stage chose; one that was trained alone may lie outside of the stage's space."""
        return self.ranking.winner if self.ranking else self.space.decode(self.genotype)


class _JointSearchRun:
    """The work on one run folder; every method can be called again after a crash, and goes on from what is there."""

    def __init__(self, plan: SearchPlan, out: Path, reporter: ProgressReporter, trainers: OpenTrainers) -> None:
        self.plan, self.out, self.reporter, self.trainers = plan, out, reporter, trainers
        self.journal = Journal(out / "journal.jsonl")
        self.evaluators: dict[str, SupernetEvaluator] = {}
        self.sampler = BatchSampler(plan)

    def finish(self) -> Result:
        """Do what is left and return the result; after Ctrl-C the report shows what there is so far."""
        self.reporter.plan(describe_plan(self.plan))
        report_timing(self.reporter, Schedule(joint_phases(self.plan, verdict=wants_verdict(self.plan))))
        try:
            return self.search()
        except KeyboardInterrupt:
            write_report(self.out, default_settings())
            raise

    def search(self) -> Result:
        """Run the stages, evaluate the front, and write the results."""
        plan, retraining = self.plan, self.plan.preset.retraining
        coarse, sampled = None, list[Genotype]()
        if plan.settings.one_stage:
            fine = self.stage(WHOLE, 0, plan.space, None)
            if retraining:
                sampled = random_candidates(plan.space, self.whole_constraints, retraining.random, plan.settings.seed)
        else:
            coarse = self.coarse_stage()
            jax.clear_caches()  # the coarse programs are not needed again, and their code is hundreds of megabytes
            fine = self.stage(FINE, 1, plan.space.fine(coarse.arch), coarse.state.params)
        initial = {fine.genotype: "argmax"}
        if coarse and (retraining or not plan.settings.around):  # the network of the coarse stage takes part too
            initial.setdefault(fine.space.encode(coarse.arch), "coarse")
        candidates = front_candidates(
            fine.space, fine.state.policy, initial, plan.preset.front_size, plan.settings.seed,
            self.final_constraints(fine),
        )  # fmt: skip
        hits = self.evaluate("front", fine, candidates)
        counts = {genotype: total(one) for genotype, one in hits.items()}
        if retraining:
            limit = retraining.fine if coarse else retraining.coarse + retraining.fine - len(sampled)
            fine = self.retrain(fine, retraining.rungs, counts, limit, sampled, coarse.ranking if coarse else None)
        fine, picks = self.choose(fine, hits)
        make_verdict(plan, fine.arch, self.out, self.reporter)
        report_timing(self.reporter, Begun(WRITING))
        if rankings := {one.stage.name: one.ranking for one in (coarse, fine) if one and one.ranking}:
            write_finalists(self.out, rankings)
        result, shared = self.result(fine, counts, picks), self.supernet_accuracy(fine, counts)
        errors = {genotype: error for genotype, one in hits.items() if (error := score_error(one)) is not None}
        evaluated = FrontEvaluation(counts, self.origins("front"), shared.images, shared.kind, errors or None)
        write_front(self.out, fine.space, plan, evaluated)
        if picks:
            write_picks(self.out, *picks)
        save_inherited(self.out / "inherited.safetensors", fine.state.params, fine.stage.space, fine.genotype)
        save_signature(plan.signature, self.out)
        save_result(result, self.out / "best.json")
        write_report(self.out, default_settings())
        return result

    # ------------------------------------------------------------------------------------------------------ stages

    def coarse_stage(self) -> _FinishedStage:
        """Train the coarse stage, and choose filters and depths; coarse.json is the network of it."""
        plan = self.plan
        coarse = self.stage(COARSE, 0, plan.space.coarse(), None)
        retraining, counts = plan.preset.retraining, dict[Genotype, float]()
        if retraining:
            pool = satisfying_candidates(
                coarse.space, plan.constraints(coarse.space), coarse.state.policy, coarse.genotype, plan.settings.seed
            )
            hits = self.evaluate(POOLS[COARSE], coarse, pool)
            counts = {genotype: total(one) for genotype, one in hits.items()}
            sampled = random_candidates(plan.space, self.whole_constraints, retraining.random, plan.settings.seed)
            coarse = self.retrain(coarse, retraining.rungs, counts, retraining.coarse - len(sampled), sampled)
        if not (self.out / "coarse.json").exists():
            save_result(self.result(coarse, counts), self.out / "coarse.json")
        return coarse

    def stage(self, name: str, number: int, space: StagedSpace, parent: Params | None) -> _FinishedStage:
        """Train one stage over `space` to its end, from its last checkpoint if it has one, and choose an architecture.

        `parent` are the weights of the stage before, of which this one inherits slices.
        """
        plan = self.plan
        budget = {COARSE: plan.preset.coarse, FINE: plan.preset.fine, WHOLE: plan.preset.whole}[name]
        constraints = plan.constraints(space)
        stage = joint.JointStage(
            name, number, plan.proxy(space), plan.training_constraints(constraints), budget, plan.preset,
            plan.dataset.augmentation, plan.settings.seed, plan.dataset.class_weights, plan.dataset.task,
            plan.settings.is_int8,
        )  # fmt: skip
        buckets = buckets_for(budget.steps * budget.updates)
        model = Supernet(stage.space, np.random.default_rng([plan.settings.seed, number]), buckets)
        graph, fresh = nnx.graphdef(model), parameters(model)
        outside = start_params(plan.settings.weights, stage.space, fresh)
        state = joint.init_state(stage, outside if parent is None else inherited(outside, parent))
        checkpoints = Checkpoints(self.out / "checkpoints" / name)
        try:
            step, state = checkpoints.latest(state) or (0, state)
            if step < budget.steps:
                state = self.train(stage, space, graph, step, state, checkpoints)
        finally:
            checkpoints.close()
        # The policy's choice is projected to the constraints: the most likely architecture that satisfies them.
        scores = np.asarray(jax.nn.log_softmax(state.policy.logits), np.float64)
        argmax = tuple(int(g) for g in space.canonical(scores.argmax(1)[None])[0])
        if name == COARSE:
            return _FinishedStage(
                stage, space, graph, state, *project_coarse(plan.space, space, argmax, scores, plan.constraints)
            )
        satisfied = project(space, argmax, scores, constraints)
        chosen = argmax if satisfied is None else tuple(int(g) for g in space.canonical(np.array([satisfied]))[0])
        return _FinishedStage(stage, space, graph, state, chosen, satisfied is not None)

    def train(
        self,
        stage: joint.JointStage,
        space: StagedSpace,
        graph: Any,
        first: int,
        state: joint.SearchState,
        checkpoints: Checkpoints,
    ) -> joint.SearchState:
        """Run the controller steps from step `first` on; each dispatch gives a record, progress, maybe a checkpoint."""
        name, budget = stage.name, stage.budget
        report_timing(self.reporter, Begun(name, first, compiling=True))
        # What was written after the checkpoint, here and by what follows from this stage, will be computed again.
        self.journal.keep(lambda record: _before(record, name, first))
        for folder in FOLLOW[name]:
            shutil.rmtree(self.out / folder, ignore_errors=True)
        if first == 0:
            decisions = [{"name": d.name, "options": list(d.options)} for d in space.decisions]
            unit = self.plan.model.unit
            self.journal.append(
                {
                    "stage": name,
                    "decisions": decisions,
                    "target_latency": max(stage.constraints.target, stage.constraints.budget or 0.0),
                    "latency_unit": unit,
                }
            )
        devices = device_sharding()
        run_steps = joint.compile_steps(stage, graph, devices)
        state = replicated(state, devices)
        evaluator = self.evaluator(stage, graph)
        steps = range(first, budget.steps, budget.steps_per_dispatch)
        batches = self.sampler.dispatches(
            partial(self.rows, stage), steps, devices, partial(joint.augmentation_keys, stage)
        )
        head = next(batches)
        joint.compile_with_evaluator(run_steps, (state, *head), evaluator)
        report_timing(self.reporter, Compiled(name))
        saved = began = time.monotonic()
        for step, batch in zip(steps, chain([head], batches), strict=True):
            raise_if_stopped()
            state, report = run_steps(state, *batch)
            done = min(step + budget.steps_per_dispatch, budget.steps)
            evaluator.params = state.params
            record = self.record(stage, space, state, report, done, evaluator)
            self.journal.append(record)
            now = time.monotonic()
            if now - saved > CHECKPOINT_SECONDS or done == budget.steps:
                checkpoints.save(done, state)
                saved = time.monotonic()
            left = (now - began) / (done - first) * (budget.steps - done)
            self.reporter.progress(
                Progress(
                    name, done, budget.steps, record["loss"], record["argmax_reward_top1"], record["argmax_latency"],
                    self.plan.model.unit, record["entropy"], left, metric=self.plan.metric,
                )
            )  # fmt: skip
        return state

    def record(
        self,
        stage: joint.JointStage,
        space: StagedSpace,
        state: joint.SearchState,
        report: joint.StepMetrics,
        done: int,
        evaluator: SupernetEvaluator,
    ) -> Record:
        """Return the journal record after step `done`; `InvalidInput` where the loss is no longer finite."""
        loss = float(np.asarray(report.loss).mean())
        if not np.isfinite(loss):
            raise InvalidInput(
                f"the supernet's loss is {loss} at {stage.name} step {done}; start with another --seed and --out"
            )
        policy, shown = jax.device_get(state.policy), min(PROGRESS_IMAGES, evaluator.count)
        argmax = space.canonical(policy.logits.argmax(1)[None])
        sampled = float(policy.latency[0] / policy.latency[1]) if policy.latency[1] > 0 else None
        return {
            "stage": stage.name,
            "step": done,
            "steps": stage.budget.steps,
            "loss": loss,
            "train_top1": clipped(float(np.asarray(report.train_top1).mean())),
            "entropy": reinforce.entropy(policy),
            "beta": float(policy.beta),
            "sampled_latency": None if sampled is None else sampled * stage.constraints.target,
            "argmax": argmax[0].tolist(),
            "argmax_latency": float(stage.constraints.latency.score(argmax)[0]),
            "argmax_reward_top1": evaluator.correct(argmax[0], shown) / evaluator.whole_batches(shown),
            "policy": [
                [round(float(p), 4) for p in row[: len(decision.options)]]
                for row, decision in zip(reinforce.probabilities(policy), space.decisions, strict=True)
            ],
        }

    # -------------------------------------------------------------------------------------------------------- data

    def rows(self, stage: joint.JointStage, step: int) -> tuple[Rows, Rows]:
        """Return the images of the controller steps of one dispatch, from `step` on, as indices.

        Training indices are [count, updates, batch], validation indices [count, reward_batch].
        """
        # A seed has four streams of batches: training and rewards of each stage.
        updates, seed = stage.budget.updates, self.plan.settings.seed * 4 + stage.number * 2
        count = min(stage.budget.steps_per_dispatch, stage.budget.steps - step)
        train = self.sampler.train_batches(seed, step * updates, count * updates)
        val = self.sampler.reward_batches(seed + 1, step, count)
        return train.reshape(count, updates, -1), val

    # -------------------------------------------------------------------------------------------- accuracy, front

    def evaluator(self, stage: joint.JointStage, graph: Any) -> SupernetEvaluator:
        """Return the stage's evaluator over at most `eval_images` validation images, compiled once."""
        if stage.name not in self.evaluators:
            evaluator = SupernetEvaluator(
                stage.space, graph, self.sampler.evaluation_images, self.plan.preset.eval_batch, self.plan.dataset.task,
                int8=stage.int8,
            )  # fmt: skip
            self.evaluators[stage.name] = evaluator
        return self.evaluators[stage.name]

    def final_evaluator(self, finished: _FinishedStage) -> SupernetEvaluator:
        """Return the evaluator of a finished stage with its final weights."""
        evaluator = self.evaluator(finished.stage, finished.graph)
        evaluator.params = finished.state.params
        return evaluator

    def supernet_accuracy(self, finished: _FinishedStage, counts: dict[Genotype, float]) -> Score:
        """Return the accuracy of a stage's genotype under shared weights, from `counts` where it is known."""
        evaluator = self.final_evaluator(finished)
        if not self.plan.dataset.has_classes:
            hits = evaluator.hits(np.array(finished.genotype))
            return as_accuracy(self.plan, total(hits), evaluator.count, error=score_error(hits))
        correct = counts.get(finished.genotype) or evaluator.correct(np.array(finished.genotype))
        return as_accuracy(self.plan, correct, evaluator.count)

    def evaluate(self, name: str, finished: _FinishedStage, candidates: dict[Genotype, str]) -> dict[Genotype, Hits]:
        """Return the hits [images] of each of `candidates` (genotype -> origin): which images it classifies correctly.

        Under shared weights; of a task without classes what each image adds to the score. Each is recorded in the
        journal under the stage `name`, and not evaluated again; records of older releases hold counts only, so those
        candidates are.
        """
        evaluator = self.final_evaluator(finished)
        recorded = {tuple(r["genotype"]): r.get("hits") for r in self.journal.records if r["stage"] == name}
        done: dict[Genotype, Hits] = {}
        unknown = [genotype for genotype in candidates if not recorded.get(genotype)]
        report_timing(self.reporter, Begun(name, len(candidates) - len(unknown)))
        evaluated = evaluator.hits_of_each(unknown)
        began = time.monotonic()
        fresh = 0
        for number, (genotype, origin) in enumerate(candidates.items(), start=1):
            if known := recorded.get(genotype):
                done[genotype] = _unpacked(known, evaluator.count, self.plan.dataset.has_classes)
            else:
                done[genotype] = hits = next(evaluated)
                fresh += 1
                if genotype not in recorded:
                    count = total(hits)
                    reached = {"correct": count} if hits.dtype == np.bool_ else {"score": count / evaluator.count}
                    self.journal.append(
                        {
                            "stage": name, "genotype": list(genotype), **reached, "origin": origin,
                            "hits": _packed(hits),
                        }
                    )  # fmt: skip
                    whole = self.plan.space.encode(finished.space.decode(genotype))
                    self.reporter.candidate(Evaluation(name, whole, count / evaluator.count))
            if number % 8 == 0 or number == len(candidates):
                left = (time.monotonic() - began) / max(1, fresh) * (len(candidates) - number)
                best = max(map(total, done.values())) / evaluator.count
                self.reporter.progress(
                    Progress(
                        name, number, len(candidates), argmax_top1=best, seconds_left=left, metric=self.plan.metric
                    )
                )
        return done

    def origins(self, name: str) -> dict[Genotype, str]:
        """Return where each architecture evaluated under `name` came from."""
        return {tuple(r["genotype"]): r["origin"] for r in self.journal.records if r["stage"] == name}

    def retrain(
        self, finished: _FinishedStage, rungs: tuple[int, ...], counts: dict[Genotype, float], limit: int,
        sampled: Sequence[Genotype] = (), incumbent: CandidateRanking | None = None,
    ) -> _FinishedStage:  # fmt: skip
        """Train candidates alone, and return the stage with the best of them as its choice.

        They are up to `limit` of the evaluated ones (`counts`), and those `sampled` from the whole space. The
        `incumbent` of the stage before takes part by what it reached there.
        """
        plan, stage, decode = self.plan, finished.stage, finished.space.decode
        constraints = self.final_constraints(finished)
        satisfied = {decode(one): one for one in counts if constraints.satisfied_by(np.array([one]))[0]}
        fresh = [genotype for arch, genotype in satisfied.items() if not incumbent or arch != incumbent.winner]
        sent = top_candidates(fresh, counts, self.origins(POOLS[stage.name]), limit)
        images = self.final_evaluator(finished).count
        supernet = dict.fromkeys(map(plan.space.decode, sampled), np.nan)  # the stage's supernet may not hold them
        supernet |= {decode(genotype): counts[genotype] / images for genotype in sent}
        ranking = CandidateRetraining(stage.name, rungs, plan, self.out, self.trainers).run(
            supernet, self.reporter, incumbent
        )
        if ranking:
            genotype = satisfied.get(ranking.winner, finished.genotype)
            finished = replace(finished, genotype=genotype, satisfied=True, ranking=ranking)
        return finished

    def final_constraints(self, finished: _FinishedStage) -> Constraints:
        """Return the constraints of the search itself: a stage's own may be the nearest that its space can reach."""
        return with_search_budget(finished.stage.constraints, self.whole_constraints)

    @cached_property
    def whole_constraints(self) -> Constraints:
        """The constraints over the whole space."""
        return self.plan.constraints(self.plan.space)

    def choose(
        self, finished: _FinishedStage, hits: dict[Genotype, Hits]
    ) -> tuple[_FinishedStage, tuple[Candidates, Picks] | None]:
        """Return the stage with the best of all candidates as its choice, and how that was chosen.

        Candidates that were trained alone are compared by that; else all that were evaluated. Where none keeps all
        bounds the policy's choice stays.
        """
        found = self.candidates(finished, hits)
        if found is None:
            return finished, None
        if not finished.ranking:
            genotype = finished.space.encode(found.archs[found.best])
            finished = replace(finished, genotype=genotype, satisfied=True)
        return finished, (found, make_picks(self.plan, found))

    def candidates(self, finished: _FinishedStage, hits: dict[Genotype, Hits]) -> Candidates | None:
        """Return the candidates that keep all bounds, with the kind of accuracy that decides; None for none."""
        if finished.ranking:
            return finished.ranking.at_full_length(self.plan)
        rows = np.array(list(hits), np.int32)
        kept = np.flatnonzero(self.final_constraints(finished).kept_by(rows))
        if not len(kept):
            return None
        archs = [finished.space.decode(tuple(row)) for row in rows[kept].tolist()]
        latencies = finished.stage.constraints.latency.score(rows[kept]).tolist()
        correct = np.stack(list(hits.values()))[kept]
        images = self.final_evaluator(finished).count
        kind = as_accuracy(self.plan, 0, images).kind
        return by_cost(archs, latencies, [total(one) for one in correct], images, kind, correct)

    # ------------------------------------------------------------------------------------------------------ results

    def result(
        self, finished: _FinishedStage, counts: dict[Genotype, float], chosen: tuple[Candidates, Picks] | None = None
    ) -> Result:
        """Return the chosen architecture of a stage with all its costs; `counts` are those of `evaluate`."""
        shared, ranking = self.supernet_accuracy(finished, counts), finished.ranking
        own = ranking.accuracy(self.plan) if ranking else shared
        inside = finished.arch == finished.space.decode(finished.genotype)
        plan, entropy = self.plan, reinforce.entropy(finished.state.policy)
        picks = chosen[1] if chosen else None
        chance = self.chance_note(own, picks)
        notes = [*self.notes(finished, plan.model.predict_ms(finished.arch), entropy, chance)]
        notes += [picks.luck_note] if picks and picks.luck_note else []
        return build_result(
            plan, finished.arch, own, shared if inside else None, entropy=entropy, notes=notes, learnt=chance is None
        )

    def chance_note(self, accuracy: Score, picks: Picks | None) -> str | None:
        """Return a sentence where the network found is no better than a constant answer, the luck of choice aside."""
        labels = np.asarray(self.sampler.evaluation_images.y_val)
        luck = picks.luck if picks and picks.paired else 0.0
        return learnt_nothing(self.plan, accuracy, labels, luck)

    def notes(self, finished: _FinishedStage, latency: float, entropy: float, chance: str | None) -> Iterator[str]:
        """Yield the notes of a result. Files of results keep them: their wording stays that of release 0.1."""
        plan = self.plan
        if chance:
            yield chance
        if entropy > CONVERGED_ENTROPY:
            yield f"not converged: the policy's entropy is {entropy:.0%} of a uniform one's; use a longer preset"
        gap = latency / plan.latency_budget - 1
        around = plan.settings.around
        off = abs(gap) > TOLERANCE if around else gap > ROUNDING
        if off or not finished.satisfied:
            how = f"land on {plan.latency_budget:.4g} {plan.model.unit} within {TOLERANCE:.0%} and keep all bounds"
            if not around:
                how = f"keep {plan.latency_budget:.4g} {plan.model.unit} and all other bounds"
            yield f"this stage could not {how}: the nearest it found takes {latency:.4g}"
        if finished.ranking:
            yield finished.ranking.description
        if plan.settings.baseline != NO_BASELINE and not wants_verdict(plan):
            yield f"no verdict against {plan.settings.baseline}: the preset {plan.preset.name} trains no baseline"
        if few := plan.few_images_note(self.final_evaluator(finished).count):
            yield few
        yield from plan.remarks(finished.arch)


def _packed(hits: Hits) -> str:
    """Return which images are classified correctly as text, 8 images in a byte; numbers in 4 bytes each."""
    if hits.dtype != np.bool_:
        return base64.b64encode(hits.astype("<f4").tobytes()).decode()
    return base64.b64encode(np.packbits(hits).tobytes()).decode()


def _unpacked(text: str, images: int, is_classes: bool) -> Hits:
    """Return what `_packed` packed."""
    if not is_classes:
        return np.frombuffer(base64.b64decode(text), "<f4").astype(np.float32)
    return np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), count=images).astype(bool)


def _before(record: Record, stage: str, step: int) -> bool:
    """Return whether a journal's record was written before `step` of `stage`."""
    order = (COARSE, POOLS[COARSE], FINE, WHOLE, POOLS[FINE])
    if record["stage"] != stage:
        return order.index(record["stage"]) < order.index(stage)
    return step > 0 and record.get("step", 0) <= step
