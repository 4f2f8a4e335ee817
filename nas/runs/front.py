"""The front of a finished search: which architectures around the policy are evaluated, and the files that hold them."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
import pandas as pd

from nas.arch import save_arch
from nas.errors import InvalidInput
from nas.files import write_whole
from nas.protocols import Genotype
from nas.records.results import AccuracyKind
from nas.runs.plan import SearchPlan
from nas.search.algorithms import reinforce
from nas.search.constraints.bounds import Bounded
from nas.search.constraints.project import upper_bounds
from nas.search.constraints.repair import Constraints, neighbours
from nas.search.pareto import non_dominated
from nas.space.cost_table import MACS, PARAMS, compile_table, within
from nas.space.staged import StagedSpace

POOL_DRAWS = 8192  # of which those on the target
POOL_SHARE = 64  # of each origin at most are evaluated for a stage's finalists
POLICY_SHARE = 0.5  # of the evaluated architectures; the neighbours of the first one fill the rest
COLUMNS = ["digest", "spec", "latency", "latency_unit", "top1", "standard_error", "macs", "params", "accuracy_kind"]


def front_candidates(
    space: StagedSpace, policy: reinforce.Policy, first: dict[Genotype, str], count: int, seed: int
) -> dict[Genotype, str]:
    """Return up to `count` distinct architectures with origins: the `first`, policy samples, neighbours."""
    found, chosen = dict(first), next(iter(first))
    count = min(count, space.size())

    def add(genotypes: np.ndarray, origin: str, most: int) -> None:
        for row in space.canonical(genotypes):
            if len(found) >= most:
                return
            found.setdefault(tuple(int(g) for g in row), origin)

    draws = reinforce.ask(policy, jax.random.fold_in(jax.random.key(seed), 2), 4 * count)
    add(np.asarray(draws), "policy", len(first) + int(POLICY_SHARE * count))
    rng = np.random.default_rng([seed, 3])
    for moves in (1, 2):
        add(rng.permutation(neighbours(space, chosen, moves)), "neighbour", count)
    while len(found) < count:
        add(space.sample(rng, count), "random", count)
    return found


def on_target(
    space: StagedSpace, constraints: Constraints, policy: reinforce.Policy, chosen: Genotype, seed: int
) -> dict[Genotype, str]:
    """Return distinct architectures that keep `constraints`, with their origin: the chosen one, policy and uniform draws.

    The uniform ones are there because a policy that has settled draws little but its favourites.
    """
    found: dict[Genotype, str] = {chosen: "argmax"}
    key = jax.random.fold_in(jax.random.key(seed), 4)
    by_policy = np.asarray(reinforce.ask(policy, key, POOL_DRAWS))
    uniform = space.sample(np.random.default_rng([seed, 5]), POOL_DRAWS)
    for origin, draws in (("policy", by_policy), ("uniform", uniform)):
        rows = space.canonical(draws[constraints.violation(draws) == 0])
        fresh = list(dict.fromkeys(tuple(int(g) for g in row) for row in rows))
        found |= dict.fromkeys([genotype for genotype in fresh if genotype not in found][:POOL_SHARE], origin)
    return found


def open_candidates(space: StagedSpace, constraints: Constraints, count: int, seed: int) -> list[Genotype]:
    """Return up to `count` distinct architectures of the whole space that keep `constraints`, drawn at random.

    Uniform draws that happen to keep it, and where they are too few, draws that keep its tables by construction.
    """
    rng = np.random.default_rng([seed, 6])
    draws = space.sample(rng, POOL_DRAWS)
    draws = draws[constraints.violation(draws) == 0]
    if len(draws) < count:
        with suppress(InvalidInput):  # then nothing is found that keeps all of it
            draws = np.concatenate([draws, Bounded(space, upper_bounds(constraints)).draw(rng, 4 * count)])
    kept = space.canonical(draws)[constraints.satisfied_by(draws)] if len(draws) else draws
    return list(dict.fromkeys(tuple(int(g) for g in row) for row in kept))[:count]


@dataclass(frozen=True)
class Evaluated:
    """What the evaluation after the fine stage gave: correct answers out of `images`, and the origins."""

    correct: dict[Genotype, int]
    origin: dict[Genotype, str]
    images: int
    kind: AccuracyKind


def write_front(out: Path, space: StagedSpace, plan: SearchPlan, evaluated: Evaluated) -> None:
    """Write `evaluated.csv` (all), `front.csv` (the non-dominated ones that keep the hard bounds) and their specs.

    None on the front is beaten in accuracy, latency and the costs of `settings.minimize` together; the last columns,
    memory, flash, energy where it is calibrated and what forests predict, are there to look at or to choose by.
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
            "standard_error": np.sqrt(top1 * (1 - top1) / images),
            "macs": compile_table(space, MACS).score(genotypes),
            "params": compile_table(space, PARAMS).score(genotypes),
            "accuracy_kind": evaluated.kind.stored_label(),
            **extra,
            "on_front": False,
            "origin": [evaluated.origin[genotype] for genotype in counts],
        }
    )
    inside = within(plan.limits(space), genotypes)
    headings = {cost.name: cost.heading for cost in costs} | {name: name for name in ("latency", "macs", "params")}
    for bound in plan.forests:
        inside &= extra[headings[bound.path]] <= bound.most
    kept = np.flatnonzero(inside)
    if len(kept):
        names = dict.fromkeys(["latency", *(headings[name] for name in plan.settings.minimize)])
        points = np.stack([top1, *(table[name].to_numpy() for name in names)], 1)[kept]
        table.loc[kept[non_dominated(points, [False, *[True] * len(names)])], "on_front"] = True
    (out / "specs").mkdir(exist_ok=True)
    for row in np.flatnonzero(table["on_front"]):
        name = f"specs/{archs[row].digest[:12]}.json"
        save_arch(archs[row], out / name)
        table.loc[row, "spec"] = name
    table = table.sort_values(["latency", "digest"])
    write_whole(out / "evaluated.csv", table.to_csv(index=False))
    write_whole(out / "front.csv", table[table["on_front"]][[*COLUMNS, *extra]].to_csv(index=False))
