"""The settings of a search for many targets over a supernet trained once: typed data, checked, and as JSON.

One configuration is one run folder. Its targets share everything but the device and the latency budget.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from nas.data import Dataset
from nas.errors import InvalidInput
from nas.records.networks import UNIVERSAL
from nas.runs.plan import SearchPlan, make_plan
from nas.runs.settings import SearchConfig
from nas.search.strategy import strategy
from nas.supernet.presets import load_preset

SCHEMA = "nas.specialise"
TARGET_SCHEMA = "nas.specialise.target"  # of the folder of one of several targets
VERSION = 1
SUPERNET = "supernet"  # the evaluator of every run that names no other


@dataclass(frozen=True)
class MultiTargetConfig:
    """Everything that the result files of a run depend on, but for the weights in `source`."""

    settings: tuple[SearchConfig, ...]  # one per target; equal but for target, ridge point and latency
    algorithm: str
    trials: int  # per target and stage
    more_trials: int = 0  # per target, in its fine stage: what `nas resume --budget` added
    universal: bool = False
    source: str | None = None  # SHA-256 of the weights that came from another run; None: trained here
    evaluator: str = SUPERNET  # of `nas.registry.EVALUATORS`, or "module:attribute"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the targets, for the screen and for folders."""
        return tuple(map(target_name, self.settings))

    @property
    def asked(self) -> int:
        """Candidates asked at once."""
        return strategy(self.algorithm).ask(self.trials)

    @property
    def batch(self) -> int:
        """Candidates per batch, whatever the number of workers."""
        return strategy(self.algorithm).batch

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form, without `evaluator` where it is the supernet: as runs of release 0.1 have it."""
        body = asdict(self)
        return body if self.evaluator != SUPERNET else {k: v for k, v in body.items() if k != "evaluator"}

    @classmethod
    def from_dict(cls, data: Any) -> "MultiTargetConfig":
        """Return the configuration in the JSON form `data`; `InvalidInput` where it is none."""
        if not isinstance(data, dict) or {"evaluator", *data} != {f.name for f in fields(cls)}:
            raise InvalidInput("the stored request is malformed; start a new run")
        return cls(**{**data, "settings": tuple(map(SearchConfig.from_dict, data["settings"]))})


def target_name(config: SearchConfig) -> str:
    """Return a name for the target of `config`, of characters that every file system takes."""
    if config.target is None:
        name = f"ridge{config.ridge_point:g}"
    elif ":" in config.target:  # "module:attribute"
        name = config.target.rpartition(":")[2]
    else:
        name = Path(config.target).stem
    return re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII)


def default_trials(algorithm: str, preset: str) -> int:
    """Return the trials per target and stage: as many as the preset evaluates for a front; four times for a policy."""
    return load_preset(preset).front_size * strategy(algorithm).trials_per_candidate


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
    if config.universal and used.projects:
        raise InvalidInput(
            f"--universal needs an algorithm without a target lock, such as nsga2; '{config.algorithm}' locks on the "
            "latency of one target"
        )


def check_around(config: MultiTargetConfig) -> None:
    """Raise `InvalidInput` for a two-sided aim where the algorithm takes the latency budget as upper bound only.

    Runs of older releases, which do not say which it is, are not checked.
    """
    if any(one.around for one in config.settings) and not strategy(config.algorithm).projects:
        raise InvalidInput(
            f"--around goes with joint and reinforce; {config.algorithm} takes the latency budget as an upper bound"
        )


def make_plans(config: MultiTargetConfig, dataset: Dataset | None = None) -> tuple[SearchPlan, ...]:
    """Return the plan for each target, on `dataset` where it is loaded; raises as `check` and `make_plan` do."""
    check(config)
    first = make_plan(config.settings[0], dataset)
    plans = (first, *(make_plan(other, first.dataset) for other in config.settings[1:]))  # images are read once
    if len({plan.target for plan in plans}) < len(plans):
        raise InvalidInput(f"the targets must differ, got {', '.join(plan.target for plan in plans)}")
    return plans
