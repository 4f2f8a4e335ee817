"""Locks of run folders, so that one process works on a folder: flock(2) on a file in it.

The lock ends with the process, however that ends. The file names its holder, for the message that a second process
gets, and is removed when the work is done. A file that a kill left behind is not locked, so the next process takes it
over. On a file system without locks nothing is locked.
"""

import errno
import fcntl
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nas.errors import InvalidInput
from nas.files import LOCK, CannotWrite, open_plain, parse_json, remove_temporaries

PATIENCE_S = 0.5  # to wait for a lock: `holder` takes it too, for microseconds
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)  # from flock where a file system has no locks


@contextmanager
def locked(run: Path, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Hold the lock of the existing folder `run`; `InvalidInput` names the holder if it is locked after `patience_s`.

    Temporary files that killed writers left are removed.
    """
    with _locked_file(run / LOCK, patience_s) as file:
        os.ftruncate(file, 0)
        with suppress(OSError):  # a full disk: then the message names no process
            os.write(file, json.dumps({"pid": os.getpid(), "host": platform.node()}).encode())
        remove_temporaries(run)
        yield


def holder(run: Path) -> str | None:
    """Return "process P on H" for the process that works on the folder `run`, None where none does."""
    try:
        file = open_plain(run / LOCK, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder_name(file)
    except OSError:
        return None
    finally:
        os.close(file)
    return None


@contextmanager
def _locked_file(path: Path, patience_s: float) -> Iterator[int]:
    """Open and lock the file at `path`; remove it at the end."""
    until = time.monotonic() + patience_s
    while True:
        file = _create(path)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            name = _holder_name(file)
            os.close(file)
            if time.monotonic() > until:
                raise InvalidInput(
                    f"{name} is working on {path.parent}; wait for it (nas watch {path.parent}), or stop it"
                ) from None
            time.sleep(PATIENCE_S / 10)
            continue
        except OSError as error:
            if error.errno not in NO_LOCKS:
                os.close(file)
                raise
        if _is_file_at(path, file):
            break
        # Its holder removed it between our opening and our locking: we hold a lock that nobody else can see.
        os.close(file)
    try:
        yield file
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(file)


def _create(path: Path) -> int:
    """Open the lock file, created where it is missing."""
    try:
        return open_plain(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise CannotWrite(path, error) from error


def _is_file_at(path: Path, file: int) -> bool:
    """Return whether the open `file` is the one at `path`."""
    with suppress(OSError):
        return os.path.samestat(os.stat(path), os.fstat(file))
    return False


def _holder_name(file: int) -> str:
    """Return the process and host that a lock file names."""
    try:
        stored = parse_json(os.pread(file, 1000, 0), LOCK)
        return f"process {stored['pid']} on {stored['host']}"
    except (OSError, ValueError, TypeError, KeyError):
        return "another process"
