"""What XLA compiled is kept on the disk, so that a run that goes on, or another of its kind, does not compile again.

jax reads and writes the files, by the program, its options and the version of XLA; here is where they lie.
Other processors get a folder of their own: a home may be shared by machines, and code for one can fail on another.
It is machine code that is run: a folder that others can write is not used.
"""

import os
import platform
import re
import warnings
from collections.abc import MutableMapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

FOLDER_VARIABLE = "JAX_COMPILATION_CACHE_DIR"
SHORTEST_VARIABLE, SHORTEST_S = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5"  # what compiles sooner is not kept
HOME = "~/.cache/nas/compiled"
MOST_BYTES = 1 << 30
UNREADABLE = re.compile(r"Error reading persistent compilation cache entry for '([\w.-]+)'")
ENTRY = "-*-cache"  # behind the name of a program


def keep_compiled(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let jax keep what it compiles in `HOME`, unless the environment names a folder; call it before jax is imported.

    The entries longest unused go where all take more than `MOST_BYTES`. Nothing is kept where no file can be written.
    """
    if FOLDER_VARIABLE not in environment:
        folder = Path(HOME).expanduser() / processor()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not _is_own(folder):
                return
            trim(folder, MOST_BYTES)
        except (OSError, RuntimeError):  # no home, or none that can be written
            return
        environment[FOLDER_VARIABLE] = str(folder)
        environment.setdefault(SHORTEST_VARIABLE, SHORTEST_S)
    if environment[FOLDER_VARIABLE]:
        _drop_unreadable(Path(environment[FOLDER_VARIABLE]))


def _is_own(folder: Path) -> bool:
    """Return whether a folder is of this user, who can write it, and nobody else can."""
    found = folder.stat()
    return found.st_uid == os.getuid() and not found.st_mode & 0o022 and os.access(folder, os.W_OK)


def processor() -> str:
    """Return a name for this machine's kind of processor, the same where the same instructions run."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").partition("\n\n")[0].splitlines()
        known = [line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))]
    except OSError:
        known = [platform.processor()]
    return f"{platform.machine()}-{sha256(chr(10).join(known).encode()).hexdigest()[:12]}"


def trim(folder: Path, most_bytes: int) -> None:
    """Delete the files of `folder` longest not read or written, until the others take `most_bytes` at most."""
    with os.scandir(folder) as entries:
        known = [(one.stat(), one.path) for one in entries]
    files = [(max(found.st_atime, found.st_mtime), found.st_size, path) for found, path in known]
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if total <= most_bytes:
            return
        with suppress(FileNotFoundError):  # another process deleted it
            os.unlink(path)
        total -= size


def _drop_unreadable(folder: Path) -> None:
    """Delete the entries of a program that jax warns it cannot read, in place of the warning: it compiles it again.

    A process that was killed while it wrote one leaves it cut off, and jax would warn of it for ever.
    """
    before = warnings.showwarning

    def show(message: Warning | str, *rest: Any, **more: Any) -> None:
        found = UNREADABLE.match(str(message))
        if found is None:
            before(message, *rest, **more)
            return
        for path in folder.glob(found[1] + ENTRY):
            path.unlink(missing_ok=True)

    warnings.showwarning = show
