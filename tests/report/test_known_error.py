"""The error of a latency on every screen: summary, cards, pages, tables, JSON; and results of earlier releases."""

import json
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from latency_models.latency_error import error_of
from latency_models.target import load_target
from nas import api
from nas.cli.commands.show import comparison_from
from nas.cli.tables.search_result import results_table, summary
from nas.compare.compare import compare
from nas.compare.files import to_json
from nas.compare.page import html
from nas.compare.table import tables
from nas.errors import InvalidInput
from nas.records.results import PredictionError, Result, load_result, save_result
from nas.report.describe import describe
from nas.report.known_error import error_of_result, error_text, gap_text
from nas.report.result_card import result_tiles
from nas.zoo import reference
from tests.support.run_folder import SPACE, accuracy_of, make_run, result_of

KNOWN = PredictionError(18.0, 8.0, "13 networks", "TensorFlow Lite, int8", 0.97)
LOWER = replace(KNOWN, percent=None, basis="computed, lower bound", share_within=None)


@pytest.fixture
def result() -> Result:
    """The result of a search whose files lack the error, as those of earlier releases do."""
    genotype = tuple(int(option) for option in SPACE.sample(np.random.default_rng(0), 1)[0])
    arch = SPACE.decode(genotype)
    return result_of(arch, genotype, accuracy_of(arch, np.random.default_rng(1)))


def printed(*shown: object) -> str:
    """Return what a terminal of 200 columns shows."""
    file = StringIO()
    Console(width=200, file=file).print(*shown)
    return " ".join(file.getvalue().split())


def test_the_error_survives_its_file_and_earlier_files_are_read(result: Result, tmp_path: Path) -> None:
    save_result(replace(result, latency_error=KNOWN), tmp_path / "best.json")
    assert load_result(tmp_path / "best.json").latency_error == KNOWN
    data = json.loads((tmp_path / "best.json").read_text())
    assert isinstance(data["latency"], float) and data["latency_error"]["percent"] == 18.0
    del data["latency_error"]
    (tmp_path / "old.json").write_text(json.dumps(data))
    assert load_result(tmp_path / "old.json").latency_error is None
    for broken in ({"percent": -1}, 3, {**data, "percent": 2}):
        (tmp_path / "broken.json").write_text(json.dumps(data | {"latency_error": broken}))
        with pytest.raises(InvalidInput, match="malformed"):
            load_result(tmp_path / "broken.json")


def test_a_gap_never_stands_without_the_error(result: Result) -> None:
    gap = f"gap {100 * (result.latency / result.latency_budget - 1):+.2f} %"
    assert gap_text(replace(result, latency_error=KNOWN)) == (
        f"{gap} of a latency known to ± 18 %; 97 % of random networks of the space lie that near to the budget"
    )
    assert gap_text(replace(result, latency_error=LOWER)) == (
        f"{gap} of a latency whose error is not known (computed, lower bound)"
    )
    today = error_of(load_target(result.target))
    assert gap_text(result) == f"{gap} of a latency known to {today.text}"  # that of its target, for an earlier release
    assert gap_text(replace(result, target="a device that is gone")).endswith("whose error is not known")
    assert error_of_result(replace(result, latency_model="plain-roofline")) is None  # the error is of another model
    assert error_text(None) == ""


def test_summary_table_and_card_have_latency_error_and_setup(result: Result, tmp_path: Path) -> None:
    known = replace(result, latency_error=KNOWN)
    shown = printed(summary(known, tmp_path))
    assert f"{known.latency:.3f} ms ± 18 %" in shown and KNOWN.setup in shown and KNOWN.basis in shown
    assert "gap" in shown and "97 % of random networks" in shown
    assert f"{known.latency:.3f} ms ± 18 %" in printed(results_table({"one": known}))
    card = result_tiles(known)
    assert "± 18 %" in card and "97 % of random networks" in card and KNOWN.setup in card and 'class="reach"' in card
    unknown = result_tiles(replace(result, latency_error=LOWER))
    assert "computed, lower bound" in unknown and unknown.count('class="reach"') == card.count('class="reach"') - 1


def test_a_comparison_has_the_error_in_rows_page_and_files(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    compared = compare([run, "mobilenetv2"], ["pixel6-cpu", "cortex-m7"])
    known = error_of(load_target("pixel6-cpu"))
    of_target = compared.rows.groupby("target")["latency_error_percent"]
    assert set(of_target.get_group("pixel6-cpu").dropna()) == {known.percent}  # NaN: beside attention, not measured
    assert of_target.get_group("cortex-m7").isna().all()
    data = json.loads(json.dumps(to_json(compared)))
    assert data["latency_errors"]["pixel6-cpu"] == {**known.to_json(), "setup": "TensorFlow Lite, 1 thread, int8"}
    shown = printed(*tables(compared))
    assert known.text in shown and "computed, lower bound" in shown and "TensorFlow Lite, 1 thread, int8" in shown
    assert printed(*tables(comparison_from(data))) == shown  # nas show of the folder
    earlier = {key: value for key, value in data.items() if key != "latency_errors"}
    assert known.text not in printed(*tables(comparison_from(earlier)))
    with pytest.raises(InvalidInput, match="compare again"):
        comparison_from({**data, "latency_errors": {"pixel6-cpu": {"percent": "x"}}})
    page = html(compared)
    assert f'"error":"{known.text}"'.replace("±", "\\u00b1") in page.replace(": ", ":") or known.text in page


def test_describe_and_predict_have_the_error(out: Callable[..., str]) -> None:
    described = describe(reference("mobilenetv2"), load_target("pixel6-cpu").model()).to_json()
    known = error_of(load_target("pixel6-cpu"))
    assert described["latency_error"] == known.to_json() and described["setup"] == "TensorFlow Lite, 1 thread, int8"
    frame = api.predict("mobilenetv2", ["pixel6-cpu", "cortex-m7"])
    assert frame["latency_error_percent"][0] == known.percent and pd.isna(frame["latency_error_percent"][1])
    for flags in ((), ("--kernels",)):
        shown = " ".join(out("describe", "mobilenetv2", "--target", "pixel6-cpu", *flags).split())
        assert f"{known.text}" in shown and known.basis in shown
        assert "computed, lower bound" in out("describe", "mobilenetv2", "--target", "cortex-m7", *flags)
