"""SPEC|RUN on the command line: a reference network's name, a JSON spec, or the folder of a run or training."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from nas.errors import InvalidInput
from nas.records.networks import is_run

if TYPE_CHECKING:
    pass

SPEC_OR_RUN = "reference network (nas zoo; NAME@WIDTH,PXpx too), JSON spec, or folder of a run or training"


def network_name(text: str) -> str:
    """Return a short name for what `text` names, for the name of a new folder."""
    return Path(text).resolve().stem if os.path.exists(text) else text


def check_new_folder(path: Path) -> Path:
    """Return `path` where a new folder can be made of it, so that hours of work are not lost at their end.

    Raises `InvalidInput` where it is occupied, or lies where no folder can be. Makes nothing.
    """
    from nas.files import new_folder

    if os.path.lexists(path):
        return new_folder(path)  # an empty folder is as good as none
    above = next(parent for parent in path.absolute().parents if os.path.lexists(parent))
    if not os.path.isdir(above):
        raise InvalidInput(f"cannot make the folder {path}: {above} is no folder; name another with --out")
    if not os.access(above, os.W_OK | os.X_OK):
        raise InvalidInput(f"cannot make the folder {path}: {above} cannot be written; name another with --out")
    return path


def run_folder(text: str) -> Path:
    """Return the folder of a run, `InvalidInput` where `text` is none."""
    path = Path(text)
    if not os.path.isdir(text):
        raise InvalidInput(f"there is no run folder {text}; start one with: nas search --out {text or 'RUN'}")
    if not is_run(text):
        raise InvalidInput(f"{text} is no run folder: it has no experiment.json")
    return path
