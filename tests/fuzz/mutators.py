"""Damage to files: bytes, JSON values, lines of JSON, cells of tables, values of TOML; all from a random generator."""

import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import Any

Mutator = Callable[[bytes, random.Random], bytes]

NUMBERS = (
    "0", "-1", "1.5", "1e308", "1e400", "-1e400", "NaN", "Infinity", "9" * 20, "9" * 400, "9" * 5000, "1e-400",
    "2147483648", "-0.0", "0x10", "true", "null",
)  # fmt: skip
TEXTS = (
    "", "x", "\x00", "[/]", "[bold]", "\x1b[31mred", "\u202e", "=1+1", "x" * 300, "x" * 100_000, "evil:M", "os:getcwd",
    "../../x", "/dev/zero", "~nouser", "é", "%s{}", "\n", "nan", "1e400",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 1.5, 2**31, 2**63, -(2**63), 10**400, 1e308, float("inf"), float("nan"), [], {}, [[]],
    [0], {"x": 0}, *TEXTS,
)  # fmt: skip
DEEP = 20_000  # levels of nesting
SNIPPETS = (b"\x00", b"\xff\xfe", b'"', b"{", b"]", b",", b"\n", b"\r\n", b"\xef\xbb\xbf", b"#", b"=", b"\xed\xa0\x80")


def mutate(name: str, data: bytes, rng: random.Random) -> bytes:
    """Return the content of the file `name` with one to three damages of its kind."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = rng.choice(_mutators(name))(data, rng)
    return data


def _mutators(name: str) -> tuple[Mutator, ...]:
    """Return what can be done to a file of that name."""
    special = {
        ".json": (json_value, json_value, json_value, deep),
        ".jsonl": (json_line, json_line, json_line, lines),
        ".csv": (cells, cells, cells, lines),
        ".toml": (number, number, lines, text_value),
    }
    return (raw, number, *special.get(PurePath(name).suffix, ()))


def raw(data: bytes, rng: random.Random) -> bytes:
    """Cut, flip, insert, repeat or remove bytes."""
    at, size = rng.randrange(len(data) + 1), rng.choice((1, 2, 8, 64, 1024))
    kind = rng.randrange(6)
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + bytes(rng.randrange(256) for _ in range(min(size, 64))) + data[at + size :]
    if kind == 2:
        return data[:at] + rng.choice(SNIPPETS) * rng.choice((1, 1, 3)) + data[at:]
    if kind == 3:
        return data[:at] + data[at : at + size] * rng.choice((2, 3)) + data[at + size :]
    return data[:at] + data[at + size :] if kind == 4 else b""


def number(data: bytes, rng: random.Random) -> bytes:
    """Replace one number in a text by another, or by none."""
    found = list(re.finditer(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?", data[:200_000]))
    if not found:
        return raw(data, rng)
    match = rng.choice(found)
    return data[: match.start()] + rng.choice(NUMBERS).encode() + data[match.end() :]


def text_value(data: bytes, rng: random.Random) -> bytes:
    """Replace one text between quotes by another."""
    found = list(re.finditer(rb'"[^"\n]*"', data))
    if not found:
        return raw(data, rng)
    match = rng.choice(found)
    return data[: match.start()] + json.dumps(rng.choice(TEXTS)).encode() + data[match.end() :]


def lines(data: bytes, rng: random.Random) -> bytes:
    """Remove, repeat or exchange lines."""
    rows = data.splitlines(keepends=True)
    if not rows:
        return data
    at, to = rng.randrange(len(rows)), rng.randrange(len(rows))
    change = rng.randrange(3)
    if change == 0:
        del rows[at]
    elif change == 1:
        rows.insert(to, rows[at])
    else:
        rows[at], rows[to] = rows[to], rows[at]
    return b"".join(rows)


def cells(data: bytes, rng: random.Random) -> bytes:
    """Replace, remove or add a cell of a table."""
    rows = data.decode(errors="surrogateescape").split("\n")
    at = rng.randrange(len(rows))
    row = rows[at].split(",")
    cell = rng.randrange(len(row))
    change = rng.randrange(4)
    if change == 0:
        del row[cell]
    elif change == 1:
        row.insert(cell, rng.choice(TEXTS))
    else:
        row[cell] = rng.choice((*TEXTS, *NUMBERS))
    rows[at] = ",".join(row)
    return "\n".join(rows).encode(errors="surrogateescape")


def json_value(data: bytes, rng: random.Random) -> bytes:
    """Replace, remove, rename or add a value somewhere in a JSON value."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return raw(data, rng)
    return json.dumps(_altered(value, rng)).encode()


def json_line(data: bytes, rng: random.Random) -> bytes:
    """Alter the JSON value of one line."""
    rows = data.split(b"\n")
    at = rng.randrange(len(rows))
    rows[at] = json_value(rows[at], rng)
    return b"\n".join(rows)


def deep(data: bytes, rng: random.Random) -> bytes:
    """Nest one value deeper than a recursive parser can follow."""
    at = rng.choice([match.end() for match in re.finditer(rb":\s*", data)] or [0])
    nested = rng.choice((b"[" * DEEP + b"]" * DEEP, b'{"a":' * DEEP + b"0" + b"}" * DEEP))
    return data[:at] + nested + b"," + data[at:]


def _altered(value: Any, rng: random.Random) -> Any:
    """Return a JSON value with one thing in it altered; deep ones as likely as shallow ones."""
    places = list(_places(value))
    if not places:
        return rng.choice(VALUES)
    holder, key = rng.choice(places)
    change = rng.randrange(8)
    if change == 0:
        del holder[key]
    elif change == 1 and isinstance(holder, dict):
        holder[rng.choice(TEXTS)[:300]] = holder.pop(key)
    elif change == 2 and isinstance(holder, list):
        holder.insert(key, rng.choice(VALUES))
    elif change == 3:
        holder[key] = [holder[key]]
    else:
        holder[key] = rng.choice(VALUES)
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (holder, key) of every value inside of `value`."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in list(inside):
        yield value, key
        yield from _places(one)
