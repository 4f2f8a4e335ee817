"""The report of a run: complete, self-contained, escaped, the same bytes twice, and there for interrupted runs too."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from run_folder import make_run

from latency_models.target import target_names
from nas.errors import InvalidInput
from nas.report import read_journal, write_report
from nas.results import load_result

VOID = {"meta", "br", "img"}


class Page(HTMLParser):
    """Collects text and ids, and checks that tags are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.feed(text)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.note(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.note(tag, attrs)

    def note(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def read(run: Path) -> Page:
    """The report of `run`."""
    page = Page(write_report(run).read_text())
    assert page.open == [] and len(page.ids) == len(set(page.ids))
    assert all(at.startswith("#") and at[1:] in page.ids for at in page.addresses)  # nothing from outside
    return page


def test_a_finished_run_has_every_section_and_every_caveat(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    page, result = read(run), load_result(run / "best.json")
    for heading in ("Progress", "coarse stage", "fine stage", "Accuracy against latency", "block by block", "Settings"):
        assert heading in page.text
    for words in (
        "proxy's", "16 px", "0.5 times the width", "Not converged", "41%", "not measured", "the digits are real",
        f"{result.accuracy.top1:.1%}", f"{result.macs:,}", "Predicted latency on every target",
    ):  # fmt: skip
        assert words in page.text
    assert all(name in page.text for name in target_names())
    assert page.tags.count("svg") == 4
    assert page.text.count("UIB") == sum(op.tag == "uib" for _, op, _ in result.arch.walk())
    first = (run / "report.html").read_bytes()
    assert write_report(run).read_bytes() == first


def test_shares_of_blocks_and_launch_floor_sum_to_one(tmp_path: Path) -> None:
    text = write_report(make_run(tmp_path / "run")).read_text()
    bars = re.findall(r'title="(MACs|latency)"><i [^>]*></i>([\d.]+)%', text)
    floor = re.search(r"pixel8-edgetpu, (\d+)% of the latency", text)
    assert floor is not None
    totals = {what: sum(float(share) for name, share in bars if name == what) for what in ("MACs", "latency")}
    assert totals["MACs"] == pytest.approx(100, abs=0.1 * len(bars))
    assert totals["latency"] + float(floor[1]) == pytest.approx(100, abs=0.1 * len(bars) + 0.5)


def test_an_interrupted_run_shows_what_there_is(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", finished=False)
    page = read(run)
    assert "has not finished" in page.text and "fine stage stands at step 60 of 240" in page.text
    assert page.tags.count("svg") == 3 and "Accuracy against latency" not in page.text
    (run / "coarse.json").unlink()
    lines = (run / "journal.jsonl").read_text().splitlines()
    for keep in (2, 1, 0):  # one chunk, only the start, nothing
        (run / "journal.jsonl").write_text("".join(f"{line}\n" for line in lines[:keep]))
        page = read(run)
        assert page.tags.count("svg") == (2 if keep == 2 else 0) and "has not finished" in page.text
    (run / "journal.jsonl").unlink()
    assert "has not finished" in read(run).text


def test_text_of_others_is_escaped_and_dollars_are_no_formula(tmp_path: Path) -> None:
    nasty = "<script>alert(1)</script> & $x_1^$"
    run = make_run(tmp_path / "a<b>&$c_1$", notes=(nasty,))
    settings = json.loads((run / "experiment.json").read_text())
    (run / "experiment.json").write_text(json.dumps(settings | {nasty: nasty}))
    journal = (run / "journal.jsonl").read_text().replace("stem.filters", "<b>$_^$")
    (run / "journal.jsonl").write_text(journal)
    page = read(run)
    assert "script" not in page.tags and "b" not in page.tags and page.text.count(nasty) == 3


def test_an_abstract_device_has_shares_too(tmp_path: Path) -> None:
    unit = "x mobilenetv4-conv-s"
    run = make_run(tmp_path / "run", target="ridge-point-37", latency_unit=unit, latency=1.2, wanted_latency=1.2)
    settings = json.loads((run / "experiment.json").read_text())
    settings["settings"] |= {"target": None, "ridge_point": 37.0}
    (run / "experiment.json").write_text(json.dumps(settings))
    page = read(run)
    assert f"1.2 {unit}" in page.text and 'title="latency"' in (run / "report.html").read_text()


def test_the_last_record_of_a_step_counts_and_broken_files_are_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    lines = (run / "journal.jsonl").read_text().splitlines()
    again = json.dumps(json.loads(lines[1]) | {"loss": 9.0})
    (run / "journal.jsonl").write_text("\n".join([*lines[:2], again, *lines[2:]]))
    chunks = read_journal(run / "journal.jsonl")["coarse"][1]
    assert len(chunks) == 12 and chunks[0]["loss"] == 9.0
    (run / "journal.jsonl").write_text("\n".join(["{broken", *lines]))
    with pytest.raises(InvalidInput, match="line 1"):
        write_report(run)
    (run / "journal.jsonl").write_text("\n".join(lines))
    (run / "evaluated.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InvalidInput, match=r"evaluated\.csv"):
        write_report(run)
    with pytest.raises(InvalidInput, match="no run folder"):
        write_report(tmp_path)
