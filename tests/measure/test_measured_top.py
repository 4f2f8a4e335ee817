"""The last candidates of a search measured on this host: which, what follows from them, and the files they leave."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from nas.arch import ArchSpec, load_arch
from nas.cli import main
from nas.cli.commands.search import _measured, _plan_to_measure
from nas.cli.parser import build_parser
from nas.errors import InvalidInput
from nas.export import packages
from nas.measure import onnx_runtime
from nas.measure.benchmark import BenchmarkConfig, Loader, Timed, read_measurements
from nas.records.front import Front, FrontPoint, save_front
from nas.records.results import load_result, save_result
from nas.records.tables import rows_of
from nas.runs.measured_top import last_candidates, measure_top
from tests.support.run_folder import MODEL, add_finalists, make_run

Out = pytest.CaptureFixture[str]
OLD = Path(__file__).parents[1] / "data" / "runs"
CONFIG = BenchmarkConfig(rounds=2, repeats=2)


class Host:
    """A runtime on which a network takes its prediction times a factor; networks of some digests another factor."""

    name = "host"

    def __init__(self, factor: float = 1.0, stop_after: int | None = None, **others: float) -> None:
        self.factor, self.others, self.loaded, self.stop_after = factor, others, 0, stop_after

    def versions(self) -> str:
        return "host 1"

    @contextmanager
    def open(self, *, threads: int, batch: int) -> Iterator[Loader]:
        assert (threads, batch) == (1, 1)
        yield self.load

    def load(self, arch: ArchSpec) -> Timed:
        self.loaded += 1
        if self.loaded == self.stop_after:
            raise KeyboardInterrupt
        milliseconds = MODEL.predict_ms(arch) * self.others.get(f"d{arch.digest[:12]}", self.factor)
        return lambda runs: [milliseconds] * runs


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("top") / "run", count=30)


@pytest.fixture
def run(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run of the test's own, in the working folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made, tmp_path / "run")
    return Path("run")


def silent(step: int, steps: int, state: str) -> None:
    """Nobody looks."""


def test_the_answer_comes_first_then_the_most_accurate_within_or_near_the_budget(run: Path) -> None:
    result, found = last_candidates(run, 6)
    assert found[0].digest == result.arch.digest and len({one.digest for one in found}) == len(found) > 1
    assert all(one.predicted_ms <= 1.1 * result.latency_budget for one in found)
    accuracies = [one.top1 for one in found[1:]]
    assert accuracies == sorted(accuracies, reverse=True)
    assert last_candidates(run, 1)[1] == found[:1]


def test_networks_trained_alone_come_before_those_under_shared_weights(run: Path) -> None:
    add_finalists(run)
    result, found = last_candidates(run, 20)
    own = [one.kind == result.accuracy.kind.stored_label() for one in found]
    assert own == sorted(own, reverse=True) and own[0]


def test_what_agrees_leaves_the_answer_and_is_kept(run: Path) -> None:
    found = measure_top(run, 4, Host(), CONFIG, advance=silent)
    assert abs(found.agreement.bias) < 1e-9 and found.agreement.other_order == 0
    result = load_result(run / "best.json")
    assert result.measured_latency_ms == pytest.approx(result.latency) and "host 1" in str(result.measured_on)
    assert replace(result, measured_latency_ms=None, measured_on=None) == found.result
    rows = read_measurements(run / "measured-host.csv")
    assert len(rows) == len(found.candidates)
    assert all(load_arch(run / row.arch).digest == row.digest for row in rows)
    again = Host()
    assert measure_top(run, 4, again, CONFIG, advance=silent).candidates == found.candidates and not again.loaded


def test_an_answer_that_takes_too_long_gives_way_to_one_within_the_budget(run: Path) -> None:
    result, candidates = last_candidates(run, 4)
    slow = {f"d{result.arch.digest[:12]}": 1.5}
    found = measure_top(run, 4, Host(0.9, **slow), CONFIG, advance=silent)
    best = found.best_measured
    assert best is not None and not best.is_answer and best.within_budget
    assert best.candidate.top1 == max(one.top1 for one in candidates[1:])
    assert f"by the measured latencies the answer would be {best.candidate.name}" in found.conclusion()


def test_where_nothing_keeps_the_budget_that_is_said(run: Path) -> None:
    found = measure_top(run, 3, Host(3.0), CONFIG, advance=silent)
    assert found.best_measured is None and "keeps the budget" in found.conclusion()
    assert "all 3 networks take 3.00 times their prediction" in found.suspicions(None)[0]
    assert found.agreement.bias == pytest.approx(2.0) and found.agreement.scatter < 1e-9


def test_an_interruption_loses_nothing_of_the_run(run: Path) -> None:
    before = (run / "best.json").read_bytes()
    with pytest.raises(KeyboardInterrupt):
        measure_top(run, 3, Host(stop_after=2), CONFIG, advance=silent)
    assert (run / "best.json").read_bytes() == before and not (run / "measured-host.csv").exists()
    assert len(measure_top(run, 3, Host(), CONFIG, advance=silent).candidates) == 3


def test_a_run_without_milliseconds_or_an_end_is_refused(run: Path, tmp_path: Path) -> None:
    save_result(replace(load_result(run / "best.json"), latency_unit="x mobilenetv4-conv-s"), run / "best.json")
    with pytest.raises(InvalidInput, match="of an abstract device"):
        last_candidates(run, 2)
    with pytest.raises(InvalidInput, match="has not finished"):
        last_candidates(make_run(tmp_path / "killed", finished=False), 2)


def test_a_whole_front_is_measured_from_end_to_end(run: Path) -> None:
    rows = rows_of(run / "front.csv")[:6]
    points = tuple(
        FrontPoint(1.01 * row["latency"], row["digest"], row["spec"], row["latency"], row["top1"], 0.01, 0.0, 4, 1, 1)
        for row in rows
    )
    chosen = points[2].digest
    result = load_result(run / "best.json")
    save_result(
        replace(result, arch=load_arch(run / points[2].spec), **costs_of(run / points[2].spec)), run / "best.json"
    )
    save_front(Front(result.accuracy.kind.stored_label(), 500, "ms", (0.1, 9.0), "mobilenetv2", chosen, points), run)
    found = measure_top(run, 3, Host(1.2), CONFIG, advance=silent)
    assert found.candidates[0].candidate.digest == chosen and len(found.candidates) == 3
    assert {points[0].digest, points[-1].digest} & {one.candidate.digest for one in found.candidates}
    assert found.conclusion().startswith("measured above their budgets: specs/")


def costs_of(spec: Path) -> dict[str, int]:
    """The costs that a result states of its network."""
    arch = load_arch(spec)
    return {"macs": arch.macs, "params": arch.params}


def test_one_of_several_targets_is_a_run_too() -> None:
    result, found = last_candidates(OLD / "many" / "edgetpu", 3)
    assert found[0].digest == result.arch.digest and len(found) > 1


# ------------------------------------------------------------------------------------------------- the command line


@pytest.fixture
def host(run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same run, with that runtime under the name of a real one."""
    runtime = Host(1.2)
    runtime.name = "onnxruntime"
    monkeypatch.setattr(onnx_runtime, "RUNTIME", runtime)
    return run


