"""The forest equals scikit-learn's, comes back from its file unchanged, and a file that is none is one line."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestRegressor

from latency_models.calibration import forest_fit
from latency_models.calibration.forest_fit import (
    FOREST,
    KIND_AWARE,
    MACS_ONLY,
    POWER,
    RIDGE_REGRESSION,
    fit_forest,
    forest_of,
    grow,
    trees_of,
)
from latency_models.calibration.measurements import Measurement, Measurements
from latency_models.energy import Energy
from latency_models.forest import Forest, Tree, feature_names, features_of, forest_text, load_forest
from latency_models.roofline import Roofline
from nas.arch import ArchSpec, save_arch
from nas.cli import main
from nas.errors import InvalidInput
from nas.ops import KINDS
from nas.zoo import reference
from search_spaces.ofa_mbv3 import SPACE as OFA
from tests.support.strategies import archs

DEVICE = Roofline("device", 40.0, 8.0, launch_overhead_ms=0.3, time_per_kernel_us=12.0)
NETWORKS = tuple(OFA.decode(tuple(map(int, g))) for g in OFA.sample(np.random.default_rng(0), 40))
LATENCY_MS = np.array([DEVICE.predict_ms(arch) for arch in NETWORKS])


# --- the trees -------------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 40), st.integers(1, 5), st.integers(0, 3), st.integers(1, 6))
def test_our_prediction_equals_that_of_scikit_learn(
    seed: int, rows: int, columns: int, digits: int, trees: int
) -> None:
    rng = np.random.default_rng(seed)
    features = np.round(rng.uniform(0, 10, (rows, columns)), digits) * 10.0 ** rng.integers(0, 9)  # ties, large counts
    fitted = RandomForestRegressor(trees, random_state=seed).fit(features, rng.standard_normal(rows))
    unseen = np.concatenate([features, rng.uniform(-1, 11, (20, columns)) * features.max()])
    ours = Forest("latency", 1, rows, ("any",) * columns, trees_of(fitted)).logarithms(unseen)
    np.testing.assert_allclose(ours, fitted.predict(unseen), rtol=0, atol=1e-9)


def test_on_networks_too_and_the_same_every_time(tmp_path: Path) -> None:
    forest = fit_forest(NETWORKS[:30], [1] * 30, LATENCY_MS[:30])
    features = features_of(NETWORKS, [1] * 40)
    theirs = RandomForestRegressor(100, random_state=0).fit(features[:30], np.log(LATENCY_MS[:30])).predict(features)
    np.testing.assert_allclose(np.log(forest.predict(NETWORKS)), theirs, rtol=0, atol=1e-9)
    again = fit_forest(NETWORKS[:30], [1] * 30, LATENCY_MS[:30])
    assert forest_text(again) == forest_text(forest)
    path = tmp_path / "device.forest.json"
    path.write_text(forest_text(forest))
    loaded = load_forest(path)
    assert loaded.predict(NETWORKS).tolist() == forest.predict(NETWORKS).tolist()
    assert forest_text(loaded) == path.read_text()
    assert LATENCY_MS[:30].min() <= forest.predict(NETWORKS).min() <= forest.predict(NETWORKS).max() <= LATENCY_MS.max()


# --- the features ----------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.lists(archs(), min_size=1, max_size=3), st.integers(1, 4))
def test_features_are_the_counts_of_the_kernels(networks: list[ArchSpec], batch: int) -> None:
    table = features_of(networks, [batch] * len(networks))
    assert table.shape == (len(networks), len(feature_names()))
    for row, arch in zip(table, networks, strict=True):
        found = dict(zip(feature_names(), row, strict=True))
        assert found["all.count"] == len(arch.kernels)
        assert found["all.macs"] == arch.macs * batch
        assert found["all.weights"] == sum(kernel.weights for kernel in arch.kernels)
        assert found["all.peak_activation"] == arch.peak_activation_elements * batch
        for kind in KINDS:
            mine = [kernel for kernel in arch.kernels if kernel.kind == kind]
            assert found[f"{kind}.reads"] == batch * sum(kernel.reads for kernel in mine)
            assert found[f"{kind}.writes"] == batch * sum(kernel.writes for kernel in mine)
            assert found[f"{kind}.largest_map"] == batch * max((k.out_shape.elements for k in mine), default=0)


# --- the file --------------------------------------------------------------------------------------------------------

SMALL = Forest("energy", 2, 20, feature_names(), grow(features_of(NETWORKS, [2] * 40), np.log(LATENCY_MS), trees=2))
NODES = len(SMALL.trees[0].value)


def broken(change: Any) -> str:
    data = json.loads(forest_text(SMALL))
    change(data)
    return json.dumps(data)


def in_tree(name: str, node: int, value: Any) -> Any:
    def change(data: dict[str, Any]) -> None:
        data["trees"][0][name][node] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(schema="nas.archspec"), "is no forest: the field 'schema' must be 'nas.forest'"),
        (lambda d: d.update(version=2), "forest version 2 is not supported"),
        (lambda d: d.pop("batch"), "the field 'batch' is missing"),
        (lambda d: d.update(more=1), "the field 'more' is missing or not one of a forest"),
        (lambda d: d.update(of="power"), "of must be one of latency, energy, got 'power'"),
        (lambda d: d.update(batch=True), "batch must be a whole number from 1 to 2147483647, got True"),
        (lambda d: d.update(networks=0), "networks must be a whole number from 1 to 2147483647, got 0"),
        (lambda d: d["features"].reverse(), "features are not those of this release"),
        (lambda d: d.update(trees=[]), "at least one tree"),
        (lambda d: d["trees"].append(3), "tree 2 must have exactly the fields"),
        (lambda d: d["trees"][1].pop("value"), "tree 1 must have exactly the fields"),
        (lambda d: d["trees"][0].update(value="x"), "tree 0 must hold lists"),
        (lambda d: d["trees"][0]["value"].pop(), "lists must be of one length"),
        (in_tree("value", 1, "fast"), "value must be finite numbers, got 'fast'"),
        (in_tree("value", 1, float("nan")), "is not valid JSON: NaN is no number"),
        (in_tree("threshold", 0, 10**400), "a whole number of 401 digits"),
        (in_tree("value", NODES - 1, 1000.0), "value must be logarithms of at most 100 in amount, got 1000.0"),
        (in_tree("value", NODES - 1, -1000.0), "value must be logarithms of at most 100 in amount, got -1000.0"),
        (lambda d: d.update(batch=10**30), "batch must be a whole number from 1 to 2147483647"),
        (in_tree("feature", 0, 1.0), "feature must be whole numbers, got 1.0"),
        (in_tree("feature", 0, 999), "the feature of node 0 must be from 0 to"),
        (in_tree("children_left", 0, 0), "the children of node 0 must come after it"),
        (in_tree("children_right", 0, NODES), f"must come after it and before {NODES}"),
        (in_tree("children_right", 0, 1), "every node but the first must be the child of exactly one other"),
        (in_tree("feature", NODES - 1, 0), "has no children, so its feature must be -2, got 0"),
    ],
)
def test_a_broken_file_is_one_line(change: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.forest.json"
    path.write_text(broken(change))
    with pytest.raises(InvalidInput) as caught:
        load_forest(path)
    assert message in str(caught.value) and "\n" not in str(caught.value) and "broken.forest.json" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\x80\x04\x95", b"3"])
def test_a_foreign_file_is_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "foreign.forest.json"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"foreign\.forest\.json"):
        load_forest(path)


def test_trees_hold_what_scikit_learn_grew() -> None:
    tree = SMALL.trees[0]
    assert isinstance(tree, Tree) and (tree.children_left == -1).sum() == (NODES + 1) // 2


# --- scores and the command ------------------------------------------------------------------------------------------


def table(count: int = 24, *, energy: bool = False) -> Measurements:
    joules = Energy("energy", DEVICE, 2.0, 5.0, 40.0)
    rows = (
        Measurement(f"net{i}", arch, float(ms), 1, joules.predict_mj(arch) if energy else None)
        for i, (arch, ms) in enumerate(zip(NETWORKS[:count], LATENCY_MS[:count], strict=True))
    )
    return Measurements(tuple(rows), {}, ())


def test_the_forms_beside_the_forest() -> None:
    latency, energy = forest_of(table()), forest_of(table(energy=True), "energy")
    assert list(latency.scores) == [FOREST, RIDGE_REGRESSION, KIND_AWARE, MACS_ONLY]
    assert list(energy.scores) == [FOREST, RIDGE_REGRESSION, POWER, MACS_ONLY]
    assert (latency.forest.unit, energy.forest.unit) == ("ms", "mJ")
    for report, physical in ((latency, KIND_AWARE), (energy, POWER)):
        assert report.scores[physical].mape_percent < 1  # the device is one
        assert (report.scores[FOREST].r2 or 0) > 0.5 and report.scores[FOREST].mape_percent < 10


def test_too_few_or_equal_values_are_one_line() -> None:
    with pytest.raises(InvalidInput, match="at least 20 different networks with latency_ms, got 19"):
        forest_of(table(19))
    with pytest.raises(InvalidInput, match="at least 20 different networks with energy_mj, got 0"):
        forest_of(table(), "energy")
    same = tuple(replace(row, latency_ms=2.5) for row in table().networks)
    with pytest.raises(InvalidInput, match=r"all 24 values of latency_ms are 2\.5"):
        forest_of(Measurements(same, {}, ()))


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with specs and their table."""
    monkeypatch.chdir(tmp_path)
    with (tmp_path / "measured.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["arch", "latency_ms"])
        for i, row in enumerate(table(20).networks):
            save_arch(row.arch, tmp_path / f"n{i}.json")
            writer.writerow([f"n{i}.json", row.latency_ms])
    return tmp_path


def test_the_command_writes_a_forest(
    measured: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forest_fit, "regressor", lambda trees=0: RandomForestRegressor(5, random_state=0))
    assert main(["calibrate", "measured.csv", "--name", "mine", "--model", "forest"]) == 0
    shown = capsys.readouterr().out
    for words in (FOREST, RIDGE_REGRESSION, KIND_AWARE, MACS_ONLY, "Kendall", "R2", "wrote mine.forest.json"):
        assert words in shown
    forest = load_forest(measured / "mine.forest.json")
    assert forest.networks == 20 and forest.predict([reference("mobilenetv2")])[0] > 0
    assert main(["calibrate", "measured.csv", "-o", "two.forest.json", "--model", "forest", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["of"] == "latency" and set(found["scores"][FOREST]) >= {"spearman", "kendall", "mape_percent", "r2"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--of", "energy", "--model", "forest", "--name", "x"], "networks with energy_mj, got 0"),
        (["--of", "energy", "--name", "x"], "--of belongs to --model forest"),
        (["--model", "forest", "--name", "x", "--like", "rpi5"], "--like belongs to a roofline"),
        (["--model", "forest"], "the new forest needs a name"),
        (["--model", "forest", "-o", "x.toml"], "a forest is a .forest.json file"),
        (["--model", "forest", "--name", "there"], "there.forest.json exists"),
        (["--model", "tree", "--name", "x"], "unknown --model 'tree'; known: forest, roofline"),
    ],
)
def test_bad_flags_are_one_line(
    flags: list[str], message: str, measured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (measured / "there.forest.json").write_text("mine")
    assert main(["calibrate", "measured.csv", *flags]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("nas: ") and captured.err.count("\n") == 1 and message in captured.err
    assert sorted(path.name for path in measured.glob("*.forest.json")) == ["there.forest.json"]
