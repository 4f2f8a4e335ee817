"""Targets: one device per file `targets/NAME.toml`, every value with its source, and the models made of them.

Adding a device is adding one file. It holds `unit` and `dtype` (optionally `aliases`, `runtime`, `threads`, the
`search_words` that find it, and `name` where that is not the file's), and one table per value:

    [bandwidth_gb_per_s]
    value = 103
    source = "fit on 11 networks of arXiv 2404.10518v2, Tab. 6"
    confidence = "fitted"

Optional: `batch` (default 1), `overlap` (default true), and tables of several rows. [kind_efficiency] and
[kind_memory_efficiency] have a value per kernel kind, each a row such as
`depthwise = { value = 0.3, source = "...", confidence = "fitted" }`. [corrections] has `source`, `confidence` and
as `value` a list of rows such as `{ kind = "pool", pixels = [32, 127], channels = [64, 127], kernel_size = 1, compute =
1.0, memory = 1.8 }`: factors on the compute and the memory time of kernels of that kind whose larger map has so many
pixels and whose output has so many channels (both ends included; channels and kernel_size may be left out). Of rows
that apply the first counts (`latency_models.corrections`). [energy] has `power_w`, `pj_per_mac` and
`pj_per_byte` in the same form, and perhaps `error_percent`, the half-width that holds 90 % of unseen networks;
[calibration] says what was measured and how well it fits (`CalibrationRecord`);
[error] the error of a published fit (`latency_models.latency_error`);
[[unsupported]] names an op or activation that the runtime does not run (`latency_models.unsupported`).
"""

import math
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

from latency_models.calibration_record import CalibrationRecord, parse_calibration
from latency_models.corrections import Correction, parse_corrections
from latency_models.energy import COMPUTED_ENERGY, Energy
from latency_models.latency_error import (
    NOT_KNOWN,
    LatencyError,
    Opinions,
    StatedError,
    error_known,
    parse_stated_error,
)
from latency_models.roofline import CalibratedRange, Roofline
from latency_models.sourced_values import Confidence as Confidence
from latency_models.sourced_values import SourcedValue, check_key, kinds, number, strings, text
from latency_models.unsupported import Unsupported, parse_unsupported
from nas.arch import ArchSpec
from nas.errors import InvalidInput, UnknownName, unknown_name
from nas.files import LARGEST_TEXT, check_limits, read_bytes, usable_path
from nas.ops import KINDS, Kernel, Kind, Shape
from nas.registry import LATENCY_MODELS, TARGETS, load, made

Dtype = Literal["int8", "fp16", "fp32"]

POSITIVE = ("peak_gmacs_per_s", "bandwidth_gb_per_s", "bytes_per_weight", "bytes_per_activation")  # and required
POSITIVE_OPTIONAL = ("published_ridge_point", "published_ridge_peak_gmacs_per_s", "onchip_kb", "flash_kb")
SHARES = ("on_chip_share", "weight_on_chip_share")
OVERHEADS = ("floor_ms", "time_per_kernel_us")
NUMBERS = (*POSITIVE, *POSITIVE_OPTIONAL, *SHARES, *OVERHEADS)  # as keys in files
TEXTS = ("unit", "dtype")
EFFICIENCIES = ("kind_efficiency", "kind_memory_efficiency")  # tables with a row per kernel kind
ENERGY = ("power_w", "pj_per_mac", "pj_per_byte")
ENERGY_ERROR = "error_percent"  # optional: half-width in percent that holds 90 % of networks that the fit has not seen
ENERGY_REMEDY = "calibrate it with a column energy_mj, or take one of "
SETUP = ("runtime", "threads")  # optional texts: what measured the latencies, or is assumed to run the network
KNOWN = {*NUMBERS, *TEXTS, *SETUP, "name", "free_kinds", "aliases", "search_words", "batch", "overlap", *EFFICIENCIES,
         "corrections", "energy", "calibration", "error", "unsupported"}  # fmt: skip
