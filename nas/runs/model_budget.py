"""How a search with an accuracy model spends its processor seconds: on networks trained alone, and on a supernet.

Expectations are processor seconds of one core on proxies of `uib`; no clock decides how much is computed, so the same
settings give the same bytes on every machine.
"""

from dataclasses import dataclass, replace

import numpy as np

from nas.errors import InvalidInput
from nas.protocols import Genotypes
from nas.runs.plan import SearchPlan, proxy_load
from nas.runs.settings import NO_BASELINE
from nas.search.accuracy.plan import cost_s, plan_trainings
from nas.search.accuracy.search import Schedule
from nas.search.constraints.bounds import Bounded
from nas.search.constraints.project import upper_bounds
from nas.space.scaling import scale_down
from nas.supernet.presets import StageBudget
from nas.supernet.sandwich import RANDOM_ARCHITECTURES
from nas.training.loop import PASSES

CORE_MACS_PER_S = 9.5e9  # that one core does in a training step of a small proxy
START_S = 22.0  # of a network with a program of its own: tracing, compilation, evaluation, files
ONE_PROGRAM_STEPS = 24  # in an epoch; of fewer, one program for all networks costs less than one for each
ONE_PROGRAM_START_S = 50.0  # of that program
MEMBER_START_S = 2.0  # of a network that it trains
MEMBER_EPOCH = 1.8  # times the epoch of a program of its own: it computes the largest sizes
SUPERNET_IMAGE_S = 3.2e-3  # of one image in a step of one architecture under shared weights, at 16 px and width 0.25
SUPERNET_START_S = 60.0
SUPERNET_NETWORKS = 4  # in a step of the sandwich rule
FEWEST_SUPERNET_STEPS = 400  # fewer taught a supernet of `uib` nothing about networks of equal latency
SAMPLED = 8  # networks whose mean MACs stand for all within the constraints


@dataclass(frozen=True)
class ModelBudget:
    """How much is trained: networks alone, and the steps of a supernet beside them (0: none is trained)."""

    schedule: Schedule
    supernet_steps: int
    trainings_s: float  # expected processor seconds
    supernet_s: float

    @property
    def share(self) -> float:
        """The supernet's share of both."""
        return self.supernet_s / (self.supernet_s + self.trainings_s)


@dataclass(frozen=True)
class AloneCosts:
    """Processor seconds of networks trained alone: once for all, for each network, and for each epoch of one."""

    once_s: float
    start_s: float
    epoch_s: float

    def of(self, schedule: Schedule) -> float:
        """Return the processor seconds of all trainings of a schedule."""
        return self.once_s + cost_s(schedule, self.epoch_s, self.start_s)


def costs_alone(plan: SearchPlan, sample: Genotypes) -> AloneCosts:
    """Return what trainings of a plan's proxies cost, by the MACs of a `sample` [N, D]."""
    of_epoch = epoch_s(plan, sample)
    if in_one_program(plan):
        return AloneCosts(ONE_PROGRAM_START_S, MEMBER_START_S, MEMBER_EPOCH * of_epoch)
    return AloneCosts(0.0, START_S, of_epoch)


def in_one_program(plan: SearchPlan) -> bool:
    """Return whether one program trains all networks alone on a CPU, as their trainings are short.

    Not where their scores are those in int8: each of these is computed by a program of its own.
    """
    few = plan.trial_steps_per_epoch < ONE_PROGRAM_STEPS
    return plan.settings.one_program and few and not plan.settings.is_int8


def rungs(plan: SearchPlan) -> tuple[int, ...]:
    """Return the epochs after which networks trained alone are compared, on few images several times the usual."""
    usual = Schedule().rungs
    return tuple(plan.trial_times(usual[0]) * epochs for epochs in usual)


def model_budget(plan: SearchPlan) -> ModelBudget:
    """Return how a plan with an accuracy model spends what it may; `InvalidInput` where that is too little."""
    hours, share = plan.settings.core_hours, plan.settings.supernet_share
    costs = costs_alone(plan, band(plan).draw(np.random.default_rng(0), SAMPLED))
    if hours is None:
        schedule = Schedule(rungs=rungs(plan))
        trainings_s = costs.of(schedule)
        steps = _supernet_steps(plan, trainings_s * share / (1 - share))
        return ModelBudget(schedule, steps, trainings_s, _supernet_s(plan, steps))
    whole_s = 3600 * hours - (plan.preset.verdict_core_s if plan.settings.baseline != NO_BASELINE else 0.0)
    steps = _supernet_steps(plan, whole_s * share)
    supernet_s = _supernet_s(plan, steps)
    try:
        left_s = whole_s - supernet_s - costs.once_s
        schedule = plan_trainings(left_s, costs.epoch_s, costs.start_s, rungs(plan)[-1])
    except InvalidInput as error:
        raise InvalidInput(f"--core-hours {hours:g} is too little for these images: {error}") from error
    return ModelBudget(schedule, steps, costs.of(schedule), supernet_s)


def with_supernet_steps(plan: SearchPlan, steps: int) -> SearchPlan:
    """Return the plan whose supernet of the whole space is trained for so many steps."""
    coarse = replace(plan.preset.coarse, steps=steps * RANDOM_ARCHITECTURES, updates=1)
    return replace(plan, preset=replace(plan.preset, coarse=coarse, fine=StageBudget(steps=0, updates=1)))


def band(plan: SearchPlan) -> Bounded:
    """Return the networks that may be the answer: within all bounds, and near the latency budget."""
    return Bounded(plan.space, upper_bounds(plan.constraints(plan.space)))


def epoch_s(plan: SearchPlan, sample: Genotypes) -> float:
    """Return the processor seconds of one epoch of one proxy, expected from the MACs of a `sample` [N, D]."""
    archs = [plan.space.decode(tuple(row)) for row in sample.tolist()]
    macs = float(np.mean([scale_down(arch, plan.proxy_resolution, plan.proxy_width).macs for arch in archs]))
    images = (1 - plan.preset.validation_fraction) * len(plan.dataset.y_train)
    return images * macs * PASSES / CORE_MACS_PER_S


def _supernet_s(plan: SearchPlan, steps: int) -> float:
    """Return the processor seconds of so many steps of the supernet, 0 for none."""
    scale = proxy_load(plan)
    image_s = SUPERNET_NETWORKS * SUPERNET_IMAGE_S * scale
    return SUPERNET_START_S + steps * plan.preset.batch * image_s if steps else 0.0


def _supernet_steps(plan: SearchPlan, seconds: float) -> int:
    """Return how many steps of the supernet so many processor seconds allow; 0 where they are too few to be of use."""
    per_step = _supernet_s(plan, 2) - _supernet_s(plan, 1)
    steps = int((seconds - SUPERNET_START_S) / per_step)
    return steps if steps >= FEWEST_SUPERNET_STEPS else 0
