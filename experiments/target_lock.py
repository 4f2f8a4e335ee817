"""Study: does a search satisfy its latency budget? 60 searches per reward with synthetic accuracy, and some real ones.

Question: with the controller of the joint search (nas/search/algorithms/reinforce.py), does the argmax of the policy
satisfy the latency budget within 1 %, before and after the exact repair, what does that repair cost, and are hard
bounds kept? Compared with it: the published reward Q + beta |T/T0 - 1| with beta -0.10 (TuNAS, arXiv 2008.06120,
section 3) and the multiplicative one, Q (T/T0)^beta with beta -0.07 (MnasNet, arXiv 1807.11626, section 3), both on the
sampled architectures alone, with the mean of the step as baseline, the same steps and learning rate.

Set-up: the space uib at 224 px, 5 latencies spread over the reachable range of each of 3 devices, 4 seeds. A search has
both stages: the coarse argmax is repaired, the fine stage searches around it, its argmax is repaired. On seeds 2 and 3
ours also has a bound on the parameters, the median of architectures at that latency; the published rewards know no
bounds, so for them it counts in the repair alone. The accuracy is a smooth, saturating function of the architecture,
different per seed; the controller sees it on 64 images, sampled anew for every architecture (in a supernet all of a
step see the same ones, which is easier).

Command: python -m experiments.target_lock [--preset quick] [--rewards ours,TuNAS,MnasNet]
         python -m experiments.target_lock --runs RUN [RUN ...]     # finished searches of `nas search`

Results, with the steps of the preset quick (120 and 240, of 8 evaluated architectures). Within 1 %, as argmax of
either stage before its repair, and at the end; gap of the fine argmax; what the final repair costs, points of top-1:

reward                  n coarse fine  end    gap %  worst     cost  worst    top-1   exceeded
ours                   60     52   56   60     0.44    1.7    0.000   0.69    71.82   0 of 30
TuNAS                  60      4   29   60     1.06   13.2    0.000   1.25    72.10   0 of 30
MnasNet                60      1   14   60     3.21   19.1    0.008   0.80    72.10   0 of 30

So the claim holds for ours: 60 of 60 satisfy the budget (57 were required), 56 of 60 before the final repair (48 were
required), the repair costs nothing in the median, no bound is exceeded. Per device the fine argmax of ours satisfies it
in 19, 18 and 19 of 20 (edgetpu, pixel6-cpu, pixel4-dsp), with beta -0.10 in 12, 10 and 7, with the multiplicative
reward in 12, 1 and 1; its 12 on edgetpu are due to the coarse repair, as a fine stage changes little there. After the
repair all 180 satisfy it.

Against ours: where nothing is bounded (30 searches each) both published rewards find 0.28 points more top-1 at the end,
0.74 on edgetpu with beta -0.10. The weights of this accuracy and its noise are synthetic; over a trained supernet ours
satisfies the budget as well and loses nothing (experiments/supernet_lock.py).

On supernets, six finished searches (argmax of the last step, result; nothing had to be repaired, no accuracy lost):
Fashion-MNIST, standard, edgetpu, seeds 0 to 2: 0.36 % under, 0.06 % over, 0.06 % over; digits, quick: edgetpu 0.29 %
over, pixel6-cpu 0.90 % over, s23-gpu 0.09 % under. 15 minutes for the 180 searches on 2 cores with much other work.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from numpy.typing import NDArray

from experiments.synthetic_accuracy import SyntheticQuality, top1_of
from nas.protocols import Genotype
from nas.records.results import load_result
from nas.report.run_curves import read_stages
from nas.runs.plan import TOLERANCE, SearchPlan, make_plan
from nas.runs.settings import SearchConfig
from nas.search.algorithms import reinforce
from nas.search.constraints.repair import Constraints, repair
from nas.space.cost_table import PARAMS, CostTable, compile_table
from nas.space.staged import StagedSpace
from nas.supernet.presets import StageBudget

DEVICES = ("edgetpu", "pixel6-cpu", "pixel4-dsp")
SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)  # of the reachable range, on a logarithmic scale
SEEDS = 4
BOUNDED_SEEDS = (2, 3)
IMAGES = 64
ABSOLUTE_BETA, MULTIPLICATIVE_BETA = 0.10, 0.07  # of the published rewards


# ----------------------------------------------- one stage as arrays of fixed shapes, so that one program serves all


class StageArrays(NamedTuple):
    """A stage of a search as arrays of fixed shapes: tables of latency and of a bound, quality of options, seed."""

    exists: Array  # [D, O]
    condition_index: Array  # [D]
    condition_option: Array  # [D]
    quality: Array  # [D, O]
    fixed_quality: Array
    latency: "CostArrays"  # over the latency budget
    bound: "CostArrays"  # over the bound
    seed: Array


class CostArrays(NamedTuple):
    """A cost table as flat arrays: term t, of up to 4 decisions, adds flat[starts[t] + strides[t] . options]."""

    constant: Array
    decision_indices: Array  # [T, 4]
    strides: Array  # [T, 4], 0 where a term has fewer decisions
    starts: Array  # [T]
    flat: Array

    def of(self, genotypes: Array) -> Array:
        """Return the cost of genotypes [N, D] as [N]."""
        index = self.starts + (genotypes[:, self.decision_indices] * self.strides).sum(-1)
        return self.constant + self.flat[index].sum(1)


def cost_arrays(table: CostTable, unit: float, terms: int, size: int) -> CostArrays:
    """Return a cost table in multiples of `unit`, padded to `terms` terms and `size` numbers."""
    decision_indices, strides = np.zeros((2, terms, 4), np.int32)
    starts, flat, at = np.zeros(terms, np.int32), np.zeros(size, np.float32), 1  # flat[0] is 0, for the padding
    for t, term in enumerate(table.terms):
        decision_indices[t, : len(term.scope)] = term.scope
        steps = [int(np.prod(term.values.shape[i + 1 :])) for i in range(term.values.ndim)]
        strides[t, : len(steps)] = steps
        starts[t] = at
        flat[at : at + term.values.size] = term.values.ravel() / unit
        at += term.values.size
    return CostArrays(*map(jnp.asarray, (np.float32(table.constant / unit), decision_indices, strides, starts, flat)))


def stage_arrays(
    space: StagedSpace, constraints: Constraints, synthetic: SyntheticQuality, seed: int, shape: tuple[int, int]
) -> StageArrays:
    """Return a stage as arrays, padded to `shape` decisions and options; a padded decision has one option."""
    choices = reinforce.DecisionArrays.of(space.decisions)
    count, width = choices.exists.shape
    exists, gains = np.zeros(shape, bool), np.zeros(shape, np.float32)
    exists[:, 0] = True
    exists[:count, :width] = choices.exists
    tables, fixed = synthetic.tables(space)
    for d, values in enumerate(tables):
        gains[d, : len(values)] = values
    decision_index, option = (
        jnp.asarray(np.pad(a, (0, shape[0] - count))) for a in (choices.condition_index, choices.condition_option)
    )
    table, limit = constraints.limits[0] if constraints.limits else (compile_table(space, PARAMS), np.inf)
    return StageArrays(
        jnp.asarray(exists), decision_index, option, jnp.asarray(gains), jnp.asarray(np.float32(fixed)),
        cost_arrays(constraints.latency, constraints.target, 32, 4096), cost_arrays(table, limit, 32, 4096),
        jnp.asarray(seed),
    )  # fmt: skip


# --------------------------------------------------------------------------------------------------------- rewards

Evaluate = Callable[[Array, Array], Array]  # (genotypes, key) -> top-1 on newly sampled images
Learn = Callable[..., reinforce.Policy]


def joint_search_step(
    settings: reinforce.Reinforce, stage: StageArrays, policy: reinforce.Policy, key: Array, evaluate: Evaluate
) -> reinforce.Policy:
    """Return the policy after a step of the joint search: a thousand samples priced, some near the budget evaluated."""
    choices = _choices(stage)
    key, image_key = jax.random.split(key)
    draw_key, pick_key = jax.random.split(key)
    genotypes = reinforce.ask(policy, draw_key, settings.draws)
    excess = jnp.maximum(stage.bound.of(genotypes) - 1, 0)
    draws = reinforce.Draws(genotypes, stage.latency.of(genotypes), excess)
    chosen = reinforce.nearest(settings, draws, pick_key, settings.samples)
    return reinforce.tell(settings, choices, policy, draws, (chosen, evaluate(chosen, image_key)))


def absolute_reward_step(
    settings: reinforce.Reinforce, stage: StageArrays, policy: reinforce.Policy, key: Array, evaluate: Evaluate
) -> reinforce.Policy:
    """Return the policy after a step with TuNAS' absolute reward: all samples are evaluated, no others priced."""
    key, image_key = jax.random.split(key)
    genotypes = reinforce.ask(policy, key, settings.samples)
    ratios = stage.latency.of(genotypes)
    draws = reinforce.Draws(genotypes, ratios, jnp.zeros_like(ratios))
    fixed = replace(settings, beta_start=ABSOLUTE_BETA, beta_cap=ABSOLUTE_BETA)
    policy = policy._replace(beta=jnp.asarray(ABSOLUTE_BETA))
    return reinforce.tell(fixed, _choices(stage), policy, draws, (genotypes, evaluate(genotypes, image_key)))


