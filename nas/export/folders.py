"""A new folder written as a whole or not at all: made under another name beside its place, then renamed."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nas.errors import InvalidInput


def check_new_folder(out: Path) -> None:
    """Raise `InvalidInput` unless `out` does not exist or is an empty folder."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InvalidInput(f"{out} exists and is not empty; name another folder with --out, or remove it")


@contextmanager
def atomic_folder(out: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `out` to write into; it becomes `out` in the end, unless an error occurs."""
    folder = _new_folder_beside(out)
    try:
        yield folder
        folder.replace(out)
    except OSError as error:
        raise InvalidInput(f"cannot write {out}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _new_folder_beside(out: Path) -> Path:
    """Return a new empty folder beside `out`, whose parent folders are made where they are missing."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        folder.chmod(0o755)
        return folder
    except OSError as error:
        raise InvalidInput(f"cannot make the folder {out}: {error.strerror or error}") from error
