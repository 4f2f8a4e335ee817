"""The arms study: the verdict says what the data say, rows are made once, processor seconds count children."""

import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments import arms
from experiments.arm_verdict import permutation_p, search_values, seeds_interval, verdict
from experiments.arms import BASELINE, COLUMNS, Found, Study, add_row, read_rows, run_arms, simulated, verdict_lines
from experiments.truth_table import known_trainings, table_of
from nas.files import dump_json
from nas.runs.plan import make_plan
from nas.runs.settings import SearchConfig
from nas.zoo import reference

SMALL = st.lists(st.integers(0, 40).map(lambda k: 0.5 + k / 1000), min_size=2, max_size=5)

# ------------------------------------------------------------------------------------------------------- the verdict


def test_clear_data_are_resolved_and_noise_is_not() -> None:
    clear = verdict([0.50, 0.51, 0.505, 0.508], [0.46, 0.47, 0.465, 0.468])
    assert clear.resolved and clear.low > 0
    assert clear.p == pytest.approx(2 / 70)  # both extreme splits of 70
    assert str(clear).startswith("resolved: +4.00 points [+3.") and str(clear).endswith("4 searches per arm")
    assert verdict([0.46, 0.47, 0.465, 0.468], [0.50, 0.51, 0.505, 0.508]).resolved  # worse is resolved too
    assert not verdict([0.50, 0.47, 0.49, 0.48], [0.49, 0.48, 0.50, 0.47]).resolved


def test_noise_is_seldom_resolved() -> None:
    draws = np.random.default_rng(0).normal(0.5, 0.01, (200, 2, 6))
    assert np.mean([verdict(a, b).resolved for a, b in draws]) <= 0.08


@given(SMALL, SMALL)
@settings(max_examples=20)
def test_the_permutation_p_is_exact_for_few_searches(ours: list[float], others: list[float]) -> None:
    pooled, size = ours + others, len(ours)
    observed = abs(np.mean(ours) - np.mean(others))
    splits = list(itertools.combinations(range(len(pooled)), size))
    reached = 0
    for split in splits:
        inside = [pooled[i] for i in split]
        outside = [pooled[i] for i in range(len(pooled)) if i not in split]
        reached += bool(abs(np.mean(inside) - np.mean(outside)) >= observed - 1e-12)
    assert permutation_p(np.array(ours), np.array(others)) == pytest.approx(reached / len(splits))


@given(SMALL, SMALL)
@settings(max_examples=20)
def test_exchanging_the_arms_changes_the_sign_alone(ours: list[float], others: list[float]) -> None:
    one, other = verdict(ours, others), verdict(others, ours)
    assert one.difference == pytest.approx(-other.difference)
    assert one.p == pytest.approx(other.p)


def test_one_search_says_nothing() -> None:
    found = verdict([0.9], [0.1, 0.1])
    assert not found.resolved
    assert str(found) == "not resolved: +80.00 points, too few searches per arm (1 and 2) for an interval"


def test_two_networks_are_compared_over_their_trainings() -> None:
    difference, low, high = seeds_interval([0.51, 0.52, 0.53], [0.50, 0.51, 0.52])
    assert (difference, (low + high) / 2) == (pytest.approx(0.01), pytest.approx(0.01))
    assert high - low == pytest.approx(2 * 2.776 * np.sqrt(2 * 1e-4 / 3), rel=1e-3)  # t with 4 degrees of freedom


# ---------------------------------------------------------------------------------------------------------- the rows


def row(
    arm: str, seed: int, train_seed: int, top1: float, seconds: float = 1000.0, study: str = "arms"
) -> dict[str, str]:
    known = {"study": study, "target": "edgetpu", "arm": arm, "search_seed": seed, "train_seed": train_seed}
    known |= {"test_top1": top1, "search_processor_s": seconds, "latency": 0.5}
    return {name: str(known.get(name, "")) for name in COLUMNS}