FILE_KEYS = {"launch_overhead_ms": "floor_ms"}  # field of a target -> its key in files, where they differ
FIELDS = {key: field for field, key in FILE_KEYS.items()}
LARGEST_BATCH = 2**20
SHORTEST_MS, LONGEST_MS = 1e-9, 1e15  # of a network of billions of MACs on any device
Rows = tuple[tuple[str, SourcedValue[float]], ...]  # of a table of sourced values, by name


@dataclass(frozen=True)
class Target:
    """A device: the sourced values of its roofline for one batch. A value that is None plays no role in its model."""

    name: str
    unit: str  # what runs the network, e.g. "1x Cortex-X1 2.80 GHz"
    dtype: Dtype
    peak_gmacs_per_s: SourcedValue[float]
    bandwidth_gb_per_s: SourcedValue[float]
    bytes_per_weight: SourcedValue[float]
    bytes_per_activation: SourcedValue[float]
    aliases: tuple[str, ...] = ()
    search_words: tuple[str, ...] = ()  # that find it in `nas targets WORD`, beside its name, aliases and unit
    runtime: str | None = None  # that of the calibration, where it states one: see `setup`
    threads: str | None = None
    launch_overhead_ms: SourcedValue[float] | None = None  # once per batch
    time_per_kernel_us: SourcedValue[float] | None = None
    on_chip_share: SourcedValue[float] | None = None  # share of activation bytes that never leaves the chip, 0 to 1
    weight_on_chip_share: SourcedValue[float] | None = None  # share of weight bytes that stays on the chip, 0 to 1
    free_kinds: SourcedValue[tuple[Kind, ...]] | None = None  # kinds of kernels that cost nothing
    published_ridge_point: SourcedValue[float] | None = None  # MACs per byte; `plain-roofline` uses it
    published_ridge_peak_gmacs_per_s: SourcedValue[float] | None = None  # the scale in ms that goes with it
    onchip_kb: SourcedValue[float] | None = None  # memory beside the processor: SRAM of a microcontroller, caches
    flash_kb: SourcedValue[float] | None = None  # where the weights of a microcontroller lie
    batch: int = 1  # images in a latency
    overlap: bool = True  # whether kernels compute while they move bytes
    kind_efficiency: tuple[tuple[Kind, SourcedValue[float]], ...] = ()  # 1 for a kind that is not listed
    kind_memory_efficiency: tuple[tuple[Kind, SourcedValue[float]], ...] = ()
    corrections: SourcedValue[tuple[Correction, ...]] | None = None  # of times, by the shape of a kernel
    energy: Rows = ()  # `ENERGY` by name and perhaps `ENERGY_ERROR`, or nothing
    calibration: CalibrationRecord | None = None
    error: StatedError | None = None  # of a fit without a calibration; `latency_error` is what holds
    unsupported: tuple[Unsupported, ...] = ()  # by its runtime; no prediction depends on it

    @property
    def sourced_values(self) -> dict[str, SourcedValue[Any]]:
        """All sourced values that the target has, by their keys in its file."""
        fields = vars(self).items()
        single = {FILE_KEYS.get(name, name): value for name, value in fields if isinstance(value, SourcedValue)}
        tables = ((name, getattr(self, name)) for name in (*EFFICIENCIES, "energy"))
        return single | {f"{table}.{row}": value for table, rows in tables for row, value in rows}

    @property
    def ridge_point(self) -> float:
        """MACs per byte at which the default model turns from memory bound to compute bound."""
        return self.peak_gmacs_per_s.value / self.bandwidth_gb_per_s.value

    @property
    def latency_error(self) -> LatencyError:
        """How far the latencies of the default model can be trusted."""
        free = self.free_kinds.value if self.free_kinds else ()
        return error_known(self.calibration, self.error, self.peak_gmacs_per_s.confidence, free)

    @property
    def measured_runtime(self) -> str | None:
        """The runtime of the calibration, else the one that the file states."""
        return (self.calibration and self.calibration.runtime) or self.runtime

    @property
    def measured_threads(self) -> str | None:
        """The threads of the calibration, else those that the file states."""
        return (self.calibration and self.calibration.threads) or self.threads

    @property
    def setup(self) -> str:
        """What runs the network, as text: runtime, threads and dtype, as far as they are known."""
        runtime, threads = self.measured_runtime, self.measured_threads
        count = [] if threads is None else [f"{threads} thread{'' if threads == '1' else 's'}"]
        return ", ".join([*([runtime] if runtime else []), *count, self.dtype])

    def model(self, kind: str = "default") -> Roofline:
        """Return the latency model of this `kind`, a name in `registry.LATENCY_MODELS`, for the device.

        Raises `UnknownName` for an unknown kind, `InvalidInput` where the target lacks a value that the kind needs.
        """
        model: Roofline = made("latency model", kind, load("latency model", LATENCY_MODELS, kind), self)
        return model

    def opinions(self, arch: ArchSpec) -> Opinions:
        """Return what the default model says of `arch`."""
        return self.model().opinions(arch)

    def energy_model(self) -> Energy:
        """Return the model of the energy of a batch in mJ; `InvalidInput` where the target has no coefficients."""
        if not self.energy:
            raise InvalidInput(f"target '{self.name}' has no energy coefficients; {ENERGY_REMEDY}{_energy_targets()}")
        rows = {name: row.value for name, row in self.energy if name in ENERGY}
        return Energy(f"{self.name} energy", self.model(), **rows, error=self.energy_error)

    @property
    def energy_error(self) -> LatencyError:
        """How far the energies can be trusted; a number where the file states one."""
        rows = dict(self.energy)
        if stated := rows.get(ENERGY_ERROR):
            return LatencyError(stated.value, stated.source)
        computed = any(rows[name].confidence == "estimated" and rows[name].value for name in ENERGY if name in rows)
        return LatencyError(None, COMPUTED_ENERGY if computed else NOT_KNOWN)


