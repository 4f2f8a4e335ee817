"""The journal of a run: one JSON object per line, appended and flushed to the disk, readable after any crash.

An append that is cut short leaves a torn last line and nothing else, so that what came before can always be read.
"""

import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from nas.errors import InvalidInput
from nas.files import LARGEST_TEXT, CannotWrite, open_plain, parse_json, read_bytes, write_whole
from nas.records.typed import Count, Fraction, NonNegative, PositiveCount, check_fields

BLOCK = 1 << 16  # bytes read at once from the end of a journal
Record = dict[str, Any]
Genotypes = tuple[tuple[Count, ...], ...]
FIELDS: dict[str, Any] = {  # of the records that this package writes -> their kinds
    "stage": str, "step": Count, "steps": Count, "trials": Count, "more_trials": Count, "purpose": str,
    "decisions": tuple[dict[str, Any], ...], "target_latency": NonNegative, "latency_unit": str,
    "loss": float, "loss_largest": float, "loss_smallest": float, "loss_random": float,
    "train_top1": Fraction, "train_top1_largest": Fraction, "train_top1_smallest": Fraction,
    "entropy": float, "beta": float, "sampled_latency": float | None, "argmax_latency": float,
    "argmax_reward_top1": Fraction, "argmax": tuple[Count, ...], "policy": tuple[tuple[float, ...], ...],
    "genotype": tuple[Count, ...], "correct": Count, "score": Fraction, "origin": str, "hits": str | None,
    "asked": Genotypes, "accuracy": tuple[float | None, ...], "float_accuracy": tuple[float | None, ...],
    "seeds": tuple[Count, ...], "epochs": tuple[Count, ...] | Count,
    "networks": Genotypes, "scores": tuple[float, ...], "epoch": PositiveCount, "top1": Fraction, "digest": str,
    "state": str, "error": str, "errors": tuple[NonNegative | None, ...], "standard_error": Fraction,
    "float_top1": Fraction,
}  # fmt: skip
STAGED = ("stage",)  # the fields of every record of a run
TOGETHER = {  # field -> fields that a record with it has, too
    "asked": ("accuracy",), "genotype": ("origin",), "seeds": ("asked", "epochs"), "networks": ("scores",),
    "argmax": ("step", "steps"), "policy": ("step", "steps"), "loss_largest": ("step",), "epoch": ("top1",),
}  # fmt: skip
ALIKE = {  # lists of one length
    "asked": ("accuracy", "float_accuracy", "seeds", "errors"), "seeds": ("epochs",), "networks": ("scores", "errors"),
}  # fmt: skip


def read_journal(path: Path, required: Sequence[str] = STAGED) -> tuple[list[Record], bool]:
    """Return the records in `path`, none where it is missing, and whether the file holds these and nothing else.

    Every record has the `required` fields, and every field its kind of `FIELDS`.
    A torn last line, left by a crash or by a write under way, is ignored; a broken one before it is `InvalidInput`.
    """
    content = _content(path)
    if content is None:
        return [], False
    lines = content.split(b"\n")
    records: list[Record] = []
    for number, line in enumerate(lines[:-1], start=1):
        where = f"{path}, line {number},"
        try:
            value = parse_json(line, where)
        except InvalidInput:
            if number < len(lines) - 1:
                raise
            break  # torn
        records.append(_checked(value, where, required))
    return records, not lines[-1] and len(records) == len(lines) - 1


def newest_records(path: Path) -> Iterator[Record]:
    """Yield the records in `path`, the newest first, reading no more of the file than is asked for; none where missing.

    A torn last line is left out; a broken one before it is `InvalidInput`.
    """
    with _opened(path) as file:
        torn = True  # what stands behind the last line feed
        for line in _lines_from_the_end(file):
            if torn or not line:
                torn = False
                continue
            where = f"{path}, a line near its end,"
            yield _checked(parse_json(line, where), where)


def _opened(path: Path) -> BinaryIO:
    """Return the opened journal, an empty one where there is none yet."""
    if not os.path.lexists(path):
        return io.BytesIO()
    try:
        return open(open_plain(path, os.O_RDONLY), "rb")
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror or error}") from error


def _lines_from_the_end(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a file, the last one first: what stands behind the last line feed, be it nothing."""
    place, rest = file.seek(0, os.SEEK_END), b""
    while place:
        size = min(BLOCK, place)
        place -= size
        file.seek(place)
        first, *lines = (file.read(size) + rest).split(b"\n")
        yield from reversed(lines)
        rest = first
    yield rest


def streamed_records(path: Path) -> Iterator[Record]:
    """Yield the records in `path` in their order, one at a time; a torn last line is left out."""
    with _opened(path) as file:
        for number, line in enumerate(file, start=1):
            if line.endswith(b"\n"):
                where = f"{path}, line {number},"
                yield _checked(parse_json(line, where), where)


def _content(path: Path) -> bytes | None:
    """Return the content of a journal, None where there is none yet."""
    if not os.path.lexists(path):
        return None
    if path.is_file() and not path.stat().st_size:
        return b""
    return read_bytes(path, LARGEST_TEXT)


def _checked(value: Any, where: str, required: Sequence[str] = STAGED) -> Record:
    """Return the record in a line of the journal; `InvalidInput` for anything else."""
    if not isinstance(value, dict):
        raise InvalidInput(f"{where} is not valid JSON: it holds no object")
    try:
        check_fields(value, FIELDS)
        _check_together(value, required)
    except TypeError as error:
        raise InvalidInput(f"{where} is no record of a run: {error}; restore the file, or start a new run") from error
    return value


def _check_together(record: Record, required: Sequence[str]) -> None:
    """Raise `TypeError` where a record lacks a field that it needs, or lists of it that belong together differ."""
    needed = [*required, *(name for key, names in TOGETHER.items() if key in record for name in names)]
    if lacking := [name for name in needed if name not in record]:
        raise TypeError(f"it lacks {lacking[0]}")
    for name, others in ALIKE.items():
        for other in others:
            if name in record and other in record and len(record[name]) != len(record[other]):
                raise TypeError(f"{name} and {other} are of different lengths")


class Journal:
    """An append-only file of records; a torn last line, left by a crash, is removed when the journal is opened."""

    def __init__(self, path: Path, required: Sequence[str] = STAGED) -> None:
        """Open or create the journal at `path`; a broken line before the last one is `InvalidInput`."""
        self.path = path
        self.records, whole = read_journal(path, required)
        if not whole:
            self._write()

    def append(self, record: Record) -> None:
        """Add one record, which is on the disk when this returns. On `CannotWrite` the file stays as it was."""
        try:
            with open(open_plain(self.path, os.O_WRONLY | os.O_APPEND), "ab", buffering=0) as file:
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
