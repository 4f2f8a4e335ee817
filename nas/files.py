"""Files: written whole or not at all, read with one clear error line where they are not what they should be."""

import errno
import fcntl
import json
import math
import os
import re
import stat
import sys
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from nas.errors import InvalidInput

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")  # of a cell that a spreadsheet would run
LOCK = ".lock"  # in a folder that a process works on; see nas.records.locks
OWN_TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.tmp")
TEMPORARY = re.compile(r"\.(progress|[0-9a-f]{16}|.+\.\d+)\.tmp")  # in a run: the status too, and those of release 0.1
LINK = "it is a symbolic link, which is not followed; remove it"
LARGEST_TEXT = 2**30  # bytes of a text that is read as a whole
SMALL = 2**26  # bytes for which the free memory is not looked up
LONGEST_NAME = 255  # bytes of the name of a file
LONGEST_SHOWN = 80  # characters of a text in a message
SEPARATORS = rb"[/,:]"  # of paths, and of lists of them
DEEPEST = 64  # lists and objects inside one another: no file of ours has more than 10
MOST_DIGITS = 300  # of a whole number in a text: any such number is a float too
BEYOND = 10**MOST_DIGITS
LONE_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # in JSON; half a character, unless its other half follows


class CannotWrite(InvalidInput):
    """Raised where a file cannot be written, for want of space or of rights; what was there before is not lost."""

    def __init__(self, path: Path, error: OSError | str) -> None:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else error
        short = not isinstance(error, OSError) or error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        super().__init__(f"cannot write {path}: {reason}" + ("; make space there, nothing is lost" if short else ""))


def usable_path(text: str) -> str:
    """Return `text`, its "~" expanded, where a file or folder can be called so; other texts pass as they are.

    Raises `InvalidInput` in one line for a name that no file system takes, for a symbolic link that leads to itself,
    for a place that cannot be looked at, and for the home of a user that does not exist. What a user may mean as a
    path passes through here, at the command line and in the Python interface, before anything looks for it.
    """
    shown = repr(text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}...")
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"{shown} is no UTF-8 text; rename the file, or name another") from None
    if b"\0" in encoded:
        raise InvalidInput(f"{shown} has a zero byte in it, which no name of a file has")
    longest = max(map(len, re.split(SEPARATORS, encoded)))
    if longest > LONGEST_NAME:
        raise InvalidInput(f"{shown} has a name of {longest} bytes in it; file systems take {LONGEST_NAME}")
    expanded = os.path.expanduser(text)
    if text.startswith("~") and expanded == text and not os.path.lexists(text):
        raise InvalidInput(f"{shown} is in the home of a user that does not exist; a file of that name is ./~NAME")
    try:
        os.stat(expanded)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR):
            reason = "it is a symbolic link that leads to itself" if error.errno == errno.ELOOP else error.strerror
            raise InvalidInput(f"cannot look at {shown}: {reason}") from error
    return expanded


def check_names(paths: list[Path]) -> list[Path]:
    """Return `paths`, whose names go into files and digests; `InvalidInput` for one that is no UTF-8 text."""
    for path in paths:
        try:
            path.name.encode()
        except UnicodeEncodeError:
            raise InvalidInput(f"{path.parent} holds {path.name!r}, which is no UTF-8 text; rename it") from None
    return paths


def open_plain(path: Path, flags: int, *, follow: bool = False) -> int:
    """Open the file at `path` and return its descriptor; one that is created gets mode 0666 less the umask.

    `OSError` where there is a folder, a device or a pipe, which is never waited for, and for a symbolic link unless
    `follow`: what a run folder holds may have been put there by someone else.
    """
    if not follow and path.is_symlink():
        raise OSError(errno.ELOOP, LINK, str(path))
    file = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW), 0o666)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "it is no file of data but a folder, a pipe or a device", str(path))
    return file


def write_whole(path: Path, data: bytes | str, *, durable: bool = True) -> None:
    """Write `data` to `path` through a temporary file, fsync and rename, so that no reader ever sees half of it.

    A symbolic link at `path` is replaced, and what it leads to stays as it is. What need not outlive a power cut is
    not `durable`, and costs no fsync.
    """
    write_all({path: data}, durable=durable)


def write_all(files: Mapping[Path, bytes | str], *, durable: bool = True) -> None:
    """Write files, each whole, all of them or none: each is renamed to its place once all are on the disk."""
    staged: list[tuple[Path, Path]] = []
    placed: list[Path] = []
    with ExitStack() as writers:
        try:
            for path, data in files.items():
                staged.append((_staged(path, data, durable, writers), path))
            for temporary, path in staged:
                os.replace(temporary, path)
                placed.append(path)
        except BaseException as error:
            for left in (*(temporary for temporary, _ in staged), *placed):
                with suppress(OSError):
                    left.unlink()
            if isinstance(error, OSError):
                raise CannotWrite(path, error) from error
            raise
    for folder in {path.parent for path in files} if durable else ():
        _sync_folder(folder)