def multiplicative_reward_step(
    settings: reinforce.Reinforce, stage: StageArrays, policy: reinforce.Policy, key: Array, evaluate: Evaluate
) -> reinforce.Policy:
    """Return the policy after a step with MnasNet's multiplicative reward."""
    key, image_key = jax.random.split(key)
    genotypes = reinforce.ask(policy, key, settings.samples)
    ratios = stage.latency.of(genotypes)
    rewards = evaluate(genotypes, image_key) * ratios**-MULTIPLICATIVE_BETA
    no_cost = reinforce.Draws(genotypes, jnp.ones_like(ratios), jnp.zeros_like(ratios))
    return reinforce.tell(settings, _choices(stage), policy, no_cost, (genotypes, rewards))


REWARDS: dict[str, Learn] = {
    "ours": joint_search_step,
    "TuNAS": absolute_reward_step,
    "MnasNet": multiplicative_reward_step,
}


def named_rewards(text: str) -> list[str]:
    """Return the names of rewards in a list with commas, in any case."""
    names = {name.lower(): name for name in REWARDS}
    return [names[name.lower()] for name in text.split(",")]


def _choices(stage: StageArrays) -> reinforce.DecisionArrays:
    return reinforce.DecisionArrays(stage.exists, stage.condition_index, stage.condition_option)  # type: ignore[arg-type]


