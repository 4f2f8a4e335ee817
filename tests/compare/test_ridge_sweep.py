"""Ridge sweeps: equal to the roofline, fronts within one kind of accuracy, the paper's claim, the files."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency_models.target import abstract_target
from nas.arch import ArchSpec, save_arch
from nas.cli import main
from nas.compare.compare import compare, ridge_candidates
from nas.compare.ridge_files import write_ridge_sweep
from nas.compare.ridge_plot import shown_points
from nas.compare.ridge_sweep import (
    HIGH,
    LOW,
    RIDGE_POINTS,
    SweptNetwork,
    front_ranges,
    kernel_latencies,
    op_costs,
    published_candidates,
    ranges_text,
    sweep,
)
from nas.errors import InvalidInput
from nas.records.networks import PUBLISHED_KIND, has_accuracy
from nas.report.network_blocks import block_position
from nas.search.pareto import non_dominated
from nas.zoo import BASELINES, published_accuracies, reference
from tests.support.run_folder import make_run
from tests.support.strategies import archs

SMALL = ("mobilenetv4-conv-s", "mobilenetv2@0.5", "mobilenetv3-small")


@given(archs(), st.floats(0, 1000))
@settings(max_examples=50)
def test_latency_is_the_rooflines_at_a_peak_of_one_gmac_per_second(arch: ArchSpec, ridge_point: float) -> None:
    times = kernel_latencies(arch, [ridge_point])
    assert times.shape == (1, len(arch.kernels))
    assert times.sum() == pytest.approx(abstract_target(ridge_point, 1.0).predict_ms(arch) / 1e3, rel=1e-9)


def test_at_ridge_point_zero_latency_is_the_mac_count_and_it_never_falls() -> None:
    for name in SMALL:
        arch = reference(name)
        totals = kernel_latencies(arch, RIDGE_POINTS).sum(axis=1)
        assert totals[0] == pytest.approx(arch.macs / 1e9) and (np.diff(totals) >= 0).all()


def test_only_equal_kinds_share_a_front() -> None:
    one, other = (published_candidates([name])[0] for name in SMALL[:2])
    worse = SweptNetwork("worse", other.arch, 0.01, "digits")
    rows = sweep([one, other, worse], (0.0, 50.0))
    assert rows[rows["name"] == "worse"]["on_front"].all()
    for _, group in rows.groupby(["kind", "ridge_point"]):
        points = group[["latency_gmacs", "top1"]].to_numpy()
        assert group["on_front"].tolist() == non_dominated(points, (True, False)).tolist()


@pytest.mark.parametrize("series", ["authors", "mobilenetv4-tab6"])
def test_every_mobilenetv4_is_on_the_front_at_every_ridge_point(series: str) -> None:
    """Arxiv 2404.10518, Fig. 2, among the networks that can be built."""
    names = BASELINES
    if series != "authors":
        names = tuple(
            f"{one.network}@{one.width},{one.resolution}px" for one in published_accuracies() if one.series == series
        )
    ranges = front_ranges(sweep(published_candidates(names, series)))  # type: ignore[arg-type]
    found = {name: text for name, text in ranges.items() if name.startswith("mobilenetv4")}
    assert len(found) == 5 and set(map(ranges_text, found.values())) == {"0 to 500"}
    assert any(text != [(0.0, 500.0)] for text in ranges.values())


def test_ranges_hold_exactly_the_points_on_the_front() -> None:
    points = [(0.0, True), (5.0, True), (10.0, False), (15.0, True), (20.0, False)]
    rows = pd.DataFrame([("a", point, on) for point, on in points] + [("b", 0.0, False)],
                        columns=["name", "ridge_point", "on_front"])  # fmt: skip
    assert front_ranges(rows) == {"a": [(0.0, 5.0), (15.0, 15.0)], "b": []}
    assert ranges_text(front_ranges(rows)["a"]) == "0 to 5, 15" and ranges_text([]) == "never"


def test_costs_of_ops_add_up_and_move_to_the_end_with_the_ridge_point() -> None:
    costs = op_costs(published_candidates(SMALL[:1]))
    for _, group in costs.groupby(["name", "ridge_point"]):
        assert group["share"].sum() == pytest.approx(1) and group["op"].tolist() == list(range(len(group)))
    head = costs[costs["position"] == "head"].set_index("ridge_point")["share"]
    assert head[HIGH] > 4 * head[LOW]  # few MACs, many weights
    assert block_position("2.0.expand.1") == "2.0" and block_position("head.pool") == "head"


def test_accuracies_are_the_published_ones_of_one_series() -> None:
    own, again = (published_candidates(["mobilenetv2"], series)[0] for series in ("authors", "mobilenetv4-tab6"))
    assert (own.top1, again.top1) == pytest.approx((0.718, 0.734)) and own.kind != again.kind
    assert {own.kind, again.kind} == set(PUBLISHED_KIND.values())
    assert has_accuracy("mobilenetv2@0.75,192px") and not has_accuracy("mobilenetv2@0.75,100px")
    with pytest.raises(InvalidInput, match="no accuracy of mixnet-s"):
        published_candidates(["mixnet-s"], "mobilenetv4-tab6")


def test_impossible_sweeps_are_refused() -> None:
    with pytest.raises(InvalidInput, match="at least one network with a known accuracy"):
        sweep([])
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InvalidInput, match="ridge points must be 0 or more and finite"):
            kernel_latencies(reference("mobilenetv2"), [wrong])


def test_a_comparison_is_swept_with_published_references_of_a_kind_of_their_own(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    save_arch(reference("mobilenetv2", num_classes=10), tmp_path / "mine.json")
    candidates, without = ridge_candidates(compare([run, tmp_path / "mine.json"], ["rpi5"]))
    kinds = {one.kind for one in candidates}
    assert len(kinds) == 2 and PUBLISHED_KIND["authors"] in kinds and without == ["mine"]
    assert [one.name for one in candidates if one.kind == PUBLISHED_KIND["authors"]] == list(BASELINES)
    named, without = ridge_candidates(compare([*SMALL, "mobilenetv2@100px"], ["rpi5"]))
    assert [one.name for one in named] == list(SMALL) and without == ["mobilenetv2@100px"]
    paths = write_ridge_sweep(candidates, tmp_path)
    assert [path.name for path in paths] == [
        "ridge_sweep.csv", "ridge_op_costs.csv", "ridge_sweep.png", "ridge_sweep.svg"
    ]  # fmt: skip
    pd.testing.assert_frame_equal(pd.read_csv(paths[0]), sweep(candidates), check_dtype=False)
    first = [path.read_bytes() for path in paths]
    assert first[2].startswith(b"\x89PNG") and len(first[2]) > 20_000 and b"<svg" in first[3]
    write_ridge_sweep(candidates, tmp_path)
    assert [path.read_bytes() for path in paths] == first


def test_the_command_writes_the_sweep_and_names_what_it_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *SMALL, "mobilenetv2@100px", "--ridge-sweep", "--out", str(tmp_path / "cmp")]) == 0
    output = capsys.readouterr().out
    assert "no accuracy known: mobilenetv2@100px" in output and (tmp_path / "cmp" / "ridge_sweep.png").exists()
    assert main(["compare", *SMALL, "--ridge-sweep"]) == 2
    assert "--out" in capsys.readouterr().err
    unknown = tmp_path / "unknown"
    assert main(["compare", "mobilenetv2@100px", "--ridge-sweep", "--out", str(unknown)]) == 2
    assert "no accuracy is known of mobilenetv2@100px" in capsys.readouterr().err and not unknown.exists()


def test_panels_show_the_ends_of_the_sweep() -> None:
    assert shown_points(RIDGE_POINTS) == [0.0, 30.0, 150.0, 500.0]
    assert shown_points([7.0]) == [7.0]
