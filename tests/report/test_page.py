"""Pages in a headless browser: a quiet console, mouse and keyboard, narrow and wide; skipped without Chromium."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from latency_models.target import ENERGY, load_target
from nas.arch import save_arch
from nas.compare.compare import Comparison, compare, ridge_candidates
from nas.compare.page import html
from nas.compare.ridge_sweep import sweep
from nas.records.results import load_result
from nas.report.network_view import write
from nas.report.page import json_text
from nas.report.run_page import write_report
from nas.zoo import reference
from tests.support.browser import Browser, installed
from tests.support.run_folder import add_finalists, make_run

TARGETS = ("pixel8-edgetpu", "rpi5", "s23-gpu", "cortex-m7", "pixel6-cpu", "titan-rtx")
NASTY = "a</script><b>&amp;$x_1$"  # a folder must not have it, so a network gets it as its name
WIDTHS = (1280, 400)  # px


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser for all tests here."""
    program = installed()
    if program is None:
        pytest.skip("no Chromium is installed; pages are not tried in a browser")
    with Browser(program, tmp_path_factory.mktemp("browser")) as one:
        yield one


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Three runs for three targets, a spec without accuracy, two references with published ones."""
    folder = tmp_path_factory.mktemp("compared")
    runs = [make_run(folder / target, seed=i, target=target) for i, target in enumerate(TARGETS[:3])]
    save_arch(reference("mobilenetv2", num_classes=10), folder / "a<b>&$x_1$.json")
    named = ("mobilenetv4-conv-s", "mobilenetv3-large")
    return compare([*runs, folder / "a<b>&$x_1$.json", *named], TARGETS)


@pytest.fixture(scope="module")
def page(compared: Comparison, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their page."""
    path = tmp_path_factory.mktemp("page") / "compare.html"
    path.write_text(html(compared, title=NASTY))
    return path


def shown(browser: Browser, page: Path, width: int) -> None:
    """Open a page and check what holds of every one: quiet, alone, not wider than the window."""
    browser.errors.clear()
    browser.requests.clear()
    browser.open(page, width)
    browser.wait("document.documentElement.dataset.ready === 'yes'")
    assert browser.errors == [] and browser.requests == [page.resolve().as_uri()]
    assert browser.value("document.documentElement.scrollWidth") <= width


def text(browser: Browser, selector: str) -> Any:
    """The text of the first element, None without one."""
    return browser.value(f"document.querySelector({json.dumps(selector)})?.textContent ?? null")


def number(browser: Browser, selector: str) -> int:
    """How many elements there are."""
    return int(browser.value(f"document.querySelectorAll({json.dumps(selector)}).length"))


@pytest.mark.parametrize("width", WIDTHS)
def test_a_point_clicked_shows_its_architecture(browser: Browser, page: Path, compared: Comparison, width: int) -> None:
    shown(browser, page, width)
    for nth in (0, 3):
        point = f"[data-target='rpi5'] [data-point='{nth}']"
        browser.click(point)
        label = browser.value(f"document.querySelector(\"{point}\").getAttribute('aria-label')")
        assert text(browser, ".detail .name") == label.split(",")[0]
        entry = next(entry for entry in compared.entries if entry.name == label.split(",")[0])
        assert number(browser, ".detail summary") == sum(map(len, entry.arch.stages)) + 1
        latency = load_target("rpi5").model().predict_ms(entry.arch)
        assert float(str(text(browser, ".detail .facts b")).split()[0]) == pytest.approx(latency, rel=0.01)
        assert browser.value("document.querySelector('.detail select').selectedOptions[0].text") == "rpi5"
        network = browser.value(f'document.querySelector("{point}").dataset.network')
        everywhere = number(browser, f".panel [data-network='{network}']")
        assert number(browser, ".point.selected") == everywhere >= (len(TARGETS) if entry.accuracy else 1)
    browser.click(".detail summary")
    browser.wait("document.querySelectorAll('.detail details[open] tbody tr').length === 1")  # the stem is one kernel
    assert browser.errors == []


