"""The replay takes any table of the form, in percent or fractions, and refuses others in one line; always the same."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments import ranking_replay, simulated_searches
from experiments.replay_table import read_table
from nas.errors import InvalidInput


def write(path: Path, columns: dict[str, Any]) -> str:
    rows = zip(*columns.values(), strict=True)
    path.write_text("\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]) + "\n")
    return str(path)


def columns(rows: int = 40, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    d = rng.integers(0, 4, (rows, 5))
    accuracy = 0.5 + 0.02 * d.sum(1) + 0.02 * rng.standard_normal(rows)
    return {
        "accuracy_0": accuracy, "accuracy_1": accuracy + 0.01 * rng.standard_normal(rows),
        "cost": rng.uniform(1, 1.02, rows), **{f"d{i}": d[:, i] for i in range(5)},
        "f_size": d.sum(1), "f_luck": rng.standard_normal(rows), "comment": ["any"] * rows,
    }  # fmt: skip


def cells(path: str, capsys: pytest.CaptureFixture[str], times: int = 2) -> list[dict[str, float]]:
    assert ranking_replay.main([path, "--json", "--times", str(times)]) == 0
    return list(json.loads(capsys.readouterr().out))


def without(table: dict[str, Any], *starts: str) -> dict[str, Any]:
    return {name: values for name, values in table.items() if not name.startswith(starts)}


TABLES: dict[str, Any] = {
    "all": lambda t: t,
    "decisions only": lambda t: without(t, "f_", "comment"),
    "features only": lambda t: without(t, "d"),
    "one accuracy, percent": lambda t: {"accuracy": 100 * t["accuracy_0"], **without(t, "accuracy")},
    "missing": lambda t: t | {
        "accuracy_1": ["" if i % 3 else v for i, v in enumerate(t["accuracy_1"])],
        "f_luck": ["nan" if i % 2 else v for i, v in enumerate(t["f_luck"])],
        "cost": ["" if i == 5 else v for i, v in enumerate(t["cost"])],
    },
    "constant feature": lambda t: t | {"f_size": [1] * 40},
    "gaps in decisions": lambda t: t | {"d0": 10 * t["d0"] + 3},
    "wild cost": lambda t: t | {"cost": np.geomspace(1, 1e6, 40)},
    "small": lambda t: {name: values[:13] for name, values in t.items()},
}  # fmt: skip


@pytest.mark.parametrize("kind", TABLES)
def test_any_table_gives_cells(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = cells(write(tmp_path / "t.csv", TABLES[kind](columns())), capsys)
    expected = [8] if kind == "small" else [8, 16]  # 32 of 40 are too many
    assert [(c["n"], c["noise"]) for c in found] == [(n, noise) for n in expected for noise in (0.3, 0.9)]
    assert all(0 <= c["low"] <= c["high"] and c["ratio"] >= 0 for c in found)


def test_the_output_is_the_same_every_time_and_of_percent_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = columns()
    path = write(tmp_path / "t.csv", table)
    first = cells(path, capsys)
    assert first == cells(path, capsys)
    percent = table | {name: 100 * table[name] for name in ("accuracy_0", "accuracy_1")}
    ratios = [c["ratio"] for c in cells(write(tmp_path / "p.csv", percent), capsys)]
    np.testing.assert_allclose(ratios, [c["ratio"] for c in first], rtol=1e-6)


def test_the_report_has_every_predictor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ranking_replay.main([write(tmp_path / "t.csv", columns()), "--times", "1"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("ratio", "tau in band", "size", "luck", "ridge fitted to 16"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no column accuracy"),
        ("accuracy,d0\n.5,1\n", "no column cost"),
        ("accuracy,cost\n.5,1\n", "neither decisions"),
        ("accuracy,cost,d0\n.5,1,1.5\n.5,1,1\n.4,1,2\n", "whole number"),
        ("accuracy,cost,d0\nmany,1,1\n", "'many' is no number"),
        ("accuracy,cost,cost,d0\n.5,1,1,1\n", "appears twice"),
        ("accuracy,cost,d0\n.5,1,1\n.6,1,2\n.7,1,2\n", "too few networks"),
        ("accuracy,cost,d0\n.5,0,1\n.6,-1,2\n", "0 rows"),
    ],
)
def test_other_tables_are_refused_in_one_line(
    text: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    assert ranking_replay.main([str(path), "--json"]) == 2
    shown = capsys.readouterr()
    assert reason in shown.err.splitlines()[-1] and not shown.out
    assert ranking_replay.main([str(tmp_path / "absent.csv")]) == 2


def test_where_the_features_say_nothing_the_search_is_no_worse_than_random(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    table = columns(80) | {"accuracy_0": rng.standard_normal(80), "accuracy_1": rng.standard_normal(80)}
    read = read_table(write(tmp_path / "t.csv", table))
    found = ranking_replay.cell(8, 0.9, ranking_replay.replay(read, [np.arange(80)], 8, 0.9, 30))
    assert found.ratio < 1.1


def test_simulated_searches_cover_the_registry(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulated_searches.main(["--table", write(tmp_path / "t.csv", columns(13)), "--times", "1"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in (*simulated_searches.algorithms(), simulated_searches.MODEL))
    features = write(tmp_path / "f.csv", without(columns(13), "d"))
    assert simulated_searches.main(["--table", features]) == 2


def test_a_proposal_is_the_nearest_unused_row(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "t.csv", columns(13)))
    rows = simulated_searches.Rows.of(table)
    done = simulated_searches.Trainings(table, rows, np.random.default_rng(0))
    trained = [done.train(rows.genotypes[3]) for _ in range(13)]
    assert (rows.genotypes[trained[0]] == rows.genotypes[3]).all() and sorted(trained) == list(range(13))


def test_a_row_of_another_length_is_read_as_missing(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("accuracy,cost,d0,d1\n.5,1,1,1\n.6,1\n.7,1,1,2\n")
    assert len(read_table(str(path)).cost) == 2
    with pytest.raises(InvalidInput, match="cannot read"):
        read_table(str(tmp_path))
