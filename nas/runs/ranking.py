"""Evidence for ranking on the user's own images: random networks within the constraints, trained alone, and predictors.

The networks are uniform draws over the space, moved onto the constraints exactly, so that all of them have about the
latency budget: what tells them apart is not their size. The proxy of each is trained alone with every seed, on the
training images of the search; accuracies are those on its validation images, and the test set is not seen. With one
seed all networks see the same images in the same order. Where the search is for int8, accuracies are those that
files in int8 would have after the last epoch; curves are in float32.

The folder has the trainings, rank.csv (nas/records/ranking_table.py), rank.json and a picture. The first networks of
more are the same, so `--networks` and `--seeds` may grow in the same folder.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.arch import ArchSpec, save_arch
from nas.data import Dataset
from nas.errors import InvalidInput
from nas.files import dump_json, new_folder, read_json, write_whole
from nas.progress import Progress, ProgressReporter, report_timing
from nas.progress.time_left import Begun, Phase, Schedule
from nas.protocols import Genotype, Genotypes
from nas.records.experiment import read_experiment
from nas.records.journal import Journal, read_journal
from nas.records.named_code import check_named
from nas.records.ranking_table import RankingTable
from nas.report.ranking_plot import ranking_plot
from nas.runs import shared_supernet
from nas.runs.data_of_run import load_data_of_run
from nas.runs.dependencies import DATA, Dependencies, accepted_changes, home_of
from nas.runs.model_budget import AloneCosts, costs_alone, in_one_program, with_supernet_steps
from nas.runs.phases import sandwich_phase
from nas.runs.plan import SearchPlan, make_plan
from nas.runs.settings import OF_RELEASE, SearchConfig
from nas.search.accuracy.features import FeatureTables, joined, one_hot, static_features
from nas.search.accuracy.ranking import RankingEvidence, evidence_of
from nas.search.accuracy.search import ENOUGH_FOR_BOTH
from nas.search.constraints.sampling import random_satisfying
from nas.space.cost_table import compile_table
from nas.space.scaling import scale_down
from nas.supernet.members import SpaceFamily, family_here
from nas.training.candidates import CandidateTrainings, make_trainings
from nas.training.loop import TrainingConfig, expected_s
from nas.training.members import as_members
from nas.training.trainees import OpenTrainees, Trained, Trainee
from nas.training.trial import CURVE

SCHEMA, VERSION = "nas.ranking", 1
STREAM = 99  # separates the draw of networks from other random numbers of a seed
STAGE = "trainings"
OF_RANKING = ("space", "target", "latency_model", "minimize", "accuracy_model", "data")  # settings that it needs
SUPERNET_CORES = 2  # that a supernet's expected seconds are of; those of a training are about those of one core
SETTINGS, RESULT, TABLE, BEST, PLOT = "ranking.json", "rank.json", "rank.csv", "most_accurate.json", "rank"
NOT_OF_RANKING = ("data", "data_dir", *OF_RELEASE)  # settings of a search that change nothing here
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RankingConfig:
    """Settings of a ranking: the search whose space, constraints, images and proxies it is about, and how much."""

    search: SearchConfig
    networks: int = 32
    seeds: int = 2
    epochs: int = 3
    batch_size: int = 128
    supernet_steps: int = 0  # of a supernet that is trained for this; 0: none

    def __post_init__(self) -> None:
        for name, least in (("networks", 4), ("seeds", 1), ("epochs", 1), ("supernet_steps", 0)):
            if getattr(self, name) < least:
                raise InvalidInput(f"{name} must be at least {least}, got {getattr(self, name)}")

    @property
    def trainings(self) -> int:
        """How many trainings there are."""
        return self.networks * self.seeds


@dataclass(frozen=True)
class Ranking:
    """A ranking that is ready to start: its settings, its plan, and the supernet of a run where that has one."""

    config: RankingConfig
    plan: SearchPlan
    supernet: Path | None = None  # file of weights

    @property
    def _own_supernet(self) -> bool:
        """Whether a supernet is trained for this."""
        return self.config.supernet_steps > 0 and self.supernet is None

    def description(self) -> list[str]:
        """Return what will be done, a line each, with what it is expected to cost."""
        c, plan = self.config, self.plan
        return [
            f"{c.networks} random networks of {c.search.space} at {plan.aim:.4g} {plan.model.unit} on "
            f"{plan.target_name}, each trained alone with {c.seeds} seeds: "
            f"{c.trainings} trainings of {c.epochs} epochs",
            f"data {plan.dataset.name}: training and validation images of a search; the test set is not seen",
            f"proxies of width {plan.proxy_width:g} at {plan.proxy_resolution.text}",
            *(["accuracies are those in int8, as the files of the networks would have"] * c.search.is_int8),
            *([f"supernet of the whole space: {c.supernet_steps} steps"] if self._own_supernet else []),
            *([f"supernet: {self.supernet}"] if self.supernet else []),
            f"expected: {c.trainings} trainings, about {self.core_minutes:.0f} core-minutes",
        ]

    @property
    def core_minutes(self) -> float:
        """Minutes of one CPU core that all of it is expected to take, without what a folder may have already."""
        cores = {shared_supernet.STAGE: SUPERNET_CORES}
        return sum(cores.get(p.stage, 1) * (p.compile_s + p.steps * p.step_s) for p in self.phases) / 60

    @cached_property
    def phases(self) -> tuple[Phase, ...]:
        """The phases of the work, as expected."""
        c, first = self.config, self.genotypes(1)[0]
        if in_one_program(self.plan):
            costs = costs_alone(self.plan, np.array([first], np.int32))
        else:
            training_s = expected_s(self.proxy(first), self.trainings(Path()).data, self._training_config())
            costs = AloneCosts(0.0, 0.0, training_s / c.epochs)
        phases = [Phase(STAGE, c.trainings * c.epochs, costs.start_s / c.epochs + costs.epoch_s, costs.once_s)]
        return (*phases, *([sandwich_phase(self.plan, c.supernet_steps)] if self._own_supernet else []))

    def genotypes(self, count: int) -> list[Genotype]:
        """Return the first `count` networks."""
        plan, rng = self.plan, np.random.default_rng([self.config.search.seed, STREAM])
        return random_satisfying(plan.space, plan.constraints(plan.space), count, rng)

    def proxy(self, genotype: Genotype) -> ArchSpec:
        """Return the proxy of a network, which is what is trained."""
        return scale_down(self.plan.space.decode(genotype), self.plan.proxy_resolution, self.plan.proxy_width)

    def _training_config(self) -> TrainingConfig:
        images = round((1 - self.plan.preset.validation_fraction) * len(self.plan.dataset.x_train))
        return TrainingConfig(self.config.epochs, min(self.config.batch_size, images), seed=self.config.search.seed)

    def trainings(self, out: Path) -> CandidateTrainings:
        """Return what all trainings share."""
        plan = self.plan
        split = (plan.preset.validation_fraction, self.config.search.seed)
        arch = scale_down(plan.space.decode([0] * len(plan.space.decisions)), plan.proxy_resolution, plan.proxy_width)
        shared = make_trainings([arch], plan.dataset, self._training_config(), out, split=split)
        return replace(shared, int8=self.config.search.is_int8)

    @property
    def family(self) -> SpaceFamily | None:
        """The family whose members all networks are; None where each is trained by a program of its own.

        The same for any number of networks and seeds, which may grow.
        """
        plan = self.plan
        return family_here(plan.proxy(plan.space), short_steps=int(in_one_program(plan)))

    def trainees(self, genotypes: Sequence[Genotype]) -> list[Trainee]:
        """Return all trainings: every network with the first seed, then with the next."""
        digests = [self.plan.space.decode(genotype).digest for genotype in genotypes]
        proxies = [self.proxy(genotype) for genotype in genotypes]
        return [
            Trainee(digest, proxy, seed, self.config.epochs)
            for seed in range(self.config.seeds)
            for digest, proxy in zip(digests, proxies, strict=True)
        ]


def ranking_of_run(run: Path, config: Callable[[SearchConfig], RankingConfig], data: str | None = None) -> Ranking:
    """Return the ranking of a run: its space, constraints and images, and its supernet where it has one.

    `config` makes the settings from those of the run; `data` is where its images are now.
    """
    (home, about), stored = home_of(run), read_experiment(run)
    check_named(stored, OF_RANKING)
    settings = SearchConfig.from_dict(stored.get("settings"))
    dataset = load_data_of_run(home, settings, about["data"], data)
    accepted_changes(home, about, Dependencies({DATA: dataset.digest}), accept=None)
    weights = (folder / shared_supernet.FILE for folder in (run, home))
    return make_ranking(config(settings), dataset, next((path for path in weights if path.exists()), None))


def load_evidence(out: Path) -> RankingEvidence:
    """Return the evidence of a finished ranking, from its folder."""
    return RankingEvidence.from_dict(read_json(out / RESULT))


def make_ranking(config: RankingConfig, dataset: Dataset | None = None, supernet: Path | None = None) -> Ranking:
    """Return a ranking that is ready to start; raises as `make_plan` where it cannot be carried out."""
    return Ranking(config, make_plan(config.search, dataset), supernet)


def rank(ranking: Ranking, out: Path, reporter: ProgressReporter, trainers: OpenTrainees = as_members) -> list[str]:
    """Train what the folder `out` lacks, write its files, and return notes on trainings that failed.

    The caller holds the lock of `out`. No byte depends on the trainers.
    """
    family = ranking.family if _open_folder(ranking, out) else None
    report_timing(reporter, Schedule(ranking.phases))
    genotypes = ranking.genotypes(ranking.config.networks)
    trained = _train(ranking, replace(ranking.trainings(out), family=family), genotypes, reporter, trainers)
    table = ranking_table(ranking, genotypes, trained)
    shared = _supernet_top1(ranking, np.array(genotypes, np.int32), out, reporter)
    predictors = _predictors(table) | ({"supernet": shared} if shared is not None else {})
    early = None if table.curves is None else table.curves[:, 0, 0]
    evidence = evidence_of(table.accuracy, predictors, model_features(ranking.plan, table.genotypes), early)
    evidence = replace(evidence, metric=ranking.plan.metric)
    write_whole(out / TABLE, table.to_csv())
    _write_best(ranking, table, out)
    write_whole(out / RESULT, dump_json(_result(ranking, evidence)))
    for form in ("png", "svg"):
        write_whole(out / f"{PLOT}.{form}", ranking_plot(evidence, form))
    return [f"{one.trainee.digest[:12]}, seed {one.trainee.seed}: {one.error}" for one in trained if one.error]


def _open_folder(ranking: Ranking, out: Path) -> bool:
    """Make `out` the folder of this ranking, or check that it is one with the same settings but for how much.

    Returns whether its trainings may be members of one program: those of a folder of an earlier release are none.
    """
    config, dataset = ranking.config, ranking.plan.dataset
    kept = {name: value for name, value in config.search.to_dict().items() if name not in NOT_OF_RANKING}
    identity = {
        "schema": SCHEMA, "version": VERSION, "epochs": config.epochs, "batch_size": config.batch_size,
        "supernet": shared_supernet.digest(ranking.supernet) if ranking.supernet else config.supernet_steps,
        "data": {"name": dataset.name, "digest": dataset.digest},
        "settings": {name: list(value) if isinstance(value, tuple) else value for name, value in kept.items()},
    }  # fmt: skip
    path = out / SETTINGS
    if not path.exists():
        new_folder(out)
        write_whole(path, dump_json(identity | {"one_program": True}))
        return True
    stored = read_json(path)
    for name, value in identity.items():
        if not isinstance(stored, dict) or stored.get(name) != value:
            raise InvalidInput(
                f"{out} holds a ranking with other {name}; go on with the same or name another folder with --out"
            )
    return stored.get("one_program") is True


def _train(
    ranking: Ranking, trials: CandidateTrainings, genotypes: Sequence[Genotype], reporter: ProgressReporter,
    trainers: OpenTrainees,
) -> list[Trained]:  # fmt: skip
    """Train every network with every seed, from where the folder stands; return the results in a fixed order."""
    trainees = ranking.trainees(genotypes)
    known = {one: len(read_journal(trials.of(one.digest, one.seed) / "curve.jsonl", CURVE)[0]) for one in trainees}
    done, steps, best = sum(known.values()), len(trainees) * ranking.config.epochs, 0.0

    def on_epoch(one: Trainee, epoch: int, top1: float) -> None:
        nonlocal done, best
        done, best = done + (epoch > known[one]), max(best, top1)
        if epoch > known[one]:
            reporter.progress(Progress(STAGE, done, steps, argmax_top1=best, metric=ranking.plan.metric))

    report_timing(reporter, Begun(STAGE, done))
    with trainers(trials, on_epoch) as train_all:
        found = {one.trainee: one for one in train_all(trainees)}
    return [found[one] for one in trainees]


def ranking_table(ranking: Ranking, genotypes: Sequence[Genotype], trained: Sequence[Trained]) -> RankingTable:
    """Return the table of networks and their trainings, which come seed by seed; NaN where a training failed."""
    config, plan = ranking.config, ranking.plan
    gap = (float("nan"),) * config.epochs
    curves = np.array([one.curve or gap for one in trained]).reshape(config.seeds, len(genotypes), -1).swapaxes(0, 1)
    scores = np.array([gap[0] if (score := one.score) is None else score for one in trained])
    return described(plan, np.array(genotypes, np.int32), scores.reshape(config.seeds, -1).T, curves)


def static_of(plan: SearchPlan) -> FeatureTables:
    """Return the static features of a plan's networks and their proxies."""
    return static_features(plan.space, plan.proxy(plan.space))


