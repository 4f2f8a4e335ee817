"""From what a user asks to what will be done: settings, the targets and spaces they name, checked before any work.

The specs, costs and latencies of a search are always those of the deployed network; its accuracies those of the proxy.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from latency_models.energy import Energy
from latency_models.forest import SUFFIX
from latency_models.roofline import Roofline
from latency_models.target import abstract_target, load_target
from nas.arch import ArchSpec
from nas.data import Dataset
from nas.data import load as load_data
from nas.errors import InvalidInput
from nas.protocols import Cost
from nas.registry import LATENCY_MODELS, SPACES, load
from nas.runs.settings import SearchConfig
from nas.search.constraints.bounds import Bounded
from nas.search.constraints.forest_bounds import ForestBound, check_reach, digest, with_forest_bounds
from nas.search.constraints.project import upper_bounds
from nas.search.constraints.repair import Constraints
from nas.search.objectives import Column, check_names, columns, known_costs, unit_of
from nas.space.cost_table import MACS, PARAMS, PEAK_ACTIVATION, WEIGHTS, CostTable, compile_table
from nas.space.scaling import with_input
from nas.space.staged import StagedSpace
from nas.supernet.presets import Preset, load_preset, proxy_resolution
from nas.zoo import reference

REFERENCE = "mobilenetv4-conv-s"  # its latency is the default target, and the unit of an abstract device
CHANNELS = 3  # of the deployed network; grey images are repeated
TOLERANCE = 0.01  # of the latency


@dataclass(frozen=True)
class Bound:
    """A hard upper bound on a cost of the deployed network, in the unit that a user gives it in."""

    setting: str  # the field of `Settings`
    words: str  # what it counts
    cost: Cost
    most: float
    per_unit: float = 1.0  # what the cost counts in one unit of `most`

    @property
    def limit(self) -> float:
        """The bound in the unit of the cost."""
        return self.most * self.per_unit

    def shown(self, value: float) -> str:
        """Return a cost in the unit of the bound, rounded up to 4 digits where it is no whole number."""
        mine = value / self.per_unit
        if mine == int(mine):
            return f"{int(mine):,}"
        step = 10.0 ** (np.floor(np.log10(mine)) - 3)
        return f"{np.ceil(mine / step) * step:,.10g}"


@dataclass(frozen=True)
class SearchPlan:
    """A search ready to start: everything the settings name, loaded and checked."""

    settings: SearchConfig
    preset: Preset
    dataset: Dataset
    space: StagedSpace  # deployed, all decisions
    model: Roofline
    latency_budget: float  # latency in the model's unit
    proxy_resolution: int
    proxy_width: float

    @property
    def target(self) -> str:
        """The target's name, or the abstract device's."""
        return self.model.name

    def constraints(self, space: StagedSpace) -> Constraints:
        """Return what an architecture of `space` must keep; a stage that cannot reach it aims at its nearest point."""
        latency = compile_table(space, self.model)
        target = float(np.clip(self.latency_budget, latency.minimum()[0], latency.maximum()[0]))
        limits = [(table, max(bound, table.minimum()[0])) for table, bound in self.limits(space)]
        return with_forest_bounds(Constraints(latency, target, TOLERANCE, tuple(limits)), space, self.forests)

    @cached_property
    def forests(self) -> tuple[ForestBound, ...]:
        """The bounds on what forests predict."""
        return tuple(map(ForestBound.parse, self.settings.forest_bounds))

    @property
    def forest_digests(self) -> dict[str, str]:
        """What identifies each forest that counts in this search."""
        paths = (*(bound.path for bound in self.forests), *self.settings.minimize)
        return {path: digest(path) for path in paths if path.endswith(SUFFIX)}

    def columns(self, space: StagedSpace) -> list[Column]:
        """Return the costs over `space` that front.csv has beside latency, MACs and parameters."""
        s = self.settings
        energy = known_energy(s)
        asked = (name for name in s.minimize if name not in ("latency", "macs", "params"))
        names = dict.fromkeys((*known_costs(energy), *(bound.path for bound in self.forests), *asked))
        return columns(space, tuple(names), self.model, energy)

    def limits(self, space: StagedSpace) -> list[tuple[CostTable, float]]:
        """Return the hard bounds as (table over `space`, bound)."""
        return [(compile_table(space, bound.cost), bound.limit) for bound in self.bounds]

    @cached_property
    def bounds(self) -> tuple[Bound, ...]:
        """What hard bounds the settings ask for."""
        s, (memory, flash) = self.settings, (unit_of(name, self.model)[1] for name in ("memory", "flash"))
        asked: list[tuple[str, str, Callable[[], Cost], float | None, float]] = [
            ("max_params", "parameters", lambda: PARAMS, s.max_params, 1.0),
            ("max_macs", "MACs", lambda: MACS, s.max_macs, 1.0),
            ("max_memory_kb", "KB of activations at once", lambda: PEAK_ACTIVATION, s.max_memory_kb, memory),
            ("max_flash_kb", "KB of weights", lambda: WEIGHTS, s.max_flash_kb, flash),
            ("max_energy_mj", "mJ a batch", lambda: energy_model(s), s.max_energy_mj, 1.0),
        ]
        return tuple(
            Bound(setting, words, cost(), most, per_unit)
            for setting, words, cost, most, per_unit in asked
            if most is not None
        )

    def remarks(self, arch: ArchSpec) -> Iterator[str]:
        """Yield what a reader must know of the predictions for `arch`."""
        if self.settings.max_energy_mj is not None:
            yield f"predicted energy: {energy_model(self.settings).predict_mj(arch):.4g} mJ a batch"
        yield from (bound.remark(arch) for bound in self.forests)
        if caution := self.model.caution(arch):
            yield caution

    @cached_property
    def reachable(self) -> tuple[float, float]:
        """The smallest and the largest latency in the space."""
        table = compile_table(self.space, self.model)
        return float(table.minimum()[0]), float(table.maximum()[0])

    def proxy(self, space: StagedSpace) -> StagedSpace:
        """Return the space of proxies that the supernet trains."""
        return space.proxy(self.proxy_resolution, self.proxy_width)

    def lines(self, *, joint: bool = True) -> list[str]:
        """Return the plan in words, without `joint` only what a search over a supernet trained once shares with it."""
        unit, s, p = self.model.unit, self.settings, self.preset
        low, high = self.reachable
        coarse = self.space.coarse()
        asked = s.latency_ms is not None or s.latency_ratio is not None
        source = "as asked" if asked else f"that of {REFERENCE} rebuilt for {s.resolution} px"
        aim = f"target {self.target}: {self.latency_budget:.4g} {unit} ({source}); reachable {low:.4g} to {high:.4g} {unit}"
        lines = [
            f"space {s.space}: {self.space.size():.3g} architectures, coarse stage {coarse.size():,}",
            f"deployed network: {s.resolution} px, {CHANNELS} channels, {self.dataset.num_classes} classes",
            *([aim] if joint else []),
            f"data {self.dataset.name}: {len(self.dataset.y_train):,} training images, of which "
            f"{p.validation_fraction:.0%} are held out for rewards; the test set is not seen",
            f"proxy trained by the supernet: {self.proxy_resolution} px, width {self.proxy_width:g}; "
            "accuracies are the proxy's, costs and latency the deployed network's",
        ]
        if joint:
            lines.append(
                f"preset {p.name}: coarse {p.coarse.steps} and fine {p.fine.steps} controller steps, "
                f"{p.coarse.updates} weight updates each, batch {p.batch}; seed {s.seed}"
            )
            lines += p.retraining.description() if p.retraining else ()
        lines += [f"hard bound: at most {bound.most:,} {bound.words}" for bound in self.bounds]
        lines += [bound.description for bound in self.forests]
        if s.minimize:
            lines.append(f"front.csv: not dominated in accuracy, latency and {', '.join(s.minimize)}")
        return lines + [f"data note: {note}" for note in self.dataset.notes]


def load_model(settings: SearchConfig, num_classes: int) -> Roofline:
    """Return the latency model of the settings' target or abstract device."""
    if settings.ridge_point is None:
        if settings.peak_gmacs_per_s is not None:
            raise InvalidInput("--peak-gmacs-per-s goes with --ridge-point; give both, or a --target")
        build = load("latency model", LATENCY_MODELS, settings.latency_model)
        model: Roofline = build(load_target(settings.target or "edgetpu"))
        return model
    if settings.target is not None:
        raise InvalidInput(f"give either --target {settings.target} or --ridge-point, not both")
    return abstract_target(settings.ridge_point, settings.peak_gmacs_per_s, scale(settings, num_classes))


