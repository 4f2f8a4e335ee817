"""The error of a latency: what target files state, what holds for each target, refusals, and the text on screens."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.target_fit_check import COLUMNS, unseen_predictions
from latency_models.calibration.validation import half_width
from latency_models.latency_error import COMPUTED, NORMAL_90, NOT_KNOWN, LatencyError, error_of
from latency_models.target import abstract_target, list_targets, load_target, parse_target
from latency_models.target_file import target_toml
from nas.errors import InvalidInput
from nas.zoo import reference
from tests.latency_models.test_target import GOOD

STATED = """
[error]
mape_percent = 10
source = "a paper"
"""


def test_a_calibration_counts_before_a_stated_error_and_that_before_none() -> None:
    unknown = parse_target("mine", GOOD, "mine.toml")
    assert error_of(unknown) == LatencyError(None, COMPUTED) and error_of(unknown).of(0.5) == f"0.5 ms ({COMPUTED})"
    fitted = replace(unknown, peak_gmacs_per_s=replace(unknown.peak_gmacs_per_s, confidence="fitted"))
    assert error_of(fitted).text == f"({NOT_KNOWN})"  # a fit may lie on both sides
    stated = parse_target("mine", GOOD + STATED, "mine.toml")
    assert error_of(stated).percent == pytest.approx(10 * NORMAL_90) and error_of(stated).mean_percent == 10
    gpu = load_target("s23-gpu")
    calibrated = replace(stated, calibration=gpu.calibration, free_kinds=gpu.free_kinds)
    assert error_of(calibrated) == error_of(load_target("s23-gpu")) == error_of(calibrated.model())


def test_of_kernels_that_were_not_measured_no_error_is_known() -> None:
    conv, hybrid = reference("mobilenetv4-conv-s"), reference("mobilenetv4-hybrid-m")
    for device in (load_target("pixel8-edgetpu"), load_target("pixel8-edgetpu").model()):
        assert error_of(device, conv) == error_of(device) and error_of(device).percent == 17.8
        unknown = error_of(device, hybrid)
        assert unknown.percent is None and "no measured network has kernels of kind matmul" in unknown.text
    assert "kind depthwise" in error_of(load_target("rpi5"), conv).text  # fitted on NAS-Bench-201
    assert error_of(load_target("cortex-m7"), conv).basis == COMPUTED


def test_every_error_survives_its_file_and_reaches_the_model() -> None:
    for target in list_targets():
        assert parse_target(target.name, target_toml(target), "again") == target
        assert error_of(target.model()) == error_of(target)
    assert error_of(abstract_target(30.0, 100.0)).percent is None
    assert error_of(load_target("pixel6-cpu").model("plain-roofline")).percent is None  # the error of another model


@pytest.mark.parametrize("name", ["pixel8-edgetpu", "iphone13-ane"])
def test_stated_errors_are_those_of_the_study(name: str) -> None:
    stated = load_target(name).error
    assert stated is not None and name in COLUMNS
    predicted, measured = unseen_predictions(name)
    assert stated.networks == len(measured)
    assert stated.mape_percent == pytest.approx(100 * abs(predicted / measured - 1).mean(), abs=0.06)
    assert stated.interval_90_percent == pytest.approx(100 * half_width(predicted[None], measured), abs=0.06)


@given(st.floats(1e-3, 1e4), st.floats(1e-3, 1e4))
def test_the_interval_holds_the_latency_and_never_falls_below_zero(percent: float, latency: float) -> None:
    low, high = LatencyError(percent, "measured").range(latency) or (0.0, 0.0)
    assert 0 <= low <= latency <= high


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("[error]\nsource = 'a'", "error lacks the entry 'mape_percent'"),
        ("[error]\nmape_percent = 3", "error lacks the entry 'source'"),
        ("[error]\nmape_percent = 0\nsource = 'a'", "error.mape_percent must be a positive finite number, got 0"),
        ("[error]\nmape_percent = 3\nsource = 'a'\nnetworks = 2.5", "error.networks must be a whole number"),
        (
            "[error]\nmape_percent = 3\nsource = 'a'\ninterval_90_percent = inf",
            "interval_90_percent must be a positive",
        ),
        ("[error]\nmape_percent = 3\nsource = 'a'\nkinds = ['cnv']", "unknown kind of kernel 'cnv'"),
        ("[error]\nmape_precent = 3\nsource = 'a'", "mape_precent"),
    ],
)
def test_a_malformed_error_is_one_line(table: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words.replace("[", r"\[")):
        parse_target("mine", f"{GOOD}\n{table}", "mine.toml")


@pytest.mark.parametrize(
    ("name", "setup"),
    [("pixel6-cpu", "TensorFlow Lite, 1 thread, int8"), ("nvidia-a100", "fp16")],
)
def test_the_setup_says_runtime_threads_and_dtype(name: str, setup: str) -> None:
    assert load_target(name).setup == setup
    known = load_target("s23-gpu").calibration
    assert known is not None
    measured = replace(load_target(name), calibration=replace(known, runtime="ort", threads="4"))
    assert measured.setup == f"ort, 4 threads, {measured.dtype}"  # what was measured counts
