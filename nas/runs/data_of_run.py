"""The images of a run, found from any working directory: where they were, or beside the run where both were moved."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from nas.data import DATA_SETS, Dataset
from nas.errors import InvalidInput
from nas.files import usable_path
from nas.runs.settings import SearchConfig

PARENTS = 3  # folders above the data set's name, and above what lies in a run, that are looked through


def is_path(data: str) -> bool:
    """Return whether `data` is meant as a path: no registered name, and no "module:attribute"."""
    return data not in DATA_SETS and (":" not in data or os.sep in data or os.path.exists(os.path.expanduser(data)))


def absolute_data(data: str) -> str:
    """Return a path to images as an absolute one, so that a run finds them from anywhere; names stay as they are."""
    found = os.path.abspath(os.path.expanduser(data))
    return found if is_path(data) and os.path.exists(found) else data


def absolute_folder(data_dir: str | None) -> str | None:
    """Return the folder of published data sets as an absolute path, None for none."""
    return None if data_dir is None else os.path.abspath(os.path.expanduser(data_dir))


def absolute(data: str, data_dir: str | None) -> dict[str, str | None]:
    """Return the settings `data` and `data_dir` with absolute paths."""
    return {"data": absolute_data(data), "data_dir": absolute_folder(data_dir)}


def find_data(data: str, run: Path) -> str:
    """Return where the images `data` of a run lie: as stored, else beside the run.

    A relative path of an older release is looked for from the working directory, the run and the folders above it; so
    are the last parts of an absolute one that is gone. Raises `InvalidInput` where they are in none of these.
    """
    if not is_path(data):
        return data
    found = next((path for path in _places(usable_path(data), run) if path.exists()), None)
    if found is None:
        raise InvalidInput(
            f"the data of the run {run} is not where it was, {data}; name where it is now with --data, or put it "
            "beside the run"
        )
    return str(found)


def _places(data: str, run: Path) -> Iterator[Path]:
    """Yield the paths at which the images of a run may lie, the likeliest first."""
    stored = Path(data)
    yield stored
    parts = [part for part in stored.parts if part not in (stored.anchor, "..", ".")]
    whole = run.resolve()
    for folder in (whole, *list(whole.parents)[:PARENTS]):
        for count in range(min(PARENTS, len(parts)), 0, -1):
            yield folder.joinpath(*parts[-count:])


def load_data_of_run(run: Path, config: SearchConfig, identity: Mapping[str, str], data: str | None = None) -> Dataset:
    """Return the images of a run with the settings `config`, from `data` where that is named.

    They keep the name in the run's `identity`, so that what is written does not depend on where they lie now. Whether
    they are still those that the run began with is compared in nas/runs/dependencies.py. Raises `InvalidInput` where
    they are found nowhere.
    """
    dataset = replace(config, data=data or find_data(config.data, run)).load_data()
    return replace(dataset, name=identity.get("name", dataset.name))