def energy_model(settings: SearchConfig) -> Energy:
    """Return the energy of a batch on the settings' target; `InvalidInput` where nothing is known of it."""
    if settings.target is None:
        raise InvalidInput("--max-energy-mj needs a --target with energy coefficients; an abstract device has none")
    return load_target(settings.target).energy_model()


def known_energy(settings: SearchConfig) -> Energy | None:
    """Return the energy of a batch on the settings' target, None where nothing is known of it."""
    target = load_target(settings.target) if settings.target and settings.ridge_point is None else None
    return target.energy_model() if target and target.energy else None


def scale(settings: SearchConfig, num_classes: int) -> ArchSpec:
    """Return the reference network, rebuilt for the deployed resolution, channels and classes."""
    return with_input(reference(REFERENCE), settings.resolution, CHANNELS, num_classes)


def make_plan(settings: SearchConfig) -> SearchPlan:
    """Return the plan for `settings`, or raise the one line that says why there is none."""
    _check_numbers(settings)
    preset = load_preset(settings.preset).with_finalists(settings.finalists)
    base = load("space", SPACES, settings.space)
    if not isinstance(base, StagedSpace):
        raise InvalidInput(
            f"space '{settings.space}' has no supernet here, so it cannot be searched: it is for prediction and "
            "calibration; search a staged space, uib say"
        )
    if settings.target is not None and settings.ridge_point is None:
        load_target(settings.target)  # a typo is answered before any data is read
    dataset = load_data(settings.data, Path(settings.data_dir) if settings.data_dir else None)
    model = load_model(settings, dataset.num_classes)
    latency_budget = _latency_budget(settings, model, dataset.num_classes)
    plan = SearchPlan(
        settings,
        preset,
        dataset,
        base.with_input(settings.resolution, CHANNELS, dataset.num_classes),
        model,
        latency_budget,
        proxy_resolution(preset, dataset.resolution, settings.proxy_resolution),
        preset.proxy_width if settings.proxy_width is None else settings.proxy_width,
    )
    plan.proxy(plan.space)
    check_names(settings.minimize, known_energy(settings) is not None)
    plan.columns(plan.space.coarse())  # a file that holds no forest is answered before any work
    _check_reach(plan)
    return plan


