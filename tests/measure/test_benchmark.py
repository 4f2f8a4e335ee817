"""Measuring on this host: networks interleaved, files gone on with, bad input refused; never what a clock says."""

import csv
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.arch import ArchSpec, save_arch
from nas.cli import main
from nas.errors import InvalidInput
from nas.export import packages
from nas.measure import benchmark as measuring
from nas.measure import onnx_runtime
from nas.measure.benchmark import (
    COLUMNS,
    SETTLING_RUNS,
    WARM_UP_LIMIT,
    WARM_UP_RUNS,
    BenchmarkConfig,
    BenchmarkRow,
    Loader,
    measure,
    read_measurements,
    summarise,
    warm_up,
    write_measurements,
)
from nas.ops import UIB, Conv, Head, Shape
from nas.records.results import load_result
from nas.registry import RUNTIMES, load
from tests.support.run_folder import make_run

GROUP = 4
SETTINGS = BenchmarkConfig(rounds=3, repeats=2, group=GROUP)


def small(channels: int) -> ArchSpec:
    """A network whose number of channels tells it from others."""
    return ArchSpec(Shape(8, 8, 3), ((Conv(channels, 3, 2), UIB(8, 16)),), Head(), 2, name=f"c{channels}")


class Fake:
    """A runtime on which a run of a network with C channels takes C ms, C more for every earlier turn of anyone."""

    name = "fake"

    def __init__(self, stop_after: int | None = None) -> None:
        self.turns: list[tuple[int, int]] = []  # channels, runs
        self.opened, self.closed, self.stop_after = 0, 0, stop_after

    def versions(self) -> str:
        return "fake 1"

    @contextmanager
    def open(self, *, threads: int, batch: int) -> Iterator[Loader]:
        assert (threads, batch) == (1, 1)
        self.opened += 1
        try:
            yield self.load
        finally:
            self.closed += 1

    def load(self, arch: ArchSpec) -> measuring.Timed:
        (conv, _), *_ = arch.stages
        assert isinstance(conv, Conv)
        return lambda runs: self.timed(conv.out_channels, runs)

    def timed(self, channels: int, runs: int) -> list[float]:
        if self.stop_after is not None and len(self.turns) >= self.stop_after:
            raise KeyboardInterrupt
        self.turns.append((channels, runs))
        return [float(channels)] * runs


def silent(step: int, steps: int, state: str) -> None:
    """Progress that nobody looks at, but which never goes beyond its end."""
    assert 0 <= step <= steps and state


def run(count: int, out: Path, fake: Fake) -> list[BenchmarkRow]:
    """Measure `count` small networks."""
    archs = {f"c{c}.json": small(c) for c in range(1, count + 1)}
    return measure(archs, fake, SETTINGS, out, advance=silent)


# ----------------------------------------------------------------------------------------------------------- the logic


def test_networks_of_a_group_take_turns(tmp_path: Path) -> None:
    fake = Fake()
    rows = run(3, tmp_path / "m.csv", fake)
    assert [row.latency_ms for row in rows] == [1, 2, 3] and {row.spread for row in rows} == {0}
    timed = [channels for channels, runs in fake.turns if runs == SETTINGS.repeats]
    assert timed == [1, 2, 3] * SETTINGS.rounds
    before = [runs for (_, runs), (_, after) in zip(fake.turns, fake.turns[1:], strict=False) if after == 2]
    assert before == [SETTLING_RUNS] * len(timed)  # the caches of another network are never timed


def test_groups_bound_what_is_in_memory(tmp_path: Path) -> None:
    fake = Fake()
    run(2 * GROUP + 1, tmp_path / "m.csv", fake)
    assert (fake.opened, fake.closed) == (3, 3)


