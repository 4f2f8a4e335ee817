"""The journal of a run: one JSON object per line, appended and flushed to the disk, readable after any crash.

An append that is cut short leaves a torn last line and nothing else, so that what came before can always be read.
"""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from nas.errors import InvalidInput
from nas.files import CannotWrite, write_whole

Record = dict[str, Any]


def read_journal(path: Path) -> tuple[list[Record], bool]:
    """Return the records in `path`, none where it is missing, and whether the file holds these and nothing else.

    A torn last line, left by a crash or by a write under way, is ignored; a broken one before it is `InvalidInput`.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return [], False
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror or error}") from error
    records: list[Record] = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            record = json.loads(line)
            if not isinstance(record, dict):
                raise ValueError("it holds no object")
            records.append(record)
        except ValueError as error:  # of json, or of a text that is not UTF-8
            if number < len(lines) - 1:
                raise InvalidInput(f"{path}, line {number}, is not valid JSON: {error}") from error
    return records, not lines[-1] and len(records) == len(lines) - 1


class Journal:
    """An append-only file of records; a torn last line, left by a crash, is removed when the journal is opened."""

    def __init__(self, path: Path) -> None:
        """Open or create the journal at `path`; a broken line before the last one is `InvalidInput`."""
        self.path = path
        self.records, whole = read_journal(path)
        if not whole:
            self._write()

    def append(self, record: Record) -> None:
        """Add one record, which is on the disk when this returns. On `CannotWrite` the file stays as it was."""
        try:
            with open(self.path, "ab", buffering=0) as file:
                end = file.seek(0, os.SEEK_END)
                try:
                    _write_all(file.fileno(), _line(record))
                    os.fsync(file.fileno())
                except BaseException:  # Ctrl-C too: half a line would spoil the one after it
                    with suppress(OSError):
                        file.truncate(end)
                    raise
        except OSError as error:
            raise CannotWrite(self.path, error) from error
        self.records.append(record)

    def keep(self, condition: Callable[[Record], bool]) -> None:
        """Remove all records but those that meet `condition`: a resumed run drops those after its checkpoint."""
        kept = [record for record in self.records if condition(record)]
        if len(kept) < len(self.records):
            self.records = kept
            self._write()

    def _write(self) -> None:
        """Write the file anew from `records`."""
        write_whole(self.path, b"".join(map(_line, self.records)))


def _write_all(file: int, data: bytes) -> None:
    """Write `data` to a file descriptor; one call of `os.write` may take a part only."""
    while data:
        data = data[os.write(file, data) :]


def _line(record: Record) -> bytes:
    """Return the line of a record."""
    return json.dumps(record, allow_nan=False).encode() + b"\n"
