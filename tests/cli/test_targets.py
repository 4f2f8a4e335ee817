"""nas targets: words that find devices, files of the user checked, a file to start from; which numbers are deployed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from latency_models.latency_error import error_of
from latency_models.macs_ranking import BY_MACS, macs_correlation, rank_correlation, ranks_by_macs
from latency_models.target import find_targets, list_targets, load_target, sibling
from latency_models.target_template import TEMPLATE
from nas.cli.deployed_dtype import dtype_notes
from nas.records.results import result_of_run
from nas.runs.settings import EARLIER_TARGET, SearchConfig
from tests.support.run_folder import make_run

RUNS = Path(__file__).parents[1] / "data" / "runs"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("hexagon", {"pixel4-dsp"}),
        ("STM32", {"cortex-m7", "stm32h7", "stm32n6"}),
        ("esp32", {"esp32-s3"}),
        ("raspberry pi", {"rpi4", "rpi4-int8", "rpi5", "rpi5-int8"}),
        ("google phone int8", {"pixel3-cpu-int8", "pixel4-dsp", "pixel6-cpu", "pixel8-edgetpu"}),
        ("no such device", set()),
        (" ", set()),
    ],
)
def test_words_find_targets(words: str, found: set[str]) -> None:
    assert {target.name for target in find_targets(words)} == found


def test_a_word_lists_its_targets_and_names_them_where_one_target_is_asked_for(
    out: Callable[..., str], refusal: Callable[..., str]
) -> None:
    rows = json.loads(out("targets", "stm32", "--json"))
    assert [row["name"] for row in rows] == ["cortex-m7", "stm32h7", "stm32n6"]
    assert "unknown target 'stm32'; that is a search word of cortex-m7, stm32h7, stm32n6" in refusal(
        "describe", "mobilenetv2", "--target", "stm32"
    )
    assert "known" in refusal("targets", "zzzz") or "did you mean" in refusal("targets", "zzzz")


def test_the_template_is_a_target_and_check_says_what_it_means(out: Callable[..., str], tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(out("targets", "--template"))
    assert file.read_text() == TEMPLATE
    checked = json.loads(out("targets", "--check", file, "--json"))
    target = load_target(str(file))
    assert checked["ridge_point"] == target.ridge_point and checked["setup"] == "TensorFlow Lite, 1 thread, int8"
    assert checked["latency_error"]["percent"] is None and any("its error" in line for line in checked["missing"])
    assert set(checked["latency_ms"]) == {"mobilenetv4-conv-s", "mobilenetv2"}
    shown = out("targets", "--check", file)
    assert "computed, lower bound" in shown and "ridge point" in shown and "ranks by MACs" in shown


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("value = 409.6", "value = -1"), "peak_gmacs_per_s must be positive and finite, got -1"),
        (("[floor_ms]", "[flor_ms]"), "unknown field 'flor_ms'; did you mean 'floor_ms'?"),
        (('dtype = "int8"', 'dtype = "int4"'), "dtype must be one of int8, fp16, fp32, got 'int4'"),
    ],
)
def test_check_answers_a_bad_file_in_one_line(
    refusal: Callable[..., str], tmp_path: Path, change: tuple[str, str], words: str
) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(TEMPLATE.replace(*change, 1))
    assert words in refusal("targets", "--check", file)
    assert "rpi5" in refusal("targets", "--check", "rpi5")  # a name is no file
    assert "missing.toml" in refusal("targets", "--check", tmp_path / "missing.toml")


def test_which_targets_rank_by_macs_is_computed_from_their_models() -> None:
    ranking = {target.name for target in list_targets() if ranks_by_macs(target.model())}
    assert ranking >= {"cortex-m7", "rpi4", "rpi5", "x86-avx2"}
    assert not ranking & {"coral-edgetpu", "pixel3-cpu", "pixel6-cpu", "pixel8-edgetpu", "nvidia-a100"}
    assert macs_correlation(load_target("pixel6-cpu").model()) < BY_MACS
    values = [3.0, 1.0, 1.0, 2.0]
    import numpy as np

    assert rank_correlation(np.array(values), -np.array(values)) == pytest.approx(-1)


@pytest.mark.parametrize(
    ("name", "other"), [("rpi4", "rpi4-int8"), ("rpi5", "rpi5-int8"), ("pixel3-cpu", "pixel3-cpu-int8"),
                        ("x86-avx2", "x86-avx2-int8")]
)  # fmt: skip
def test_siblings_are_one_unit_in_other_numbers(name: str, other: str) -> None:
    first, second = load_target(name), load_target(other)
    assert sibling(first, "int8") == second and sibling(second, "fp32") == first and first.unit == second.unit
    assert error_of(second).percent is not None or error_of(second).basis == "computed, lower bound"


def test_a_file_of_other_numbers_than_the_search_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    run = str(RUNS / "finished")  # of the Edge TPU, int8
    assert dtype_notes(run, "int8") == [] and dtype_notes("mobilenetv2", None) == []
    (line,) = dtype_notes(run, None)
    assert "on pixel8-edgetpu in int8, the file computes in fp32" in line and "--quantize int8" in line
    monkeypatch.setattr("nas.cli.deployed_dtype.targets_of", lambda networks: ("rpi5", "s23-gpu"))
    first, second = dtype_notes(run, "int8")
    assert f"its latency is that of rpi5-int8: nas describe {run} --target rpi5-int8" in first
    assert "on s23-gpu in fp16" in second and dtype_notes(run, None) == []  # fp32 files run in fp16 there


def test_the_run_of_a_training_is_known_by_the_network_where_its_name_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(tmp_path / "run")
    other = make_run(tmp_path / "other", seed=1)
    (tmp_path / "trained").mkdir()
    arch = result_of_run(other).arch
    monkeypatch.setattr("nas.cli.deployed_dtype.arch_of", lambda network: arch)
    (tmp_path / "trained" / "train.json").write_text("{}")
    trained = str(tmp_path / "trained")
    assert dtype_notes(trained, None) == [line.replace(str(other), trained) for line in dtype_notes(str(other), None)]
    assert dtype_notes(trained, None)


def test_searches_begin_on_the_new_default_and_old_settings_mean_what_they_meant() -> None:
    assert SearchConfig().target == "pixel6-cpu"
    assert SearchConfig.from_dict({}).target == EARLIER_TARGET == "edgetpu"
    assert SearchConfig.from_dict({"target": None}).target == "edgetpu"
    assert SearchConfig.from_dict({"target": None, "ridge_point": 3.0}).target is None


def test_every_list_says_which_energies_are_known(out: Callable[..., str], refusal: Callable[..., str]) -> None:
    rows = {row["name"]: row["energy_error"] for row in json.loads(out("targets", "--json"))}
    assert {name for name, error in rows.items() if error is not None} == {
        target.name for target in list_targets() if target.energy
    }
    assert rows["stm32h7"]["percent"] == 49 and "computed" in rows["esp32-s3"]["basis"] and rows["rpi5"] is None
    assert "networks have no energy on it" in " ".join(out("targets", "rpi5").split())
    line = refusal("search", "--target", "rpi5", "--max-energy-mj", "8")
    assert "'rpi5' has no energy coefficients" in line and "take one of coral-edgetpu" in line and "rpi4" in line
