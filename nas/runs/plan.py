"""The plan of a search: everything that its settings name, loaded and checked before any work.

Specs, costs and latencies of a search are always those of target networks, accuracies those of their proxies.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from latency_models.energy import Energy
from latency_models.forest import SUFFIX, Forest, load_forest
from latency_models.latency_error import LatencyError, error_of
from latency_models.macs_ranking import rank_correlation
from latency_models.roofline import Roofline
from latency_models.target import Target, abstract_target
from nas.arch import ArchSpec
from nas.data import Dataset, at_resolution, signature, split_for_search
from nas.data.dataset import imbalance_note
from nas.data.input_spec import Signature
from nas.errors import InvalidInput
from nas.ops import Shape, Size
from nas.protocols import Cost, Genotypes
from nas.quantisation.program import program_of
from nas.records.results import TOP1, PredictionError
from nas.registry import ACCURACY_MODELS, load
from nas.runs.front_end import front_end_of
from nas.runs.settings import NO_BASELINE, SearchConfig
from nas.runs.sources import Sources, read_sources
from nas.search.constraints.bounds import Bounded
from nas.search.constraints.forest_bounds import ForestBound, check_reach, with_forest_bounds
from nas.search.constraints.project import upper_bounds
from nas.search.constraints.repair import Constraints
from nas.search.objectives import Column, check_names, columns, forest_name, known_costs, unit_of
from nas.search.selection import few_images_note
from nas.space.cost_table import MACS, PARAMS, PEAK_ACTIVATION, WEIGHTS, CostTable, compile_table
from nas.space.scaling import behind_log_mel, scale_down, with_input
from nas.space.staged import StagedSpace
from nas.supernet.presets import Preset, load_preset, proxy_scale, proxy_size
from nas.training.loop import TrainingConfig
from nas.zoo import reference

REFERENCE = "mobilenetv4-conv-s"  # its latency is the default target, and the unit of an abstract device
TOLERANCE = 0.01  # of the latency constraint, relative
ROUNDING = 1e-9  # relative: a latency at the end of the band must not be above the budget by a rounding error
MOST_SUPERNET = 0.5  # of the core hours, for a supernet beside an accuracy model
VERDICT_SHARE = 0.1  # of the core hours, at most, for the verdict at the end
SAMPLED = 4096  # random networks, for the share of the space that the error of the latency blurs
BISECTIONS = 8  # of the range in which the largest latency within the other bounds lies
QUICK_MACS, SAMPLED_PROXIES = 8.2e6, 16  # mean of proxies of `uib` in `quick`; random ones that stand for a space


@dataclass(frozen=True)
class Bound:
    """A hard upper bound on a cost of the target network, in the unit that a user gives it in."""

    setting: str  # the field of `SearchConfig`
    unit: str  # with what is counted: "KiB of weights"
    cost: Cost
    most: float  # in this unit
    per_unit: float = 1.0  # how much of what the cost counts makes one unit

    @property
    def limit(self) -> float:
        """The bound in the unit of the cost itself."""
        return self.most * self.per_unit

    def format(self, value: float) -> str:
        """Return a cost in the unit of the bound as text; one that is no whole number is rounded up to 4 digits.

        Rounded up, so that a bound at the least cost, as a message names it, can be kept.
        """
        in_unit = value / self.per_unit
        return f"{int(in_unit):,}" if in_unit == int(in_unit) else f"{_rounded_up(in_unit):,.10g}"


def _rounded_up(value: float) -> float:
    """Return a positive number, rounded up to 4 digits."""
    step = 10.0 ** (np.floor(np.log10(value)) - 3)
    return float(np.ceil(value / step) * step)


@dataclass(frozen=True)
class SearchPlan:
    """A search that is ready to start: its settings, and everything they name, loaded and checked."""

    settings: SearchConfig
    preset: Preset
    dataset: Dataset
    space: StagedSpace  # of target networks, with all decisions
    target: Target | None  # None for an abstract device
    model: Roofline
    latency_budget: float  # in the model's unit
    proxy_resolution: Size
    proxy_width: float
    front: tuple[float, ...] = ()  # the latency budgets of a whole front, of which `latency_budget` is one

    @property
    def input_shape(self) -> Shape:
        """The input of target networks."""
        return self.space.input_shape

    @property
    def target_name(self) -> str:
        """The target's name, or the abstract device's."""
        return self.model.name

    @property
    def metric(self) -> str:
        """The name of what the search maximises, of `nas.tasks.METRICS` or of a task of the user's own."""
        return self.dataset.task.score.name

    @property
    def data_identity(self) -> dict[str, str]:
        """What experiment.json says of the data: name, digest, and the metric of a task other than classification."""
        found = {"name": self.dataset.name, "digest": self.dataset.digest}
        return found if self.metric == TOP1 else found | {"metric": self.metric}

    @property
    def energy(self) -> Energy | None:
        """The energy model of the target, None where it has no coefficients or the device is abstract."""
        return self.target.energy_model() if self.target and self.target.energy else None

    @property
    def required_energy(self) -> Energy:
        """The energy model of the target; `InvalidInput` where it has none."""
        if self.target is None:
            raise InvalidInput("--max-energy-mj needs a --target with energy coefficients; an abstract device has none")
        return self.target.energy_model()

    @property
    def accuracy_model(self) -> str | None:
        """The model of accuracies that chooses which networks are trained alone; None for a two-stage search."""
        return self.settings.model_name

    @property
    def trial_steps_per_epoch(self) -> int:
        """The steps of an epoch of a network trained alone."""
        images = round((1 - self.preset.validation_fraction) * len(self.dataset.y_train))
        return max(1, images // TrainingConfig.batch_size)

    def trial_times(self, epochs: int) -> int:
        """Return how many times as long networks are trained alone as usual, where the shortest has so many epochs.

        With few images that has too few steps to say anything about more.
        """
        asked = self.settings.trial_steps
        least = self.preset.trial_steps if asked is None else asked
        return max(1, ceil(least / (epochs * self.trial_steps_per_epoch)))

    def constraints(self, space: StagedSpace) -> Constraints:
        """Return the constraints on architectures of `space`, a view of the whole space that a stage searches.

        A view may not reach the latency or a bound: then its nearest value takes the place of what cannot be met.
        """
        latency = compile_table(space, self.model)
        low, high = latency.minimum()[0], latency.maximum()[0]
        target, tolerance = float(np.clip(self.aim, low, high)), TOLERANCE
        if not self.settings.around and target <= self.latency_budget:  # nothing in the band is above the budget
            tolerance = max(min(TOLERANCE, self.latency_budget / target - 1), ROUNDING)
        limits = [(table, max(bound, table.minimum()[0])) for table, bound in self.limits(space)]
        budget = None if self.settings.around else self.latency_budget
        found = Constraints(latency, target, tolerance, tuple(limits), budget=budget)
        return with_forest_bounds(found, space, self.forests)

    def training_constraints(self, constraints: Constraints) -> Constraints:
        """Return `constraints` with the latency that a policy in training is led to: the budget itself.

        Shared weights and policy learn on both sides of it, and only what is chosen in the end must lie inside; but
        where other bounds keep all architectures from the budget, they learn where the search will choose.
        """
        if self.settings.around or self.aim < self._inside:
            return constraints
        low, high = constraints.latency.minimum()[0], constraints.latency.maximum()[0]
        target = float(np.clip(self.latency_budget, low, high))
        return replace(constraints, target=target, tolerance=TOLERANCE, budget=None)

    @property
    def _inside(self) -> float:
        """The middle of what uses the last 2 % of a budget that is an upper bound."""
        return self.latency_budget / (1 + TOLERANCE) * (1 - ROUNDING)

    @cached_property
    def aim(self) -> float:
        """The latency that the search chooses at: the budget, or with a budget as upper bound what lies just inside.

        `TOLERANCE` inside, so that all within `TOLERANCE` of the aim keep the budget and use 98 % of it; lower where
        the other bounds leave no architecture there.
        """
        if self.settings.around:
            return self.latency_budget
        return min(self._inside, _largest_latency(self, self._inside)) if self.bounds else self._inside

    @cached_property
    def forests(self) -> tuple[ForestBound, ...]:
        """The bounds on what forests predict."""
        return tuple(map(ForestBound.parse, self.settings.forest_bounds))

    @cached_property
    def minimized_forests(self) -> tuple[tuple[str, Forest], ...]:
        """The forests whose predictions are minimised, by their names."""
        paths = [name for name in self.settings.minimize if name.endswith(SUFFIX)]
        return tuple((forest_name(path), load_forest(Path(path))) for path in paths)

    @property
    def forest_notes(self) -> Iterator[str]:
        """Yield a line on each forest that is minimised, and on what each one used does not know of the space."""
        for name, forest in self.minimized_forests:
            yield f"{forest.of} as the forest {name} predicts it: {forest.error_note}"
        archs = [self.space.decode(row) for row in self._sampled[:16].tolist()]
        for name, forest in (*self.minimized_forests, *((bound.name, bound.forest) for bound in self.forests)):
            if caution := forest.caution(archs):
                yield f"warning: the forest {name} does not know the space: {caution}; measure networks of the space"

    def few_images_note(self, images: int) -> str | None:
        """Return a sentence where the `images` that accuracies are taken on are too few to rank networks, else None.

        They may be fewer than the validation images, as a preset has it that is for trying things out.
        """
        validation = split_for_search(self.dataset, self.preset.validation_fraction, self.settings.seed)[1]
        enough = few_images_note(len(validation)) is None
        remedy = {"remedy": "take a longer --preset, which looks at more of them"} if enough else {}
        return few_images_note(images, is_share=self.dataset.has_classes, **remedy)

    @property
    def sources(self) -> Sources:
        """What was read for this plan."""
        return Sources(self.settings, self.dataset, self.target, self.space)

    def columns(self, space: StagedSpace) -> list[Column]:
        """Return the costs over `space` that front.csv has beside latency, MACs and parameters."""
        requested = (name for name in self.settings.minimize if name not in ("latency", "macs", "params"))
        names = dict.fromkeys((*known_costs(self.energy), *(bound.path for bound in self.forests), *requested))
        return columns(space, tuple(names), self.model, self.energy)

    def limits(self, space: StagedSpace) -> list[tuple[CostTable, float]]:
        """Return the hard bounds as (table over `space`, bound)."""
        return [(compile_table(space, bound.cost), bound.limit) for bound in self.bounds]

    @cached_property
    def bounds(self) -> tuple[Bound, ...]:
        """The hard bounds that the settings ask for."""
        s, (memory, flash) = self.settings, (unit_of(name, self.model)[1] for name in ("memory", "flash"))
        # (setting, unit, cost, value, how much makes one unit); costs are made only for those that are set
        settable: list[tuple[str, str, Callable[[], Cost], float | None, float]] = [
            ("max_params", "parameters", lambda: PARAMS, s.max_params, 1.0),
            ("max_macs", "MACs", lambda: MACS, s.max_macs, 1.0),
            ("max_memory_kb", "KiB of activations at once", lambda: PEAK_ACTIVATION, s.max_memory_kb, memory),
            ("max_flash_kb", "KiB of weights", lambda: WEIGHTS, s.max_flash_kb, flash),
            ("max_energy_mj", "mJ a batch", lambda: self.required_energy, s.max_energy_mj, 1.0),
        ]
        return tuple(
            Bound(setting, unit, cost(), most, per_unit)
            for setting, unit, cost, most, per_unit in settable
            if most is not None
        )

    def remarks(self, arch: ArchSpec) -> Iterator[str]:
        """Yield notes on the predictions for `arch`: energy, bounded forests, what the latency model does not know."""
        if self.settings.max_energy_mj is not None:
            yield f"predicted energy: {self.required_energy.predict_mj(arch):.4g} mJ a batch"
        if self.settings.fit is not None:  # runs of release 0.1 end with the notes that it wrote
            yield from imbalance_note(self.dataset.y_train, self.dataset.class_names)
            for name, forest in self.minimized_forests:
                value = float(forest.predict([arch])[0])
                yield f"predicted {forest.of} by the forest {name}: {value:.4g} {forest.unit}; {forest.error_note}"
        yield from (bound.remark(arch) for bound in self.forests)
        if caution := self.model.caution(arch):
            yield caution

    @cached_property
    def latency_error(self) -> LatencyError:
        """The error of the latencies of networks of the space, as that of one of them."""
        return error_of(self.model, self.space.decode(self._sampled[0].tolist()))

    @cached_property
    def share_within_error(self) -> float | None:
        """The share of random networks of the space whose latency is the budget within the error of the target.

        None where no error is known. Such networks cannot be told from the budget by the prediction.
        """
        percent = self.latency_error.percent
        if percent is None:
            return None
        latencies = compile_table(self.space, self.model).score(self._sampled)
        return float(np.mean(np.abs(self.latency_budget / latencies - 1) <= percent / 100))

    @property
    def macs_correlation(self) -> float:
        """The rank correlation of latency with MACs over random networks of the space."""
        latencies, macs = (compile_table(self.space, cost).score(self._sampled) for cost in (self.model, MACS))
        return rank_correlation(latencies, macs)

    @cached_property
    def _sampled(self) -> Genotypes:
        """Random networks of the space [N, D]."""
        return self.space.sample(np.random.default_rng(0), SAMPLED)

    def prediction_error(self, arch: ArchSpec) -> PredictionError:
        """Return how far the predicted latency of `arch` can be trusted."""
        known = error_of(self.model, arch)
        return PredictionError(
            known.percent, known.mean_percent, known.basis, self.model.setup, self.share_within_error
        )

    @cached_property
    def reachable(self) -> tuple[float, float]:
        """The smallest and the largest latency in the space."""
        table = compile_table(self.space, self.model)
        return float(table.minimum()[0]), float(table.maximum()[0])

    @cached_property
    def proxy_dataset(self) -> Dataset:
        """The data set at the resolution of proxies."""
        return at_resolution(self.dataset, self.proxy_resolution)

    @cached_property
    def signature(self) -> Signature:
        """What target networks take, normalised as the search normalises the images of proxies."""
        return signature(self.proxy_dataset, self.space.input_shape)

    @property
    def front_end(self) -> dict[str, Any] | None:
        """The front end for waveforms in its plain form, None where the data have no sample rate."""
        found = front_end_of(self.settings, self.dataset.sample_rate)
        return None if found is None else found.to_dict()

    def proxy(self, space: StagedSpace) -> StagedSpace:
        """Return the space of proxies that the supernet trains."""
        return space.proxy(self.proxy_resolution, self.proxy_width)


def latency_model_of(
    config: SearchConfig, target: Target | None, shape: Shape, num_classes: int, sample_rate: int | None = None
) -> Roofline:
    """Return the latency model of the `target`, or of the configured abstract device; `shape` is that of inputs."""
    if target is not None:
        return target.model(config.latency_model)
    assert config.ridge_point is not None
    reference = reference_of(config, shape, num_classes, sample_rate)
    return abstract_target(config.ridge_point, config.peak_gmacs_per_s, reference)


def reference_of(
    config: SearchConfig, shape: Shape, num_classes: int, sample_rate: int | None, name: str = REFERENCE
) -> ArchSpec:
    """Return a reference network for the input and the classes of target networks, of waveforms on spectrograms.

    Their DFT is computed as that of the networks searched.
    """
    if sample_rate is not None:
        return behind_log_mel(reference(name), shape.height, sample_rate, num_classes, config.dft)
    return reference_network(shape, num_classes, config.drop_strides, name)


def reference_network(shape: Shape, num_classes: int, drop_strides: bool = False, name: str = REFERENCE) -> ArchSpec:
    """Return a reference network for an input that is no waveform, and a number of classes."""
    return with_input(reference(name), shape.size, shape.channels, num_classes, drop_strides)


def proxy_load(plan: SearchPlan) -> float:
    """Return by how much an example takes longer than in `quick`: by the pixels and the width of the proxy.

    Of waveforms by the mean MACs of some proxies: behind a front end the maps have another size than the input.
    """
    if not plan.dataset.is_waveforms:
        return proxy_scale(plan.proxy_resolution, plan.proxy_width)
    sample = plan.space.sample(np.random.default_rng(0), SAMPLED_PROXIES)
    archs = (plan.space.decode(tuple(row)) for row in sample.tolist())
    macs = [scale_down(arch, plan.proxy_resolution, plan.proxy_width).macs for arch in archs]
    return float(np.mean(macs)) / QUICK_MACS


def make_plan(
    config: SearchConfig,
    dataset: Dataset | None = None,
    front: Callable[[SearchPlan], tuple[float, ...]] | None = None,
    sources: Sources | None = None,
) -> SearchPlan:
    """Return the plan for `config`, whose data set, or all that it names (`sources`), may be loaded already.

    `front` returns the latency budgets of a whole front, given the plan for the one that the settings say; the nearest
    of them takes its place. Raises `InvalidInput` or `UnknownName`, in one line, where it cannot be carried out.
    """
    _check_numbers(config)
    preset = load_preset(config.preset).with_finalists(config.finalists)
    if not config.compilation_counts:
        preset = replace(preset, compilation_steps=0)
    if config.core_hours is not None:
        preset = preset.with_verdict_within(VERDICT_SHARE * 3600 * config.core_hours)
    sources = sources or read_sources(config, dataset)
    config, dataset = sources.settings, sources.dataset
    shape = sources.space.input_shape
    rate = dataset.sample_rate
    model = latency_model_of(config, sources.target, shape, dataset.num_classes, rate)
    latency_budget = _latency_budget(config, model, sources.space, rate)
    plan = SearchPlan(
        config,
        preset,
        dataset,
        sources.space,
        sources.target,
        model,
        latency_budget,
        proxy_size(
            preset,
            dataset.size,
            shape.size,
            config.proxy_resolution,
            images=dataset.is_images,
            waveforms=dataset.is_waveforms,
        ),
        _proxy_width(config, preset, sources.space),
    )
    plan = replace(plan, preset=preset.with_longer_trials(plan.trial_times(1)))
    if front is not None:
        budgets, default = front(plan), latency_budget
        nearest = min(budgets, key=lambda budget: abs(np.log(budget / default)))
        plan = replace(plan, front=budgets, latency_budget=nearest)
    if config.baseline != NO_BASELINE:
        reference_of(config, shape, dataset.num_classes, rate, config.baseline)
    # Build what the search will need, for the errors alone: they are reported before any work.
    _check_model(plan)
    _check_int8(plan)
    plan.proxy(plan.space)
    check_names(config.minimize, plan.energy is not None)
    plan.columns(plan.space.coarse())
    _check_reach(plan)
    return plan


def _proxy_width(config: SearchConfig, preset: Preset, space: StagedSpace) -> float:
    """Return the width of proxies: as configured, else that of the space, else the preset's."""
    return next(w for w in (config.proxy_width, space.proxy_width, preset.proxy_width) if w is not None)


def _check_numbers(config: SearchConfig) -> None:
    """Raise `InvalidInput` for a number out of range."""
    for name, value in asdict(config).items():
        if isinstance(value, float) and not np.isfinite(value):
            raise InvalidInput(f"{name} must be a finite number, got {value}")
        if (
            (name.startswith("max_") or name in ("latency_ms", "latency_ratio", "core_hours"))
            and value is not None
            and value <= 0
        ):
            raise InvalidInput(f"{name} must be positive, got {value}")
    if config.seed < 0:
        raise InvalidInput(f"the seed must be 0 or larger, got {config.seed}")
    if not 0 <= config.supernet_share <= MOST_SUPERNET:
        raise InvalidInput(f"the supernet's share must lie between 0 and {MOST_SUPERNET}, got {config.supernet_share}")


def _check_int8(plan: SearchPlan) -> None:
    """Raise `InvalidInput` where candidates in int8 would be priced in other numbers, or trained alone in floats."""
    config, target = plan.settings, plan.target
    if not config.is_int8:
        return
    if config.finalists is not None:
        raise InvalidInput(
            "finalists of two stages are trained alone, in floats: for int8 leave them out, or choose an accuracy "
            "model, which trains networks alone and scores them in int8"
        )
    if target is not None and target.dtype != config.quantize:
        raise InvalidInput(f"candidates in int8 are priced on a target in int8; {target.name} is in {target.dtype}")
    if plan.accuracy_model is not None:
        ends = [(0,) * len(plan.space.decisions), tuple(len(one.options) - 1 for one in plan.space.decisions)]
        for genotype in ends:  # `InvalidInput` for an op without an int8 form
            program_of(plan.space.decode(genotype))


def _check_model(plan: SearchPlan) -> None:
    """Raise for an accuracy model that does not exist or cannot serve, and for settings that need one."""
    config = plan.settings
    if plan.accuracy_model is None:
        if config.core_hours is not None:
            raise InvalidInput(
                "core hours are those of a search with an accuracy model: add --accuracy-model ridge, or --preset "
                "standard, which has one"
            )
        return
    if config.one_stage:
        raise InvalidInput(
            "one stage is that of a search over supernets: leave --one-stage out, or choose --accuracy-model none"
        )
    if config.finalists is not None:
        raise InvalidInput(
            "finalists are those of the two-stage search: leave --finalists out, or choose --accuracy-model none"
        )
    load("accuracy model", ACCURACY_MODELS, plan.accuracy_model)


def _latency_budget(config: SearchConfig, model: Roofline, space: StagedSpace, sample_rate: int | None) -> float:
    """Return the latency budget in the unit of `model`, by default the latency of the reference network.

    Of waveforms the default is the geometric middle of what the space reaches: the reference is a network of images. Of
    a search with costs to minimise it is no more than the largest latency of the space: then every network keeps it.
    """
    budget, other_unit = config.latency_ms, config.latency_ratio
    flags = ("--latency-ms", "--latency-ratio")
    if model.unit != "ms":
        budget, other_unit, flags = other_unit, budget, flags[::-1]
    if other_unit is not None:
        raise InvalidInput(f"latencies on '{model.name}' are in {model.unit}: give {flags[0]} instead of {flags[1]}")
    if budget is not None:
        return budget
    shape, classes = space.input_shape, space.num_classes
    default = model.predict_ms(reference_of(config, shape, classes, sample_rate))
    if not config.minimize and sample_rate is None:
        return default
    table = compile_table(space, model)
    low, high = float(table.minimum()[0]), float(table.maximum()[0])
    return min(default, high) if config.minimize else float(np.sqrt(low * high))


def _check_reach(plan: SearchPlan) -> None:
    """Raise where the latency or a hard bound is out of reach, each alone or all together."""
    (low, high), unit = plan.reachable, plan.model.unit
    where = f"space '{plan.settings.space}' at {plan.input_shape.size.text} on '{plan.target_name}'"
    slack = TOLERANCE if plan.settings.around else ROUNDING
    if not low * (1 - slack) <= plan.latency_budget <= high * (1 + TOLERANCE):
        raise InvalidInput(
            f"the latency must lie between {_rounded_up(low):.10g} and {high:.4g} {unit} for {where}, "
            f"got {plan.latency_budget:.4g} {unit}; ask for one in that range"
        )
    for bound, (table, limit) in zip(plan.bounds, plan.limits(plan.space), strict=True):
        least, most = (bound.format(extreme()[0]) for extreme in (table.minimum, table.maximum))
        if limit < table.minimum()[0]:
            raise InvalidInput(
                f"{bound.setting} must be at least {least} for {where}, got {bound.most:,}; networks there have "
                f"{least} to {most} {bound.unit}"
            )
    if plan.bounds:
        _check_together(plan)
    check_reach(plan.constraints(plan.space), plan.space)


def _check_together(plan: SearchPlan) -> None:
    """Raise where latency and hard bounds cannot be kept together: with a proof, or with the nearest miss."""
    # Tables in the units of the user, under the names of the flags: the message of `Bounded` quotes both.
    limits = [
        (table.in_units(bound.setting.removeprefix("max_"), bound.per_unit), bound.most)
        for bound, (table, _) in zip(plan.bounds, plan.limits(plan.space), strict=True)
    ]
    latency = compile_table(plan.space, plan.model).in_units(unit_of("latency", plan.model)[0], 1.0)
    if plan.settings.around:
        target = float(np.clip(plan.latency_budget, *plan.reachable))
        limits = list(upper_bounds(Constraints(latency, target, TOLERANCE, tuple(limits))))
    else:
        limits.append((latency, plan.latency_budget))
    try:
        _ = Bounded(plan.space, tuple(limits)).start
    except InvalidInput as error:
        raise InvalidInput(f"on '{plan.target_name}', {error}") from error


def _largest_latency(plan: SearchPlan, aim: float) -> float:
    """Return the largest latency found that an architecture within all bounds has; `aim` where that is near the aim.

    By bisection, which ends at `aim` too where no architecture is found at all: that is refused elsewhere.
    """
    latency, limits = compile_table(plan.space, plan.model), plan.limits(plan.space)

    def slower(least: float) -> float | None:
        """Return the latency of an architecture within the bounds that takes at least `least`, None for none found."""
        bounds = (*limits, (latency, plan.latency_budget), (latency.negative(), -least))
        try:
            return float(latency.score(Bounded(plan.space, bounds).start[None])[0])
        except InvalidInput:
            return None

    if slower(aim * (1 - TOLERANCE)) is not None or (found := slower(plan.reachable[0])) is None:
        return aim
    most = aim
    for _ in range(BISECTIONS):
        middle = (found + most) / 2
        higher = slower(middle)
        found, most = (found, middle) if higher is None else (higher, most)
    return found
