"""Draws and repairs keep every bound, follow the law they claim, and a refusal is a proof or says that it is none."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from latency_models.target import load_target
from nas.errors import InvalidInput
from nas.protocols import Decision, Genotypes
from nas.registry import SPACES, load
from nas.search.constraints import bounds
from nas.search.constraints.bounds import Bounded, matrix_game
from nas.search.constraints.elimination import eliminate, elimination_order
from nas.search.constraints.elimination import sample as sample_steps
from nas.space.cost_table import MACS, PARAMS, PEAK_ACTIVATION, Term, compile_table, within
from nas.space.genotypes import canonical, sample
from tests.support.tabular import Tabular, free
from tests.support.tiny import SPACE as TINY

UIB = load("space", SPACES, "uib")
COSTS = {
    "edgetpu": load_target("edgetpu").model(),
    "pixel6-cpu": load_target("pixel6-cpu").model(),
    "params": PARAMS,
    "macs": MACS,
    "memory": PEAK_ACTIVATION,
}


@pytest.fixture(scope="module")
def tables() -> dict[str, Any]:
    return {name: compile_table(UIB, cost) for name, cost in COSTS.items()}


def assert_inside(bounded: Bounded, genotypes: Genotypes) -> None:
    assert within(bounded.limits, genotypes).all()
    assert (canonical(bounded.decisions, genotypes) == genotypes).all()


def rows(genotypes: Genotypes) -> set[tuple[int, ...]]:
    return set(map(tuple, genotypes.tolist()))


# ------------------------------------------------------------------------------------------------------- elimination


@st.composite
def factors(draw: st.DrawFn) -> tuple[tuple[int, ...], list[Term]]:
    """Up to four decisions of up to three options, and tables over some of them, with forbidden entries."""
    sizes = tuple(draw(st.lists(st.integers(1, 3), min_size=1, max_size=4)))
    values = st.floats(-3, 3) | st.just(-np.inf)
    terms = []
    for _ in range(draw(st.integers(0, 4))):
        scope = tuple(sorted(draw(st.sets(st.integers(0, len(sizes) - 1), min_size=1))))
        shape = [sizes[d] for d in scope]
        entries = draw(st.lists(values, min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
        terms.append(Term(scope, np.reshape(entries, shape)))
    return sizes, terms


@given(factors())
def test_elimination_sums_all_weights_and_samples_by_them(case: tuple[tuple[int, ...], list[Term]]) -> None:
    sizes, terms = case
    logs = {
        genotype: sum(float(term.values[tuple(genotype[g] for g in term.scope)]) for term in terms)
        for genotype in product(*map(range, sizes))
    }
    total = sum(np.exp(log) for log in logs.values())
    found, steps = eliminate(terms, sizes, elimination_order([term.scope for term in terms], len(sizes)))
    assert np.exp(found) == pytest.approx(total, rel=1e-9)
    if total > 0:
        for genotype, log in logs.items():
            chance = 1.0
            for step in steps:
                cumulative = step.chances[tuple(genotype[d] for d in step.rest)]
                chance *= np.diff(cumulative, prepend=0)[genotype[step.decision]]
            assert chance == pytest.approx(np.exp(log) / total, abs=1e-9)
        sampled = sample_steps(steps, np.random.default_rng(0), 50)
        assert all(np.isfinite(logs[tuple(genotype)]) for genotype in sampled.tolist())


# ------------------------------------------------------------------------------------------------------------- draws


@pytest.fixture(scope="module")
def scores(tables: dict[str, Any]) -> dict[str, NDArray[np.float64]]:
    """The costs of many random genotypes."""
    genotypes = UIB.sample(np.random.default_rng(0), 200_000)
    return {name: np.sort(table.score(genotypes)) for name, table in tables.items()}


@pytest.mark.parametrize("name", COSTS)
@pytest.mark.parametrize("share", [0.3, 0.005, 0.0])
def test_one_bound_is_kept_where_few_keep_it(tables: dict[str, Any], scores: Any, name: str, share: float) -> None:
    bounded = Bounded(UIB, ((tables[name], float(scores[name][int(share * 200_000)])),))  # 0: as one of 200,000 has
    rng = np.random.default_rng(1)
    sampled = bounded.draw(rng, 60)
    assert_inside(bounded, sampled)
    assert len(rows(sampled)) == 60
    outside = UIB.sample(rng, 60)
    assert_inside(bounded, bounded.repaired(outside, rng))


def test_several_bounds_are_kept_together(tables: dict[str, Any], scores: Any) -> None:
    bounded = Bounded(UIB, tuple((table, float(scores[name][2000])) for name, table in tables.items()))
    rng = np.random.default_rng(2)
    assert_inside(bounded, bounded.draw(rng, 50))
    assert_inside(bounded, bounded.repaired(UIB.sample(rng, 50), rng))
    assert_inside(bounded, bounded.start[None])


@pytest.mark.parametrize("name", COSTS)
def test_the_least_that_is_reachable_is_reached(tables: dict[str, Any], name: str) -> None:
    bounded = Bounded(UIB, ((tables[name], tables[name].minimum()[0]),))
    sampled = bounded.draw(np.random.default_rng(0), 5)
    assert len(sampled)
    assert_inside(bounded, sampled)


@given(st.integers(0, 1000), st.floats(0.02, 1.0), st.integers(1, 40))
def test_a_listed_space_gives_all_that_are_inside(seed: int, share: float, count: int) -> None:
    space = Tabular((Decision("a", (0, 1, 2)), Decision("b", (0, 1, 2), (0, 1)), Decision("c", (0, 1), (1, 2))))
    table = space.table({(0, 1): np.random.default_rng(seed).random((3, 3)), (2,): [0.0, 0.1]})
    scores = table.score(canonical(space.decisions, space.grid()))
    table = space.table({(0, 1): np.where(np.arange(3)[:, None] >= 1, table.terms[0].values, 0.2)})
    bounded = Bounded(space, ((table, max(float(np.quantile(scores, share)), table.minimum()[0])),))
    every = canonical(space.decisions, space.grid())
    inside = rows(every[bounded.feasible(every)])
    sampled = bounded.draw(np.random.default_rng(seed), count)
    assert rows(sampled) <= inside
    assert len(rows(sampled)) == len(sampled) == min(count, len(inside))


def test_tilted_draws_have_the_law_of_uniform_decisions_inside_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    space = TINY.coarse()
    table = compile_table(space, MACS)
    every = np.stack(np.meshgrid(*(range(len(d.options)) for d in space.decisions), indexing="ij"), -1)
    every = every.reshape(-1, len(space.decisions)).astype(np.int32)
    bound = float(np.quantile(table.score(every), 0.1))
    exact = canonical(space.decisions, every[table.score(every) <= bound])
    monkeypatch.setattr(bounds, "MAX_ENUMERATED", 0)
    bounded = Bounded(space, ((table, bound),))
    rng = np.random.default_rng(0)
    sampled = np.concatenate([bounded.draw(rng, 1) for _ in range(1500)])
    assert bounded._tilt.weights[0] > 0
    assert rows(sampled) == rows(exact)
    for d, decision in enumerate(space.decisions):
        for option in range(len(decision.options)):
            share = (exact[:, d] == option).mean()
            error = np.sqrt(share * (1 - share) / len(sampled))
            assert (sampled[:, d] == option).mean() == pytest.approx(share, abs=4.5 * error + 0.02)


def test_without_bounds_all_is_inside_and_nothing_is_moved() -> None:
    bounded = Bounded(TINY)
    rng = np.random.default_rng(0)
    raw = rng.integers(0, [len(d.options) for d in TINY.decisions], (20, len(TINY.decisions)))
    assert (bounded.repaired(raw, rng) == canonical(TINY.decisions, raw)).all()
    assert len(rows(bounded.draw(rng, 500))) == 500


def test_a_bound_that_all_keep_is_none() -> None:
    space = free(*[3] * 12)
    table = space.table({(i,): [0, 1, 2] for i in range(12)})
    assert Bounded(space, ((table, float("inf")), (table, 24.0))).limits == ()


# ----------------------------------------------------------------------------------------------------------- repairs


@given(st.integers(0, 1000))
def test_repair_leaves_what_is_inside_and_changes_little_of_the_rest(seed: int) -> None:
    space = free(*[4] * 9)  # too many to list
    table = space.table({(i,): [0, 1, 2, 3] for i in range(9)})
    bounded = Bounded(space, ((table, 12.0),))
    rng = np.random.default_rng(seed)
    given_rows = sample(space.decisions, rng, 60)
    moved = bounded.repaired(given_rows, rng)
    assert_inside(bounded, moved)
    kept = bounded.feasible(given_rows)
    assert (moved[kept] == given_rows[kept]).all()
    changed = (moved != given_rows)[~kept].sum(1)
    excess = table.score(given_rows[~kept]) - 12
    assert (changed >= excess / 3).all()  # a decision saves 3 at most
    assert changed.mean() <= 4


# ---------------------------------------------------------------------------------------------------------- refusals


def test_an_unreachable_bound_is_refused_with_the_range(tables: dict[str, Any]) -> None:
    low, high = tables["edgetpu"].minimum()[0], tables["edgetpu"].maximum()[0]
    with pytest.raises(
        InvalidInput, match=f"at least {low:.6g} for space 'uib' .reachable {low:.6g} to {high:.6g}.*0.3"
    ):
        Bounded(UIB, ((tables["edgetpu"], 0.3),))


@pytest.mark.parametrize("bound", [float("nan"), float("-inf")])
def test_a_bound_that_is_no_number_is_refused(bound: float) -> None:
    space = free(2)
    with pytest.raises(InvalidInput, match="the bound on cost must be at least 0"):
        Bounded(space, ((space.table({(0,): [0, 1]}), bound),))


def opposed(bound: float) -> Bounded:
    """Seventeen decisions, each of which costs either 1 of one or 1 of the other."""
    space = free(*[2] * 17)
    one = space.table({(i,): [0, 1] for i in range(17)}, "one")
    other = space.table({(i,): [1, 0] for i in range(17)}, "other")
    return Bounded(space, ((one, bound), (other, bound)))


def test_bounds_that_exclude_each_other_are_proved_to() -> None:
    words = r"keeps one <= 8.4 and other <= 8.4 together \(proved by duality.*1.19%"  # 17 / 2 is 1.19 % above 8.4
    with pytest.raises(InvalidInput, match=words):
        opposed(8.4).draw(np.random.default_rng(0), 1)


def test_where_no_proof_is_found_it_says_so_with_the_nearest_miss() -> None:
    with pytest.raises(InvalidInput, match=r"nor a proof that there is none: the nearest takes 5.88% more than \w+ <="):
        opposed(8.5).draw(np.random.default_rng(0), 1)  # 9 of 17 is the least that one of them takes


def test_bounds_that_just_hold_together_are_found() -> None:
    bounded = opposed(9.0)
    assert_inside(bounded, bounded.draw(np.random.default_rng(0), 20))


@pytest.mark.parametrize("sizes", [(2, 2), (2,) * 17])
def test_maxima_that_forbid_all_options_are_proved_to(sizes: tuple[int, ...]) -> None:
    space = free(*sizes)
    one = space.table({(0,): [0, 1]}, "one", "max")
    other = space.table({(0,): [1, 0]}, "other", "max")
    with pytest.raises(InvalidInput, match=r"no architecture keeps one <= 0.5 and other <= 0.5 together"):
        Bounded(space, ((one, 0.5), (other, 0.5))).draw(np.random.default_rng(0), 1)


def test_the_game_of_rock_paper_scissors_is_fair() -> None:
    weights, value = matrix_game(np.array([[0.0, 1, -1], [-1, 0, 1], [1, -1, 0]]))
    assert weights == pytest.approx([1 / 3] * 3)
    assert value == pytest.approx(0, abs=1e-9)
