"""Pages in a headless browser: a quiet console, mouse and keyboard, narrow and wide; skipped without Chromium."""

import base64
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from latency_models.target import ENERGY, load_target
from nas.arch import load_arch, save_arch
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


def unfold(browser: Browser, selector: str) -> None:
    """Open an element that folds, if it is closed."""
    if not browser.value(f"document.querySelector({json.dumps(selector)}).open"):
        browser.click(f"{selector} > summary")


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
        assert number(browser, ".detail .blocks summary") == sum(map(len, entry.arch.stages)) + 1
        latency = load_target("rpi5").model().predict_ms(entry.arch)
        assert float(str(text(browser, ".detail .facts b")).split()[0]) == pytest.approx(latency, rel=0.01)
        assert browser.value("document.querySelector('.detail select').selectedOptions[0].text") == "rpi5"
        network = browser.value(f'document.querySelector("{point}").dataset.network')
        everywhere = number(browser, f".panel [data-network='{network}']")
        assert number(browser, ".point.selected") == everywhere >= (len(TARGETS) if entry.accuracy else 1)
    browser.click(".detail .blocks summary")
    browser.wait("document.querySelectorAll('.detail details[open] tbody tr').length === 1")  # the stem is one kernel
    assert browser.errors == []


@pytest.mark.parametrize("width", WIDTHS)
def test_every_target_can_be_chosen(browser: Browser, page: Path, width: int) -> None:
    shown(browser, page, width)
    assert number(browser, ".panel") == len(TARGETS)
    assert browser.value("document.querySelector('.targets').open") == (width > 640)  # folded on a phone
    unfold(browser, ".targets")
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
        latency = str(text(browser, ".detail .facts b"))
        assert re.fullmatch(r"[\d.,]+ m?s( ± [\d.]+ %)?", latency), latency
        assert "±" in latency or target not in ("pixel8-edgetpu", "pixel6-cpu")  # their error is known
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

    if width < 640:
        tab_to(".targets > summary")
        browser.press("Enter")
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
    tab_to(".detail .blocks summary")
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
    assert number(browser, ".detail .blocks summary") > 3 and browser.errors == []
    shown(browser, write_report(make_run(tmp_path / "stopped", finished=False)), width)
    assert number(browser, ".detail .blocks summary") > 3 and number(browser, "[data-figure=panels]") == 0


def test_a_run_with_finalists_has_two_kinds_of_accuracy(browser: Browser, tmp_path: Path) -> None:
    run = add_finalists(make_run(tmp_path / "run"))
    shown(browser, write_report(run), 1280)
    assert number(browser, ".panel .point path.error") == 3 and number(browser, ".panel .faint-dot") == 0
    assert number(browser, ".panel .point") == 3 + 1  # the baseline below the axis
    assert number(browser, ".legend li button") == 1
    browser.click("[data-figure=panels] fieldset label:nth-of-type(2) input")
    assert number(browser, ".panel .faint-dot") == len(pd.read_csv(run / "evaluated.csv"))
    front = {*pd.read_csv(run / "front.csv")["digest"], load_result(run / "best.json").arch.digest}
    assert number(browser, ".panel .point") == len(front) + 1 and browser.errors == []
    assert number(browser, ".panel .point path.error") == len(front)
    bars = browser.value("document.querySelector('.panel .errors').getAttribute('d').split('M').length - 1")
    assert bars == len(pd.read_csv(run / "evaluated.csv"))


