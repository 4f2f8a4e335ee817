"""The truth table: the committed CSV is that of the committed trainings, and what is missing in it."""

import csv

import numpy as np
import pytest

from experiments import truth_table
from nas.runs.plan import SearchPlan, make_plan
from nas.runs.settings import SearchConfig


@pytest.fixture(scope="module")
def plan() -> SearchPlan:
    return make_plan(SearchConfig(target="edgetpu", data="digits", preset="standard"))


def test_the_committed_table_is_that_of_the_committed_trainings(plan: SearchPlan) -> None:
    trainings = truth_table.known_trainings()
    table = truth_table.table_of(plan, trainings)
    with truth_table.TABLE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["digest"] for row in rows] == list(table.digests)
    assert set(table.digests) <= {one["digest"] for one in trainings}
    for name, column in table.columns().items():
        if name != "digest":  # features to rounding: a logarithm may differ in its last bit
            assert [float(row[name] or "nan") for row in rows] == pytest.approx(
                [float(str(value) or "nan") for value in column], rel=1e-12, nan_ok=True
            )


def test_all_networks_are_in_one_band(plan: SearchPlan) -> None:
    table = truth_table.table_of(plan, truth_table.known_trainings())
    assert plan.constraints(plan.space).satisfied_by(table.genotypes).all()
    assert len({row.tobytes() for row in table.genotypes}) == len(table.digests)


def test_a_row_has_at_least_two_seeds_and_gaps_where_others_have_more(plan: SearchPlan) -> None:
    genotypes = plan.space.sample(np.random.default_rng(0), 3).tolist()

    def training(number: int, seed: int) -> dict[str, object]:
        top1 = 0.4 + 0.01 * number + 0.001 * seed
        curve = [top1 - 0.1, top1 - 0.05, top1]
        return {
            "genotype_number": number, "genotype": genotypes[number], "seed": seed, "test_top1": top1,
            "validation_top1": curve,
        }  # fmt: skip

    seeds = {0: (1, 0), 1: (0,), 2: (0, 1, 2)}
    table = truth_table.table_of(plan, [training(number, seed) for number, all_of in seeds.items() for seed in all_of])
    assert table.genotypes.tolist() == [genotypes[0], genotypes[2]]
    assert np.allclose(table.accuracy, [[0.4, 0.401, np.nan], [0.42, 0.421, 0.422]], equal_nan=True)
    assert table.curves is not None
    assert table.curves[1, 2].tolist() == pytest.approx([0.322, 0.372, 0.422])


def test_the_top_quarter_is_known_once_all_have_their_seeds() -> None:
    trainings = [
        {"genotype_number": number, "seed": seed, "test_top1": top1}
        for number, top1 in enumerate([0.3, 0.5, 0.2, 0.4, 0.1, 0.45, 0.25, 0.35])
        for seed in range(2)
    ]
    further = {"genotype_number": 4, "seed": 2, "test_top1": 0.9}  # of another study: not all have it
    assert truth_table.top_quarter([*trainings, further], 8, 2) == [1, 5]
    assert truth_table.top_quarter(trainings[:-1], 8, 2) == []