def quality(stage: StageArrays, genotypes: Array) -> Array:
    """Return the synthetic quality of genotypes [N, D] as [N]; only active decisions count."""
    active = _choices(stage).active(genotypes)
    values = stage.quality[jnp.arange(genotypes.shape[1]), genotypes]
    return stage.fixed_quality + (active * values).sum(1)


@partial(jax.jit, static_argnums=(0, 1))
def logits(settings: reinforce.Reinforce, reward: str, stage: StageArrays, policy: reinforce.Policy) -> Array:
    """Return the policy's logits [D, O] after a stage that begins with `policy`."""

    def evaluate(genotypes: Array, key: Array) -> Array:
        chance = top1_of(quality(stage, genotypes))
        return (jax.random.uniform(key, (IMAGES, len(genotypes))) < chance).mean(0)

    def step(policy: reinforce.Policy, _: None) -> tuple[reinforce.Policy, None]:
        key = jax.random.fold_in(jax.random.key(stage.seed), policy.step)
        return REWARDS[reward](settings, stage, policy, key, evaluate), None

    return lax.scan(step, policy, length=settings.steps - settings.policy_warmup_steps)[0].logits


def start(settings: reinforce.Reinforce, stage: StageArrays) -> reinforce.Policy:
    """Return the policy after its warm-up, in which the weights alone are trained."""
    return reinforce.init(settings, _choices(stage))._replace(step=jnp.asarray(settings.policy_warmup_steps))


# -------------------------------------------------------------------------------------------------------- searches


@dataclass(frozen=True)
class LockResult:
    """The result of one search: latency over the budget, and top-1, of the fine argmax before and after the repair."""

    coarse_ratio: float  # of the coarse argmax before its repair, over the budget as far as that stage can reach it
    ratio_before: float
    ratio: float
    top1_before: float
    top1: float
    exceeded: bool  # a hard bound, by the final architecture
    bounded: bool


