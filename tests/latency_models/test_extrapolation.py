"""Networks unlike the measured ones: their distance, the wider interval, the groups it comes from, and its file."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency_models.calibration.calibrate import calibrate, plain_template
from latency_models.calibration.fit import fit
from latency_models.calibration.groups_out import (
    MOST_KEPT,
    extrapolation,
    groups_of,
    representatives,
    widenings,
    work_shares,
)
from latency_models.calibration.measurements import Measurement, Measurements
from latency_models.calibration.validation import KIND_AWARE
from latency_models.extrapolation import Extrapolation, map_size
from latency_models.latency_error import error_of
from latency_models.target import Target, load_target, parse_target
from latency_models.target_file import target_toml
from latency_models.workload import Workload
from nas.errors import InvalidInput
from nas.ops import KINDS
from nas.zoo import reference
from tests.support.made_up_device import APART, SEEN, UNSEEN

KNOWN = Extrapolation(
    0.1, 0.3, 20.0, ("conv", "pointwise"), (6, 6), ((0.25, 0.75), (1.0, 0.0)), ((0.5, 0.5), (1.0, 0.0))
)
CONV, POINTWISE = KNOWN.cells
AMOUNTS = st.dictionaries(st.tuples(st.sampled_from(KINDS), st.integers(4, 7)), st.floats(0, 1e9))
FAMILIES = (  # of one kind of network each, in several widths
    *(reference("mobilenetv1", width=width) for width in (0.25, 0.5, 0.75, 1.0)),
    *(reference("mobilenetv2", width=width) for width in (0.5, 0.75, 1.0)),
    *(reference(name) for name in ("mobileone-s0", "mobileone-s1", "efficientnet-lite0", "efficientnet-lite1")),
)


def workload(*archs) -> Workload:  # type: ignore[no-untyped-def]
    return Workload.of(archs, [1] * len(archs), plain_template("device", "fp32"))


@given(AMOUNTS, AMOUNTS)
def test_a_distance_is_a_share_whatever_the_unit(macs: dict, moved: dict) -> None:  # type: ignore[type-arg]
    distance = KNOWN.distance(macs, moved)
    assert 0 <= distance <= 1 + 1e-9
    doubled = [{kind: 2 * value for kind, value in each.items()} for each in (macs, moved)]
    assert KNOWN.distance(*doubled) == pytest.approx(distance)


def test_the_nearest_measured_network_counts() -> None:
    assert KNOWN.distance({CONV: 3.0, POINTWISE: 9.0}, {CONV: 1.0, POINTWISE: 1.0}) == 0
    assert KNOWN.distance({CONV: 3.0, POINTWISE: 9.0}, {CONV: 1.0}) == pytest.approx(0.25)  # of bytes, one half
    assert KNOWN.distance({("conv", 5): 1.0}, {("conv", 5): 1.0}) == 1  # other maps: nothing in common
    assert [map_size(side * side) for side in (1, 7, 8, 14, 16, 28, 112)] == [0, 3, 3, 4, 4, 5, 7]


def test_the_interval_grows_from_the_usual_distance_to_that_of_groups_and_no_further() -> None:
    each = [KNOWN.more_of(distance) for distance in (0.0, 0.1, 0.2, 0.3, 1.0)]
    assert each == pytest.approx([0, 0, 10, 20, 20])
    assert replace(KNOWN, far_share=0.1).more_of(1.0) == 0  # groups no farther apart than networks


def test_groups_are_families_and_do_not_depend_on_the_order_of_rows() -> None:
    cells, shares = work_shares(workload(*FAMILIES))
    assert ("depthwise", 3) in cells and len(cells) == shares.shape[1] / 2
    assert shares.sum(1) == pytest.approx(1)
    order = np.random.default_rng(0).permutation(len(FAMILIES))
    groups, shuffled = groups_of(shares), groups_of(shares[order])
    assert len(set(groups)) == 4 and groups[-1] != groups[0]
    together = groups[:, None] == groups
    assert np.array_equal(together[np.ix_(order, order)], shuffled[:, None] == shuffled)
    assert set(representatives(shares)) == set(range(len(shares)))
    assert set(order[representatives(shares[order], 5)]) == set(representatives(shares, 5))


def test_networks_that_are_all_alike_say_nothing_of_others() -> None:
    same = workload(*[FAMILIES[0]] * 6)
    assert extrapolation({KIND_AWARE: fit}, same, np.ones(6), 0.1) is None


def calibrated() -> Target:
    rows = tuple(Measurement(f"n{i}", arch, APART.predict_ms(arch)) for i, arch in enumerate(FAMILIES))
    return calibrate(Measurements(rows, {}, ()), "mine").target


def test_calibrate_writes_it_and_the_device_widens_as_the_arrays_do() -> None:
    target = calibrated()
    assert target.calibration is not None and target.calibration.extrapolation is not None
    assert parse_target("mine", target_toml(target), "again") == target
    known = replace(target.calibration.extrapolation, more_percent=40.0)
    alone = replace(target, calibration=replace(target.calibration, extrapolation=known, second_opinion=None))
    archs = (*FAMILIES[:2], SEEN[0], reference("mobilenetv4-conv-s"))
    more = 100 * widenings(known, workload(*archs))
    for device in (alone, alone.model()):
        stated = error_of(device).percent
        assert stated is not None
        assert [error_of(device, arch).percent for arch in archs] == pytest.approx(stated + more)
    assert more[:2] == pytest.approx(0) and more[-1] > 0  # the stem of MobileNetV4 has no like
    assert "unlike" in error_of(alone, archs[-1]).basis and "unlike" not in error_of(alone, archs[0]).basis


def test_a_large_table_keeps_a_few_networks_that_stand_for_all() -> None:
    found = extrapolation({KIND_AWARE: fit}, workload(*SEEN), np.array([APART.predict_ms(arch) for arch in SEEN]), 0.02)
    assert found is not None and len(found.macs) == len(found.bytes) == MOST_KEPT < len(SEEN)
    wider = widenings(found, workload(*UNSEEN))  # sampled alike: most are within the usual distance
    assert np.mean(wider > 0.005) < 0.5 and wider.max() <= found.more_percent / 100 + 1e-12


def test_a_record_of_an_earlier_release_knows_no_distance() -> None:
    target = calibrated()
    assert target.calibration is not None
    text = target_toml(replace(target, calibration=replace(target.calibration, extrapolation=None)))
    assert "extrapolation" not in text
    old = parse_target("old", text, "old.toml")
    assert old.opinions(FAMILIES[0]).distance == 0 and error_of(old).percent == error_of(target).percent


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("usual_share = 0.1", "usual_share = -1", "extrapolation.usual_share must be a finite number of at least 0"),
        ("usual_share = 0.1, ", "", "extrapolation lacks the entry 'usual_share'"),
        ("far_share", "far_shore", "did you mean 'far_share'"),
        ("extrapolation = {", "extrapolation = 3 # {", "extrapolation must be a table, got 3"),
        ('["conv", "pointwise"]', '["conv", "pointwize"]', "did you mean 'pointwise'"),
        ('["conv", "pointwise"]', '["conv", "conv"]', "extrapolation.sizes must be a list of whole numbers"),
        ("[6, 6]", "[6, 6.5]", "extrapolation.sizes must be a list of whole numbers"),
        ("[0.25, 0.75]", "[0.25]", "extrapolation.macs must be a list of rows of 2 shares, one per cell"),
        ("[0.25, 0.75]", "[0.25, 7]", "extrapolation.macs must be a finite number from 0 to 1, got 7"),
        ("[[0.5, 0.5], ", "[", "must have as many rows of macs as of bytes, got 2 and 1"),
    ],
)  # fmt: skip
def test_a_broken_extrapolation_is_one_line(old: str, new: str, message: str) -> None:
    target = load_target("s23-gpu")
    assert target.calibration is not None
    text = target_toml(replace(target, calibration=replace(target.calibration, extrapolation=KNOWN)))
    assert old in text
    with pytest.raises((InvalidInput, LookupError)) as caught:
        parse_target("mine", text.replace(old, new, 1), "mine.toml")
    assert message in str(caught.value) and "\n" not in str(caught.value)