def default_model(target: Target) -> Roofline:
    """Return the model with all values of `target`: where measurements exist, the form that fits them better."""
    known = target.calibration
    return Roofline(
        name=target.name,
        peak_gmacs_per_s=target.peak_gmacs_per_s.value,
        bandwidth_gb_per_s=target.bandwidth_gb_per_s.value,
        launch_overhead_ms=_value(target.launch_overhead_ms),
        time_per_kernel_us=_value(target.time_per_kernel_us),
        bytes_per_weight=target.bytes_per_weight.value,
        bytes_per_activation=target.bytes_per_activation.value,
        on_chip_share=_value(target.on_chip_share),
        weight_on_chip_share=_value(target.weight_on_chip_share),
        weight_capacity_kb=target.onchip_kb.value if target.weight_on_chip_share and target.onchip_kb else None,
        free_kinds=target.free_kinds.value if target.free_kinds else (),
        kind_efficiency=tuple((kind, row.value) for kind, row in target.kind_efficiency),
        kind_memory_efficiency=tuple((kind, row.value) for kind, row in target.kind_memory_efficiency),
        corrections=target.corrections.value if target.corrections else (),
        overlap=target.overlap,
        batch=target.batch,
        calibrated=CalibratedRange(known.latency_ms, known.macs, known.kinds) if known else None,
        unsupported=target.unsupported,
        latency_error=target.latency_error,
        setup=target.setup,
    )


