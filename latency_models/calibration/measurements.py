"""Measured latencies of networks in a table, as `nas measure` or a spreadsheet writes and `nas calibrate` reads it.

Columns: `arch` (path of a spec relative to the file, or the name of a reference network) and `latency_ms`; optional
`batch` (images in the latency, 1 by default), `energy_mj`, and where it was measured: runtime, threads, machine.
Others are left alone.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from latency_models.calibration_record import PROVENANCE
from latency_models.measurement_table import TableRow, read_table
from nas.arch import ArchSpec, load_arch
from nas.errors import InvalidInput, unknown_name
from nas.files import usable_path
from nas.zoo import ZOO, is_reference, reference

REQUIRED = ("arch", "latency_ms")
NUMBERS = ("latency_ms", "energy_mj", "batch", "spread")
MOST_DIGITS = 7  # of a batch size, with one to spare
AGREE_WITHIN = 0.25  # repeated measurements of one network; beyond, one of them is wrong


@dataclass(frozen=True)
class Measurement:
    """The measured latency and energy of one network, the median of so many rows of the file."""

    name: str
    arch: ArchSpec
    latency_ms: float  # of a whole batch
    batch: int = 1
    energy_mj: float | None = None  # of a whole batch
    rows: int = 1
    spread: float = 0.0  # of its runs, relative to the latency; 0 where it is not known


@dataclass(frozen=True)
class Measurements:
    """The measurements in a file, with the provenance that all of its rows share."""

    networks: tuple[Measurement, ...]
    provenance: Mapping[str, str]
    varying: tuple[str, ...]  # columns of provenance that differ between rows
    single: tuple[Measurement, ...] = ()  # every row by itself, before those of one network became their median

    @property
    def rows(self) -> tuple[Measurement, ...]:
        """Every row of the file; where these are not known, one for each network."""
        return self.single or self.networks


def read_measurements(path: Path) -> Measurements:
    """Return the measurements in a table; `InvalidInput` names the line that cannot be used, and why."""
    table = read_table(path, REQUIRED, NUMBERS)
    known: dict[str, ArchSpec] = {}
    measured = [_measurement(row, path.parent, known) for row in table.rows]
    places = {name: {row[name] for row in table.rows} for name in PROVENANCE if name in table.columns}
    same = {name: next(iter(values)) for name, values in places.items() if len(values) == 1 and "" not in values}
    varying = tuple(name for name, values in places.items() if len(values) > 1)
    return Measurements(_merged(measured, str(path)), same, varying, tuple(measured))


def with_more(first: Measurements, more: Measurements, where: str) -> Measurements:
    """Return both measurements as those of one file would be read; `where` names the second for errors.

    Raises `InvalidInput` where both state a runtime, a number of threads or a machine, and not the same: a target is
    one setting.
    """
    for name in PROVENANCE:
        one, other = first.provenance.get(name), more.provenance.get(name)
        if one and other and one != other:
            raise InvalidInput(
                f"{where} was measured with {name} '{other}', what it is added to with '{one}'; a target is one "
                "setting: calibrate another one from it"
            )
    varying = tuple(name for name in PROVENANCE if name in (*first.varying, *more.varying))
    same = {name: text for name, text in {**more.provenance, **first.provenance}.items() if name not in varying}
    rows = (*first.rows, *more.rows)
    return Measurements(_merged(rows, where), same, varying, rows)


def _measurement(row: TableRow, folder: Path, known: dict[str, ArchSpec]) -> Measurement:
    """Return the measurement in a row; `known` caches the specs read so far."""
    name = row["arch"]
    if name not in known:
        known[name] = _arch(name, row.where, folder)
    energy, batch = row.cells.get("energy_mj", ""), row.cells.get("batch", "") or "1"
    if not (batch.isdecimal() and len(batch) < MOST_DIGITS and int(batch) > 0):
        raise InvalidInput(f"{row.where}: batch must be a whole number of at least 1, got '{batch:.20}'")
    return Measurement(
        name,
        known[name],
        row.positive("latency_ms"),
        int(batch),
        row.positive("energy_mj") if energy else None,
        spread=_spread(row.cells.get("spread", "")),
    )


def _spread(cell: str) -> float:
    """Return the relative spread that nas measure writes; 0 for a column of that name that holds anything else."""
    try:
        value = float(cell)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) and value > 0 else 0.0


def _arch(name: str, where: str, folder: Path) -> ArchSpec:
    """Return the reference network of that name, or the spec in that file."""
    if not name:
        raise InvalidInput(f"{where}: the cell of column arch is empty; name a spec or a reference network")
    if is_reference(name):
        return reference(name)
    try:
        path = Path(usable_path(str(folder / name)))
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error}") from error
    if path.is_file():
        return load_arch(path)
    if path.suffix == ".json":
        raise InvalidInput(f"{where}: there is no spec {path}; paths are relative to the CSV file")
    raise InvalidInput(f"{where}: {unknown_name('network', name, ZOO)}")


def _merged(measured: Sequence[Measurement], where: str) -> tuple[Measurement, ...]:
    """Return one measurement per network and batch size, the median of its rows."""
    groups: dict[tuple[str, int], list[Measurement]] = {}
    for item in measured:
        groups.setdefault((item.arch.digest, item.batch), []).append(item)
    return tuple(_median(group, where) for group in groups.values())


def _median(group: Sequence[Measurement], where: str) -> Measurement:
    """Return the median of repeated measurements; `InvalidInput` where they are too far apart."""
    first, latencies = group[0], [item.latency_ms for item in group]
    if max(latencies) > (1 + AGREE_WITHIN) * min(latencies):
        names = " and ".join(dict.fromkeys(item.name for item in group))
        raise InvalidInput(
            f"{where}: {names} is one network with latencies from {min(latencies):g} to {max(latencies):g} ms, more "
            f"than {AGREE_WITHIN:.0%} apart; keep the rows that are correct"
        )
    energies = [item.energy_mj for item in group if item.energy_mj is not None]
    energy = median(energies) if energies else None
    spread = max(item.spread for item in group)
    return Measurement(first.name, first.arch, median(latencies), first.batch, energy, len(group), spread)
