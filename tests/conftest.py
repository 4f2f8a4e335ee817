"""What all tests share: strict settings of jax and Hypothesis, and the folders that tests read."""

import gc
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from nas import registry
from nas.cli import GC_THRESHOLDS

ROOT = Path(__file__).resolve().parents[1]

# Rank promotion stays allowed: the networks add vectors over channels to maps throughout.
os.environ.pop(
    "COLUMNS", None
)  # pytest-xdist sets it: tables are those of a file, but where a test asks for a terminal
# Two workers on two cores: with more threads, of BLAS, OpenMP and XLA, they wait for each other's.
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NPROC"):
    os.environ.setdefault(variable, "1")
# Compiling is most of the time of all tests: without optimisation it takes half of it, and last bits change at most.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=0")

gc.set_threshold(*GC_THRESHOLDS)  # as the command line does

# No deadline: the first example of a test compiles. In CI the same examples every time.
settings.register_profile("local", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "local")


# What tests name as code without a command line or nas.api; a stored file alone would not do.
registry.state(
    space=(
        "tests.support.tiny:SPACE",
        "tests.support.tiny:SMALL",
        "tests.extending.space:SPACE",
        "tests.docs.space:SPACE",
    ),
    target=("tests.extending.target:CHIP", "tests.extending.space:SPACE"),
    data=tuple(
        f"tests.extending.{name}" for name in ("data_set:load_stripes", "data_set:nothing", "task:load_dark_images")
    ),
    evaluator=("tests.support.evaluators:RUGGED", "tests.extending.evaluator:LOG_MACS"),
    accuracy_model=("tests.extending.accuracy_model:NearestThree", "sklearn.ensemble:ExtraTreesRegressor", "math:pi"),
    track=("nas.trackers:re", "tests.extending.tracker:CsvTracker", "tests.trackers.test_trackers:Failing"),
)


# What compiles for minutes begins first, so that at the end no worker is left alone with it.
LONG = ("test_found_to_running", "runs", "training", "supernet", "export", "extending", "distributed", "test_api")


def pytest_configure(config: pytest.Config) -> None:
    """Let what one test compiles be found by the others: in both workers, and in the processes that tests start.

    Before anything imports jax; a folder from outside would hide what compiles too often.
    """
    if not hasattr(config, "workerinput"):  # the process that starts the workers, which have its environment
        folder = tempfile.mkdtemp(prefix="nas-compiled-")
        os.environ["JAX_COMPILATION_CACHE_DIR"] = folder
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the files of tests by how long they take, roughly; the order within a file stays."""

    def rank(item: pytest.Item) -> int:
        part = item.path.relative_to(ROOT / "tests").parts[0].removesuffix(".py")
        return LONG.index(part) if part in LONG else len(LONG)

    items.sort(key=rank)


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's root folder."""
    return ROOT


@pytest.fixture(scope="session")
def shared(root: Path) -> Path:
    """The folder of larger reference data beside the project; without it a test skips with a word."""
    folder = root.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the folder ../shared with larger reference data is not here")
    return folder


@pytest.fixture
def out(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """A command that must succeed -> its standard output."""
    from nas.cli import main

    def run(*argv: Any) -> str:
        status = main([str(arg) for arg in argv])
        shown = capsys.readouterr()
        assert (status, shown.err) == (0, "")
        return shown.out

    return run


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """A command that must fail on its input -> the one line that says why."""
    from nas.cli import main

    def run(*argv: Any) -> str:
        status = main([str(arg) for arg in argv])
        shown = capsys.readouterr()
        assert (status, shown.out) == (2, "")
        assert shown.err.startswith("nas: ")
        assert shown.err.count("\n") == 1
        assert shown.err.endswith("\n")
        return shown.err

    return run