def plain_roofline(target: Target) -> Roofline:
    """Return Eq. 1 of arXiv 2404.10518 as it stands, with the ridge point that the paper publishes for `target`.

    The paper gives the ratio of peak and bandwidth only. The scale in milliseconds is the peak that fits measurements
    best under that ratio (`published_ridge_peak_gmacs_per_s`), or that of the default model where there is none; the
    bandwidth follows. No launch overhead, no time per kernel, nothing stays on chip. Raises `InvalidInput` where there
    is no ridge point.
    """
    ridge = target.published_ridge_point
    if ridge is None:
        raise InvalidInput(
            f"latency model 'plain-roofline' needs a published ridge point, which target '{target.name}' lacks; "
            "use the default model or --ridge-point"
        )
    peak = (target.published_ridge_peak_gmacs_per_s or target.peak_gmacs_per_s).value
    return Roofline(
        name=f"{target.name} (plain-roofline)",
        peak_gmacs_per_s=peak,
        bandwidth_gb_per_s=peak / ridge.value,
        bytes_per_weight=target.bytes_per_weight.value,
        bytes_per_activation=target.bytes_per_activation.value,
        free_kinds=target.free_kinds.value if target.free_kinds else (),
        unsupported=target.unsupported,
        setup=target.setup,
    )


def abstract_target(
    ridge_point: float, peak_gmacs_per_s: float | None = None, reference: ArchSpec | None = None
) -> Roofline:
    """Return Eq. 1 for a device of which only the ridge point, in MACs per byte, is known; one byte per element.

    With a peak, latencies are milliseconds. Without, they are relative to `reference` = 1.0. Ridge point 0 means memory
    of infinite bandwidth: the latency is the MAC count. Raises `InvalidInput` for a negative or non-finite value.
    """
    if not (math.isfinite(ridge_point) and ridge_point >= 0):
        raise InvalidInput(f"--ridge-point must be 0 or more and finite (MACs per byte), got {ridge_point}")
    if peak_gmacs_per_s is not None and not (math.isfinite(peak_gmacs_per_s) and peak_gmacs_per_s > 0):
        raise InvalidInput(f"--peak-gmacs-per-s must be positive and finite, got {peak_gmacs_per_s}")
    name = f"ridge-point-{ridge_point:g}"
    if peak_gmacs_per_s is not None:
        return Roofline(name, peak_gmacs_per_s, peak_gmacs_per_s / ridge_point if ridge_point else math.inf)
    if reference is None:
        raise InvalidInput("--ridge-point alone needs a network to be relative to, or give --peak-gmacs-per-s")
    peak = Roofline(name, 1.0, 1.0 / ridge_point if ridge_point else math.inf).predict_ms(reference)
    bandwidth = peak / ridge_point if ridge_point else math.inf
    return Roofline(name, peak, bandwidth, relative_to=reference.name)


def _energy_targets() -> str:
    """Return the names of the targets that state energies."""
    return ", ".join(target.name for target in list_targets() if target.energy)


def target_names() -> tuple[str, ...]:
    """Return the names of all targets, without opening a file."""
    return tuple(sorted(path.name.removesuffix(".toml") for path in _folder() if path.name.endswith(".toml")))


@cache
def list_targets() -> tuple[Target, ...]:
    """Return all targets in the order of their names."""
    return tuple(_registered(name) for name in target_names())


def find_targets(words: str, *, whole: bool = False) -> tuple[Target, ...]:
    """Return the targets that have all of some words in their name, aliases, unit, runtime, dtype or search words.

    With `whole`, as words of their own, not as parts of others.
    """
    wanted = words.lower().split()

    def has_all(target: Target) -> bool:
        said = _said_of(target)
        known = [*re.split(r"[^a-z0-9.]+", said), *said.split()] if whole else said
        return bool(wanted) and all(word in known for word in wanted)

    return tuple(target for target in list_targets() if has_all(target))


def sibling(target: Target, dtype: Dtype) -> Target | None:
    """Return the target of this package that is the same unit in other numbers, None where there is none."""
    same = (one for one in list_targets() if (one.unit, one.dtype, one.batch) == (target.unit, dtype, target.batch))
    return next(same, None)


def int8_target(name: str) -> str:
    """Return the name of a target that computes in int8: itself, or the same unit in int8; `InvalidInput` without."""
    target = load_target(name)
    if target.dtype == "int8":
        return name
    found = sibling(target, "int8")
    if found is None:
        raise InvalidInput(
            f"{name} computes in {target.dtype}, and no target is the same unit in int8; see nas targets, nas calibrate"
        )
    return found.name