@pytest.mark.parametrize("width", WIDTHS)
def test_every_target_can_be_chosen(browser: Browser, page: Path, width: int) -> None:
    shown(browser, page, width)
    assert number(browser, ".panel") == len(TARGETS)
    browser.click("[data-figure=targets] button:last-of-type")
    assert number(browser, ".panel") == 0 and "No target" in str(text(browser, ".panels"))
    for count, target in enumerate(TARGETS, start=1):
        browser.click(f"[data-figure=targets] label:nth-of-type({count}) input")
        assert number(browser, ".panel") == count and number(browser, f".panel[data-target='{target}'] .point") > 5
        assert target in str(text(browser, "[data-figure=networks] thead"))
    for nth, target in enumerate(TARGETS):
        browser.value(f"(s => {{ s.value = {nth}; s.dispatchEvent(new Event('change')); }})"
                      "(document.querySelector('.detail select'))")  # fmt: skip
        assert browser.value("document.querySelector('.detail select').selectedOptions[0].text") == target
        assert str(text(browser, ".detail .facts b")).endswith(" ms")
    assert browser.errors == []


@pytest.mark.parametrize("width", WIDTHS)
def test_it_works_by_keyboard_alone(browser: Browser, page: Path, width: int) -> None:
    shown(browser, page, width)

    def tab_to(selector: str) -> None:
        for _ in range(400):
            browser.press("Tab")
            if browser.value(f"document.activeElement.matches({json.dumps(selector)})"):
                return
        raise AssertionError(f"Tab never reaches {selector}")

    tab_to("[data-figure=targets] input")
    browser.press(" ")
    assert number(browser, ".panel") == len(TARGETS) - 1
    tab_to(".panel .point")
    first = browser.value("document.activeElement.getAttribute('aria-label')")
    browser.press("End")
    browser.press("ArrowLeft")
    second = browser.value("document.activeElement.getAttribute('aria-label')")
    assert second != first and not browser.value("document.getElementById('tip').hidden")
    browser.press("Enter")
    assert text(browser, ".detail .name") == second.split(",")[0]
    assert second.split(",")[0] in str(text(browser, "#announcement"))
    browser.press("Escape")
    assert browser.value("document.getElementById('tip').hidden")
    tab_to(".detail summary")
    browser.press("Enter")
    browser.wait("document.querySelectorAll('.detail details[open] tbody tr').length >= 1")
    tab_to("#ridge")
    browser.press("Home")
    assert "0 MACs/byte" in str(text(browser, "output"))
    assert browser.errors == []


def test_the_slider_shows_the_fronts_of_the_sweep(browser: Browser, page: Path, compared: Comparison) -> None:
    candidates, _ = ridge_candidates(compared)
    shown(browser, page, 1280)
    for key, ridge_point in (("Home", 0.0), ("End", 500.0)):
        browser.value("document.querySelector('#ridge').focus()")
        browser.press(key)
        for nth, (_, rows) in enumerate(sweep(candidates, [ridge_point]).groupby("kind", sort=False)):
            browser.click(f"[data-figure=ridge] label:nth-of-type({nth + 1}) input[type=radio]")
            marked = "[...document.querySelectorAll('.ridge [data-best=true]')].map(n => n.getAttribute('aria-label'))"
            names = {label.split(",")[0] for label in browser.value(marked)}
            assert names == set(rows[rows["on_front"]]["name"])
    browser.click(".ridge tbody button")
    assert "ridge point 500" in str(text(browser, ".detail select option:checked"))
    assert browser.errors == []


