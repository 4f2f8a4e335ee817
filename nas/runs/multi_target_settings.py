"""What is asked of searches over a supernet trained once: targets, algorithm, trials. Typed data, checked, and as JSON.

One request is one run folder. Its targets share everything but the device and the wanted latency.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from nas.errors import InvalidInput, unknown_name
from nas.registry import ALGORITHMS, load
from nas.runs.plan import SearchPlan, make_plan
from nas.runs.settings import SearchConfig
from nas.supernet.presets import load_preset

SCHEMA = "nas.specialise"
TARGET_SCHEMA = "nas.runs.multi_target.target"  # of the folder of one of several targets
VERSION = 1
JOINT = "joint"  # the algorithm that trains weights and policy together, nas/runs/joint_search.py
REINFORCE = "reinforce"  # over a trained supernet, nas/search/algorithms/fixed_supernet_reinforce.py
UNIVERSAL = "universal"  # the folder of the network for all targets
TRIALS_PER_STEP = 8  # of the controller
ASKED = 32  # candidates asked at once at most: what that many workers can share
ROUNDS = 8  # at least, so that an algorithm learns from what it asked
BATCH = 8  # candidates per batch that a worker gets
REINFORCE_BATCH = 2


@dataclass(frozen=True)
class MultiTargetConfig:
    """Everything that the result files of a run depend on, but for the weights in `source`."""

    settings: tuple[SearchConfig, ...]  # one per target; equal but for target, ridge point and latency
    algorithm: str
    trials: int  # per target and stage
    more_trials: int = 0  # per target, in its fine stage: what `nas resume --budget` added
    universal: bool = False
    source: str | None = None  # SHA-256 of the weights that came from another run; None: trained here

    @property
    def names(self) -> tuple[str, ...]:
        """What the targets are called, on the screen and as folders."""
        return tuple(map(target_name, self.settings))

    @property
    def asked(self) -> int:
        """Candidates asked at once."""
        if self.algorithm == REINFORCE:
            return TRIALS_PER_STEP
        return max(1, min(ASKED, self.trials // ROUNDS))

    @property
    def batch(self) -> int:
        """Candidates per batch, whatever the number of workers."""
        return REINFORCE_BATCH if self.algorithm == REINFORCE else BATCH

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Any) -> "MultiTargetConfig":
        """Return the request stored as `data`; `InvalidInput` where it is none."""
        if not isinstance(data, dict) or set(data) != {f.name for f in fields(cls)}:
            raise InvalidInput("the stored request is malformed; start a new run")
        return cls(**{**data, "settings": tuple(map(SearchConfig.from_dict, data["settings"]))})


def target_name(settings: SearchConfig) -> str:
    """Return a name for the device of `settings`, in letters that any file system takes."""
    name = f"ridge{settings.ridge_point:g}" if settings.target is None else Path(settings.target).stem
    return re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII)


def default_trials(algorithm: str, preset: str) -> int:
    """Return the trials per target and stage: as many as the preset evaluates for a front; four times for a policy."""
    return load_preset(preset).front_size * (4 if algorithm == REINFORCE else 1)


def per_target(
    base: SearchConfig, targets: Sequence[str | None], latencies: Sequence[float]
) -> tuple[SearchConfig, ...]:
    """Return `base` for each target with its wanted latency; no `latencies`: the default on each."""
    if latencies and len(latencies) != len(targets):
        raise InvalidInput(
            f"--latency-ms must have one latency per target or be left out, got {len(latencies)} for {len(targets)} "
            "targets"
        )
    wanted: Sequence[float | None] = latencies or [None] * len(targets)
    return tuple(replace(base, target=t, latency_ms=ms) for t, ms in zip(targets, wanted, strict=True))


def check(request: MultiTargetConfig) -> None:
    """Raise the one line that says what is wrong with `request`, before any work."""
    known = (*ALGORITHMS, REINFORCE)
    if request.algorithm not in known:
        if ":" not in request.algorithm:
            raise unknown_name("algorithm", request.algorithm, (*known, JOINT))
        load("algorithm", ALGORITHMS, request.algorithm)
    if request.trials < 1 or request.more_trials < 0:
        raise InvalidInput(f"the trials must be 1 or more, got {min(request.trials, request.more_trials)}")
    if request.algorithm != REINFORCE and any(one.forest_bounds for one in request.settings):
        raise InvalidInput(
            f"a bound on a forest is kept by checked repair, which {JOINT} and {REINFORCE} have and "
            f"{request.algorithm} has not; leave --bound out, or choose one of them"
        )
    if len(set(request.names)) < len(request.names):
        raise InvalidInput(f"the targets must differ, got {', '.join(request.names)}")
    if UNIVERSAL in request.names and len(request.names) > 1:
        raise InvalidInput(f"a target cannot be called '{UNIVERSAL}' here; rename its file")
    if request.universal and len(request.settings) < 2:
        raise InvalidInput("--universal needs several targets; name them with --target a,b")
    if request.universal and request.algorithm == REINFORCE:
        raise InvalidInput(
            f"--universal needs an algorithm without a target lock, such as nsga2; '{REINFORCE}' locks on the latency "
            "of one target"
        )


def make_plans(request: MultiTargetConfig) -> tuple[SearchPlan, ...]:
    """Return the plan for each target, or raise the one line that says why there is none."""
    check(request)
    plans = tuple(map(make_plan, request.settings))
    if len({plan.target for plan in plans}) < len(plans):
        raise InvalidInput(f"the targets must differ, got {', '.join(plan.target for plan in plans)}")
    return plans
