"""The measurements that a calibrated target was fitted on, in a file beside its own, so that more can be added later.

`phone.toml` goes with `phone.measurements.json`, which holds every measured row with the whole spec of its network, and
what the fit began from: it depends on no other file. The target file names it with its SHA-256. Fitted again from it,
with or without more rows, a target is what one fit of all rows together gives.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from latency_models.calibration.measurements import Measurement, Measurements, with_more
from latency_models.calibration_record import PROVENANCE
from latency_models.target import Dtype, Target, load_target, parse_target, target_file
from latency_models.target_file import target_toml
from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.files import dump_json, read_bytes, read_json, write_all

SCHEMA, VERSION = "nas.measurements", 1
ENDING = ".measurements.json"  # in place of .toml
KEYS = ("schema", "version", "dtype", "like", "provenance", "varying", "specs", "rows")


@dataclass(frozen=True)
class KeptMeasurements:
    """What a target was fitted on: the measurements, and the target and data type that the fit began from."""

    measured: Measurements
    dtype: Dtype
    like: Target | None = None

    def with_more(self, more: Measurements, where: str) -> "KeptMeasurements":
        """Return these and further measurements; raises as `measurements.with_more`."""
        return replace(self, measured=with_more(self.measured, more, where))

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form: each spec once, by its digest."""
        rows = self.measured.rows
        return {
            "schema": SCHEMA,
            "version": VERSION,
            "dtype": self.dtype,
            "like": None if self.like is None else {"name": self.like.name, "toml": target_toml(self.like)},
            "provenance": dict(self.measured.provenance),
            "varying": list(self.measured.varying),
            "specs": {row.arch.digest: row.arch.to_dict() for row in rows},
            "rows": [
                {
                    "name": row.name, "spec": row.arch.digest, "latency_ms": row.latency_ms, "batch": row.batch,
                    "energy_mj": row.energy_mj,
                }
                for row in rows
            ],
        }  # fmt: skip


def kept_file(target: Path) -> Path:
    """Return the file that keeps the measurements of the target in the file `target`."""
    return target.with_name(target.name.removesuffix(".toml") + ENDING)


def save_calibrated(target: Target, kept: KeptMeasurements, path: Path) -> None:
    """Write a calibrated target into the file `path`, NAME.toml, and its measurements beside it: both or neither."""
    assert target.calibration is not None
    text, beside = dump_json(kept.to_json()), kept_file(path)
    record = replace(target.calibration, measurements=beside.name, measurements_sha256=_sha256(text.encode()))
    write_all({beside: text, path: target_toml(replace(target, calibration=record), path.stem)})


def keeps_measurements(target: Target) -> bool:
    """Return whether a target states where its measurements are kept."""
    return target.calibration is not None and target.calibration.measurements is not None


def load_kept(name_or_path: str) -> tuple[Target, KeptMeasurements]:
    """Return a calibrated target and the measurements that it was fitted on.

    Raises `InvalidInput` where it keeps none, or where these are missing or altered.
    """
    target, path = load_target(name_or_path), target_file(name_or_path)
    record = target.calibration
    if record is None or record.measurements is None or path is None:
        raise InvalidInput(
            f"target '{target.name}' keeps no measurements to add to; fit a new one like it: "
            f"nas calibrate MEASURED.csv --name my-device --like {name_or_path}"
        )
    beside = path.parent / Path(record.measurements).name
    if not beside.is_file():
        raise InvalidInput(
            f"{path} was fitted on the measurements in {beside}, which is missing; put it there again, or calibrate "
            "from all tables"
        )
    if _sha256(read_bytes(beside)) != record.measurements_sha256:
        raise InvalidInput(
            f"{beside} is not the file that {path} was fitted on: its SHA-256 is another; put the right one there "
            "again, or calibrate from all tables"
        )
    return target, read_kept(beside)


def read_kept(path: Path) -> KeptMeasurements:
    """Return the measurements in a file of `save_calibrated`; `InvalidInput` in one line where it holds none."""
    data = read_json(path)
    if not isinstance(data, dict) or data.get("schema") != SCHEMA or data.get("version") != VERSION:
        raise InvalidInput(f"{path} holds no measurements of a target: schema and version must be {SCHEMA}, {VERSION}")
    try:
        return _parsed(data, path)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"{path} is no file of measurements ({error}); calibrate again from all tables") from error


def _parsed(data: Mapping[str, Any], path: Path) -> KeptMeasurements:
    if {*data} != {*KEYS}:
        raise KeyError(sorted({*data} ^ {*KEYS})[0])
    if data["dtype"] not in get_args(Dtype):
        raise ValueError(f"dtype {data['dtype']!r:.40}")
    like, specs, stated = data["like"], _object(data["specs"]), _object(data["provenance"])
    base = None if like is None else parse_target(_text(like["name"]), _text(like["toml"]), f"{path}: like")
    archs = {digest: ArchSpec.from_dict(spec) for digest, spec in specs.items()}
    if wrong := [digest for digest, arch in archs.items() if arch.digest != digest]:
        raise ValueError(f"the spec of {wrong[0]:.12} is another network's")
    varying = tuple(map(_text, _list(data["varying"])))
    if unknown := {*stated, *varying} - {*PROVENANCE}:
        raise KeyError(sorted(unknown)[0])
    provenance = {name: _text(text) for name, text in stated.items()}
    rows = tuple(_row(_object(row), archs) for row in _list(data["rows"]))
    none = Measurements((), provenance, varying)
    return KeptMeasurements(with_more(none, Measurements((), {}, (), rows), str(path)), data["dtype"], base)


def _row(row: Mapping[str, Any], archs: Mapping[str, ArchSpec]) -> Measurement:
    batch, energy = row["batch"], row["energy_mj"]
    if type(batch) is not int or batch < 1:
        raise ValueError(f"batch {batch!r:.40}")
    return Measurement(
        _text(row["name"]), archs[row["spec"]], _positive(row["latency_ms"]), batch,
        None if energy is None else _positive(energy),
    )  # fmt: skip


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r:.40} is no object")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r:.40} is no list")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} is no text")
    return value


def _positive(value: Any) -> float:
    if type(value) not in (int, float) or not (math.isfinite(value) and value > 0):
        raise ValueError(f"{value!r:.40} is no positive number")
    return float(value)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