def test_a_finished_run_is_measured_and_leads_on(host: Path, capsys: Out) -> None:
    assert main(["measure", "run", "--top", "4", "--rounds", "2", "--repeats", "1"]) == 0
    shown = capsys.readouterr().out
    for words in ("(answer)", "+20.0%", "measured 20.0% slower than predicted", "6 of 6 pairs as predicted",
                  "was not calibrated on this machine", "wrote run/measured-onnxruntime.csv"):  # fmt: skip
        assert words in shown.replace("20.0 %", "20.0%"), words
    (line,) = [line for line in shown.splitlines() if line.startswith("next: ")]
    assert "--add run/measured-onnxruntime.csv" in line and "--propose 20" in line
    assert build_parser(line.split()[2:]).parse_args(line.split()[2:]).like == "pixel8-edgetpu"
    assert main(["show", "run"]) == 0 and "measured 20.0% slower" in capsys.readouterr().out.replace("20.0 %", "20.0%")
    assert main(["show", "run", "--json"]) == 0
    (measured,) = json.loads(capsys.readouterr().out)["measured"]
    assert measured["networks"][0]["answer"] and measured["agreement"]["bias"] == pytest.approx(0.2)


def test_a_search_measures_at_its_end(host: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["search", "--target", "pixel8-edgetpu", "--measure-top", "2"]
    args = build_parser(words).parse_args(words)
    assert _measured(args, host) and load_result(host / "best.json").measured_latency_ms is not None
    args.runtime = "litert"
    monkeypatch.setattr(packages, "find_spec", lambda _: None)
    with pytest.raises(
        InvalidInput, match="the search is finished, see nas show run; its candidates were not measured"
    ):
        _measured(args, host)
    assert _plan_to_measure(args) == ["then measured on this host with litert: the answer and up to 1 other candidates"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["run", "mobilenetv1", "--top", "3"], "--top K is of one run"),
        (["mobilenetv1", "--top", "3"], "there is no run folder mobilenetv1"),
        (["run", "--top", "3", "--batch", "4"], "--batch and --top exclude each other"),
        (["run", "--top", "3", "--runtime", "onnxrumtime"], "did you mean 'onnxruntime'"),
        (["run", "--top", "0"], "--top"),
    ],
)
def test_bad_input_is_one_line(argv: list[str], message: str, host: Path, capsys: Out) -> None:
    assert main(["measure", *argv]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1 and not list(host.glob("measured-*"))