def _staged(path: Path, data: bytes | str, durable: bool, writers: ExitStack) -> Path:
    """Write `data` into a new temporary file beside `path`, which is locked as long as `writers` are open."""
    while True:
        temporary = path.parent / f".{os.urandom(8).hex()}.tmp"
        descriptor = open_plain(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        file = writers.enter_context(os.fdopen(descriptor, "wb"))
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        if os.path.lexists(temporary):  # else it was taken for an abandoned one before it was locked
            break
    try:
        file.write(data.encode() if isinstance(data, str) else data)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    return temporary


def _sync_folder(folder: Path) -> None:
    """Have the names in `folder` on the disk."""
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def remove_temporaries(folder: Path, names: re.Pattern[str] = TEMPORARY, *, inside: bool = True) -> None:
    """Remove temporary files that killed writers left in `folder`, and in the folders in it where `inside`.

    Those of writers at work are locked, and stay. Links to other folders are not followed.
    """
    for entry in _entries(folder):
        if inside and entry.is_dir(follow_symlinks=False):
            remove_temporaries(Path(entry.path), names, inside=False)
        elif names.fullmatch(entry.name) and entry.is_file(follow_symlinks=False) and is_abandoned(Path(entry.path)):
            with suppress(OSError):
                os.unlink(entry.path)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return what lies in a folder, nothing where it cannot be looked at."""
    try:
        return list(os.scandir(folder))
    except OSError:
        return []


def is_abandoned(path: Path) -> bool:
    """Return whether no process holds a lock on a temporary file or folder; False where that is not known."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:
        return False
    finally:
        os.close(file)


def subfolder(folder: Path, name: str) -> Path:
    """Return the folder `name` in an existing one, made where it is missing; `CannotWrite` for a symbolic link."""
    path = folder / name
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise CannotWrite(path, error) from error
    if path.is_symlink():
        raise CannotWrite(path, LINK)
    return path


def free_memory_bytes() -> int:
    """Return how many bytes of memory programs can still get; where the system does not say it, all that it has."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            kib = next(int(line.split()[1]) for line in file if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return kib * 1024


def check_memory(size: int, what: str) -> None:
    """Raise `InvalidInput` where `size` bytes for `what` are more than the free memory."""
    if size > SMALL and size > (free := free_memory_bytes()):
        raise InvalidInput(f"{what} takes {size:,} bytes of memory, and {free:,} are free")


def read_bytes(path: Path, most: int = sys.maxsize) -> bytes:
    """Return the content of the file `path`, of up to `most` bytes.

    Raises `InvalidInput` where it is missing, unreadable, empty, larger, or no file of data.
    """
    try:
        with open(open_plain(path, os.O_RDONLY, follow=True), "rb") as file:
            if (size := os.fstat(file.fileno()).st_size) > most:
                raise InvalidInput(f"{path} has {size:,} bytes; a file of its kind may have {most:,}")
            check_memory(size, str(path))
            data = file.read()
    except (OSError, ValueError, MemoryError) as error:  # ValueError: a name that no file can have
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(f"cannot read {path}: {getattr(error, 'strerror', None) or error or 'no memory'}") from error
    if not data:
        raise InvalidInput(f"{path} is empty; write it again or name another file")
    return data


def dump_json(value: Any) -> str:
    """Return `value` as JSON text in the form of all our files: indented by two blanks, with a final newline."""
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def read_json(path: Path) -> Any:
    """Return the JSON value in the file `path`; raises `InvalidInput` with the place where it is broken."""
    return parse_json(read_bytes(path, LARGEST_TEXT), str(path))


def parse_json(data: bytes, where: str) -> Any:
    """Return the value of the JSON text `data`: numbers are finite, lists and objects nest at most `DEEPEST` deep.

    Raises `InvalidInput`, which names `where`. All JSON that is read passes through here.
    """
    try:
        text = data.decode(json.detect_encoding(data))
        value = _DECODER.decode(text.removeprefix("\ufeff"))
        if LONE_SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:  # of json, or of bytes that are no text
        deep = isinstance(error, RecursionError)
        raise InvalidInput(f"{where} is not valid JSON: {_too_deep() if deep else error}") from error
    if text.count("[") + text.count("{") > DEEPEST:
        check_limits(value, f"{where} is not valid JSON")
    return value


def check_limits(value: Any, where: str) -> None:
    """Raise `InvalidInput` where lists and objects in `value` nest too deep, or a whole number is beyond the floats."""
    level, depth = [value], 0
    while level:
        if any(isinstance(one, int) and abs(one) >= BEYOND for one in level):
            raise InvalidInput(f"{where}: it has a whole number of more than {MOST_DIGITS} digits")
        inner = [one for one in level if isinstance(one, dict | list)]
        depth += bool(inner)
        if depth > DEEPEST:
            raise InvalidInput(f"{where}: {_too_deep()}")
        level = [part for one in inner for part in (one.values() if isinstance(one, dict) else one)]


def _too_deep() -> str:
    return f"more than {DEEPEST} lists and objects lie inside one another"


def whole_number(digits: str) -> int:
    """Return the whole number that `digits` write; `ValueError` where it may be beyond every float."""
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a whole number of {len(digits):,} digits; at most {MOST_DIGITS} are read")
    return int(digits)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text:.40} is beyond every float")
    return value


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number")


_DECODER = json.JSONDecoder(parse_int=whole_number, parse_float=_finite, parse_constant=_no_number)


def new_folder(path: Path) -> Path:
    """Create the folder `path` for new results and return it; it must not exist yet, or be empty."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        occupied = any(entry.name != LOCK and not TEMPORARY.fullmatch(entry.name) for entry in path.iterdir())
    except OSError as error:
        raise InvalidInput(f"cannot make the folder {path}: {error.strerror or error}") from error
    if occupied:
        raise InvalidInput(f"the folder {path} exists and is not empty; name another with --out, or remove it")
    if not os.access(path, os.W_OK):
        raise InvalidInput(f"the folder {path} cannot be written; name another with --out")
    return path


# ----------------------------------------------------------------------------------------------- cells of spreadsheets


def as_cell(value: Any) -> Any:
    """Return text as a cell that no spreadsheet takes for a formula: with an apostrophe in front of = + - and @."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value


def of_cell(text: str) -> str:
    """Return the text of a cell that `as_cell` may have made."""
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA_STARTS) else text
