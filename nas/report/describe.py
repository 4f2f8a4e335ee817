"""What `nas describe`, `nas zoo` and `nas targets` show: plain data first, then the same as rich tables."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latency_models.roofline import Bound, Roofline
from latency_models.target import Target
from nas.arch import ArchSpec
from nas.ops import Kernel, Shape
from nas.zoo import ZooEntry

if TYPE_CHECKING:
    from rich.table import Table


FILE_KEYS = {"kernel_size": "kernel", "cross_validated_mape_percent": "held_out_mape_percent"}  # field -> JSON key


@dataclass(frozen=True)
class KernelRow:
    """One kernel of a network on one device; `latency` in the unit of the description."""

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
    """What a forest predicts for a network, in `unit` for a batch of `batch` images, and how far to trust it."""

    file: str
    of: str
    value: float
    unit: str
    batch: int
    range: tuple[float, float]  # of all that it can predict
    cross_validated_mape_percent: float | None
    note: str

    def to_json(self) -> dict[str, Any]:
        """Return the row as plain JSON values, under the keys of release 0.1."""
        return {FILE_KEYS.get(name, name): value for name, value in vars(self).items()}

    def __str__(self) -> str:
        images = f" for a batch of {self.batch}" if self.batch > 1 else ""
        return f"{self.of} by the forest {self.file}: {self.value:.4g} {self.unit}{images}; {self.note}"


def forest_row(path: str, arch: ArchSpec) -> ForestRow:
    """Return the prediction of the forest in a file; `InvalidInput` where there is none."""
    from latency_models.forest import load_forest

    forest = load_forest(Path(path))
    value, (low, high) = float(forest.predict([arch])[0]), forest.range
    note = f"{forest.trust}; no prediction leaves {low:.4g} to {high:.4g} {forest.unit}"
    return ForestRow(
        path, forest.of, value, forest.unit, forest.batch, forest.range, forest.cross_validated_mape_percent, note
    )


@dataclass(frozen=True)
class Description:
    """A network on one device, with a row per kernel. `latency` and `floor` are in `unit`: ms, or "x NETWORK"."""

    name: str
    target: str
    unit: str
    input_shape: Shape
    num_classes: int
    params: int
    macs: int
    latency: float
    floor: float  # launch floor, part of the latency
    weight_bytes: float
    peak_activation_bytes: float
    kernels: tuple[KernelRow, ...]
    caution: str | None
    batch: int = 1  # images in the latency, the bytes of activations, and the counts per kernel
    forests: tuple[ForestRow, ...] = ()

    @property
    def latency_key(self) -> str:
        """The name of the latency in JSON: `latency_ms`, or `latency_ratio` on an abstract device."""
        return "latency_ms" if self.unit == "ms" else "latency_ratio"

    def to_json(self) -> dict[str, Any]:
        """Return the description as plain JSON values."""
        key = self.latency_key
        body = {**vars(self), "input_shape": list(self.input_shape)}
        body["kernels"] = [row.to_json(key) for row in self.kernels]
        body["forests"] = [row.to_json() for row in self.forests]
        body[key] = body.pop("latency")
        body[key.replace("latency", "floor")] = body.pop("floor")
        return body


def describe(arch: ArchSpec, model: Roofline) -> Description:
    """Return what `arch` costs on the device of `model`, in total and kernel by kernel."""
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
        floor=model.constant,
        weight_bytes=sum(model.weight_bytes(kernel) for kernel in arch.kernels),
        peak_activation_bytes=arch.peak_activation_elements * model.bytes_per_activation * model.batch,
        kernels=tuple(_row(kernel, model, latency) for kernel in arch.kernels),
        caution=model.caution(arch),
        batch=model.batch,
    )


def _row(kernel: Kernel, model: Roofline, latency: float) -> KernelRow:
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


def description_table(description: Description) -> "Table":
    """Return the description as a table, totals in its last rows."""
    table = _table(
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
    if description.floor:
        share = f"{description.floor / description.latency:.1%}"
        table.add_row("launch floor", *[""] * 8, f"{description.floor:.4f}", share)
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
    """Return the reference networks as plain JSON values."""
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


def zoo_table(rows: Iterable[Mapping[str, Any]]) -> "Table":
    """Return the rows of `zoo_rows` as a table."""
    table = _table("reference networks", ("name", "paper"), ("px", "parameters", "MACs", "ImageNet top-1 %"))
    for row in rows:
        counts = f"{row['params']:,}", f"{row['macs']:,}"
        name = row["name"] if row["width"] == 1 else f"{row['name']} (at width {row['width']:g})"
        table.add_row(name, row["url"], str(row["resolution"]), *counts, f"{row['top1_percent']:.1f}")
    return table


def target_rows(targets: Iterable[Target]) -> list[dict[str, Any]]:
    """Return the targets as plain JSON values, every figure with source and confidence."""
    return [
        {
            "name": target.name,
            "aliases": list(target.aliases),
            "unit": target.unit,
            "dtype": target.dtype,
            "ridge_point": target.ridge_point,
            "figures": {name: _plain(vars(figure)) for name, figure in target.sourced_values.items()},
        }
        for target in targets
    ]


def target_table(rows: Iterable[Mapping[str, Any]]) -> "Table":
    """Return the rows of `target_rows` as a table; sources are in the JSON form and in the files."""
    table = _table(
        "targets",
        ("name", "unit", "type"),
        ("GMACs/s", "GB/s", "ridge point", "published", "floor ms", "us/kernel", "figures"),
    )
    for row in rows:
        figures = row["figures"]
        terms = ("published_ridge_point", "floor_ms", "time_per_kernel_us")
        table.add_row(
            " = ".join([row["name"], *row["aliases"]]),
            row["unit"],
            row["dtype"],
            f"{figures['peak_gmacs_per_s']['value']:,g}",
            f"{figures['bandwidth_gb_per_s']['value']:,g}",
            f"{row['ridge_point']:.1f}",
            *[f"{figures[term]['value']:g}" if term in figures else "-" for term in terms],
            figures["peak_gmacs_per_s"]["confidence"],
        )
    return table


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


def _shape(shape: Shape) -> str:
    return "x".join(str(size) for size in shape)


def _table(title: str, left: Iterable[str], right: Iterable[str]) -> "Table":
    """Return an empty rich table with columns of text, then of numbers."""
    from rich.table import Table

    table = Table(title=title, title_justify="left", caption_justify="left")
    for name in left:
        table.add_column(name, overflow="fold")
    for name in right:
        table.add_column(name, justify="right", overflow="fold")
    return table