@dataclass(frozen=True)
class AccuracySource:
    """Functions with one source of accuracies: `learn` runs a stage and returns logits [D, O], `top1` scores [N, D]."""

    learn: Callable[[reinforce.Reinforce, str, StagedSpace, StageArrays], Array]
    top1: Callable[[StagedSpace, SearchPlan, NDArray[np.integer[Any]]], Sequence[float]]
    synthetic: SyntheticQuality  # of the options


def synthetic_source(synthetic: SyntheticQuality) -> AccuracySource:
    """Return the source of synthetic accuracies: noisy for the controller, exact at the end."""

    def learn(settings: reinforce.Reinforce, reward: str, space: StagedSpace, stage: StageArrays) -> Array:
        return logits(settings, reward, stage, start(settings, stage))

    def top1(space: StagedSpace, plan: SearchPlan, genotypes: NDArray[np.integer[Any]]) -> Sequence[float]:
        shape = len(space.decisions), max(len(d.options) for d in space.decisions)
        stage = stage_arrays(space, plan.constraints(space), synthetic, 0, shape)
        return [float(one) for one in top1_of(quality(stage, jnp.asarray(genotypes)))]

    return AccuracySource(learn, top1, synthetic)


def search(plan: SearchPlan, reward: str, seed: int, bound: float | None, source: AccuracySource) -> LockResult:
    """Run both stages as the joint search does, and return latencies and accuracies before and after the repair."""
    settings = plan.settings if bound is None else replace(plan.settings, max_params=int(bound))
    plan = replace(plan, settings=settings)
    coarse = plan.space.coarse()
    argmax, chosen = run_stage(plan, coarse, plan.preset.coarse, reward, (source, seed, (12, 6)))
    coarse_ratio = plan.constraints(coarse).ratios(np.array([argmax]))[0]
    fine = plan.space.fine(coarse.decode(chosen))
    argmax, chosen = run_stage(plan, fine, plan.preset.fine, reward, (source, seed + 1000, (24, 9)))
    both = np.array([argmax, chosen])
    ratios = compile_table(fine, plan.model).score(both) / plan.latency_budget
    top1_before, top1_after = source.top1(fine, plan, both)
    exceeded = any(table.score(both)[1] > limit for table, limit in plan.limits(fine))
    before, after = ratios.tolist()
    return LockResult(float(coarse_ratio), before, after, top1_before, top1_after, exceeded, bound is not None)


def run_stage(
    plan: SearchPlan,
    space: StagedSpace,
    budget: StageBudget,
    reward: str,
    rest: tuple[AccuracySource, int, tuple[int, int]],
) -> tuple[Genotype, Genotype]:
    """Return the argmax of a stage before and after the repair, as nas/runs/joint_search.py does."""
    source, seed, shape = rest
    settings, constraints = (
        reinforce.Reinforce(budget.steps, budget.samples, budget.policy_warmup_fraction),
        plan.constraints(space),
    )
    found = source.learn(settings, reward, space, stage_arrays(space, constraints, source.synthetic, seed, shape))
    scores = np.asarray(jax.nn.log_softmax(found), np.float64)[: len(space.decisions)]
    argmax = tuple(int(g) for g in space.canonical(scores.argmax(1)[None])[0])
    repaired = repair(space, argmax, scores, constraints)
    chosen = argmax if repaired is None else tuple(int(g) for g in space.canonical(np.array([repaired]))[0])
    return argmax, chosen


def latency_budgets(plan: SearchPlan) -> list[float]:
    """Return the latency budgets of the study for one device."""
    low, high = np.log(plan.reachable)
    return [float(np.exp(low + share * (high - low))) for share in SHARES]


def median_params(plan: SearchPlan, count: int = 24) -> float:
    """Return the median number of parameters of random architectures moved onto the latency budget."""
    rng, constraints = np.random.default_rng(5), plan.constraints(plan.space)
    flat = np.zeros((len(plan.space.decisions), max(len(d.options) for d in plan.space.decisions)))
    satisfied = [repair(plan.space, start, flat, constraints) for start in plan.space.sample(rng, count)]
    kept = np.array([genotype for genotype in satisfied if genotype is not None])
    return float(np.median(compile_table(plan.space, PARAMS).score(kept)))


