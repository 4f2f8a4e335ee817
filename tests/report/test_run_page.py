"""The report of a run: complete, self-contained, escaped, the same bytes twice, and there for interrupted runs too."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from latency_models.target import target_names
from nas.arch import ArchSpec, save_arch
from nas.compare.compare import compare
from nas.compare.page import html
from nas.errors import InvalidInput
from nas.ops import InvertedResidual, Shape
from nas.records.picks import Pick, Picks, save_picks
from nas.records.results import FILE_KEYS, Score, load_result
from nas.records.verdict import Trained, Verdict, save_verdict
from nas.report.baseline import REFERENCE, baseline_arch
from nas.report.block_glossary import EXTRAS, NOTATION, block_name, glossary
from nas.report.run_curves import read_stages
from nas.report.run_page import LARGEST_TABLE, write_report
from tests.ops.members import MEMBERS
from tests.support.run_folder import SPACE, kind, make_run, result_of

VOID = {"meta", "br", "img", "link"}


class Page(HTMLParser):
    """Collects text and ids, and checks that tags are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.figures: list[str] = []
        self.data: Any = None
        self.feed(text)
        self.text = " ".join(" ".join(self.texts).split())

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
        self.figures += [value or "" for name, value in attrs if name == "data-figure"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["script"]:
            self.data = self.data or json.loads(data)  # the first script is the data
        elif self.open[-1:] != ["style"]:
            self.texts.append(data)


def read(run: Path) -> Page:
    """The report of `run`."""
    page = Page(write_report(run).read_text())
    assert page.open == [] and len(page.ids) == len(set(page.ids))
    assert page.addresses == ["data:,"]  # an empty icon, and nothing from outside
    return page


def test_a_finished_run_has_every_section_and_every_caveat(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    page, result = read(run), load_result(run / "best.json")
    for heading in ("Progress", "What the controller preferred", "Accuracy against latency", "Settings"):
        assert heading in page.text
    figures = ["downloads", "targets", "panels", "devices", "architecture", "pair", "progress", "policy"]
    assert page.figures == figures
    for text in (
        "proxy's", "16 px", "0.5 times the width", "Not converged", "41%", "not measured", "the digits are real",
        f"{result.accuracy.top1:.1%}", f"{result.macs:,}", "Predicted latency on every target",
    ):  # fmt: skip
        assert text in page.text
    assert all(name in page.text for name in target_names())
    data = page.data
    found = data["archs"][data["networks"][data["first"]]["arch"]]
    assert found["digest"] == result.arch.digest and data["targets"][0]["name"] == result.target
    assert data["latency"][data["first"]][0] == pytest.approx(result.latency, rel=1e-4)
    descriptions = [block["description"] for block in found["blocks"]]
    assert sum("UIB" in text for text in descriptions) == sum(op.tag == "uib" for _, op, _ in result.arch.iter_ops())
    front = pd.read_csv(run / "front.csv")
    assert {data["archs"][one["arch"]]["digest"] for one in data["networks"]} >= set(front["digest"])
    assert len(data["evaluated"][0]) == len(pd.read_csv(run / "evaluated.csv"))
    first = (run / "report.html").read_bytes()
    assert write_report(run).read_bytes() == first


def test_kernels_and_launch_overhead_sum_to_the_latency_on_every_target(tmp_path: Path) -> None:
    data = read(make_run(tmp_path / "run")).data
    assert [target["name"] for target in data["targets"][1:]] == sorted(set(target_names()) - {"pixel8-edgetpu"})
    for network, latencies in zip(data["networks"], data["latency"], strict=True):
        for target, latency, times in zip(data["targets"], latencies, data["times"], strict=True):
            assert target["constant"] + sum(times[network["arch"]]) == pytest.approx(latency, rel=1e-3)


def test_the_curves_of_the_search_are_those_of_the_journal(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    stages = {stage["name"]: stage for stage in read(run).data["stages"]}
    assert list(stages) == ["coarse", "fine"]
    for name, (start, progress) in read_stages(run / "journal.jsonl").items():
        assert (
            stages[name]["decisions"] == start["decisions"]
            and stages[name]["latency_budget"] == start["target_latency"]
        )
        assert stages[name]["policy"] == [record["policy"] for record in progress]
        assert stages[name]["sampled_latency"] == [record["sampled_latency"] for record in progress]
        assert stages[name]["argmax_top1"] == pytest.approx([100 * record["argmax_reward_top1"] for record in progress])


def test_trials_over_a_supernet_trained_once_are_charts(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    losses = [{"stage": "supernet", "step": 10 * i, "loss_largest": 2 / i, "loss_random": 3 / i, "loss_smallest": 4 / i}
              for i in (1, 2, 3)]  # fmt: skip
    rounds = [
        {"stage": f"{target}/coarse", "asked": [[0], [1]], "accuracy": [0.5, None]} for target in ("rpi5", "other")
    ]
    lines = [*losses, *rounds, {"stage": "rpi5/coarse", "asked": [[2]], "accuracy": [0.4]}]
    (run / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (run / "rpi5").mkdir()
    for name in ("experiment.json", "best.json"):
        (run / "rpi5" / name).write_bytes((run / name).read_bytes())
    page = read(run / "rpi5")
    training, trials = page.data["curves"]
    assert training["series"][0]["points"] == [[10, 2.0], [20, 1.0], [30, pytest.approx(2 / 3)]]
    assert trials["series"][0]["points"] == [[1, 50.0], [2, 40.0]] and trials["series"][1]["points"][1] == [2, 50.0]
    assert len(read(run).data["curves"]) == 3 and "curves" in page.figures


def test_finalists_stand_in_a_table_where_there_were_any(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    assert "Finalists" not in read(run).text
    head = f"stage,digest,spec,epochs,top1,{FILE_KEYS['images']},supernet_top1\n"
    rows = [
        "fine,aaaaaaaaaa,x,3,0.81,500,0.9\n",
        "fine,bbbbbbbbbb,x,3,0.823,500,0.7\n",
        "fine,bbbbbbbbbb,x,9,0.9,500,0.7\n",
    ]
    (run / "finalists.csv").write_text(head + "".join(rows))
    assert (
        "9 epochs fine bbbbbbbb 70.0 82.3 \u00b1 1.7 90.0 \u00b1 1.3 fine aaaaaaaa 90.0 81.0 \u00b1 1.8"
        in read(run).text
    )
    (run / "finalists.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InvalidInput, match=r"finalists\.csv"):
        write_report(run)


def test_an_interrupted_run_shows_what_there_is(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", finished=False)
    page = read(run)
    assert "has not finished" in page.text and "fine stage stands at step 60 of 240" in page.text
    assert page.figures == ["architecture", "progress", "policy"]
    (run / "coarse.json").unlink()
    lines = (run / "journal.jsonl").read_text().splitlines()
    for keep in (2, 1, 0):  # one record, only the start, nothing
        (run / "journal.jsonl").write_text("".join(f"{line}\n" for line in lines[:keep]))
        page = read(run)
        assert page.figures == (["progress", "policy"] if keep == 2 else []) and "has not finished" in page.text
    (run / "journal.jsonl").unlink()
    assert "has not finished" in read(run).text


def test_foreign_text_is_escaped_and_dollars_are_no_formula(tmp_path: Path) -> None:
    nasty = "<script>alert(1)</script> & $x_1^$"
    run = make_run(tmp_path / "a<b>&$c_1$", notes=(nasty,))
    settings = json.loads((run / "experiment.json").read_text())
    (run / "experiment.json").write_text(json.dumps(settings | {nasty: nasty}))
    journal = (run / "journal.jsonl").read_text().replace("stem.filters", "<b>$_^$")
    (run / "journal.jsonl").write_text(journal)
    page = read(run)
    assert page.tags.count("script") == 2 and "b" not in page.tags and page.text.count(nasty) == 3
    assert page.data["stages"][0]["decisions"][0]["name"] == "<b>$_^$"


def test_an_abstract_device_has_shares_too(tmp_path: Path) -> None:
    unit = "x mobilenetv4-conv-s"
    run = make_run(tmp_path / "run", target="ridge-point-37", latency_unit=unit, latency=1.2, latency_budget=1.2)
    settings = json.loads((run / "experiment.json").read_text())
    settings["settings"] |= {"target": None, "ridge_point": 37.0}
    (run / "experiment.json").write_text(json.dumps(settings))
    page = read(run)
    assert f"1.2 {unit}" in page.text and page.data["targets"][0]["unit"] == unit
    assert sum(page.data["times"][0][0]) > 0


def test_the_last_record_of_a_step_counts_and_broken_files_are_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    lines = (run / "journal.jsonl").read_text().splitlines()
    again = json.dumps(json.loads(lines[1]) | {"loss": 9.0})
    (run / "journal.jsonl").write_text("\n".join([*lines[:2], again, *lines[2:]]))
    progress = read_stages(run / "journal.jsonl")["coarse"][1]
    assert len(progress) == 12 and progress[0]["loss"] == 9.0
    (run / "journal.jsonl").write_text("\n".join(["{broken", *lines]))
    with pytest.raises(InvalidInput, match="line 1"):
        write_report(run)
    (run / "journal.jsonl").write_text("\n".join(lines))
    (run / "evaluated.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InvalidInput, match=r"evaluated\.csv"):
        write_report(run)
    with pytest.raises(InvalidInput, match="no run folder"):
        write_report(tmp_path)


def test_the_card_has_the_verdict_the_latency_against_the_budget_and_the_accuracy(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    page, result = read(run), load_result(run / "best.json")
    card = page.text.partition("Accuracy against latency")[0]
    gap = abs(result.latency / result.latency_budget - 1)
    error = 100 * result.accuracy.standard_error
    assert "Not compared with a baseline" in card and "Baseline: mobilenetv4-conv-s" in card
    assert f"{gap:.2%} under the budget of {result.latency_budget:.4g} ms" in card
    assert f"{100 * result.accuracy.top1:.1f} \u00b1 {error:.1f} %" in card and "chance, 10%" in card
    assert page.data["budgets"][0] == [pytest.approx(result.latency_budget, rel=1e-4)] and page.data["budgets"][1] == []
    body = (run / "report.html").read_text()
    assert body.index('class="card"') < body.index('data-figure="panels"')
    over = make_run(tmp_path / "over", latency_budget=result.latency / 1.02)
    assert "2.00% over the budget" in read(over).text and 'class="fill over"' in (over / "report.html").read_text()
    near = make_run(tmp_path / "near", latency_budget=result.latency / 1.005)  # within what older releases aimed at
    assert "0.50% over the budget" in read(near).text and "fill over" not in (near / "report.html").read_text()


def test_only_settings_that_differ_from_the_default_are_shown(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    write_report(run, {"space": "uib", "target": "pixel8-edgetpu", "data": "digits", "preset": "quick", "seed": 0,
                       "latency_model": "default", "resolution": 224})  # fmt: skip
    page = Page((run / "report.html").read_text())
    shown, _, folded = page.text.partition("All settings, versions and the plan")
    assert "1 of 9 settings differ from the defaults" in shown and 'space "tiny"' in shown
    assert "settings.preset" not in shown and 'settings.preset "quick"' in folded and "settings.seed 0" in folded


def test_members_of_the_front_within_the_noise_are_named(tmp_path: Path) -> None:
    data = read(make_run(tmp_path / "run")).data
    for target, noise in enumerate(data["within_noise"]):
        assert set(noise) < set(data["fronts"][target])
        for number in noise:
            own = data["networks"][number]
            faster = [
                data["networks"][other]
                for other in data["fronts"][target]
                if data["latency"][other][target] <= data["latency"][number][target] and other != number
            ]
            assert not own["chosen"] and any(
                own["top1"] - one["top1"] < max(own["standard_error"], one["standard_error"]) for one in faster
            )


def test_the_page_holds_the_tables_and_specs_that_it_offers_and_stays_small(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    data = read(run).data
    assert data["files"] == {name: (run / name).read_text() for name in ("front.csv", "evaluated.csv")}
    found = data["archs"][data["networks"][data["first"]]["arch"]]
    assert ArchSpec.from_dict(found["spec"]) == load_result(run / "best.json").arch
    assert (run / "report.html").stat().st_size < 2_000_000
    (run / "evaluated.csv").write_text((run / "evaluated.csv").read_text() * 1 + "\n" * LARGEST_TABLE)
    assert list(read(run).data["files"]) == ["front.csv"]  # a large table stays beside the page


def test_every_block_of_the_page_has_a_meaning_and_foreign_blocks_none(tmp_path: Path) -> None:
    data = read(make_run(tmp_path / "run")).data
    terms = {term for term, _ in data["glossary"]}
    assert {block["name"] for arch in data["archs"] for block in arch["blocks"]} - {"average pool"} <= terms
    assert glossary(["my own block k3, 8-8"]) == [[word, text] for word, text in NOTATION.items()]


def test_every_family_and_what_it_may_have_beside_has_a_meaning() -> None:
    others = [InvertedResidual(6, 8, ca_channels=8, act="evonorm_b0"), InvertedResidual(6, 8, act="evonorm_s0")]
    texts = [op.describe(Shape(9, 12, 4)) for op in (*MEMBERS.values(), *others)]
    terms = {term for term, _ in glossary(texts)}
    assert terms >= {*map(block_name, texts), *NOTATION, *EXTRAS}


def verdict_of(run: Path, *, difference: float, error: float, name: str = REFERENCE) -> Verdict:
    """Write a verdict into a finished run and return it."""
    result = load_result(run / "best.json")
    alone = kind("trained alone for 60 steps, held-out pictures")
    base = baseline_arch(result, name)
    assert base is not None
    found = Trained("found", result.arch.digest, result.latency, Score.of(0.9, 500, alone))
    other = Trained(name, base.digest, 0.688, Score.of(0.9 - difference, 500, alone))
    verdict = Verdict(found, other, "ms", 60, 0, difference, error)
    save_verdict(verdict, run)
    return verdict


@pytest.mark.parametrize(
    ("difference", "outcome"), [(0.05, "better"), (-0.05, "worse"), (0.01, "unclear"), (0.0, "unclear")]
)
def test_the_verdict_stands_on_top_and_the_baseline_beside_the_network(
    difference: float, outcome: str, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run")
    verdict = verdict_of(run, difference=difference, error=0.012)
    page, body = read(run), (run / "report.html").read_text()
    text = verdict.text[0].upper() + verdict.text[1:]
    assert f'class="verdict {outcome}"' in body and text in page.text and "Not compared" not in page.text
    assert f"top-1 {100 * verdict.baseline.accuracy.top1:.1f}" in page.text
    left, right = (page.data["networks"][number] for number in page.data["pair"])
    assert left["kind"] == right["kind"] == len(page.data["kinds"]) - 1 != page.data["evaluated_kind"]
    assert page.data["archs"][right["arch"]]["digest"] == verdict.baseline.digest
    compared = page.data["compared"]
    assert (compared["difference"], compared["error"]) == (-difference, 0.012)
    assert len(page_with_run(run).split('class="verdict ')) == 2 and text in page_with_run(run)


def page_with_run(run: Path) -> str:
    """Return the page of a comparison of one run."""
    return html(compare([run], ["rpi5"]))


def test_a_baseline_with_a_width_is_rebuilt_and_one_that_is_not_ours_is_left_out(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    wider = verdict_of(run, difference=0.03, error=0.01, name=f"{REFERENCE} x1.10")
    data = read(run).data
    assert data["archs"][data["networks"][data["baseline"]]["arch"]]["digest"] == wider.baseline.digest
    save_verdict(replace(wider, baseline=replace(wider.baseline, digest="0" * 64)), run)
    page = read(run)
    assert page.data["baseline"] is None and "compared" not in page.data and "Better than" in page.text
    (run / "verdict.json").write_text("{}")
    with pytest.raises(InvalidInput, match=r"verdict\.json"):
        write_report(run)


def test_picks_stand_in_the_card_and_can_be_chosen(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    result, row = load_result(run / "best.json"), pd.read_csv(run / "front.csv").iloc[0]
    plain = result_of(SPACE.decode(SPACE.sample(np.random.default_rng(5), 1)[0]), (), result.accuracy).arch
    save_arch(plain, run / "specs/other.json")
    accuracy = result.accuracy
    own = Pick(("most accurate",), result.arch.digest, "-", result.latency, accuracy.top1, 0.0, 0.0, 9, 9, 9)
    front = Pick(("fastest",), row["digest"], row["spec"], 0.6, 0.5, 0.004, 0.006, 8, 8, 8)
    other = Pick(("<b>",), plain.digest, "specs/other.json", 0.65, 0.6, 0.002, 0.006, 7, 7, 7)
    picks = Picks(accuracy.kind.stored_label(), accuracy.images, True, 30, 5, 0.01, "ms", (own, front, other))
    save_picks(picks, run)
    page, body = read(run), (run / "report.html").read_text()
    assert "5 of 30 candidates are as good within one standard error" in page.text
    assert "0.4 \u00b1 0.6 points" in page.text and "<b>" in page.text and "b" not in page.tags
    chosen = [int(number) for number in re.findall(r'data-select="(\d+)"', body)]
    digests = [page.data["archs"][page.data["networks"][number]["arch"]]["digest"] for number in chosen]
    assert digests == [pick.digest for pick in picks.picks]
    save_picks(replace(picks, picks=(own,)), run)
    assert "candidates are as good" not in read(run).text
