"""SPEC|RUN on the command line: a reference network's name, a JSON spec, or the folder of a run or training."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nas.errors import InvalidInput, unknown_name

if TYPE_CHECKING:
    from nas.arch import ArchSpec

SPEC_OR_RUN = "reference network (nas zoo; NAME@WIDTH,PXpx too), JSON spec, or folder of a run or training"


def arch_of(text: str) -> "ArchSpec":
    """Return the architecture that `text` names. Raises `UnknownName` where it is neither a name nor a path."""
    from nas.arch import load_arch
    from nas.results import result_of_run
    from nas.zoo import ZOO, is_reference, reference

    if is_reference(text):
        return reference(text)
    if is_training(text):
        from nas.compared import load_trained

        return load_trained(Path(text))[0]
    if os.path.isdir(text):
        return result_of_run(Path(text)).arch
    if os.path.exists(text):
        arch = load_arch(Path(text))
        return arch if arch.name != "unnamed" else replace(arch, name=Path(text).stem)
    if os.sep in text or text.endswith(".json"):
        raise InvalidInput(f"there is no file or folder {text}; name a spec, a run folder or a reference network")
    raise unknown_name("network", text, ZOO)


def is_run(text: str) -> bool:
    """Return whether `text` is the folder of a search."""
    return os.path.isfile(os.path.join(text, "experiment.json"))


def is_training(text: str) -> bool:
    """Return whether `text` is the folder of a finished training."""
    return os.path.isfile(os.path.join(text, "train.json"))


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
