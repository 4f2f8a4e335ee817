"""The command line: what each command prints, and that --help stays light."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from nas.arch import ArchSpec, load_arch, save_arch
from nas.cli import main
from nas.cli.console import duration
from nas.cli.found import result_json
from nas.cli.live import LiveReporter
from nas.cli.tables.search_result import summary
from nas.ops import Conv, Head, Shape
from nas.progress import Progress, ProgressReporter
from nas.records.picks import Pick, Picks, save_picks
from nas.records.results import Result, load_result
from nas.records.verdict import Trained, Verdict, save_verdict
from nas.runs.settings import SearchConfig
from nas.space.scaling import scale_down
from nas.zoo import reference
from tests.support.run_folder import make_run

HEAVY = ("jax", "flax", "optax", "ray", "numpy", "pandas", "matplotlib", "sklearn", "rich")
COMMANDS = (
    "search",
    "resume",
    "scale",
    "runs",
    "watch",
    "train",
    "export",
    "compare",
    "measure",
    "describe",
    "zoo",
    "targets",
    "spaces",
)
Run = Callable[..., str]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic finished run."""
    return make_run(tmp_path_factory.mktemp("runs") / "finished", count=6)


def modules_after(code: str) -> set[str]:
    """Return which heavy packages a fresh interpreter has loaded after `code`."""
    report = f"import sys, io\n{code}\nsys.stderr.write(' '.join(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


# ----------------------------------------------------------------------------------------------------------- light


