"""A folder that appears whole or not at all: made beside its place, then renamed."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nas.errors import InvalidInput


def check_free_folder(out: Path) -> None:
    """Raise `InvalidInput` unless `out` does not exist or is an empty folder."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InvalidInput(f"{out} exists and is not empty; name another folder with --out, or remove it")


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Give a new folder beside `out` to write into, which becomes `out` at the end; after an error nothing stays."""
    folder = _new_beside(out)
    try:
        yield folder
        folder.replace(out)
    except OSError as error:
        raise InvalidInput(f"cannot write {out}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _new_beside(out: Path) -> Path:
    """Return a new empty folder beside `out`, which is made where it is to be."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        folder.chmod(0o755)
        return folder
    except OSError as error:
        raise InvalidInput(f"cannot make the folder {out}: {error.strerror or error}") from error
