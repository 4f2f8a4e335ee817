"""Intervals of calibrations: honest about the choice of a form, finite, and wider for networks unlike the measured."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency_models.calibration.calibrate import calibrate
from latency_models.calibration.measurements import Measurement, Measurements
from latency_models.calibration.validation import (
    FARTHEST,
    FITTERS,
    KIND_AWARE,
    MACS_ONLY,
    PLAIN_WITH_OVERHEAD,
    SHAPE_AWARE,
    best_form,
    half_width,
    half_width_of_best,
    honest_errors,
    second_form,
)
from latency_models.calibration_record import SecondOpinion
from latency_models.corrections import Correction, pixels_of
from latency_models.latency_error import FARTHEST_PERCENT, error_of
from latency_models.roofline import Roofline
from latency_models.target import Target, load_target, parse_target
from latency_models.target_file import target_toml
from nas.errors import InvalidInput
from tests.support.made_up_device import APART, SEEN, UNSEEN

POSITIVE = st.floats(1e-6, 1e6)


@given(st.lists(st.tuples(POSITIVE, POSITIVE), min_size=5, max_size=30))
def test_no_half_width_exceeds_a_factor_of_four_whatever_was_predicted(pairs: list[tuple[float, float]]) -> None:
    predicted, measured = np.array(pairs).T
    assert 0 <= half_width(predicted[None], measured) <= FARTHEST
    assert half_width(np.zeros((1, len(measured))), measured) == FARTHEST  # a prediction of nothing


def test_a_network_has_no_say_in_the_form_that_it_is_judged_by() -> None:
    """Form A is exact for network 0 alone: over all networks it looks best, without that network B is."""
    measured = np.ones(6)
    a, b = np.array([1.0, 0.7, 0.7, 0.7, 0.7, 0.7]), np.array([2.4, 0.75, 0.75, 0.75, 0.75, 0.75])
    far = np.full((1, 6), 10.0)
    validated = dict.fromkeys(FITTERS, far) | {SHAPE_AWARE: a[None], KIND_AWARE: b[None]}
    assert best_form(validated, measured) == SHAPE_AWARE
    errors = honest_errors(validated, measured)
    assert errors[0] == pytest.approx(1 - 1 / 2.4) and errors[1:] == pytest.approx(1 / 0.7 - 1)
    assert half_width_of_best(validated, measured) > half_width(a[None], measured)


def test_the_second_opinion_is_a_form_of_three_numbers_other_than_the_first() -> None:
    assert {second_form(form) for form in FITTERS} == {PLAIN_WITH_OVERHEAD, MACS_ONLY}
    assert all(second_form(form) != form for form in FITTERS)


def test_calibrate_writes_a_second_opinion_that_is_the_plain_roofline_fitted_along() -> None:
    rows = tuple(Measurement(f"n{i}", arch, APART.predict_ms(arch)) for i, arch in enumerate(SEEN[:9]))
    target = calibrate(Measurements(rows, {}, ()), "mine").target
    assert target.calibration is not None and target.calibration.second_opinion is not None
    assert parse_target("mine", target_toml(target), "again") == target
    opinions = [target.opinions(arch) for arch in UNSEEN[:5]]
    assert [one.latency for one in opinions] == [target.model().predict_ms(arch) for arch in UNSEEN[:5]]
    assert all(0.5 < one.second_latency / one.latency < 2 for one in opinions)
    stated = error_of(target).percent
    assert stated is not None and all((error_of(target, arch).percent or 0) >= stated for arch in UNSEEN[:5])


def agreeing(second: float, usual: float = 10.0, spread: float = 0.0) -> Target:
    """A device without kinds whose second opinion is `second` times as slow, whatever the network."""
    target = load_target("s23-gpu")
    assert target.calibration is not None
    peak, bandwidth = target.peak_gmacs_per_s, target.bandwidth_gb_per_s
    opinion = SecondOpinion(peak.value / second, bandwidth.value / second, 0.0, usual, spread)
    return replace(
        target,
        kind_efficiency=(),
        kind_memory_efficiency=(),
        corrections=None,
        overlap=True,
        launch_overhead_ms=None,
        time_per_kernel_us=None,
        calibration=replace(target.calibration, interval_90_percent=5.0, second_opinion=opinion, extrapolation=None),
    )


@pytest.mark.parametrize(
    ("second", "percent"), [(1.0, 5.0), (1.1, 5.0), (1.5, 45.0), (0.5, 45.0), (9.0, FARTHEST_PERCENT - 5.0)]
)
def test_disagreement_beyond_the_usual_widens_the_interval_by_as_much(second: float, percent: float) -> None:
    target = agreeing(second)
    for device in (target, target.model()):
        known = error_of(device, SEEN[0])
        assert known.percent == pytest.approx(percent) and error_of(device).percent == 5.0
        assert ("unlike" in known.basis) == (percent > 5.0)


def test_the_share_of_time_in_unmeasured_shapes_widens_the_interval() -> None:
    kernel = max(SEEN[0].kernels, key=APART.of_kernel)
    pixels, channels = pixels_of(kernel), kernel.out_shape.channels
    row = Correction(kernel.kind, (pixels, pixels), (channels, channels), kernel.kernel_size)
    plain = agreeing(1.0, spread=40.0)
    assert error_of(plain, SEEN[0]).percent == 5.0  # no corrections: it is not known which shapes were measured
    model = replace(plain.model(), corrections=(row, Correction(kernel.kind, (0, 10**6))))
    alike = [one for one in SEEN[0].kernels if row.applies(one.kind, pixels_of(one), one.out_shape.channels,
                                                           one.kernel_size)]  # fmt: skip
    measured = sum(map(model.of_kernel, alike)) / model.predict_ms(SEEN[0])
    assert 0 < measured < 1
    assert error_of(model, SEEN[0]).percent == pytest.approx(5.0 + 40.0 * (1 - measured))


def test_a_record_of_an_earlier_release_has_one_interval_for_all_networks() -> None:
    target = agreeing(2.0)
    assert target.calibration is not None
    text = target_toml(replace(target, calibration=replace(target.calibration, second_opinion=None)))
    assert "second_opinion" not in text
    old = parse_target("old", text, "old.toml")
    assert error_of(old, SEEN[0]) == error_of(old) and Roofline("x", 1, 1).opinions(SEEN[0]).unmeasured_share == 0


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("usual_percent = 10.0", "usual_percent = -1", "second_opinion.usual_percent must be a finite number"),
        (", usual_percent = 10.0", "", "second_opinion lacks the entry 'usual_percent'"),
        ("usual_percent", "usual_precent", "did you mean 'usual_percent'"),
        ("second_opinion = {", "second_opinion = 3 # {", "second_opinion must be a table, got 3"),
        ("{ peak_gmacs_per_s = ", "{ peak_gmacs_per_s = 0 } # ", "second_opinion lacks the entry"),
    ],
)  # fmt: skip
def test_a_broken_second_opinion_is_one_line(old: str, new: str, message: str) -> None:
    text = target_toml(agreeing(1.0))
    assert old in text
    with pytest.raises((InvalidInput, LookupError)) as caught:
        parse_target("mine", text.replace(old, new, 1), "mine.toml")
    assert message in str(caught.value) and "\n" not in str(caught.value)
