"""Folders on the command line: a run that is named, a new one that can be made, and how a stopped run goes on."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from nas.cli.signals import interruptible
from nas.errors import InvalidInput
from nas.files import CannotWrite, new_folder
from nas.records.experiment import read_experiment
from nas.records.named_code import resume_command

LONGEST_NAME = 120  # characters; file systems take 255 bytes


def check_new_folder(path: Path) -> Path:
    """Return `path` where a new folder can be made of it, so that hours of work are not lost at their end.

    Raises `InvalidInput` where it is occupied, or lies where no folder can be. Makes nothing.
    """
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
    if not holds_run(text):
        raise InvalidInput(f"{text} is no run folder: it has no experiment.json")
    return path


def holds_run(text: str) -> bool:
    """Return whether `text` is the folder of a search: as nas.records.networks.is_run, which imports numpy."""
    return os.path.isfile(os.path.join(text, "experiment.json"))


def is_multi_target(run: Path) -> bool:
    """Return whether the folder holds a run over a supernet trained once, or the results of one target of it."""
    return str(read_experiment(run).get("schema")).startswith("nas.specialise")


def base_name(text: str) -> str:
    """Return a short name for the network or data that `text` names, for the name of a new folder or file."""
    path = Path(text).resolve()
    return path.name if path.is_dir() else path.stem if path.exists() else text


def default_folder(*parts: str) -> Path:
    """Return runs/PART-PART-..., in letters that any file system takes; a long name ends in a digest of all of it."""
    name = re.sub(r"[^\w.-]+", "-", "-".join(parts), flags=re.ASCII)
    short = name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}-{sha256(name.encode()).hexdigest()[:8]}"
    return Path("runs", short)


@contextmanager
def resumable(run: Path) -> Iterator[None]:
    """Say in an interruption, and where the disk is full, how to go on with `run`."""

    def advice() -> str:
        saved = (run / "experiment.json").exists()
        return f"go on with: {resume_command(run)}" if saved else "nothing was saved yet"

    try:
        with interruptible(advice):
            yield
    except CannotWrite as error:
        raise InvalidInput(f"{error}; then go on with: {resume_command(run)}") from error