def test_kinds_of_accuracy_tables_and_regret(browser: Browser, page: Path, compared: Comparison) -> None:
    shown(browser, page, 1280)
    assert number(browser, "[data-figure=regret] tbody tr") == 3
    cells = browser.value("[...document.querySelectorAll('[data-figure=regret] td')].map(n => n.textContent)")
    blanks = int(compared.regrets["extra"].isna().sum())
    assert cells.count("") == blanks and cells.count("0 %") >= 3 and len(cells) == 9
    assert number(browser, "[data-figure=hypervolumes] tbody tr") == 3
    browser.click("[data-figure=panels] fieldset label:nth-of-type(2) input")
    names = browser.value("[...document.querySelectorAll('[data-figure=networks] tbody th')].map(n => n.textContent)")
    assert {"mobilenetv4-conv-s", "mobilenetv3-large", "a<b>&$x_1$"} <= set(names) and "rpi5" not in names
    browser.click("[data-column=name]")
    assert browser.value("document.querySelector('[aria-sort]').textContent") == "network"
    assert number(browser, "b b, title b") == 0 and browser.value("document.title") == NASTY
    assert browser.errors == []


@pytest.mark.parametrize("width", WIDTHS)
def test_a_report_shows_its_figures(browser: Browser, width: int, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    shown(browser, write_report(run), width)
    decisions = [
        len(json.loads(line).get("decisions", ())) for line in (run / "journal.jsonl").read_text().splitlines()
    ]
    assert number(browser, "[data-figure=progress] svg") == 4 and number(browser, ".decision svg") == sum(decisions)
    browser.value("document.querySelector('.decision svg').focus()")
    browser.press("Home")
    assert "step 20" in str(text(browser, "#tip")) and "entropy" in str(text(browser, "#tip"))
    browser.click(".panel .point")
    assert number(browser, ".detail summary") > 3 and browser.errors == []
    shown(browser, write_report(make_run(tmp_path / "stopped", finished=False)), width)
    assert number(browser, ".detail summary") > 3 and number(browser, "[data-figure=panels]") == 0


def test_a_run_with_finalists_has_two_kinds_of_accuracy(browser: Browser, tmp_path: Path) -> None:
    run = add_finalists(make_run(tmp_path / "run"))
    shown(browser, write_report(run), 1280)
    assert number(browser, ".panel .point") == 3 and number(browser, ".panel .faint-dot") == 0
    assert number(browser, ".legend li button") == 1
    browser.click("[data-figure=panels] fieldset label:nth-of-type(2) input")
    assert number(browser, ".panel .faint-dot") == len(pd.read_csv(run / "evaluated.csv"))
    front = {*pd.read_csv(run / "front.csv")["digest"], load_result(run / "best.json").arch.digest}
    assert number(browser, ".panel .point") == len(front) and browser.errors == []


def test_a_network_alone_and_references_without_accuracy(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "network.html"
    write(reference("mobilenetv4-hybrid-m"), load_target("rpi5").model(), path)
    shown(browser, path, 400)
    assert number(browser, ".detail summary") > 30
    plain = tmp_path / "plain.html"
    plain.write_text(html(compare(["mobilenetv2@100px", "mixnet-s@100px"], ["rpi5"])))
    shown(browser, plain, 400)
    assert number(browser, ".panel .point") == 2 and number(browser, "[data-figure=ridge]") == 0


def test_energy_is_shown_where_it_was_asked_for(browser: Browser, tmp_path: Path, root: Path) -> None:
    target = tmp_path / "mine.toml"
    values = "".join(f'{name} = {{ value = 9, source = "made up", confidence = "estimated" }}\n' for name in ENERGY)
    target.write_text((root / "latency_models/targets/rpi5.toml").read_text() + "\n[energy]\n" + values)
    path = tmp_path / "energy.html"
    compared = compare(["mobilenetv2", "mobilenetv3-small"], [str(target)], energy=True)
    path.write_text(html(compared))
    shown(browser, path, 400)
    facts = str(text(browser, ".detail .facts"))
    assert float(facts.split(" mJ")[0].split("latency")[1]) == pytest.approx(compared.rows["energy_mj"][0], rel=0.01)


def test_data_in_a_page_is_never_markup() -> None:
    hostile = {"</script><!--": ["<b>", "&lt;", "\u2028", "é"]}
    embedded = json_text(hostile)
    assert json.loads(embedded) == hostile and not set("<>&\u2028") & set(embedded)
