"""One process per run folder: a lock on a file in it, which ends with the process, however that ends (flock(2)).

The file names its holder for the message that a second process gets; it is removed when the work is done. A file that a
kill left behind holds no lock, so the next process takes it over. Where the file system knows no locks, there are none.
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
from nas.files import LOCK, CannotWrite, remove_temporaries

PATIENCE_S = 0.5  # a look at the lock by `holder` keeps it for microseconds
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)  # of flock on some file systems


@contextmanager
def locked(run: Path, patience_s: float = PATIENCE_S) -> Iterator[None]:
    """Hold the existing folder `run`; `InvalidInput` names the process and the host that still hold it in the end.

    Temporary files of writers that were killed are removed.
    """
    with _opened(run / LOCK, patience_s) as file:
        os.ftruncate(file, 0)
        with suppress(OSError):  # a full disk: then the message names no process
            os.write(file, json.dumps({"pid": os.getpid(), "host": platform.node()}).encode())
        remove_temporaries(run)
        yield


def holder(run: Path) -> str | None:
    """Return "process P on H" for the process that works on the folder `run`, None where none does."""
    try:
        file = os.open(run / LOCK, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _words(file)
    except OSError:
        return None
    finally:
        os.close(file)
    return None


@contextmanager
def _opened(path: Path, patience_s: float) -> Iterator[int]:
    """Open the file and lock it, so that the path still leads to it; remove it at the end."""
    until = time.monotonic() + patience_s
    while True:
        file = _create(path)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            words = _words(file)
            os.close(file)
            if time.monotonic() > until:
                raise InvalidInput(
                    f"{words} is working on {path.parent}; wait for it (nas watch {path.parent}), or stop it"
                ) from None
            time.sleep(PATIENCE_S / 10)
            continue
        except OSError as error:
            if error.errno not in NO_LOCKS:
                os.close(file)
                raise
        if _leads_to(path, file):
            break
        os.close(file)  # its holder removed it between our opening and our locking
    try:
        yield file
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(file)


def _create(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise CannotWrite(path, error) from error


def _leads_to(path: Path, file: int) -> bool:
    with suppress(OSError):
        return os.path.samestat(os.stat(path), os.fstat(file))
    return False


def _words(file: int) -> str:
    try:
        stored = json.loads(os.pread(file, 1000, 0))
        return f"process {stored['pid']} on {stored['host']}"
    except (OSError, ValueError, TypeError, KeyError):
        return "another process"
