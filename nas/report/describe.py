"""Costs of a network per kernel, the reference networks and the targets, as plain rows and as rich tables.

They are what `nas describe`, `nas zoo` and `nas targets` print.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from latency_models.forest import load_forest
from latency_models.roofline import Bound, Roofline
from latency_models.target import Target
from nas.arch import ArchSpec
from nas.ops import Kernel, Shape
from nas.zoo import ZooEntry

FILE_KEYS = {"kernel_size": "kernel", "cross_validated_mape_percent": "held_out_mape_percent"}  # field -> JSON key


@dataclass(frozen=True)
class KernelRow:
    """One kernel of a network with its cost on one device; `latency` is in the unit of its `Description`."""

    name: str
    kind: str
    in_shape: Shape
    out_shape: Shape
    kernel_size: int
    stride: int
    macs: int
    bytes: float
    macs_per_byte: float | None  # None where no byte moves
    bound: Bound
    latency: float
    share: float  # of the network's latency

    def to_json(self, latency_key: str) -> dict[str, Any]:
        """Return the row with its latency under `latency_key`."""
        row = {FILE_KEYS.get(name, name): value for name, value in vars(self).items()}
        row |= {"in_shape": list(self.in_shape), "out_shape": list(self.out_shape)}
        row[latency_key] = row.pop("latency")
        return row


@dataclass(frozen=True)
class ForestRow:
    """The prediction of a random forest for a network, in `unit` for a batch of `batch` images, and its error.

    `range` holds the smallest and largest value that the forest can predict at all.
    """

    file: str
    of: str
    value: float
    unit: str
    batch: int
    range: tuple[float, float]
    cross_validated_mape_percent: float | None
    note: str

    def to_json(self) -> dict[str, Any]:
        """Return the row as plain JSON values, under the keys of release 0.1."""
        return {FILE_KEYS.get(name, name): value for name, value in vars(self).items()}

    def __str__(self) -> str:
        images = f" for a batch of {self.batch}" if self.batch > 1 else ""
        return f"{self.of} by the forest {self.file}: {self.value:.4g} {self.unit}{images}; {self.note}"


def forest_row(path: str, arch: ArchSpec) -> ForestRow:
    """Return what the forest in the file `path` predicts for `arch`; `InvalidInput` where the file holds no forest."""
    forest = load_forest(Path(path))
    value, (low, high) = float(forest.predict([arch])[0]), forest.range
    note = f"{forest.error_note}; no prediction leaves {low:.4g} to {high:.4g} {forest.unit}"
    return ForestRow(
        path, forest.of, value, forest.unit, forest.batch, forest.range, forest.cross_validated_mape_percent, note
    )


@dataclass(frozen=True)
class Description:
    """A network with its costs on one device, in total and per kernel.

    `latency` and `launch_overhead` are in `unit`: "ms", or "x NETWORK" on an abstract device.
    """

    name: str
    target: str
    unit: str
    input_shape: Shape
    num_classes: int
    params: int
    macs: int
    latency: float
    launch_overhead: float  # the constant part of the latency
    weight_bytes: float
    peak_activation_bytes: float
    kernels: tuple[KernelRow, ...]
    caution: str | None
    batch: int = 1  # images in the latency, the bytes of activations, and the counts per kernel
    forests: tuple[ForestRow, ...] = ()

    @property
    def latency_key(self) -> str:
        """The key of the latency in JSON: "latency_ms", or "latency_ratio" on an abstract device."""
        return "latency_ms" if self.unit == "ms" else "latency_ratio"

    def to_json(self) -> dict[str, Any]:
        """Return the description as plain JSON values."""
        key = self.latency_key
        body = {**vars(self), "input_shape": list(self.input_shape)}
        body["kernels"] = [row.to_json(key) for row in self.kernels]
        body["forests"] = [row.to_json() for row in self.forests]
        body[key] = body.pop("latency")
        body[key.replace("latency", "floor")] = body.pop("launch_overhead")  # the key of release 0.1
        return body


def describe(arch: ArchSpec, model: Roofline) -> Description:
    """Return the costs of `arch` on the device of `model`, in total and per kernel."""
    latency = model.predict_ms(arch)
    return Description(
        name=arch.name,
        target=model.name,
        unit=model.unit,
        input_shape=arch.input_shape,
        num_classes=arch.num_classes,
        params=arch.params,
        macs=arch.macs,
        latency=latency,
        launch_overhead=model.constant,
        weight_bytes=sum(model.weight_bytes(kernel) for kernel in arch.kernels),
        peak_activation_bytes=arch.peak_activation_elements * model.bytes_per_activation * model.batch,
        kernels=tuple(_kernel_row(kernel, model, latency) for kernel in arch.kernels),
        caution=model.caution(arch),
        batch=model.batch,
    )


def _kernel_row(kernel: Kernel, model: Roofline, latency: float) -> KernelRow:
    time = model.explain(kernel)
    return KernelRow(
        name=kernel.name,
        kind=kernel.kind,
        in_shape=kernel.in_shape,
        out_shape=kernel.out_shape,
        kernel_size=kernel.kernel_size,
        stride=kernel.stride,
        macs=time.macs,
        bytes=time.bytes,
        macs_per_byte=time.macs_per_byte if math.isfinite(time.macs_per_byte) else None,
        bound=time.bound,
        latency=time.ms,
        share=time.ms / latency if latency else 0.0,
    )


def description_table(description: Description) -> Table:
    """Return the description as a table: a row per kernel, then the launch overhead and the total."""
    table = _empty_table(
        f"{description.name} on {description.target}, {_shape(description.input_shape)}, "
        f"{description.num_classes:,} classes" + (f", batch of {description.batch}" if description.batch > 1 else ""),
        ("kernel", "kind", "in", "out", "k/s"),
        ("MACs", "bytes", "MACs/byte", "bound", description.unit, "share"),
    )
    for row in description.kernels:
        intensity = "-" if row.macs_per_byte is None else f"{row.macs_per_byte:.1f}"
        table.add_row(
            row.name, row.kind, _shape(row.in_shape), _shape(row.out_shape), f"{row.kernel_size}/{row.stride}",
            f"{row.macs:,}", f"{row.bytes:,.0f}", intensity, row.bound, f"{row.latency:.4f}", f"{row.share:.1%}",
        )  # fmt: skip
    table.add_section()
    if overhead := description.launch_overhead:
        table.add_row("launch overhead", *[""] * 8, f"{overhead:.4f}", f"{overhead / description.latency:.1%}")
    moved = f"{sum(row.bytes for row in description.kernels):,.0f}"
    table.add_row(
        "total", *[""] * 4, f"{description.macs * description.batch:,}", moved, "", "", f"{description.latency:.4f}", ""
    )
    table.caption = (
        f"{description.params:,} parameters, {description.weight_bytes:,.0f} bytes of weights, "
        f"at most {description.peak_activation_bytes:,.0f} bytes of activations at once"
    ) + (f"\n{description.caution}" if description.caution else "")
    return table


def zoo_rows(zoo: Mapping[str, ZooEntry]) -> list[dict[str, Any]]:
    """Return one row of plain JSON values per reference network."""
    rows = []
    for name, entry in zoo.items():
        arch = entry.spec()
        rows.append(
            {
                "name": name,
                "width": entry.width,
                "width_multipliers": entry.widths,
                "resolution": entry.resolution,
                "params": arch.params,
                "macs": arch.macs,
                "top1_percent": entry.top1_percent,
                "top1_source": entry.top1_source,
                "paper": entry.paper,
                "url": entry.url,
            }
        )
    return rows


def zoo_table(rows: Iterable[Mapping[str, Any]]) -> Table:
    """Return the rows of `zoo_rows` as a rich table."""
    table = _empty_table("reference networks", ("name", "paper"), ("px", "parameters", "MACs", "ImageNet top-1 %"))
    for row in rows:
        counts = f"{row['params']:,}", f"{row['macs']:,}"
        name = row["name"] if row["width"] == 1 else f"{row['name']} (at width {row['width']:g})"
        table.add_row(name, row["url"], str(row["resolution"]), *counts, f"{row['top1_percent']:.1f}")
    return table


def target_rows(targets: Iterable[Target]) -> list[dict[str, Any]]:
    """Return one row of plain JSON values per target; every value of the target has its source and confidence."""
    return [
        {
            "name": target.name,
            "aliases": list(target.aliases),
            "unit": target.unit,
            "dtype": target.dtype,
            "ridge_point": target.ridge_point,
            "figures": {name: _plain(vars(value)) for name, value in target.sourced_values.items()},
        }
        for target in targets
    ]


def target_table(rows: Iterable[Mapping[str, Any]]) -> Table:
    """Return the rows of `target_rows` as a rich table; sources are in the JSON form and in the files only."""
    table = _empty_table(
        "targets",
        ("name", "unit", "type"),
        ("GMACs/s", "GB/s", "ridge point", "published", "launch ms", "us/kernel", "confidence"),
    )
    for row in rows:
        values = row["figures"]
        terms = ("published_ridge_point", "floor_ms", "time_per_kernel_us")
        table.add_row(
            " = ".join([row["name"], *row["aliases"]]),
            row["unit"],
            row["dtype"],
            f"{values['peak_gmacs_per_s']['value']:,g}",
            f"{values['bandwidth_gb_per_s']['value']:,g}",
            f"{row['ridge_point']:.1f}",
            *[f"{values[term]['value']:g}" if term in values else "-" for term in terms],
            values["peak_gmacs_per_s"]["confidence"],
        )
    return table


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


def _shape(shape: Shape) -> str:
    return "x".join(str(size) for size in shape)


def _empty_table(title: str, left: Iterable[str], right: Iterable[str]) -> Table:
    """Return an empty rich table with columns of text, then of numbers."""
    table = Table(title=title, title_justify="left", caption_justify="left")
    for name in left:
        table.add_column(name, overflow="fold")
    for name in right:
        table.add_column(name, justify="right", overflow="fold")
    return table
