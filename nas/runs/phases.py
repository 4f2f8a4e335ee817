"""The phases of a search with what each is expected to take, from which the time left is estimated.

Expectations are seconds on 2 CPU cores, of the preset `quick` with its proxies (16 px, width 0.25) for an Edge TPU. On
another machine all are longer or shorter alike, and what a run observes replaces them (nas/progress/time_left.py).
"""

from collections.abc import Iterator
from itertools import chain

from nas.progress.time_left import Phase
from nas.records.networks import UNIVERSAL
from nas.runs.front_config import front_stages, stage_trials
from nas.runs.model_budget import ModelBudget
from nas.runs.multi_target_settings import MultiTargetConfig
from nas.runs.plan import SearchPlan, proxy_load
from nas.runs.shared_supernet import STAGE, sandwich_training
from nas.search.schedulers import halving
from nas.supernet.presets import StageBudget

VERDICT, WRITING = "verdict", "writing"  # stages at the end
UPDATE_S = {"coarse": 2.6e-3, "fine": 1.1e-3, "whole": 2.6e-3}  # per image of a step of the shared weights
FORWARD_S = {"coarse": 0.52e-3, "fine": 0.17e-3, "whole": 0.52e-3}  # per image of an evaluation with shared weights
DISPATCH_S, RECORD_S = 0.15, 0.01  # of a record of progress with its accuracy, of a candidate's in the journal
ALONE_S = 0.8e-3  # per image and step of a network that is trained alone
COMPILE_S = {"coarse": 22.0, "fine": 38.0, "whole": 38.0}  # of the steps and of the evaluator
SUPERNET_COMPILE_S, ALONE_COMPILE_S = 45.0, 12.0
UNOPTIMISED = 0.3  # of the time that a compilation takes, for a preset that asks XLA not to optimise
SUPERNET_NETWORKS = 4  # architectures that run in a step of the sandwich rule
VERDICT_COMPILE_S, GMAC_S = 32.0, 0.16  # of two networks that are trained alone, and per 1e9 MACs of their training
WRITING_S = 2.0
CORES = 1.5  # that a training uses on 2 cores, in the mean


def joint_phases(plan: SearchPlan, *, verdict: bool) -> tuple[Phase, ...]:
    """Return the phases of a joint search, with or without the training of found network and baseline at its end."""
    end = (Phase(WRITING, 1, WRITING_S, serial=True),)
    names = ("whole",) if plan.settings.one_stage else ("coarse", "fine")
    stages = chain.from_iterable(_stage(plan, name) for name in names)
    return (*stages, *((verdict_phase(plan, 1),) if verdict else ()), *end)


def model_phases(plan: SearchPlan, budget: ModelBudget, *, verdict: bool) -> tuple[Phase, ...]:
    """Return the phases of a search with an accuracy model; processor seconds are taken to be spread over `CORES`."""
    epochs = budget.schedule.epochs
    phases = [Phase("trained alone/whole", epochs, budget.trainings_s / epochs / CORES)]
    if budget.supernet_steps:
        phases.append(Phase(STAGE, budget.supernet_steps, budget.supernet_s / budget.supernet_steps / CORES))
    phases += [verdict_phase(plan, 1)] if verdict else []
    return (*phases, Phase(WRITING, 1, WRITING_S, serial=True))


def verdict_phase(plan: SearchPlan, steps: int) -> Phase:
    """Return the phase in which the found network and the baseline are trained, `steps` of both together."""
    return Phase(VERDICT, steps, (VERDICT_COMPILE_S + 2 * plan.preset.verdict_gmacs * GMAC_S) / steps)


def _stage(plan: SearchPlan, name: str) -> Iterator[Phase]:
    """Yield the phases of one stage: training, evaluation of candidates, and their training alone."""
    preset, retraining = plan.preset, plan.preset.retraining
    budget = {"coarse": preset.coarse, "fine": preset.fine, "whole": preset.whole}[name]
    yield _controller_steps(plan, name, budget)
    candidate_s = RECORD_S + preset.eval_images * FORWARD_S[name] * _scale(plan)
    if name != "coarse":
        yield Phase("front", preset.front_size, candidate_s)
    elif retraining:
        yield Phase("coarse pool", preset.front_size, candidate_s)
    if retraining:
        both = retraining.coarse + retraining.fine
        yield _finalists(plan, name, {"coarse": retraining.coarse, "fine": retraining.fine, "whole": both}[name])


def _controller_steps(plan: SearchPlan, name: str, budget: StageBudget) -> Phase:
    """Return the phase of the controller steps; no rewards are evaluated while the policy warms up."""
    preset = plan.preset
    updates = budget.updates * preset.batch * UPDATE_S[name]
    rewards = budget.samples * preset.reward_batch * FORWARD_S[name]
    updates, rewards = updates * _scale(plan) + DISPATCH_S / budget.steps_per_dispatch, rewards * _scale(plan)
    warmup_steps = round(budget.policy_warmup_fraction * budget.steps)
    compile_s = COMPILE_S[name] * (UNOPTIMISED if preset.xla_options else 1.0)
    step_s = updates + rewards
    return Phase(name, budget.steps, step_s, compile_s, warmup_steps, updates / step_s)


def _finalists(plan: SearchPlan, name: str, candidates: int) -> Phase:
    """Return the phase in which candidates are trained alone; each is compiled anew on every rung."""
    assert plan.preset.retraining
    rungs = plan.preset.retraining.rungs
    epochs = halving.epochs(candidates, rungs)
    images = (1 - plan.preset.validation_fraction) * len(plan.dataset.y_train)
    compilations = sum(halving.alive(candidates, rungs))
    return Phase(f"{name} finalists", epochs, images * ALONE_S * _scale(plan) + ALONE_COMPILE_S * compilations / epochs)


def multi_target_phases(
    config: MultiTargetConfig, plans: tuple[SearchPlan, ...], *, training: bool
) -> tuple[Phase, ...]:
    """Return the phases of a search over a supernet trained once; `training` where the supernet is not there yet."""
    plan, more = plans[0], config.trials + config.more_trials
    trial_s = RECORD_S + plan.preset.eval_images * FORWARD_S["coarse"] * _scale(plan)
    phases = [_supernet(plan)] if training else []
    for name in config.names:
        if config.front:
            stages = zip(front_stages(name, config.front.points), stage_trials(config.trials), strict=True)
            phases += [Phase(stage, trials, trial_s) for own, trials in stages for stage in own]
            continue
        if config.cost_front:
            phases.append(Phase(f"{name}/whole", config.trials + more, trial_s))
        else:
            phases += [Phase(f"{name}/coarse", config.trials, trial_s), Phase(f"{name}/fine", more, trial_s)]
    if config.universal:
        phases.append(Phase(f"{UNIVERSAL}/whole", config.trials + more, trial_s))
    return tuple(phases)


def _supernet(plan: SearchPlan) -> Phase:
    """Return the phase in which the supernet of the whole space is trained."""
    return sandwich_phase(plan, sandwich_training(plan).steps)


def sandwich_phase(plan: SearchPlan, steps: int) -> Phase:
    """Return the phase of so many steps of the sandwich rule over the whole space."""
    step_s = SUPERNET_NETWORKS * plan.preset.batch * UPDATE_S["coarse"] * _scale(plan)
    compile_s = SUPERNET_COMPILE_S * (UNOPTIMISED if plan.preset.xla_options else 1.0)
    return Phase(STAGE, steps, step_s, compile_s)


def _scale(plan: SearchPlan) -> float:
    """Return how much longer an example takes than in `quick`."""
    return proxy_load(plan)
