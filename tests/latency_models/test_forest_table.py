"""A forest over a space: its features by table are those of the networks, and what follows it stays beside it."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency_models.calibration.forest_fit import fit_forest
from latency_models.forest import Forest, features_of, forest_text, load_forest
from latency_models.forest_table import ForestTable, additive
from latency_models.roofline import Roofline
from nas.errors import InvalidInput
from nas.protocols import Genotypes
from nas.search.constraints.forest_bounds import ForestBound
from nas.search.objectives import columns, objectives
from nas.space.staged import StagedSpace
from tests.support.tiny import SPACE

DEVICE = Roofline("device", 4.0, 0.8, launch_overhead_ms=0.003, time_per_kernel_us=1.0)
SIZES = tuple(len(decision.options) for decision in SPACE.decisions)


def decoded(space: StagedSpace, genotypes: Genotypes) -> list:  # type: ignore[type-arg]
    return [space.decode(genotype) for genotype in genotypes.tolist()]


def grown(batch: int = 1, count: int = 40) -> Forest:
    archs = decoded(SPACE, SPACE.sample(np.random.default_rng(7), count))
    return fit_forest(archs, [batch] * count, np.array([DEVICE.predict_ms(arch) for arch in archs]))


FOREST = grown()


@settings(max_examples=15)
@given(st.integers(0, 1000), st.integers(1, 8), st.booleans())
def test_features_by_table_are_those_of_the_networks(seed: int, batch: int, coarse: bool) -> None:
    space = SPACE.coarse() if coarse else SPACE
    genotypes = space.sample(np.random.default_rng(seed), 6)
    table = ForestTable.of(space, Forest("latency", batch, 40, FOREST.features, FOREST.trees), "f")
    assert table.features(genotypes).tolist() == features_of(decoded(space, genotypes), [batch] * 6).tolist()


def test_predictions_by_table_are_those_of_the_networks() -> None:
    genotypes = SPACE.sample(np.random.default_rng(1), 30)
    table = ForestTable.of(SPACE, FOREST, "f")
    np.testing.assert_array_equal(table.score(genotypes), FOREST.predict(decoded(SPACE, genotypes)))
    assert table.score(genotypes[:0]).shape == (0,)


def test_the_range_of_a_forest_holds_all_its_predictions_and_is_not_wider_than_what_it_grew_on() -> None:
    table = ForestTable.of(SPACE, FOREST, "f")
    scores = table.score(SPACE.sample(np.random.default_rng(2), 2000))
    low, high = FOREST.range
    measured = [DEVICE.predict_ms(arch) for arch in decoded(SPACE, SPACE.sample(np.random.default_rng(7), 40))]
    assert min(measured) <= low <= scores.min() <= scores.max() <= high <= max(measured)


def test_the_sum_that_follows_a_forest_ranks_as_it_does() -> None:
    rng = np.random.default_rng(3)
    table = ForestTable.of(SPACE, FOREST, "f")
    follower = additive(table, SPACE.sample(rng, 1000), SIZES)
    unseen = SPACE.sample(rng, 500)
    assert np.corrcoef(follower.score(unseen), table.score(unseen))[0, 1] > 0.8
    with pytest.raises(InvalidInput, match="cannot be followed"):
        additive(table, unseen[:0], SIZES)


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A forest in a file, with a cross-validated error."""
    path = tmp_path / "device.forest.json"
    path.write_text(forest_text(Forest("latency", 1, 40, FOREST.features, FOREST.trees, 4.25)))
    return str(path)


def test_a_forest_keeps_its_cross_validated_error_in_its_file_and_an_older_file_has_none(file: str) -> None:
    assert load_forest(Path(file)).cross_validated_mape_percent == 4.25
    assert "held-out error 4.2 % (MAPE) on 40 measured networks" in load_forest(Path(file)).error_note
    Path(file).write_text(forest_text(FOREST))
    assert load_forest(Path(file)).cross_validated_mape_percent is None
    assert "not stored" in load_forest(Path(file)).error_note


@pytest.mark.parametrize("value", ["-1", '"small"', "NaN"])
def test_a_broken_cross_validated_error_is_one_line(file: str, value: str) -> None:
    Path(file).write_text(Path(file).read_text().replace("4.25", value, 1))
    with pytest.raises(InvalidInput, match=r"held_out_mape_percent must be a number of at least 0|NaN is no number"):
        load_forest(Path(file))


def test_a_bound_on_a_forest_is_a_file_and_a_number(file: str) -> None:
    low, high = FOREST.range
    bound = ForestBound.parse(f"{file}:{high:.6g}")
    assert bound.name == "device" and bound.most == pytest.approx(high, rel=1e-5)
    assert "kept by checked repair; held-out error 4.2 %" in bound.description
    for text in (file, f"{file}:", f"{file}:fast", f"{file}:-1", f"{file}:nan", "device.json:3", ":3"):
        with pytest.raises(InvalidInput, match=r"a bound on a forest is FILE\.forest\.json:MAX"):
            ForestBound.parse(text)
    with pytest.raises(InvalidInput, match=rf"must be at least {low:.4g} ms, got .*: the forest predicts {low:.4g} to"):
        ForestBound.parse(f"{file}:{low / 2}")
    with pytest.raises(InvalidInput, match="cannot read"):
        ForestBound.parse("absent.forest.json:3")


def test_objectives_are_error_and_costs_in_the_units_of_people(file: str) -> None:
    genotypes = SPACE.sample(np.random.default_rng(4), 9)
    model = Roofline("device", 4.0, 0.8, bytes_per_weight=2.0, bytes_per_activation=4.0, batch=3)
    names = ("latency", "memory", "flash", "macs", "params", file)
    points = objectives(np.linspace(0.5, 0.9, 9), genotypes, columns(SPACE, names, model))
    archs = decoded(SPACE, genotypes)
    expected = [
        1 - np.linspace(0.5, 0.9, 9),
        [model.predict_ms(arch) for arch in archs],
        [arch.peak_activation_elements * 4 * 3 / 1024 for arch in archs],
        [sum(model.weight_bytes(kernel) for kernel in arch.kernels) / 1024 for arch in archs],
        [arch.macs for arch in archs],
        [arch.params for arch in archs],
        FOREST.predict(archs),
    ]
    np.testing.assert_allclose(points, np.stack(expected, 1), rtol=1e-9)
    headings = [column.heading for column in columns(SPACE, names, model)]
    assert headings == ["latency_ms", "memory_kb", "flash_kb", "macs", "params", "device_latency_ms"]


def test_unknown_objectives_are_one_line() -> None:
    with pytest.raises(LookupError, match="unknown objective 'memroy'; did you mean 'memory'"):
        columns(SPACE, ["memroy"], DEVICE)
    with pytest.raises(InvalidInput, match="energy cannot be an objective"):
        columns(SPACE, ["energy"], DEVICE)
