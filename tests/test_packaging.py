"""The package as a user installs it: the data files are in the wheel, and the command runs without the source tree."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from latency_models.target import target_names
from nas.training.recipe_names import recipe_names


@pytest.fixture(scope="module")
def installed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel, built here, was installed without its dependencies."""
    folder = tmp_path_factory.mktemp("wheel")
    build = f"from hatchling.build import build_wheel; print(build_wheel({str(folder)!r}))"
    name = subprocess.run([sys.executable, "-c", build], cwd=root, capture_output=True, text=True, check=True).stdout
    with zipfile.ZipFile(folder / name.split()[-1]) as wheel:  # purelib wheels install by being unpacked
        wheel.extractall(folder / "site")
    return folder / "site"


def run(installed: Path, cwd: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run the installed command line in `cwd`, where no source tree is."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-m", "nas", *argv]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=True)


def test_all_targets_are_in_the_wheel(installed: Path, tmp_path: Path) -> None:
    rows = json.loads(run(installed, tmp_path, "targets", "--json").stdout)
    assert [row["name"] for row in rows] == list(target_names())


def test_all_recipes_are_in_the_wheel(installed: Path, tmp_path: Path) -> None:
    shown = " ".join(run(installed, tmp_path, "train", "--help").stdout.split())
    assert all(f"{name}," in shown for name in recipe_names())


def test_the_files_of_pages_are_in_the_wheel(root: Path, installed: Path, tmp_path: Path) -> None:
    page = Path("nas", "report", "page")
    files = {path.name for path in (root / page).iterdir() if path.suffix in (".js", ".css", ".html")}
    assert (installed / "nas" / "py.typed").exists()
    assert len(files) > 5 and files <= {path.name for path in (installed / page).iterdir()}
    run(installed, tmp_path, "describe", "mobilenetv2", "--out", "drawn.html")
    assert "depthwise" in (tmp_path / "drawn.html").read_text()


def test_version_is_that_of_the_wheel(installed: Path, tmp_path: Path) -> None:
    (metadata,) = installed.glob("nas_engine-*.dist-info")
    assert run(installed, tmp_path, "--version").stdout == f"nas {metadata.name.split('-')[1][: -len('.dist')]}\n"


def test_only_the_package_is_in_the_wheel(installed: Path) -> None:
    top = {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")}
    assert top == {"nas", "search_spaces", "latency_models"}
    (metadata,) = installed.glob("nas_engine-*.dist-info")
    assert "nas = nas.cli:program" in (metadata / "entry_points.txt").read_text()


def test_constraints_pin_every_package_to_one_version_and_name_no_address(root: Path) -> None:
    lines = [line for line in (root / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    names = [line.split("==")[0].lower() for line in lines]
    assert all(line.count("==") == 1 and "/" not in line for line in lines)
    assert len(set(names)) == len(names)
    assert {"jax", "flax", "optax", "numpy", "pandas", "ray"} <= set(names)
