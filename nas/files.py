"""Files: written whole or not at all, read with one clear error line where they are not what they should be."""

import errno
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from nas.errors import InvalidInput

LOCK = ".lock"  # in a folder that a process works on; see nas.records.locks


class CannotWrite(InvalidInput):
    """Raised where a file cannot be written, for want of space or of rights; what was there before is not lost."""

    def __init__(self, path: Path, error: OSError | str) -> None:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else error
        short = not isinstance(error, OSError) or error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        super().__init__(f"cannot write {path}: {reason}" + ("; make space there, nothing is lost" if short else ""))


def write_whole(path: Path, data: bytes | str) -> None:
    """Write `data` to `path` through a temporary file, fsync and rename, so that no reader ever sees half of it."""
    raw = data.encode() if isinstance(data, str) else data
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):  # nothing was made, or its folder is none
            temporary.unlink()
        raise CannotWrite(path, error) from error
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def remove_temporaries(folder: Path) -> None:
    """Remove temporary files that killed writers left in `folder` and its folders; no writer may be at work."""
    for path in (*folder.glob(".*.tmp"), *folder.glob("*/.*.tmp")):
        with suppress(OSError):
            path.unlink()


def read_bytes(path: Path) -> bytes:
    """Return the content of the file `path`; raises `InvalidInput` where it is missing, unreadable or empty."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror or error}") from error
    if not data:
        raise InvalidInput(f"{path} is empty; write it again or name another file")
    return data


def dump_json(value: Any) -> str:
    """Return `value` as JSON text in the form of all our files: indented by two blanks, with a final newline."""
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def read_json(path: Path) -> Any:
    """Return the JSON value in the file `path`; raises `InvalidInput` with the place where it is broken."""
    try:
        return json.loads(read_bytes(path))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} is not valid JSON: {error}") from error


def new_folder(path: Path) -> Path:
    """Create the folder `path` for new results and return it; it must not exist yet, or be empty."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        occupied = any(entry.name != LOCK for entry in path.iterdir())
    except OSError as error:
        raise InvalidInput(f"cannot make the folder {path}: {error.strerror or error}") from error
    if occupied:
        raise InvalidInput(f"the folder {path} exists and is not empty; name another with --out, or remove it")
    if not os.access(path, os.W_OK):
        raise InvalidInput(f"the folder {path} cannot be written; name another with --out")
    return path
