"""The journal of a run: one JSON object per line, appended and flushed to the disk, readable after any crash."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nas.errors import InvalidInput
from nas.files import write_whole

Record = dict[str, Any]


class Journal:
    """An append-only file of records; a torn last line, the mark of a crash, is dropped when it is opened."""

    def __init__(self, path: Path) -> None:
        """Open or create the journal at `path`; a broken line before the last one is `InvalidInput`."""
        self.path = path
        self.records: list[Record] = []
        lines = path.read_bytes().split(b"\n") if path.exists() else [b""]
        for number, line in enumerate(lines[:-1], start=1):
            try:
                self.records.append(json.loads(line))
            except (json.JSONDecodeError, UnicodeDecodeError) as error:
                if number < len(lines) - 1:
                    raise InvalidInput(f"{path}, line {number}, is not valid JSON: {error}") from error
        self._write()

    def append(self, record: Record) -> None:
        """Add one record; it is on the disk when this returns."""
        self.records.append(record)
        with open(self.path, "ab") as file:
            file.write(_line(record))
            file.flush()
            os.fsync(file.fileno())

    def keep(self, wanted: Callable[[Record], bool]) -> None:
        """Drop all records but the `wanted` ones: a resumed run forgets what came after its checkpoint."""
        kept = [record for record in self.records if wanted(record)]
        if len(kept) < len(self.records):
            self.records = kept
            self._write()

    def _write(self) -> None:
        write_whole(self.path, b"".join(map(_line, self.records)))


def _line(record: Record) -> bytes:
    return json.dumps(record, allow_nan=False).encode() + b"\n"