def test_progress_counts_up_to_its_end(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    archs = {str(c): small(c) for c in range(1, GROUP + 3)}
    measure(archs, Fake(), SETTINGS, tmp_path / "m.csv", advance=lambda step, steps, _: seen.append((step, steps)))
    assert seen == sorted(seen) and seen[0][0] == 0 and seen[-1] == ((GROUP + 2) * 4, (GROUP + 2) * 4)


def test_an_interruption_loses_one_group_and_the_rest_is_gone_on_with(tmp_path: Path) -> None:
    out, count = tmp_path / "m.csv", 2 * GROUP
    whole = Fake()
    expected = run(count, tmp_path / "whole.csv", whole)
    stopped = Fake(stop_after=len(whole.turns) - 1)
    with pytest.raises(KeyboardInterrupt):
        run(count, out, stopped)
    assert stopped.opened == stopped.closed == 2
    assert read_measurements(out) == expected[:GROUP]
    again = Fake()
    assert run(count, out, again) == expected == read_measurements(out)
    assert {channels for channels, _ in again.turns} == set(range(GROUP + 1, count + 1))
    nothing = Fake()
    assert run(count, out, nothing) == expected and nothing.opened == 0


def test_one_architecture_under_two_names_is_measured_once(tmp_path: Path) -> None:
    fake = Fake()
    rows = measure({"a": small(1), "b": small(1)}, fake, SETTINGS, tmp_path / "m.csv", advance=silent)
    assert len(rows) == 2 and rows[0] == rows[1] and len(read_measurements(tmp_path / "m.csv")) == 1


def test_rows_of_other_conditions_are_not_mixed(tmp_path: Path) -> None:
    out = tmp_path / "m.csv"
    rows = run(1, out, Fake())
    for field, value in (("runtime", "other"), ("threads", 2), ("batch", 4), ("machine", "x"), ("versions", "fake 2")):
        write_measurements(out, [BenchmarkRow(**{name: getattr(rows[0], name) for name in COLUMNS} | {field: value})])
        with pytest.raises(InvalidInput, match=f"with {field} '{value}'"):
            run(2, out, Fake())


def test_warming_up_ends_when_medians_agree_or_never_will() -> None:
    calls = iter(range(1_000))
    warm_up(lambda runs: [max(1.0, 5.0 - next(calls))] * runs)
    assert next(calls) == 6  # 5, 4, 3, 2, 1 and 1 once more
    unsteady = iter(range(1_000))
    warm_up(lambda runs: [2.0 ** next(unsteady)] * runs)
    assert next(unsteady) == 1 + WARM_UP_LIMIT and WARM_UP_RUNS % 2  # odd: a median is a time that occurred


@given(st.lists(st.lists(st.floats(0.1, 100), min_size=1, max_size=7), min_size=1, max_size=7), st.floats(0.5, 2))
def test_the_latency_is_the_median_of_the_quietest_round(rounds: list[list[float]], factor: float) -> None:
    latency, spread = summarise(rounds)
    assert min(map(min, rounds)) <= latency <= min(map(max, rounds)) and spread >= 0
    worse = [*rounds, [latency + 1] * 3]  # a round under other load changes nothing
    assert summarise(worse)[0] == latency
    scaled = summarise([[time * factor for time in times] for times in rounds])
    assert scaled == pytest.approx((latency * factor, spread), abs=1e-3)


# ------------------------------------------------------------------------------------------------------------ the CSV


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1)


@given(st.lists(st.builds(BenchmarkRow, NAMES, st.floats(1e-3, 1e4), st.integers(1, 9), st.floats(0, 3), NAMES,
                          st.integers(1, 9), NAMES, NAMES, NAMES), max_size=3))  # fmt: skip
def test_a_file_gives_its_rows_back(tmp_path_factory: pytest.TempPathFactory, rows: list[BenchmarkRow]) -> None:
    path = tmp_path_factory.mktemp("csv") / "m.csv"
    write_measurements(path, rows)
    assert read_measurements(path) == rows


def test_the_columns_are_those_that_calibration_reads(tmp_path: Path) -> None:
    run(1, tmp_path / "m.csv", Fake())
    with open(tmp_path / "m.csv", newline="") as file:
        header = next(csv.reader(file))
    assert header[:8] == ["arch", "latency_ms", "batch", "spread", "runtime", "threads", "machine", "versions"]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "empty"),
        (b"arch,latency_ms\na,1\n", "lacks the column 'batch'"),
        (b"\xff\xfe", "no CSV"),
        (",".join(COLUMNS).encode() + b"\na,1\n", "another number of cells"),
        (",".join(COLUMNS).encode() + b"\na,fast,1,0,r,1,m,v,d\n", "line 2"),
    ],
)
def test_a_broken_file_is_refused_in_one_line(tmp_path: Path, content: bytes, match: str) -> None:
    out = tmp_path / "m.csv"
    out.write_bytes(content)
    with pytest.raises(InvalidInput, match=match) as error:
        run(1, out, Fake())
    assert "\n" not in str(error.value) and out.read_bytes() == content


# ----------------------------------------------------------------------------------------------------- the command line


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Fake:
    """A fake runtime under the name of a real one, in an empty folder of our own."""
    runtime = Fake()
    monkeypatch.setattr(onnx_runtime, "RUNTIME", runtime)
    monkeypatch.chdir(tmp_path)
    return runtime