def test_a_search_counts_with_all_its_trainings() -> None:
    rows = [row("A", 0, k, 0.5 + 0.01 * k) for k in range(3)] + [row("A", 1, 0, 0.9)]
    assert search_values(rows, 3) == {("arms", "edgetpu", "A"): [pytest.approx(0.51)]}


def test_the_verdict_is_recomputed_from_the_rows_and_says_unequal_time(tmp_path: Path) -> None:
    table = tmp_path / "arms.csv"
    for arm, level, seconds in (("A", 0.50, 1000.0), ("B", 0.46, 1010.0), ("D", 0.50, 900.0), ("C-macs", 0.45, 0.0)):
        for seed, train_seed in itertools.product(range(4), range(3)):
            add_row(table, row(arm, seed, train_seed, level + 0.002 * seed + 0.001 * train_seed, seconds))
    lines = "\n".join(verdict_lines(table))
    assert "edgetpu, A - B: resolved: +4.00 points [" in lines
    assert "edgetpu, A - D: not resolved: +0.00 points" in lines
    assert "D: 50.40 ± 0.26 %, 4 searches; latency 0.5000; 900 processor seconds a search: NOT equal, -10 %" in lines
    assert "B: 46.40 ± 0.26 %, 4 searches; latency 0.5000; 1010 processor seconds a search\n" in lines
    assert "no search trains anything" in lines
    for k in range(3):
        add_row(table, row("A", 0, k, 0.5 + 0.001 * k, study="baseline"))
        add_row(table, row(BASELINE, 0, k, 0.45 + 0.001 * k, study="baseline"))
    assert "at equal predicted latency: resolved: +5.00 points" in "\n".join(verdict_lines(table))


def test_rows_are_made_once_and_more_searches_add_to_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def search(study: Study, arm: str, seed: int) -> Found:
        made.append(f"{arm}{seed}")
        return Found("arms", arm, seed, reference(BASELINE), 0.7, 990.0)

    def spent(command: Sequence[str], log: Path) -> float:
        folder = Path(command[-1])
        folder.mkdir(parents=True)
        (folder / "train.json").write_text(dump_json({"accuracy": {"top1": 0.5, "pictures": 100}}))
        return 12.0

    monkeypatch.setattr(arms, "search", search)
    monkeypatch.setattr(arms, "processor_seconds", spent)
    study = Study(tmp_path / "out", table=tmp_path / "arms.csv")
    run_arms(study, ["A", "B"], 1, 1)
    assert sorted(made) == ["A0", "B0"]
    assert len(read_rows(study.table)) == 6
    run_arms(study, ["A", "B"], 2, 2)
    assert sorted(made) == ["A0", "A1", "B0", "B1"]
    found = read_rows(study.table)
    assert len({(one["arm"], one["search_seed"], one["train_seed"]) for one in found}) == len(found) == 12
    assert {one["equal_time"] for one in found} == {"yes"}  # 990 of 972 s
    assert {one["train_processor_s"] for one in found} == {"12.0"}


def test_processor_seconds_are_those_of_a_process_and_its_children(tmp_path: Path) -> None:
    busy = "import time\nwhile time.process_time() < 0.3: pass"
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {busy!r}], check=True)"
    assert 0.3 <= arms.processor_seconds([sys.executable, "-c", nested], tmp_path / "log") < 3


# ------------------------------------------------------------------------------------------------------ the simulation


def test_arms_are_replayed_on_a_table() -> None:
    plan = make_plan(SearchConfig(target="edgetpu", data="digits", preset="standard"))
    table = table_of(plan, known_trainings())
    found = simulated(table, plan, 3, 5)
    assert set(found) == {"B", "C-macs", "C-params", "D"}
    truth = table.accuracy[:, :2].mean(1)
    assert all(set(values) <= set(truth) for values in found.values())
    again = simulated(table, plan, 3, 5)
    assert all(np.array_equal(found[arm], again[arm]) for arm in found)