def described(plan: SearchPlan, genotypes: Genotypes, accuracy: Floats, curves: Floats | None) -> RankingTable:
    """Return the table of genotypes [N, D] of a plan's space with these accuracies: with latencies and features."""
    digests = tuple(plan.space.decode(genotype).digest for genotype in genotypes.tolist())
    features = static_of(plan)
    columns = dict(zip(features.names, features(genotypes).T, strict=True))
    cost = compile_table(plan.space, plan.model).score(genotypes)
    return RankingTable(digests, genotypes, cost, accuracy, columns, curves)


def _predictors(table: RankingTable) -> dict[str, Floats]:
    """Return the simplest predictors: what costs more is better."""
    return {"MACs": table.features["macs"], "parameters": table.features["params"], "latency": table.cost}


def model_features(plan: SearchPlan, genotypes: Genotypes) -> Floats:
    """Return what the accuracy model sees of genotypes [N, D]: static features, and decisions where N is large."""
    tables = static_of(plan)
    if len(genotypes) >= ENOUGH_FOR_BOTH:
        tables = joined([tables, one_hot(plan.space.decisions)])
    return tables(genotypes)


def _supernet_top1(ranking: Ranking, genotypes: Genotypes, out: Path, reporter: ProgressReporter) -> Floats | None:
    """Return the top-1 of genotypes [N, D] under shared weights, of the run's supernet or one trained here, or None."""
    plan, file = ranking.plan, ranking.supernet
    if ranking._own_supernet:
        plan, file = with_supernet_steps(plan, ranking.config.supernet_steps), out / shared_supernet.FILE
        if not file.exists():
            shared_supernet.train(plan, out, Journal(out / "journal.jsonl"), reporter)
    if file is None:
        return None
    return _evaluated(plan, file, genotypes)