def test_a_network_alone_and_references_without_accuracy(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "network.html"
    write(reference("mobilenetv4-hybrid-m"), load_target("rpi5").model(), path)
    shown(browser, path, 400)
    assert number(browser, ".detail .blocks summary") > 30
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


CATCH = """(() => {
  const real = URL.createObjectURL;
  URL.createObjectURL = (blob) => {
    const reader = new FileReader();
    reader.onload = () => { window.saved = reader.result; };
    reader.readAsDataURL(blob);
    return real(blob);
  };
  HTMLAnchorElement.prototype.click = function () { window.savedAs = this.download; };
})()"""  # keeps what a page saves, and under which name


def saved(browser: Browser, selector: str) -> tuple[str, bytes]:
    """Return name and content of the file that a button saves."""
    browser.value("window.saved = null")
    browser.click(selector)
    browser.wait("window.saved")
    return str(browser.value("window.savedAs")), base64.b64decode(browser.value("window.saved").partition(",")[2])


def test_tables_plots_and_specs_are_saved_without_a_server(
    browser: Browser, page: Path, compared: Comparison, tmp_path: Path
) -> None:
    shown(browser, page, 1280)
    browser.value(CATCH)
    name, table = saved(browser, "[data-download=csv]")
    assert name.endswith(".csv") and not set(name) & set("<>&/$")
    rows = pd.read_csv(io.BytesIO(table))
    assert len(rows) == len(compared.entries) * len(TARGETS) and set(rows["network"]) == {
        entry.name for entry in compared.entries
    }
    known = compared.rows.set_index(["name", "target"])["latency_ms"]
    assert rows["latency"].tolist() == pytest.approx(
        [known[network, target] for network, target in zip(rows["network"], rows["target"], strict=True)], rel=1e-4
    )
    assert saved(browser, "[data-download=png]")[1].startswith(b"\x89PNG\r\n")
    name, spec = saved(browser, ".detail .device button")
    (tmp_path / "spec.json").write_bytes(spec)
    first = compared.entries[0]
    assert name == f"{first.name}.json" and load_arch(tmp_path / "spec.json") == first.arch
    pdf = saved(browser, "[data-download=pdf]")[1]
    checked_pdf(pdf)
    assert pdf.count(b" Tj") > 50 and b"budget".hex().encode() in pdf
    assert browser.errors == []
    assert {address.partition(":")[0] for address in browser.requests[1:]} <= {"data"}  # nothing from outside


def checked_pdf(pdf: bytes) -> None:
    """Check that a PDF's table of contents points to its objects, and its stream is as long as it says."""
    start = int(pdf.rsplit(b"startxref", 1)[1].split()[0])
    assert pdf.startswith(b"%PDF-1.4") and pdf[start:].startswith(b"xref") and pdf.endswith(b"%%EOF\n")
    places = [int(line[:10]) for line in pdf[start:].splitlines()[3:] if line.endswith(b" 00000 n ")]
    assert len(places) == 7
    for number_of_object, place in enumerate(places, start=1):
        assert pdf[place:].startswith(b"%d 0 obj" % number_of_object)
    length = int(pdf.partition(b"/Length ")[2].split()[0])
    stream = pdf.partition(b"stream\n")[2]
    assert stream[length:].startswith(b"\nendstream") and b"NaN" not in stream[:length]


def test_two_networks_stand_side_by_side(browser: Browser, page: Path, compared: Comparison) -> None:
    shown(browser, page, 400)
    left, right = browser.value("JSON.parse(document.getElementById('data').textContent).pair")
    for chosen in (right, left):
        browser.value(f"(s => {{ s.value = {chosen}; s.dispatchEvent(new Event('change')); }})"
                      "(document.querySelector('.pair-choices label:nth-of-type(2) select'))")  # fmt: skip
        a, b = (sum(map(len, compared.entries[i].arch.stages)) + 1 for i in (left, chosen))
        states = browser.value("[...document.querySelectorAll('.pair-row[data-state]')].map(n => n.dataset.state)")
        beside = states.count("same") + states.count("changed")
        assert beside + states.count("left") == a and beside + states.count("right") == b
        marked = number(browser, ".pair-row[data-state=changed] mark")
        assert marked >= states.count("changed") and number(browser, ".pair-row[data-state=same] mark") == 0
    assert set(states) == {"same"}  # a network beside itself
    assert browser.value("document.documentElement.scrollWidth") <= 400 and browser.errors == []


def test_unordered_options_have_colours_of_their_own_and_one_legend(browser: Browser, tmp_path: Path) -> None:
    shown(browser, write_report(make_run(tmp_path / "run")), 1280)
    used = "[...new Set([...d.querySelectorAll('.area')].map(a => a.getAttribute('class').split(' ')[1]))]"
    classes = f"[...document.querySelectorAll('.decision')].map(d => [d.querySelector('h4').textContent, ...{used}])"
    for name, *colours in browser.value(classes):
        kind = "cat" if name.endswith(".dw") else "shade"
        assert all(colour.startswith(kind) for colour in colours) and len(colours) > 1
    legend = str(text(browser, ".blocks-legend"))
    assert legend.startswith("FFN") and "IB 3" in legend and "ConvNext 3" in legend and "ExtraDW 3+3" in legend
    assert number(browser, ".decisions .legend") == number(browser, ".decision:has(.area[class*=shade])")


def test_on_paper_there_are_no_controls_and_the_plot_is_on_white(browser: Browser, page: Path) -> None:
    shown(browser, page, 1280)
    media = {"media": "print", "features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    browser.call("Emulation.setEmulatedMedia", media)
    hidden = "[...document.querySelectorAll('.toolbar, .targets, .choices, select, input')]"
    assert browser.value(f"{hidden}.every(n => n.getClientRects().length === 0)")
    assert browser.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.value("getComputedStyle(document.querySelector('.panel')).breakInside") == "avoid"
    ink = browser.value("getComputedStyle(document.querySelector('h1')).color")
    assert max(map(int, re.findall(r"[0-9]+", ink))) < 60
    glossary = "document.querySelector('.detail .glossary').open"
    for event, is_open in (("beforeprint", True), ("afterprint", False)):
        browser.value(f"window.dispatchEvent(new Event('{event}'))")
        assert browser.value(glossary) is is_open
    browser.call("Emulation.setEmulatedMedia", {"media": "", "features": []})


def test_the_names_of_a_page_are_never_formulas_of_a_spreadsheet(browser: Browser, tmp_path: Path) -> None:
    save_arch(reference("mobilenetv2", num_classes=10), tmp_path / '=1+1,"x".json')
    path = tmp_path / "formula.html"
    path.write_text(html(compare([tmp_path / '=1+1,"x".json'], ["rpi5"])))
    shown(browser, path, 1280)
    browser.value(CATCH)
    table = saved(browser, "[data-download=csv]")[1].decode()
    assert '\n"\'=1+1,""x""","\'=1+1' in table


def test_data_in_a_page_is_never_markup() -> None:
    hostile = {"</script><!--": ["<b>", "&lt;", "\u2028", "é"]}
    embedded = json_text(hostile)
    assert json.loads(embedded) == hostile and not set("<>&\u2028") & set(embedded)


def test_numbers_beyond_every_float_are_blank_on_a_page() -> None:
    assert json_text({"a": [1.5, float("inf")], "b": {"c": (float("nan"), 2)}}) == '{"a":[1.5,null],"b":{"c":[null,2]}}'