def study(
    devices: Sequence[str], preset: str, rewards: Sequence[str], seeds: int
) -> dict[tuple[str, str], list[LockResult]]:
    """Run all searches and return their results by (reward, device)."""
    results: dict[tuple[str, str], list[LockResult]] = {}
    for device in devices:
        base = make_plan(SearchConfig(target=device, preset=preset))
        plans = [replace(base, latency_budget=latency_budget) for latency_budget in latency_budgets(base)]
        bounds = [median_params(plan) for plan in plans]
        for reward in rewards:
            started, rows = time.monotonic(), []
            for plan, median in zip(plans, bounds, strict=True):
                for seed in range(seeds):
                    bound = median if seed in BOUNDED_SEEDS else None
                    rows.append(
                        search(plan, reward, seed, bound, synthetic_source(SyntheticQuality.of(plan.space, seed)))
                    )
            results[reward, device] = rows
            print(line(f"{reward}, {device}", rows), f"  {time.monotonic() - started:.0f} s", flush=True)
    return results


def line(name: str, rows: Sequence[LockResult]) -> str:
    """Return one line of the table: `rows` summed up under `name`."""
    ratios = np.array([[row.coarse_ratio, row.ratio_before, row.ratio] for row in rows])
    gaps = np.abs(ratios - 1)
    inside = (gaps <= TOLERANCE + 1e-12).sum(0)
    lost = 100 * np.array([row.top1_before - row.top1 for row in rows])
    parts = (
        f"{name:22}{len(rows):4} {inside[0]:6} {inside[1]:4} {inside[2]:4}",
        f"{100 * np.median(gaps[:, 1]):6.2f} {100 * gaps[:, 1].max():6.1f}",
        f"{np.median(lost):6.3f} {lost.max():6.2f}",
        f"{100 * np.mean([row.top1 for row in rows if not row.bounded]):6.2f}",
        f"{sum(row.exceeded for row in rows)} of {sum(row.bounded for row in rows)}",
    )
    return "   ".join(parts)


HEAD = (
    f"{'reward, device':22}{'n':>4} {'coarse':>6} {'fine':>4} {'end':>4}   {'gap %':>6} {'worst':>6}   "
    f"{'cost':>6} {'worst':>6}   {'top-1':>6}   exceeded"
)
LEGEND = (
    "coarse, fine, end: searches within 1 %, as argmax of either stage before its repair, and as result; gap: median\n"
    "and worst of the fine argmax, in %; cost: top-1 lost by the final repair, median and worst, in points;\n"
    "top-1: mean of the results of searches without bounds; exceeded: hard bounds, by the result\n"
)


def table_of_runs(runs: Sequence[Path]) -> None:
    """Print the latencies of finished runs of `nas search`: of the argmax of the last step, and of the result."""
    print(
        f"{'run':34} {'device':16} {'budget':>8} {'argmax':>8} {'gap %':>6} {'result':>8} {'gap %':>6}  top-1 argmax's"
    )
    for run in runs:
        result, (_, steps) = load_result(run / "best.json"), read_stages(run / "journal.jsonl")["fine"]
        last, latency_budget = steps[-1], result.latency_budget
        shared = result.supernet_accuracy or result.accuracy
        gaps = [100 * (latency / latency_budget - 1) for latency in (last["argmax_latency"], result.latency)]
        print(
            f"{str(run)[-34:]:34} {result.target:16} {latency_budget:8.4f} "
            f"{last['argmax_latency']:8.4f} {gaps[0]:+6.2f} {result.latency:8.4f} {gaps[1]:+6.2f} "
            f"{shared.top1:6.3f} {last['argmax_reward_top1']:6.3f}"
        )


def main() -> None:
    """Run the study, or read finished runs, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--preset", default="quick", help="whose numbers of steps and samples (default: quick)")
    parser.add_argument("--rewards", default=",".join(REWARDS))
    parser.add_argument("--devices", default=",".join(DEVICES))
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--runs", type=Path, nargs="+")
    args = parser.parse_args()
    if args.runs:
        table_of_runs(args.runs)
        return
    print(LEGEND, HEAD, sep="\n", flush=True)
    names = named_rewards(args.rewards)
    results = study(args.devices.split(","), args.preset, names, args.seeds)
    print(HEAD)
    for reward in names:
        print(line(reward, [row for (of, _), rows in results.items() if of == reward for row in rows]))


if __name__ == "__main__":
    main()