@pytest.mark.parametrize("argv", [["--help"], *([command, "--help"] for command in COMMANDS)], ids=" ".join)
def test_help_names_the_command(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(argv)
    assert leaving.value.code == 0
    shown = capsys.readouterr().out
    assert all(command in shown for command in (COMMANDS if argv == ["--help"] else argv[:1]))


def test_help_loads_nothing_heavy() -> None:
    code = "import nas.cli\nparser = nas.cli.build_parser()\nparser.format_help()"
    assert modules_after(code) == set()


@pytest.mark.parametrize("argv", [["targets"], ["zoo"], ["describe", "mobilenetv2", "--target", "rpi5"]], ids=" ".join)
def test_listings_load_neither_jax_nor_pandas(argv: list[str]) -> None:
    assert modules_after(f"import nas.cli\nnas.cli.main({[*argv, '--json']!r})") <= {"numpy"}


# -------------------------------------------------------------------------------------------------------- listings


def test_describe_json_holds_the_published_counts(out: Run) -> None:
    shown = json.loads(out("describe", "mobilenetv4-conv-s", "--target", "edgetpu", "--json"))
    assert (shown["params"], shown["macs"]) == (3_774_024, 186_005_568)
    assert shown["latency_ms"] == pytest.approx(sum(k["latency_ms"] for k in shown["kernels"]) + shown["floor_ms"])
    assert sum(k["macs"] for k in shown["kernels"]) == shown["macs"]


def test_describe_on_an_abstract_device_is_relative_to_conv_s(out: Run) -> None:
    shown = json.loads(out("describe", "mobilenetv4-conv-s", "--ridge-point", 7, "--json"))
    assert shown["latency_ratio"] == pytest.approx(1.0)
    shown = json.loads(out("describe", "mobilenetv4-conv-s", "--ridge-point", 0, "--peak-gmacs-per-s", 1, "--json"))
    assert shown["latency_ms"] == pytest.approx(186.005568)


def test_describe_redeploys(out: Run) -> None:
    shown = json.loads(out("describe", "mobilenetv2", "--resolution", 32, "--json"))
    assert shown["input_shape"] == [32, 32, 3]
    assert shown["params"] == 3_504_872


def test_describe_takes_spec_and_run(out: Run, finished: Path, tmp_path: Path) -> None:
    save_arch(reference("mobilenetv1"), tmp_path / "v1.json")
    assert json.loads(out("describe", tmp_path / "v1.json", "--json"))["params"] == 4_231_976
    best = load_result(finished / "best.json")
    for path in (finished, finished / "best.json"):
        assert json.loads(out("describe", path, "--json"))["latency_ms"] == pytest.approx(best.latency)


def test_zoo_and_targets_list_what_the_issue_names(out: Run) -> None:
    zoo = {row["name"] for row in json.loads(out("zoo", "--json"))}
    assert zoo >= {"mobilenetv4-conv-s", "mobilenetv4-hybrid-l", "mobilenetv1", "mobilenetv2", "mobilenetv3-small"}
    targets = {name for row in json.loads(out("targets", "--json")) for name in (row["name"], *row["aliases"])}
    assert targets >= {"pixel8-edgetpu", "edgetpu", "pixel6-cpu", "rpi5", "cortex-m7", "coral-edgetpu"}


def test_spaces_count_and_reach(out: Run) -> None:
    row, *others = json.loads(out("spaces", "--target", "edgetpu", "--json"))
    coarse = {other["name"]: other["coarse_size"] for other in others}
    assert coarse["uib_smoke"] == 384 and coarse["ofa_mbv3"] == 3**5 and coarse["mbconv_imagenet"] == 3**6 * 4
    assert all(other["cheapest"] < other["dearest"] for other in others)
    assert row["size"] > row["coarse_size"] > 1000
    conv_s, conv_m = (
        json.loads(out("describe", name, "--target", "edgetpu", "--resolution", 224, "--json"))["latency_ms"]
        for name in ("mobilenetv4-conv-s", "mobilenetv4-conv-m")
    )
    assert row["cheapest"] < conv_s < conv_m < row["dearest"]


@pytest.mark.parametrize("argv", ["zoo", "targets", "spaces --target rpi5", "describe mobilenetv1"])
def test_tables_are_not_cut_where_there_is_no_terminal(argv: str, out: Run) -> None:
    assert "…" not in out(*argv.split())


def test_a_reader_that_leaves_early_is_no_error() -> None:
    with subprocess.Popen([sys.executable, "-m", "nas", "targets", "--json"], stdout=-1, stderr=-1) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


# --------------------------------------------------------------------------------------------------------- compare


def test_compare_prints_and_writes(out: Run, finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    shown = out("compare", finished, "mobilenetv1", "--targets", "edgetpu,rpi5", "--out", folder)
    assert "mobilenetv4-conv-s" in shown
    written = {line.split()[-1] for line in shown.splitlines() if line.startswith("wrote ")}
    assert written == {str(path) for path in folder.iterdir()}


# ------------------------------------------------------------------------------------------------ train and export

TINY = ArchSpec(Shape(8, 8, 1), ((Conv(16, 3, 2),),), Head(), 10, name="tiny")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """A spec, the folder of its training on the digits for one epoch, and what that printed."""
    folder = tmp_path_factory.mktemp("trained")
    save_arch(TINY, folder / "tiny.json")
    argv = ("train", folder / "tiny.json", "--epochs", 1, "--batch-size", 64, "--learning-rate", 0.01)
    with redirect_stdout(StringIO()) as shown:
        assert main([*map(str, argv), "--out", str(folder / "out")]) == 0
    return folder / "tiny.json", folder / "out", shown.getvalue()


def test_train_reports_the_test_accuracy(trained: tuple[Path, Path, str], out: Run) -> None:
    spec, folder, shown = trained
    accuracy = json.loads((folder / "train.json").read_text())["accuracy"]
    assert f"test top-1 {accuracy['top1']:.2%} +- " in shown
    assert "digits, target network at 8 px, trained alone, test images" in shown
    assert json.loads(out("describe", folder, "--json"))["params"] == TINY.params
    assert "tiny" in out("compare", folder, spec, "--targets", "rpi5")


def test_train_again_with_other_flags_is_refused(trained: tuple[Path, Path, str], capsys: Any) -> None:
    assert main(["train", str(trained[0]), "--epochs", "2", "--out", str(trained[1])]) == 2
    assert "go on with the same or name another folder" in capsys.readouterr().err


def test_train_takes_the_proxy_of_the_run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nas.cli.commands.train

    seen: list[Any] = []

    def stand_in(arch: ArchSpec, *rest: Any, **more: Any) -> None:
        seen.extend([arch, more["proxy_width"]])
        raise KeyboardInterrupt

    monkeypatch.setattr(nas.cli.commands.train, "train", stand_in)
    assert main(["train", str(finished), "--proxy", "--out", str(tmp_path / "t")]) == 130
    result = load_result(finished / "best.json")
    assert seen == [scale_down(result.arch, result.proxy_resolution, result.proxy_width), result.proxy_width]


def test_export_json_is_the_spec(out: Run, refusal: Run, finished: Path, tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    out("export", finished, "-o", path)
    assert load_arch(path) == load_result(finished / "best.json").arch
    assert "exists" in refusal("export", finished, "-o", path)


def test_export_flax_takes_the_weights_of_a_training(
    out: Run, refusal: Run, trained: tuple[Path, Path, str], tmp_path: Path
) -> None:
    spec, folder, _ = trained
    shown = out("export", spec, "--format", "flax", "--weights", folder, "-o", tmp_path / "model")
    assert "weights: trained" in shown
    written, own = ((f / "weights.safetensors").read_bytes() for f in (tmp_path / "model", folder))
    assert written == own
    said = refusal("export", "mobilenetv1", "--format", "flax", "--weights", folder, "-o", tmp_path / "other")
    assert "weights of another architecture" in said
    assert "no weights" in refusal("export", spec, "--weights", folder, "-o", tmp_path / "x.json")


# ---------------------------------------------------------------------------------------- search, with a stand-in


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> list[SearchConfig]:
    """Replace the search by one that makes a synthetic run; the list gets the settings it was called with."""
    from nas.runs import joint_search

    seen: list[SearchConfig] = []

    def search(settings: SearchConfig, run: Path, watch: ProgressReporter, **_: Any) -> Result:
        seen.append(settings)
        watch.plan(["the plan"])
        watch.progress(Progress("coarse", 1, 2, 0.5, 0.25, 0.7, "ms", 0.9, 61.0))
        watch.progress(Progress("front", 8, 8, None, 0.5, None))
        make_run(run, count=4)
        if settings.seed == 1:
            raise KeyboardInterrupt
        if settings.seed == 2:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        return load_result(run / "best.json")

    def resume(run: Path, watch: ProgressReporter, **_: Any) -> Result:
        return load_result(run / "best.json")

    monkeypatch.setattr(joint_search, "search", search)
    monkeypatch.setattr(joint_search, "resume", resume)
    return seen


def test_search_passes_every_flag_on(out: Run, stand_in: list[SearchConfig], tmp_path: Path) -> None:
    flags = (
        "--space uib --target rpi5 --latency 9.5ms --max-params 4M --max-macs 200_000_000 --data d.npz --data-dir x "
        "--max-memory 320KiB --max-flash-kb 1.5e3 --max-energy 250uJ "
        "--resolution 96 --preset standard --finalists 8 --proxy-resolution 24 --proxy-width 0.5 --seed 7 "
        "--latency-model plain-roofline --bound pi.forest.json:3.5 --bound x/lat.forest.json:9 "
        "--minimize energy,memory,pi.forest.json"
    )
    out("search", *flags.split(), "--out", tmp_path / "run")
    assert stand_in == [
        SearchConfig(
            space="uib",
            target="rpi5",
            latency_ms=9.5,
            max_params=4_000_000,
            max_macs=200_000_000,
            max_memory_kb=320.0,
            max_flash_kb=1500.0,
            max_energy_mj=0.25,
            data="d.npz",
            data_dir=str(Path("x").absolute()),
            resolution=96,
            preset="standard",
            finalists=8,
            proxy_resolution=24,
            proxy_width=0.5,
            seed=7,
            latency_model="plain-roofline",
            forest_bounds=("pi.forest.json:3.5", "x/lat.forest.json:9"),
            minimize=("energy", "memory", "pi.forest.json"),
        )
    ]


def test_search_defaults_are_those_of_the_python_face(
    out: Run, stand_in: list[SearchConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out("search", "--space", "uib")
    assert stand_in == [SearchConfig()]
    assert (tmp_path / "runs" / "uib-pixel6-cpu-digits-quick-s0" / "best.json").exists()


def test_search_on_an_abstract_device(out: Run, stand_in: list[SearchConfig], tmp_path: Path) -> None:
    out("search", "--ridge-point", 5, "--latency-ratio", 0.8, "--out", tmp_path / "run")
    assert (stand_in[0].target, stand_in[0].ridge_point, stand_in[0].latency_ratio) == (None, 5.0, 0.8)


def test_search_shows_plan_progress_and_summary(out: Run, stand_in: list[SearchConfig], tmp_path: Path) -> None:
    run = tmp_path / "run"
    shown = out("search", "--out", run)
    assert "the plan\n" in shown
    assert "coarse 1/2: loss 0.500, argmax 25.0% at 0.700 ms, entropy 90%, 0:00 elapsed, 1:01 left" in shown
    assert "front 8/8: best 50.0%" in shown
    result = load_result(run / "best.json")
    for words in (f"{result.macs:,}", result.accuracy.kind.label(), "standard error", "not converged", "gap -0.40 %"):
        assert words in shown
    assert f"nas compare {run}" in shown
    assert shown.count(f"wrote {run}\n") == 1 and "best.json" in shown
    assert f"{result.macs:,}" in out("resume", run)


@pytest.mark.parametrize(("seed", "status"), [(1, 130), (2, 143)], ids=["ctrl-c", "sigterm"])
def test_an_interrupted_search_says_how_to_go_on(
    seed: int, status: int, stand_in: list[SearchConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert main(["search", "--seed", str(seed), "--out", str(tmp_path / "run")]) == status
    assert capsys.readouterr().err == f"nas: stopped; go on with: nas resume {tmp_path / 'run'}\n"
    assert signal.getsignal(signal.SIGTERM) == before


def test_progress_where_there_is_no_terminal_is_a_line_now_and_then() -> None:
    seconds = iter(range(0, 1000, 5))
    file = StringIO()
    with LiveReporter(file, lambda: next(seconds)) as reporter:
        for step in range(1, 11):
            reporter.progress(Progress("fine", step, 10, 1.0, 0.5, 2.0, "ms", 0.3))
    lines = file.getvalue().splitlines()
    assert [line.split(":")[0] for line in lines] == ["fine 1/10", "fine 5/10", "fine 9/10", "fine 10/10"]


def test_summary_calls_a_converged_search_converged(finished: Path) -> None:
    result = replace(load_result(finished / "best.json"), converged=True, notes=())
    console = Console(file=StringIO(), width=200)
    console.print(summary(result, finished))
    assert isinstance(console.file, StringIO)
    assert "not converged" not in console.file.getvalue()
    assert "converged" in console.file.getvalue()


def test_summary_has_the_verdict_and_what_is_as_good(finished: Path, tmp_path: Path) -> None:
    result = load_result(finished / "best.json")
    one = Pick(("most accurate",), "a" * 64, "specs/a.json", 0.7, 0.98, 0.0, 0.0, 10, 2_000_000, 5)
    other = Pick(("fastest", "fewest MACs"), "b" * 64, "specs/b.json", 0.6, 0.976, 0.004, 0.006, 9, 1_600_000, 5)
    save_picks(Picks("kind", 256, True, 200, 12, 0.006, "ms", (one, other)), tmp_path)
    found, baseline = (Trained(name, name * 64, 0.7, result.accuracy) for name in "ab")
    save_verdict(Verdict(found, baseline, "ms", 200, 0, 0.03, 0.01), tmp_path)
    console = Console(file=StringIO(), width=200)
    console.print(summary(result, tmp_path))
    assert isinstance(console.file, StringIO)
    shown = console.file.getvalue()
    assert "better than b at equal latency (0.7 against 0.7 ms) by 3.0 ± 1.0 points" in shown
    assert "12 of 199 others" in shown and "200 steps" in shown
    as_json = result_json(result, tmp_path)
    assert as_json["picks"]["luck"] == 0.006 and as_json["verdict"]["verdict"].startswith("better than b")
    assert "picks" not in result_json(result, finished)
    assert "fastest, fewest MACs: 97.6%, less by 0.4 ± 0.6 points; 0.600 ms, 1.60 M parameters; specs/b.json" in shown


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3599, "59:59"), (3725, "1:02:05")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
