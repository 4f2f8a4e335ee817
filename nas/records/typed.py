"""Values of the kinds that a frozen data class declares, read from JSON files that may have been altered."""

import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from nas.files import read_json

Record = TypeVar("Record")
KINDS: dict[Any, tuple[type, ...]] = {str: (str,), bool: (bool,), int: (int,), float: (int, float)}


def typed(cls: type[Record], data: Mapping[str, Any]) -> Record:
    """Return `cls(**data)`; `TypeError` for a plain field of another kind, and for a number that is not finite."""
    for field in fields(cls):  # type: ignore[arg-type]
        kinds, value = KINDS.get(field.type), data[field.name]
        if kinds is None:
            continue
        if not isinstance(value, kinds) or (isinstance(value, bool) and field.type is not bool):
            raise TypeError(f"{field.name} is {value!r}")
        if isinstance(value, float) and not math.isfinite(value):
            raise TypeError(f"{field.name} is {value!r}")
    return cls(**data)


def read_versioned(path: Path, schema: str, version: int) -> dict[str, Any]:
    """Return the object in the JSON file `path` without its schema and version; `KeyError` where these are others."""
    data = read_json(path)
    if not isinstance(data, dict):
        raise TypeError("it is no object")
    if (data.pop("schema"), data.pop("version")) != (schema, version):
        raise KeyError("schema")
    return data