def _said_of(target: Target) -> str:
    """Return what a target is looked for by, in lower case."""
    return " ".join([target.name, *target.aliases, target.unit, target.setup, *target.search_words]).lower()


def load_target(name_or_path: str) -> Target:
    """Return the target of that name or alias, in that .toml file, at "module:attribute", or in NAME.toml here.

    Raises `UnknownName` for an unknown name and `InvalidInput` for a file that is no target.
    """
    if name_or_path in target_names():
        return _registered(name_or_path)
    name_or_path = usable_path(name_or_path)
    if name_or_path.endswith(".toml"):
        return _of_file(Path(name_or_path))
    if name_or_path in TARGETS or ":" in name_or_path:
        return _at_address(name_or_path)
    aliases = {alias: target for target in list_targets() for alias in target.aliases}
    if name_or_path in aliases:
        return aliases[name_or_path]
    own = Path(f"{name_or_path}.toml")
    if own.name == str(own) and own.is_file():
        return _of_file(own)
    if found := find_targets(name_or_path, whole=True):
        names = ", ".join(target.name for target in found)
        raise UnknownName(f"unknown target '{name_or_path}'; that is a search word of {names}")
    raise unknown_name("target", name_or_path, (*target_names(), *aliases))


def target_file(name_or_path: str) -> Path | None:
    """Return the file of the user's own that `load_target` reads for this name or path, None for any other target."""
    name = usable_path(name_or_path)
    own = Path(f"{name}.toml")
    if name_or_path in target_names() or name in TARGETS or ":" in name:
        return None
    if name.endswith(".toml"):
        return Path(name)
    aliased = any(name in target.aliases for target in list_targets())
    return own if not aliased and own.name == str(own) and own.is_file() else None


def _at_address(name: str) -> Target:
    """Return the target of a registered name or at "module:attribute"."""
    found: Target = load("target", TARGETS, name)
    return found


def parse_target(name: str, toml: str, where: str) -> Target:
    """Return the target in the text `toml`, called `name` where that states none.

    `InvalidInput` names `where` and the field that does not fit.
    """
    data = _parse_toml(toml, where)
    if extra := sorted(set(data) - KNOWN):
        raise InvalidInput(f"{where}: {unknown_name('field', extra[0], KNOWN)}")
    if missing := [field for field in (*TEXTS, *POSITIVE) if field not in data]:
        raise InvalidInput(f"{where} lacks the field '{missing[0]}'")
    if data["dtype"] not in get_args(Dtype):
        raise InvalidInput(f"{where}: dtype must be one of {', '.join(get_args(Dtype))}, got {data['dtype']!r:.60}")
    fields: dict[str, Any] = {FIELDS.get(key, key): _number(data[key], key, where) for key in NUMBERS if key in data}
    if "free_kinds" in data:
        fields["free_kinds"] = kinds(data["free_kinds"], "free_kinds", where)
    for rows in EFFICIENCIES:
        if rows in data:
            fields[rows] = _rows(data[rows], rows, KINDS, where)
    if "corrections" in data:
        fields["corrections"] = parse_corrections(data["corrections"], where)
    if "energy" in data:
        fields["energy"] = _rows(data["energy"], "energy", (*ENERGY, ENERGY_ERROR), where)
        if len([name for name, _ in fields["energy"] if name in ENERGY]) < len(ENERGY):
            raise InvalidInput(f"{where}: [energy] must have the rows {', '.join(ENERGY)}")
    if "calibration" in data:
        fields["calibration"] = parse_calibration(data["calibration"], where)
    if "error" in data:
        fields["error"] = parse_stated_error(data["error"], where)
    if "unsupported" in data:
        fields["unsupported"] = parse_unsupported(data["unsupported"], where)
    fields |= {key: text(data[key], f"{where}: {key}") for key in SETUP if key in data}
    batch, overlap = data.get("batch", 1), data.get("overlap", True)
    if type(batch) is not int or not 1 <= batch <= LARGEST_BATCH:
        raise InvalidInput(f"{where}: batch must be a whole number from 1 to {LARGEST_BATCH}, got {batch!r:.60}")
    if type(overlap) is not bool:
        raise InvalidInput(f"{where}: overlap must be true or false, got {overlap!r:.60}")
    target = Target(
        name=text(data.get("name", name), f"{where}: name"),
        unit=text(data["unit"], f"{where}: unit"),
        dtype=data["dtype"],
        aliases=tuple(strings(data.get("aliases", []), f"{where}: aliases")),
        search_words=tuple(strings(data.get("search_words", []), f"{where}: search_words")),
        batch=batch,
        overlap=overlap,
        **fields,
    )
    _check_latency(target, where)
    return target


