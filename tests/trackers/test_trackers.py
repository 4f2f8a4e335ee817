"""Trackers: what each is told, with stand-ins for the packages; those that are missing or fail; --track."""

import argparse
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from nas.cli.live import LiveReporter
from nas.cli.tracking import trackers
from nas.errors import InvalidInput, UnknownName
from nas.progress import Progress
from nas.trackers import TrackedRun, TrackingReporter, tracking


class Recorder(ModuleType):
    """A module whose functions note how they were called."""

    def __init__(self, name: str, **returns: Any) -> None:
        super().__init__(name)
        self.__spec__ = SimpleNamespace()  # type: ignore[assignment]
        self.calls: list[tuple[str, Any]] = []
        self.returns = returns

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append((name, args or kwargs))
            return self.returns.get(name)

        return call

    def arguments(self, name: str) -> list[Any]:
        return [arguments for called, arguments in self.calls if called == name]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return the function that installs a stand-in for a tracker's package; its variables are not set."""
    for name in ("WANDB_MODE", "WANDB_SILENT", "WANDB_ERROR_REPORTING", "MLFLOW_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)

    def install(name: str, module: Recorder) -> Recorder:
        monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.delitem(sys.modules, f"nas.trackers.{name}", raising=False)
        return module

    yield install
    for name in ("mlflow", "wandb"):
        sys.modules.pop(f"nas.trackers.{name}", None)


def track(name: str, folder: Path) -> None:
    reporter = tracking([name], folder, {"seed": 3})
    assert reporter is not None
    reporter.progress(Progress("coarse", 10, 120, 1.5, 0.25, 0.75, entropy=0.5))
    reporter.progress(Progress("coarse", 20, 120, 1.25))
    reporter.close()


def test_wandb_is_offline_unless_it_is_configured_otherwise_and_has_an_axis_per_stage(
    installed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Recorder("run")
    wandb = installed("wandb", Recorder("wandb", init=run))
    track("wandb", tmp_path)
    import os

    assert os.environ["WANDB_MODE"] == "offline"
    (begun,) = wandb.arguments("init")
    assert begun["config"] == {"seed": 3} and begun["dir"] == str(tmp_path) and begun["resume"] == "allow"
    assert run.arguments("define_metric") == [("coarse/*",)]
    first = {"coarse/loss": 1.5, "coarse/top1": 0.25, "coarse/latency": 0.75, "coarse/entropy": 0.5, "coarse/step": 10}
    assert run.arguments("log") == [(first,), ({"coarse/loss": 1.25, "coarse/step": 20},)]
    assert run.arguments("finish") == [{}]
    monkeypatch.setenv("WANDB_MODE", "online")
    installed("wandb", wandb)
    track("wandb", tmp_path)
    assert os.environ["WANDB_MODE"] == "online"
    assert wandb.arguments("init")[0]["id"] == wandb.arguments("init")[1]["id"]  # the same folder goes on in its run


@pytest.mark.parametrize("known", [False, True], ids=["new", "resumed"])
def test_mlflow_goes_on_in_the_run_of_the_folder(installed: Any, tmp_path: Path, known: bool) -> None:
    runs = [SimpleNamespace(info=SimpleNamespace(run_id="7"))] if known else []
    mlflow = installed("mlflow", Recorder("mlflow", search_runs=runs))
    track("mlflow", tmp_path)
    import os

    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    (begun,) = mlflow.arguments("start_run")
    assert begun == ({"run_id": "7"} if known else {"run_name": tmp_path.name, "tags": {"nas.folder": str(tmp_path)}})
    assert mlflow.arguments("log_params") == ([] if known else [({"seed": "3"},)])
    assert [arguments[0] for arguments in mlflow.arguments("log_metrics")] == [
        {"coarse/loss": 1.5, "coarse/top1": 0.25, "coarse/latency": 0.75, "coarse/entropy": 0.5}, {"coarse/loss": 1.25}
    ]  # fmt: skip
    assert mlflow.calls[-1][0] == "end_run"


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_a_tracker_whose_package_is_missing_is_one_line_before_any_work(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.trackers.find_spec", lambda _: None)
    monkeypatch.delitem(sys.modules, f"nas.trackers.{name}", raising=False)
    with pytest.raises(InvalidInput, match=rf"--track {name} needs .* pip install '\.\[{name}\]'"):
        tracking([name], tmp_path, {})


def test_a_tracker_that_does_not_exist_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="unknown tracker 'tensorbord'; did you mean 'tensorboard'"):
        tracking(["tensorbord"], tmp_path, {})
    with pytest.raises(InvalidInput, match="must be a function that opens a tracker for a run, got module"):
        tracking(["nas.trackers:re"], tmp_path, {})
    assert tracking([], tmp_path, {}) is None


class Failing:
    """A tracker that fails at its second step."""

    def __init__(self, run: TrackedRun) -> None:
        self.steps: list[int] = []

    def log(self, values: Any, step: int) -> None:
        self.steps.append(step)
        if len(self.steps) == 2:
            raise ConnectionError("no route to host")

    def close(self) -> None:
        raise AssertionError("closed after it failed")


def test_a_tracker_that_fails_is_left_out_and_said(tmp_path: Path) -> None:
    def refuse(run: TrackedRun) -> Any:
        raise OSError("no such server")

    file = StringIO()
    openers = {"failing": Failing, "refusing": refuse}
    with LiveReporter(file, trackers=TrackingReporter(openers, TrackedRun(tmp_path, {}))) as reporter:
        for step in (1, 2, 3):
            reporter.progress(Progress("fine", step, 3, 0.5))
    said = [line for line in file.getvalue().splitlines() if "tracker" in line]
    assert said == [
        "the tracker refusing failed and is left out: no such server",
        "the tracker failing failed and is left out: no route to host",
    ]


def test_the_flags_of_a_command_become_settings(tmp_path: Path) -> None:
    args = argparse.Namespace(
        command="search", run="nas.cli:x", track=["tests.trackers.test_trackers:Failing"], seed=3, minimize=("a", "b"),
        latency_ms=[4.0], finalists=None, defaults={}, check=print, json=False,
    )  # fmt: skip
    reporter = trackers(args, tmp_path)
    assert reporter is not None
    assert reporter.run.settings == {"seed": 3, "minimize": "a,b", "latency_ms": "4.0"}
