"""A run finds its images from any working directory: where they were, beside it where both were moved, or by --data."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.api import _begun
from nas.cli import main
from nas.cli.commands.search import search_config
from nas.cli.parser import build_parser
from nas.errors import InvalidInput
from nas.runs.data_of_run import absolute_data, find_data, load_data_of_run
from nas.runs.front_training import images_of_run
from nas.runs.settings import SearchConfig
from nas.runs.single_training import training_data

CLASSES = ("dark", "light")


def images(folder: Path, seed: int = 0) -> Path:
    """Write a folder of two classes with six small images each."""
    rng = np.random.default_rng(seed)
    for number, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for i in range(6):
            pixels = rng.integers(0, 100, (12, 12, 3)) + 120 * number
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{i}.png")
    return folder


def begun(run: Path, data: str) -> SearchConfig:
    """Write what a search stores at its start, and return its settings."""
    config = SearchConfig(data=data, preset="smoke")
    dataset = config.load_data()
    run.mkdir(parents=True)
    stored = {"settings": vars(config) | {"forest_bounds": [], "minimize": []}, "data": {"digest": dataset.digest}}
    (run / "experiment.json").write_text(json.dumps(stored))
    return config


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of a search, with images in `tiny`."""
    home = tmp_path / "home"
    images(home / "tiny")
    monkeypatch.chdir(home)
    return home


def test_a_search_stores_an_absolute_path_and_names_as_they_are(place: Path) -> None:
    for data, stored in (("tiny", str(place / "tiny")), ("digits", "digits"), ("a.module:data", "a.module:data")):
        argv = ["search", "--data", data, "--data-dir", "published"]
        config = search_config(build_parser(argv).parse_args(argv))
        assert config.data == stored == absolute_data(data) and config.data_dir == str(place / "published")


@pytest.mark.parametrize("run", ["run", "runs/mine", "runs/many/deep"])
@pytest.mark.parametrize("stored", ["tiny", "./tiny", "absolute"])
def test_images_are_found_from_elsewhere_and_after_a_move(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: str, stored: str
) -> None:
    data = str(place / "tiny") if stored == "absolute" else stored
    config = begun(place / run, data)
    digest = config.load_data().digest
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert Path(find_data(data, Path("../home", run))).resolve() == place / "tiny"
    moved = place.rename(tmp_path / "moved")
    for path in (moved / run, Path("../moved", run)):
        assert Path(find_data(data, path)).resolve() == moved / "tiny"
        assert (
            load_data_of_run(path, config, {"digest": digest, "name": "images"}).digest
            == digest
            == images_of_run(path).dataset.digest
        )
    assert training_data(str(moved / run), elsewhere / "t", None, None).digest == digest


def test_missing_images_are_one_line_that_names_them(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = begun(place / "run", str(place / "tiny"))
    digest = config.load_data().digest
    gone = (place / "tiny").rename(tmp_path / "images")
    with pytest.raises(InvalidInput, match=r"data of the run run is not where it was, .*/tiny; name .* with --data"):
        load_data_of_run(Path("run"), config, {"digest": digest, "name": "images"})
    assert load_data_of_run(Path("run"), config, {"digest": digest, "name": "images"}, str(gone)).name == "images"
    images(place / "tiny", seed=1)  # others of the same name
    with pytest.raises(InvalidInput, match=r"the data set '.*/tiny' has changed since this run began"):
        images_of_run(Path("run"))
    shutil.rmtree(place / "tiny")
    stored = json.loads((place / "run" / "experiment.json").read_text())
    (place / "run" / "experiment.json").write_text(json.dumps({**stored, "schema": "nas.experiment", "version": 1}))
    assert main(["resume", "run"]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and f"{place}/tiny" in line and "--data" in line


def test_the_same_images_at_another_path_are_the_same_settings(place: Path, tmp_path: Path) -> None:
    config = begun(place / "run", "tiny")
    as_asked = {**vars(config), "data": str(place / "tiny")}
    assert _begun(place / "run", "settings", as_asked)
    shutil.copytree(place / "tiny", tmp_path / "copy")
    assert _begun(place / "run", "settings", {**as_asked, "data": str(tmp_path / "copy")})
    for other in ({"data": str(images(tmp_path / "other", seed=1))}, {"seed": 1}):
        with pytest.raises(InvalidInput, match="other settings"):
            _begun(place / "run", "settings", as_asked | other)
