"""Write a target: the text of its TOML file, which `load_target` reads back as the same target."""

import json
from typing import Any

from latency_models.calibration_record import SecondOpinion
from latency_models.corrections import Correction
from latency_models.extrapolation import Extrapolation
from latency_models.sourced_values import SourcedValue
from latency_models.target import FILE_KEYS, SETUP, Target


def target_toml(target: Target, stem: str | None = None) -> str:
    """Return the text that `load_target` reads as `target` from the file `stem`.toml, by default NAME.toml."""
    named = [] if stem in (None, target.name) else [f"name = {_toml(target.name)}"]
    lines = [*named, f"unit = {_toml(target.unit)}", f"dtype = {_toml(target.dtype)}"]
    if target.batch != 1:
        lines.append(f"batch = {target.batch}")
    if not target.overlap:
        lines.append("overlap = false")
    if target.aliases:
        lines.append(f"aliases = {_toml(list(target.aliases))}")
    if target.search_words:
        lines.append(f"search_words = {_toml(list(target.search_words))}")
    lines += [f"{key} = {_toml(getattr(target, key))}" for key in SETUP if getattr(target, key)]
    for name, value in vars(target).items():
        if isinstance(value, SourcedValue):
            lines += [
                "",
                f"[{FILE_KEYS.get(name, name)}]",
                *(f"{key} = {_toml(item)}" for key, item in vars(value).items()),
            ]
    for table in ("kind_efficiency", "kind_memory_efficiency", "energy"):
        if rows := getattr(target, table):
            lines += ["", f"[{table}]", *(f"{name} = {_inline(row)}" for name, row in rows)]
    for table, record in (("calibration", target.calibration), ("error", target.error)):
        if record:
            entries = {key: value for key, value in vars(record).items() if value is not None}
            lines += ["", f"[{table}]", *(f"{key} = {_toml(value)}" for key, value in entries.items())]
    for one in target.unsupported:
        lines += ["", "[[unsupported]]", *(f"{key} = {_toml(value)}" for key, value in one.to_json().items())]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """Return a value in TOML."""
    if isinstance(value, Correction | SecondOpinion | Extrapolation):
        rows = value.to_json() if isinstance(value, Correction) else vars(value)
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in rows.items()) + " }"
    if isinstance(value, tuple | list) and value and isinstance(value[0], Correction):
        return "\n".join(["[", *(f"  {_toml(item)}," for item in value), "]"])
    if isinstance(value, tuple | list):
        return f"[{', '.join(_toml(item) for item in value)}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str | bool) else repr(value)


def _inline(sourced: SourcedValue[float]) -> str:
    """Return a sourced value as an inline table in TOML."""
    return "{ " + ", ".join(f"{key} = {_toml(value)}" for key, value in vars(sourced).items()) + " }"
