"""A new folder written as a whole or not at all: made under another name beside its place, then renamed."""

import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from nas.errors import InvalidInput
from nas.files import is_abandoned

RANDOM_LETTERS = 8  # of the names that tempfile makes


def check_new_folder(out: Path) -> None:
    """Raise `InvalidInput` unless `out` does not exist or is an empty folder."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InvalidInput(f"{out} exists and is not empty; name another folder with --out, or remove it")


@contextmanager
def atomic_folder(out: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `out` to write into; it becomes `out` in the end, unless an error occurs.

    Such folders that killed processes left beside `out` are removed.
    """
    with ExitStack() as held:
        folder = _new_folder_beside(out, held)
        try:
            yield folder
            folder.replace(out)
        except OSError as error:
            raise InvalidInput(f"cannot write {out}: {error.strerror or error}") from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _new_folder_beside(out: Path, held: ExitStack) -> Path:
    """Return a new empty folder beside `out`, whose parent folders are made where they are missing.

    It is locked as long as `held` is open, so that no other process takes it for an abandoned one.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as beginning:
            _lock_folder(out.parent, beginning)
            for path in out.parent.glob(f".{glob.escape(out.name)}.{'?' * RANDOM_LETTERS}"):
                if path.is_dir() and not path.is_symlink() and is_abandoned(path):
                    shutil.rmtree(path, ignore_errors=True)
            folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
            _lock_folder(folder, held)
        folder.chmod(0o755)
        return folder
    except OSError as error:
        raise InvalidInput(f"cannot make the folder {out}: {error.strerror or error}") from error


def _lock_folder(folder: Path, held: ExitStack) -> None:
    """Lock `folder` until `held` is closed; on a file system without locks nothing is locked."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    held.callback(os.close, file)
    with suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX)
