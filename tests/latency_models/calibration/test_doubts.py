"""Doubts about measurements: rows that are mixed up give no target, other units than milliseconds are named."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency_models.calibration import forest_fit
from latency_models.calibration.calibrate import CalibrationReport, calibrate
from latency_models.calibration.doubts import chance_doubt, unit_doubt
from latency_models.calibration.forest_fit import forest_of
from latency_models.calibration.measurements import Measurement, Measurements
from latency_models.energy import Energy
from latency_models.target import list_targets, load_target
from nas import api
from nas.arch import save_arch
from nas.cli import main
from nas.errors import InvalidInput
from nas.zoo import ZOO, reference
from tests.support.made_up_device import APART, SEEN

LATENCIES = np.array([APART.predict_ms(arch) for arch in SEEN])
NAMES = tuple(name for name in ZOO if name.startswith("mobilenet"))


def table(latencies: np.ndarray, energies: np.ndarray | None = None) -> Measurements:
    """Return made-up measurements of the first networks."""
    rows = [Measurement(f"n{i}", SEEN[i], float(ms)) for i, ms in enumerate(latencies)]
    if energies is not None:
        rows = [
            Measurement(r.name, r.arch, r.latency_ms, energy_mj=float(e)) for r, e in zip(rows, energies, strict=True)
        ]
    return Measurements(tuple(rows), {}, ())


@given(st.lists(st.floats(1, 100), min_size=5, max_size=40, unique=True), st.integers(0, 99))
def test_networks_that_differ_by_more_than_the_error_are_told_apart(measured: list[float], seed: int) -> None:
    values = 1.3 ** np.argsort(np.argsort(measured))  # in steps of 30 %, in any order
    predicted = values * np.random.default_rng(seed).uniform(0.9, 1.1, len(values))
    assert chance_doubt(predicted, values) is None


@given(st.integers(6, 40), st.integers(0, 99))
def test_neither_a_constant_nor_the_wrong_order_tells_them_apart(count: int, seed: int) -> None:
    values = np.random.default_rng(seed).lognormal(0, 1, count)
    for predicted in (np.full(count, np.median(values)), -np.sort(-values)[np.argsort(np.argsort(values))]):
        assert "does not tell the networks apart" in (chance_doubt(predicted, values) or "")


def test_a_random_order_is_seldom_taken_for_a_fit() -> None:
    rng = np.random.default_rng(0)
    values = rng.lognormal(0, 0.5, 10)
    doubted = [chance_doubt(rng.permutation(values), values) is not None for _ in range(300)]
    assert np.mean(doubted) > 0.95


@pytest.mark.parametrize(
    "order",
    [np.arange(12)[::-1], np.roll(np.argsort(LATENCIES[:12]), 6), np.random.default_rng(1).permutation(12)],
    ids=["turned round", "shifted", "shuffled"],
)
def test_mixed_up_rows_are_doubted_and_rows_in_place_are_not(order: np.ndarray) -> None:
    noisy = LATENCIES[:12] * np.random.default_rng(0).lognormal(0, 0.03, 12)
    assert calibrate(table(noisy), "device").doubt is None
    report = calibrate(table(np.sort(noisy)[order] if order[0] == 11 else noisy[order]), "device")
    assert report.doubt and "rows may be mixed up" in report.doubt and report.warnings[0] == report.doubt


def test_mixed_up_energies_are_doubted() -> None:
    energies = np.array([Energy("energy", APART, 2.0, 3.0, 50.0).predict_mj(arch) for arch in SEEN[:10]])
    good, bad = (calibrate(table(LATENCIES[:10], each), "device").doubt for each in (energies, np.roll(energies, 3)))
    assert good is None and bad and bad.startswith("the fit does not tell the networks apart: energy of")


def test_a_forest_of_mixed_up_rows_is_doubted(monkeypatch: pytest.MonkeyPatch) -> None:
    small = forest_fit.regressor(10)
    monkeypatch.setattr(forest_fit, "regressor", lambda *_: small)
    good, bad = (forest_of(table(values)).doubt for values in (LATENCIES[:24], np.roll(LATENCIES[:24], 7)))
    assert good is None and bad and "latency of networks left out" in bad


@pytest.mark.parametrize("like", [None, "rpi5", "pixel6-cpu"])
@pytest.mark.parametrize(("factor", "unit"), [(1e3, "microseconds"), (1e-3, "seconds"), (1e6, "nanoseconds"), (1, "")])
def test_latencies_in_another_unit_are_doubted(factor: float, unit: str, like: str | None) -> None:
    target = load_target(like or "rpi4")
    networks = [
        Measurement(name, reference(name), factor * target.model().predict_ms(reference(name))) for name in NAMES
    ]
    doubt = unit_doubt(networks, load_target(like) if like else None, "fp32")
    assert doubt is None if not unit else doubt is not None and f"are they in {unit}?" in doubt


SLOW = ("cortex-m", "stm32h7")  # far slower than the other int8 targets: --like names such a one


def test_no_target_of_this_engine_is_doubted_among_its_like() -> None:
    for target in list_targets():
        if not target.name.startswith(SLOW):
            model = target.model()
            networks = [Measurement(n, reference(n), model.predict_ms(reference(n)), model.batch) for n in NAMES[:2]]
            assert unit_doubt(networks, None, target.dtype) is None, target.name


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with eight specs, a table of them, and one with its latencies turned round."""
    monkeypatch.chdir(tmp_path)
    for number, arch in enumerate(SEEN[:8]):
        save_arch(arch, tmp_path / f"n{number}.json")
    order = np.argsort(LATENCIES[:8])
    for name, latencies in (("good", LATENCIES[order]), ("turned", LATENCIES[order][::-1])):
        rows = [f"n{number}.json,{ms}\n" for number, ms in zip(order, latencies, strict=True)]
        (tmp_path / f"{name}.csv").write_text("arch,latency_ms\n" + "".join(rows))
    return tmp_path


def test_a_fit_worse_than_chance_is_written_by_force_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", "turned.csv", "--name", "mine"]) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1 and not Path("mine.toml").exists()
    for words in ("mine.toml is not written", "does not tell the networks apart", "may be mixed up", "--force"):
        assert words in shown.err
    with pytest.raises(InvalidInput, match="not written"):
        api.calibrate("turned.csv", "mine")
    assert main(["calibrate", "turned.csv", "--name", "mine", "--force"]) == 0
    assert "warning: the fit does not tell the networks apart" in " ".join(capsys.readouterr().out.split())
    assert load_target("mine").calibration is not None
    found = api.calibrate("turned.csv", "other", force=True)
    assert isinstance(found, CalibrationReport) and found.doubt and Path("other.toml").exists()


def test_a_target_may_have_another_name_than_its_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", "good.csv", "--name", "phone", "-o", "t.toml"]) == 0
    assert "wrote t.toml\nnext: nas search --target ./t.toml\n" in capsys.readouterr().out
    assert load_target("t.toml").name == load_target("t").model().name == "phone"
    assert main(["describe", "mobilenetv2", "--target", "t.toml"]) == 0 and "phone" in capsys.readouterr().out
    assert main(["calibrate", "good.csv", "-o", "u.toml"]) == 0
    assert "name =" not in Path("u.toml").read_text() and load_target("u.toml").name == "u"
    Path("t.toml").write_text(Path("t.toml").read_text().replace('"phone"', "3"))
    with pytest.raises(InvalidInput, match=r"t.toml: name must be a non-empty text"):
        load_target("t.toml")