def _check_latency(target: Target, where: str) -> None:
    """Raise `InvalidInput` where no device has the latency that the model predicts, 0 and infinity among them."""
    model = default_model(target)
    sizes = {"macs": 10**9, "params": 10**7, "weights": 10**7, "reads": 10**7, "writes": 10**7}
    map_ = Shape(100, 100, 1000)
    ms = model.constant + sum(model.of_kernel(Kernel("probe", kind, map_, map_, **sizes)) for kind in KINDS)
    if not SHORTEST_MS <= ms <= LONGEST_MS:
        raise InvalidInput(
            f"{where}: a network of 7 G MACs and 210 M elements would take {ms:g} ms; peak_gmacs_per_s, "
            f"bandwidth_gb_per_s and the other values must give a latency from {SHORTEST_MS:g} to {LONGEST_MS:g} ms"
        )


def _parse_toml(toml: str, where: str) -> dict[str, Any]:
    """Return the table in a text of TOML, under the limits of `nas.files.parse_json`; raises `InvalidInput`."""
    try:
        data = tomllib.loads(toml)
    except (ValueError, RecursionError) as error:  # ValueError: of tomllib, and of a number of thousands of digits
        reason = "its tables nest too deep" if isinstance(error, RecursionError) else error
        raise InvalidInput(f"{where} is not valid TOML: {reason}") from error
    check_limits(data, f"{where} is not valid TOML")
    return data


def _of_file(path: Path) -> Target:
    """Return the target in a file of the user."""
    return parse_target(path.stem, _decoded(read_bytes(path, LARGEST_TEXT), str(path)), str(path))


def _value(sourced: SourcedValue[float] | None) -> float:
    """Return the value, 0 for None."""
    return sourced.value if sourced else 0.0


def _folder() -> list[Any]:
    return list(files("latency_models").joinpath("targets").iterdir())


@cache
def _registered(name: str) -> Target:
    """Return the target in a file of this package."""
    path = files("latency_models").joinpath("targets", f"{name}.toml")
    return parse_target(name, _decoded(path.read_bytes(), str(path)), f"{name}.toml")


def _decoded(data: bytes, where: str) -> str:
    """Return the text in UTF-8 `data`; `InvalidInput` where it is none."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{where} is not valid TOML: it is not UTF-8 text") from error


def _number(table: Any, field: str, where: str) -> SourcedValue[float]:
    """Return the sourced value under the key `field`, checked against the range that this key allows."""
    positive = field in POSITIVE or field in POSITIVE_OPTIONAL
    return number(table, field, where, positive=positive, most=1.0 if field in SHARES else math.inf)


def _rows(table: Any, name: str, known: tuple[str, ...], where: str) -> tuple[tuple[Any, SourcedValue[float]], ...]:
    """Return the sourced values of a table by name, in the order of `known`."""
    if not isinstance(table, dict):
        raise InvalidInput(f"{where}: {name} must be a table of sourced values, got {table!r:.60}")
    for key in table:
        check_key(key, known, f"row of [{name}]", where)
    positive = name in EFFICIENCIES
    fields = {key: number(table[key], f"{name}.{key}", where, positive=positive) for key in known if key in table}
    return tuple(fields.items())