def _check_numbers(settings: SearchConfig) -> None:
    for name, value in asdict(settings).items():
        if isinstance(value, float) and not np.isfinite(value):
            raise InvalidInput(f"{name} must be a finite number, got {value}")
        if (
            (name.startswith("max_") or name in ("latency_ms", "latency_ratio", "resolution"))
            and value is not None
            and value <= 0
        ):
            raise InvalidInput(f"{name} must be positive, got {value}")
    if settings.seed < 0:
        raise InvalidInput(f"the seed must be 0 or larger, got {settings.seed}")


def _latency_budget(settings: SearchConfig, model: Roofline, num_classes: int) -> float:
    given, other = settings.latency_ms, settings.latency_ratio
    flags = ("--latency-ms", "--latency-ratio")
    if model.unit != "ms":
        given, other, flags = other, given, flags[::-1]
    if other is not None:
        raise InvalidInput(f"latencies on '{model.name}' are in {model.unit}: give {flags[0]} instead of {flags[1]}")
    return model.predict_ms(scale(settings, num_classes)) if given is None else given


def _check_reach(plan: SearchPlan) -> None:
    """Raise where the latency or a hard bound is out of reach, each alone or all together."""
    (low, high), unit = plan.reachable, plan.model.unit
    where = f"space '{plan.settings.space}' at {plan.settings.resolution} px on '{plan.target}'"
    if not low * (1 - TOLERANCE) <= plan.latency_budget <= high * (1 + TOLERANCE):
        raise InvalidInput(
            f"the latency must lie between {low:.4g} and {high:.4g} {unit} for {where}, got {plan.latency_budget:.4g} {unit}; "
            "ask for one in that range"
        )
    for bound, (table, limit) in zip(plan.bounds, plan.limits(plan.space), strict=True):
        least, most = (bound.shown(extreme()[0]) for extreme in (table.minimum, table.maximum))
        if limit < table.minimum()[0]:
            raise InvalidInput(
                f"{bound.setting} must be at least {least} for {where}, got {bound.most:,}; networks there have "
                f"{least} to {most} {bound.words}"
            )
    if plan.bounds:
        _check_together(plan)
    check_reach(plan.constraints(plan.space), plan.space)


def _check_together(plan: SearchPlan) -> None:
    """Raise where latency and hard bounds cannot be kept together: with a proof, or with the nearest miss."""
    limits = [
        (table.in_units(bound.setting.removeprefix("max_"), bound.per_unit), bound.most)
        for bound, (table, _) in zip(plan.bounds, plan.limits(plan.space), strict=True)
    ]
    latency = compile_table(plan.space, plan.model).in_units(unit_of("latency", plan.model)[0], 1.0)
    named = Constraints(latency, float(np.clip(plan.latency_budget, *plan.reachable)), TOLERANCE, tuple(limits))
    try:
        _ = Bounded(plan.space, upper_bounds(named)).start
    except InvalidInput as error:
        raise InvalidInput(f"on '{plan.target}', {error}") from error