def test_specs_runs_and_lists_are_measured_under_paths_relative_to_the_file(
    tmp_path: Path, fake: Fake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake, "load", lambda arch: lambda runs: [1.0] * runs)
    make_run(tmp_path / "run", count=3)
    (tmp_path / "list").mkdir()
    save_arch(small(1), tmp_path / "list" / "one.json")
    (tmp_path / "list" / "proposed.csv").write_text("arch,why\none.json,wide\nmobilenetv1,known\n")
    (tmp_path / "out").mkdir()
    status = main(["measure", "list/proposed.csv", "run", "-o", "out/m.csv", "--rounds", "2", "--repeats", "1"])
    shown = capsys.readouterr()
    assert (status, shown.err) == (0, "") and "wrote out/m.csv" in shown.out
    rows = read_measurements(tmp_path / "out" / "m.csv")
    assert [row.arch for row in rows] == ["../list/one.json", "mobilenetv1", "../run/best.json"]
    assert rows[2].digest == load_result(tmp_path / "run" / "best.json").arch.digest
    assert main(["measure", "out/m.csv", "-o", "out/m.csv"]) == 0  # what it wrote is a list itself


def test_a_busy_machine_and_scattered_runs_get_one_line_each(
    tmp_path: Path, fake: Fake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    save_arch(small(1), tmp_path / "a.json")
    times = iter(range(1, 10_000))
    for load_average, timed, cautions in ((0.0, lambda: 1.0, 0), (99.0, lambda: float(next(times)), 2)):
        monkeypatch.setattr("os.getloadavg", lambda load_average=load_average: (load_average, 0.0, 0.0))
        monkeypatch.setattr(fake, "load", lambda arch, timed=timed: lambda runs: [timed() for _ in range(runs)])
        assert main(["measure", "a.json", "-o", f"{cautions}.csv"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert sum(line.startswith("caution: ") for line in lines) == cautions


def test_stopping_says_how_to_go_on(tmp_path: Path, fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    save_arch(small(1), tmp_path / "a.json")
    fake.stop_after = 3
    assert main(["measure", "a.json"]) == 130
    assert "nothing was measured yet; the same command goes on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "match"),
    [
        (["a.json", "--runtime", "onnxrumtime"], "did you mean 'onnxruntime'?"),
        (["a.json", "--threads", "0"], "at least 1"),
        (["a.json", "--threads", "100000"], "at most the"),
        (["a.json", "--rounds", "0"], "at least 1"),
        (["absent.json"], "no spec file absent.json"),
        (["mobilenetv9"], "unknown network"),
        (["absent.csv"], "cannot read absent.csv"),
        (["empty.csv"], "lists no networks"),
        (["other.csv"], "lacks the column 'arch'"),
        (["gone.csv"], "no spec file gone.json"),
        (["a.json", "-o", "absent/m.csv"], "the folder absent does not exist"),
        ([], "required"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path, fake: Fake, capsys: pytest.CaptureFixture[str], argv: list[str], match: str
) -> None:
    save_arch(small(1), tmp_path / "a.json")
    (tmp_path / "empty.csv").write_text("arch\n")
    (tmp_path / "other.csv").write_text("network\na.json\n")
    (tmp_path / "gone.csv").write_text("arch\ngone.json\n")
    before = sorted(tmp_path.iterdir())
    assert main(["measure", *argv]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("nas: ") and match in shown and shown.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before and not fake.opened


# ------------------------------------------------------------------------------------------------------ real runtimes


NEEDED = {**dict.fromkeys(("onnxruntime", "onnxruntime-int8"), ("onnx", "onnxruntime")), "litert": ("ai_edge_litert",)}
PACKAGE = {"xla": "jax ", "onnxruntime-int8": "onnxruntime "}  # in the versions, where it is not the runtime's name


def test_onnxruntime_is_timed_without_jax() -> None:
    code = "import sys, nas.measure.onnx_runtime; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", list(RUNTIMES))
def test_each_runtime_times_a_network(name: str, tmp_path: Path) -> None:
    for package in NEEDED.get(name, ()):
        pytest.importorskip(package, reason=f"{package} of the extra 'export' is not installed")
    runtime = load("runtime", RUNTIMES, name)
    archs = {"a": small(4), "b": small(8)}
    rows = measure(archs, runtime, BenchmarkConfig(batch=2, rounds=2, repeats=3), tmp_path / "m.csv", advance=silent)
    assert [row.arch for row in rows] == ["a", "b"] and rows == read_measurements(tmp_path / "m.csv")
    for row in rows:
        assert row.latency_ms > 0 and row.spread >= 0 and (row.runtime, row.threads, row.batch) == (name, 1, 2)
        assert (
            row.machine.endswith("cores")
            and {"xla": "jax ", "onnxruntime-int8": "onnxruntime "}.get(name, name) in row.versions
        )


def test_without_the_package_the_message_names_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda _: None)
    with pytest.raises(InvalidInput, match=r"pip install '\.\[export\]'"):
        measure({"a": small(1)}, load("runtime", RUNTIMES, "onnxruntime"), SETTINGS, tmp_path / "m.csv", advance=silent)
