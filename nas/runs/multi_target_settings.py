"""The settings of a search for many targets over a supernet trained once: typed data, checked, and as JSON.

One configuration is one run folder. Its targets share everything but the device and the latency budget.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from nas.data import Dataset
from nas.errors import InvalidInput
from nas.records.networks import UNIVERSAL
from nas.records.typed import typed, value_of
from nas.runs.front_config import FrontConfig, budgets_of, check_front
from nas.runs.plan import SearchPlan, make_plan
from nas.runs.settings import NO_MODEL, SearchConfig
from nas.runs.sources import Sources, read_sources
from nas.search.strategy import strategy
from nas.supernet.presets import load_preset

SCHEMA = "nas.specialise"
TARGET_SCHEMA = "nas.specialise.target"  # of the folder of one of several targets
VERSION = 1
SUPERNET = "supernet"  # the evaluator of every run that names no other
STAGES = 2  # of the search for one latency: filters and depths, then blocks
LATER: dict[str, Any] = {"evaluator": SUPERNET, "front": None, "cost_front": False}  # that runs of release 0.1 lack


@dataclass(frozen=True)
class MultiTargetConfig:
    """Everything that the result files of a run depend on, but for the weights in `source`."""

    settings: tuple[SearchConfig, ...]  # one per target; equal but for target, ridge point and latency
    algorithm: str
    trials: int  # per target and stage, or per target and budget of a front
    more_trials: int = 0  # per target, in its fine stage: what `nas resume --budget` added
    universal: bool = False
    source: str | None = None  # SHA-256 of the weights that came from another run; None: trained here
    evaluator: str = SUPERNET  # of `nas.registry.EVALUATORS`, or "module:attribute"
    front: FrontConfig | None = None  # a whole front instead of the network for one latency budget
    cost_front: bool = False  # the front of error and the costs that the settings minimise, over the whole space

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the targets, for the screen and for folders."""
        return tuple(map(target_name, self.settings))

    @property
    def accuracy_model(self) -> str | None:
        """The accuracy model of a whole front, whose networks are trained alone; None for one over a supernet."""
        if self.front is None or self.source is not None or self.evaluator != SUPERNET:
            return None
        return self.settings[0].model_name

    @property
    def asked(self) -> int:
        """Candidates asked at once."""
        return strategy(self.algorithm).ask(self.trials)

    @property
    def batch(self) -> int:
        """Candidates per batch, whatever the number of workers."""
        return strategy(self.algorithm).batch

    def is_asked_again(self, known: "MultiTargetConfig") -> bool:
        """Return whether these settings, given anew, are those of a run: what no flag gives is as the run has it."""
        same = len(self.settings) == len(known.settings) and all(
            own.is_asked_again(other) for own, other in zip(self.settings, known.settings, strict=True)
        )
        return same and replace(self, settings=known.settings) == known

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form without the fields of `LATER` that are as in runs of release 0.1, which lack them."""
        found = {name: value for name, value in asdict(self).items() if getattr(self, name) != LATER.get(name, ...)}
        return found | {"settings": tuple(one.to_dict() for one in self.settings)}

    @classmethod
    def from_dict(cls, data: Any) -> "MultiTargetConfig":
        """Return the configuration in the JSON form `data`; `InvalidInput` where it is none."""
        if not isinstance(data, dict) or {*LATER, *data} != {f.name for f in fields(cls)}:
            raise InvalidInput("the stored request is malformed; start a new run")
        try:
            front = None if data.get("front") is None else FrontConfig.from_dict(data["front"])
            settings = tuple(
                map(SearchConfig.from_dict, value_of(tuple[dict[str, Any], ...], data["settings"], "settings"))
            )
            return typed(cls, {**data, "settings": settings, "front": front})
        except TypeError as error:
            raise InvalidInput(f"the stored request is malformed: {error}; start a new run") from error


def target_name(config: SearchConfig) -> str:
    """Return a name for the target of `config`, of characters that every file system takes."""
    if config.target is None:
        name = f"ridge{config.ridge_point:g}"
    elif ":" in config.target:  # "module:attribute"
        name = config.target.rpartition(":")[2]
    else:
        name = Path(config.target).stem
    return re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII)


def default_trials(algorithm: str, preset: str, front: FrontConfig | None = None) -> int:
    """Return the trials per target and stage: as many as the preset evaluates for a front; four times for a policy.

    Of a whole `front` those per budget: all budgets together get what both stages of one latency get.
    """
    trials = load_preset(preset).front_size * strategy(algorithm).trials_per_candidate
    return trials if front is None else max(1, STAGES * trials // front.points)


def wants_cost_front(algorithm: str, settings: SearchConfig, *, universal: bool, front: FrontConfig | None) -> bool:
    """Return whether a search is one for the front of error and the costs to minimise, rather than for one network."""
    return bool(settings.minimize) and not universal and front is None and not strategy(algorithm).projects


def per_target(
    base: SearchConfig, targets: Sequence[str | None], latencies: Sequence[float]
) -> tuple[SearchConfig, ...]:
    """Return `base` for each target with its latency budget; no `latencies`: the default on each."""
    if latencies and len(latencies) != len(targets):
        raise InvalidInput(
            f"--latency-ms must have one latency per target or be left out, got {len(latencies)} for {len(targets)} "
            "targets"
        )
    budgets: Sequence[float | None] = latencies or [None] * len(targets)
    return tuple(replace(base, target=t, latency_ms=ms) for t, ms in zip(targets, budgets, strict=True))


def check(config: MultiTargetConfig) -> None:
    """Raise `InvalidInput` or `UnknownName`, in one line, for a configuration that cannot be carried out."""
    used = strategy(config.algorithm)
    if used.joint:
        raise InvalidInput("the joint search trains for one target; for several choose an --algorithm, nsga2 say")
    if config.trials < 1 or config.more_trials < 0:
        raise InvalidInput(f"the trials must be 1 or more, got {min(config.trials, config.more_trials)}")
    if not used.projects and any(one.forest_bounds for one in config.settings):
        raise InvalidInput(
            f"a bound on a forest is kept by checked repair, which joint and reinforce have and "
            f"{config.algorithm} has not; leave --bound out, or choose one of them"
        )
    if len(set(config.names)) < len(config.names):
        raise InvalidInput(f"the targets must differ, got {', '.join(config.names)}")
    if UNIVERSAL in config.names and len(config.names) > 1:
        raise InvalidInput(f"a target cannot be called '{UNIVERSAL}' here; rename its file")
    if config.universal and len(config.settings) < 2:
        raise InvalidInput("--universal needs several targets; name them with --target a,b")
    if config.front:
        check_front(config.front, config.settings)
        _check_front_alone(config)
    if config.universal and used.projects:
        raise InvalidInput(
            f"--universal needs an algorithm without a target lock, such as nsga2; '{config.algorithm}' locks on the "
            "latency of one target"
        )


def _check_front_alone(config: MultiTargetConfig) -> None:
    """Raise `InvalidInput` for what does not go together with a whole front."""
    if config.universal:
        raise InvalidInput("--universal goes with one latency per target; leave out --front, or --universal")
    if strategy(config.algorithm).projects:
        raise InvalidInput(
            f"--front needs an algorithm that proposes networks of any latency, such as nsga2; '{config.algorithm}' "
            "learns a policy for one latency"
        )
    model = config.settings[0].accuracy_model
    if model not in (None, NO_MODEL) and config.accuracy_model is None:
        raise InvalidInput(
            "an accuracy model trains networks alone: leave out --accuracy-model, or --from and --evaluator"
        )
    if config.more_trials:
        raise InvalidInput("a search for a whole front is not extended; start another with more --trials")


def check_around(config: MultiTargetConfig) -> None:
    """Raise `InvalidInput` for a two-sided aim where the algorithm takes the latency budget as upper bound only.

    Runs of older releases, which do not say which it is, are not checked.
    """
    if any(one.around for one in config.settings) and not strategy(config.algorithm).projects:
        raise InvalidInput(
            f"--around goes with joint and reinforce; {config.algorithm} takes the latency budget as an upper bound"
        )


def read_all_sources(config: MultiTargetConfig, dataset: Dataset | None = None) -> tuple[Sources, ...]:
    """Return what the settings for each target name, on `dataset` where it is loaded; images are read once."""
    sources: tuple[Sources, ...] = ()
    for settings in config.settings:
        sources += (read_sources(settings, sources[0].dataset if sources else dataset),)
    # One supernet serves all targets, so that what one of them does not run is left out for all.
    names = {name for one in sources for name in one.settings.left_out}
    return tuple(one.without(names) for one in sources)


def make_plans(config: MultiTargetConfig, sources: Sequence[Sources] = ()) -> tuple[SearchPlan, ...]:
    """Return the plan for each target, from `sources` where they are read; raises as `check` and `make_plan` do."""
    check(config)
    plans: tuple[SearchPlan, ...] = ()
    for number, read in enumerate(sources or read_all_sources(config)):
        front = partial(budgets_of, config.front, number) if config.front else None
        plans += (make_plan(read.settings, front=front, sources=read),)
    if len({plan.target_name for plan in plans}) < len(plans):
        raise InvalidInput(f"the targets must differ, got {', '.join(plan.target_name for plan in plans)}")
    return plans
