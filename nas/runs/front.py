"""The front of a search: which architectures are evaluated after its stages, and the CSV files with all of them."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import pandas as pd

from nas.arch import save_arch
from nas.errors import InvalidInput
from nas.files import subfolder, write_whole
from nas.protocols import Genotype
from nas.records.results import AccuracyKind, standard_error
from nas.runs.plan import SearchPlan
from nas.search.algorithms import reinforce
from nas.search.constraints.bounds import Bounded
from nas.search.constraints.project import upper_bounds
from nas.search.constraints.repair import Constraints, neighbours
from nas.search.pareto import non_dominated
from nas.space.cost_table import MACS, PARAMS, compile_table, within
from nas.space.staged import StagedSpace

POOL_SAMPLES = 8192  # of policy and space each, of which those are kept that satisfy the constraints
POOL_LIMIT = 64  # of each origin that are evaluated at most, to choose candidates for re-training
POLICY_SHARE = 0.5  # of the evaluated architectures; neighbours of the first one fill the rest
FREE_SHARE = 0.25  # of those that may be the answer: from anywhere within the budget, not from where it is used
PREDICTED_DIGITS = 6  # of the images classified correctly, whose number is not whole where accuracies are predicted
BUDGET_COLUMN = "latency_budget"  # of front.csv where a whole front was searched for
COLUMNS = ["digest", "spec", "latency", "latency_unit", "top1", "standard_error", "macs", "params", "accuracy_kind"]


def front_candidates(
    space: StagedSpace,
    policy: reinforce.Policy,
    initial: dict[Genotype, str],
    count: int,
    seed: int,
    constraints: Constraints | None = None,
) -> dict[Genotype, str]:
    """Return up to `count` distinct architectures with their origins: `initial`, samples of the policy, neighbours.

    Neighbours are those of the first of `initial`. With `constraints` whose budget is an upper bound, those that may be
    the answer come before all others, three quarters of them from where the budget is used. A small space is filled up
    with random ones.
    """
    found, chosen = dict(initial), next(iter(initial))
    count = min(count, space.size())
    bounded = constraints is not None and constraints.budget is not None

    def add(genotypes: np.ndarray, origin: str, limit: int) -> None:
        for row in space.canonical(genotypes):
            if len(found) >= limit:
                return
            found.setdefault(tuple(int(g) for g in row), origin)

    def add_kept(genotypes: np.ndarray, origin: str, limit: int) -> None:
        if constraints is not None and bounded:
            genotypes = space.canonical(genotypes)  # inactive decisions cost nothing
            add(
                genotypes[constraints.satisfied_by(genotypes)], origin, limit - round(FREE_SHARE * (limit - len(found)))
            )
            add(genotypes[constraints.kept_by(genotypes)], origin, limit)

    key, share = jax.random.fold_in(jax.random.key(seed), 2), len(initial) + int(POLICY_SHARE * count)
    if bounded:
        add_kept(np.asarray(reinforce.ask(policy, key, POOL_SAMPLES)), "policy", min(share, count))
    samples = np.asarray(reinforce.ask(policy, key, 4 * count))
    rng = np.random.default_rng([seed, 3])
    near = [rng.permutation(neighbours(space, chosen, moves)) for moves in (1, 2)]
    for rows in near:
        add_kept(rows, "neighbour", count)
    add(samples, "policy", share)
    for rows in near:
        add(rows, "neighbour", count)
    while len(found) < count:
        add(space.sample(rng, count), "random", count)
    return found


def satisfying_candidates(
    space: StagedSpace, constraints: Constraints, policy: reinforce.Policy, chosen: Genotype, seed: int
) -> dict[Genotype, str]:
    """Return distinct architectures that satisfy `constraints`, with their origin: the chosen one, policy, uniform.

    Uniform samples are among them because a policy that has converged samples the same few architectures.
    """
    found: dict[Genotype, str] = {chosen: "argmax"}
    key = jax.random.fold_in(jax.random.key(seed), 4)
    by_policy = np.asarray(reinforce.ask(policy, key, POOL_SAMPLES))
    uniform = space.sample(np.random.default_rng([seed, 5]), POOL_SAMPLES)
    for origin, samples in (("policy", by_policy), ("uniform", uniform)):
        rows = space.canonical(samples[constraints.violation(samples) == 0])
        fresh = list(dict.fromkeys(tuple(int(g) for g in row) for row in rows))
        found |= dict.fromkeys([genotype for genotype in fresh if genotype not in found][:POOL_LIMIT], origin)
    return found


def random_candidates(space: StagedSpace, constraints: Constraints, count: int, seed: int) -> list[Genotype]:
    """Return up to `count` distinct random architectures of `space` that satisfy `constraints`.

    They are uniform samples that happen to satisfy them; where these are too few, samples that keep the bounds of the
    cost tables by construction are added.
    """
    rng = np.random.default_rng([seed, 6])
    samples = space.sample(rng, POOL_SAMPLES)
    samples = samples[constraints.violation(samples) == 0]
    if len(samples) < count:
        with suppress(InvalidInput):  # no architecture keeps all bounds: there are fewer candidates, or none
            samples = np.concatenate([samples, Bounded(space, upper_bounds(constraints)).draw(rng, 4 * count)])
    kept = space.canonical(samples)[constraints.satisfied_by(samples)] if len(samples) else samples
    return list(dict.fromkeys(tuple(int(g) for g in row) for row in kept))[:count]


@dataclass(frozen=True)
class FrontEvaluation:
    """The evaluation of architectures after the last stage: correct answers out of `images`, and their origins."""

    correct: Mapping[Genotype, float]  # not whole where accuracies are estimates
    origin: dict[Genotype, str]  # "argmax", "policy", "neighbour", ..., or the stage that evaluated it
    images: int
    kind: AccuracyKind
    errors: Mapping[Genotype, float] | None = None  # standard errors, where they are not those of the images alone


def write_front(
    out: Path, space: StagedSpace, plan: SearchPlan, evaluated: FrontEvaluation,
    budgets: Mapping[Genotype, float] | None = None, *, by_latency: bool = True,
) -> None:  # fmt: skip
    """Write `evaluated.csv` (all), `front.csv` (the non-dominated ones that keep the hard bounds) and their specs.

    Dominance counts accuracy, latency unless `by_latency` is false, and the costs of `settings.minimize`. The last
    columns (memory, flash, energy where it is calibrated, predictions of forests) are further costs to look at or to
    choose by. With `budgets` the front is these architectures instead, each with the smallest latency budget that it
    answers, a further column.
    """
    counts, images = evaluated.correct, evaluated.images
    genotypes = np.array(list(counts), np.int32)
    top1 = np.array(list(counts.values())) / images
    archs = [space.decode(genotype) for genotype in counts]
    costs = plan.columns(space)
    extra = {cost.heading: cost.score(genotypes) for cost in costs}
    table = pd.DataFrame(
        {
            "digest": [arch.digest for arch in archs],
            "spec": "",
            "latency": compile_table(space, plan.model).score(genotypes),
            "latency_unit": plan.model.unit,
            "top1": top1,
            "standard_error": [
                standard_error(share, images) if evaluated.errors is None else evaluated.errors[genotype]
                for share, genotype in zip(top1.tolist(), counts, strict=True)
            ],
            "macs": compile_table(space, MACS).score(genotypes),
            "params": compile_table(space, PARAMS).score(genotypes),
            "accuracy_kind": evaluated.kind.stored_label(),
            **extra,
            "on_front": False,
            "origin": [evaluated.origin[genotype] for genotype in counts],
            "genotype": [" ".join(map(str, plan.space.encode(arch))) for arch in archs],
        }
    )
    inside = within(plan.limits(space), genotypes)
    headings = {cost.name: cost.heading for cost in costs} | {name: name for name in ("latency", "macs", "params")}
    for bound in plan.forests:
        inside &= extra[headings[bound.path]] <= bound.most
    kept = np.flatnonzero(inside)
    if budgets is not None:
        table["on_front"] = [genotype in budgets for genotype in counts]
        table[BUDGET_COLUMN] = [budgets.get(genotype, np.nan) for genotype in counts]
    elif len(kept):
        names = dict.fromkeys(
            [*(["latency"] if by_latency else []), *(headings[name] for name in plan.settings.minimize)]
        )
        points = np.stack([top1, *(table[name].to_numpy() for name in names)], 1)[kept]
        table.loc[kept[non_dominated(points, [False, *[True] * len(names)])], "on_front"] = True
    subfolder(out, "specs")
    for row in np.flatnonzero(table["on_front"]):
        name = f"specs/{archs[row].digest[:12]}.json"
        save_arch(archs[row], out / name)
        table.loc[row, "spec"] = name
    table = table.sort_values(["latency", "digest"])
    listed = table.drop(columns=BUDGET_COLUMN, errors="ignore")
    write_whole(out / "evaluated.csv", listed.to_csv(index=False))
    columns = [*COLUMNS, *extra, *([] if budgets is None else [BUDGET_COLUMN])]
    write_whole(out / "front.csv", table[table["on_front"]][columns].to_csv(index=False))
