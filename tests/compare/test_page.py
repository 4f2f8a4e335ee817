"""The page of a comparison as HTML: cards of the runs, budgets, the pair shown first, names never as markup."""

from pathlib import Path
from typing import Any

import pytest

from latency_models.target import load_target
from nas.arch import save_arch
from nas.compare.compare import compare, latency_budgets
from nas.compare.page import html
from nas.zoo import reference
from tests.report.test_run_page import Page
from tests.support.run_folder import make_run

NASTY = "a<b>&\"c'</section>"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four runs, the first in a folder whose name has markup, with a network of another target."""
    folder = tmp_path_factory.mktemp("runs")
    first = make_run(folder / NASTY.replace("/", "-"), target="rpi5", latency_budget=12.5)
    return [first, *(make_run(folder / f"run{i}", seed=i) for i in range(3))]


def page_of(items: list[Any]) -> tuple[Page, str]:
    """Return the parsed page of a comparison and its text."""
    text = html(compare(items, ["pixel8-edgetpu", "rpi5"]))
    page = Page(text)
    assert page.open == [] and page.addresses == ["data:,"]
    return page, text


def test_up_to_three_runs_have_a_card_each_and_more_a_table(runs: list[Path]) -> None:
    page, text = page_of(runs[:2])
    assert text.count('<section class="card"') == 2 and page.text.count("Not compared with a baseline") == 2
    assert "over the budget of 12.5 ms" in page.text or "under the budget of 12.5 ms" in page.text
    page, text = page_of(list(runs))
    assert text.count('<section class="card"') == 1 and page.text.count("not compared with a baseline") == 4
    assert "a<b>" in page.text and "b" not in page.tags and page.tags.count("section") == 1
    assert "12.5" in page.text and page_of(["mobilenetv2"])[1].count('class="card"') == 0


def test_budgets_stand_on_the_axis_of_the_target_that_they_are_for(runs: list[Path]) -> None:
    found = compare(runs[:2], ["edgetpu", "rpi5", "cortex-m7"])
    own = latency_budgets(found, "edgetpu")
    assert own == latency_budgets(found, load_target("edgetpu").name) and len(own) == 1
    assert latency_budgets(found, "rpi5") == [12.5] and latency_budgets(found, "cortex-m7") == []


def test_a_network_found_stands_beside_the_baseline_or_the_next_one_found(runs: list[Path], tmp_path: Path) -> None:
    page, _ = page_of([runs[1], "mobilenetv4-conv-s"])
    left, right = (page.data["networks"][number] for number in page.data["pair"])
    assert left["name"] == "run0" and right["name"].startswith("mobilenetv4-conv-s")
    assert (
        page.data["archs"][right["arch"]]["classes"] == page.data["archs"][left["arch"]]["classes"]
    )  # the rebuilt one
    page, _ = page_of(runs[1:3])
    assert [page.data["networks"][number]["name"] for number in page.data["pair"]] == ["run0", "run1"]
    save_arch(reference("mobilenetv2", num_classes=10), tmp_path / "one.json")
    assert page_of([tmp_path / "one.json"])[0].data["networks"][0]["name"] == "one"