def _evaluated(plan: SearchPlan, file: Path, genotypes: Genotypes) -> Floats:
    """Return the top-1 of genotypes [N, D] with the shared weights in a file."""
    payload = shared_supernet.evaluator_payload(plan, shared_supernet.read(file, plan))
    return shared_supernet.build_evaluator(payload).accuracy(genotypes)


def _write_best(ranking: Ranking, table: RankingTable, out: Path) -> None:
    """Write the spec of the network of the highest mean accuracy."""
    mean = np.nan_to_num(table.accuracy.mean(1), nan=-1.0)
    save_arch(ranking.plan.space.decode(table.genotypes[int(mean.argmax())].tolist()), out / BEST)


def _result(ranking: Ranking, evidence: RankingEvidence) -> dict[str, Any]:
    """Return the content of rank.json."""
    plan = ranking.plan
    return {
        "schema": SCHEMA, "version": VERSION, "space": ranking.config.search.space, "target": plan.target_name,
        "latency": plan.aim, "latency_unit": plan.model.unit, "data": plan.dataset.name,
        "images": ranking.trainings(Path()).data.y_test.shape[0], "epochs": ranking.config.epochs,
        "proxy_resolution": plan.proxy_resolution.json, "proxy_width": plan.proxy_width, **evidence.to_dict(),
        **({"quantize": ranking.config.search.quantize} if ranking.config.search.is_int8 else {}),
    }  # fmt: skip
