"""Costs of a network per kernel, the reference networks and the targets, as plain rows.

They are what `nas describe`, `nas zoo` and `nas targets` print under --json; nas/report/describe_tables.py shows them.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latency_models.corrections import Correction
from latency_models.forest import load_forest
from latency_models.latency_error import UNKNOWN, LatencyError, error_of
from latency_models.macs_ranking import macs_correlation, ranks_by_macs
from latency_models.roofline import Bound, Roofline
from latency_models.target import Target
from latency_models.unsupported import Refusal, refused_by
from nas.arch import ArchSpec
from nas.ops import Kernel, Shape
from nas.zoo import ZooEntry
from nas.zoo.audio import AUDIO

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
    live_bytes: float  # activations alive while it runs

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
    latency_error: LatencyError = UNKNOWN
    setup: str = ""  # runtime, threads and dtype of the device, as far as they are known
    unsupported: tuple[Refusal, ...] = ()  # ops that the device does not run; `caution` says so too

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
        body["unsupported"] = [refusal.to_json() for refusal in self.unsupported]
        body["latency_error"] = self.latency_error.to_json()
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
        latency_error=error_of(model, arch),
        setup=model.setup,
        unsupported=refused_by(model, arch),
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
        live_bytes=kernel.live_elements * model.bytes_per_activation * model.batch,
    )


def zoo_rows(zoo: Mapping[str, ZooEntry]) -> list[dict[str, Any]]:
    """Return one row of plain JSON values per reference network."""
    rows = []
    for name, entry in zoo.items():
        arch = entry.spec()
        rows.append(
            {
                "name": name,
                "width": entry.width,
                "width_multipliers": entry.has_width_multipliers,
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


def audio_zoo_rows() -> list[dict[str, Any]]:
    """Return one row of plain JSON values per reference network for sounds, with the keys of `zoo_rows`."""
    rows = []
    for name, entry in AUDIO.items():
        arch = entry.spec()
        rows.append(
            {
                "name": name, "width": 1.0, "has_width_multipliers": False, "resolution": entry.shape.size.json,
                "params": arch.params, "macs": arch.macs, "top1_percent": None, "top1_source": "", "paper": entry.paper,
                "url": entry.url,
            }
        )  # fmt: skip
    return rows


def target_rows(targets: Iterable[Target]) -> list[dict[str, Any]]:
    """Return one row of plain JSON values per target: its values with source and confidence, what it does not run."""
    return [
        {
            "name": target.name,
            "aliases": list(target.aliases),
            "unit": target.unit,
            "dtype": target.dtype,
            "batch": target.batch,
            "runtime": target.measured_runtime,
            "threads": target.measured_threads,
            "search_words": list(target.search_words),
            "latency_error": error_of(target).to_json(),
            "error_kinds": list(kinds) if (kinds := error_of(target).kinds) else None,
            "error_source": target.error.source if target.error and not target.calibration else None,
            "energy_error": target.energy_error.to_json() if target.energy else None,  # None: no energy is known
            "ranks_by_macs": ranks_by_macs(target.model()),
            "macs_correlation": round(macs_correlation(target.model()), 4),
            "ridge_point": target.ridge_point,
            "figures": {name: _plain(vars(value)) for name, value in target.sourced_values.items()},
            "unsupported": [one.to_json() for one in target.unsupported],
        }
        for target in targets
    ]


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: [item.to_json() if isinstance(item, Correction) else item for item in value]
        if isinstance(value, tuple)
        else value
        for key, value in values.items()
    }
