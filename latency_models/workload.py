"""`Workload`: the kernels of many networks as arrays, from which fits and forests count."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latency_models.corrections import FactorTable, pixels_of
from latency_models.roofline import Roofline
from nas.arch import ArchSpec
from nas.ops import KINDS

Array = NDArray[np.float64]
Rows = NDArray[np.intp]
RIDGES = 24  # ridge points of the first sweep, over the range in which kernels change sides
BELOW = 0.01  # the smallest ridge point swept, relative to the smallest MACs per byte of any kernel
CACHED = 64  # ridge points whose sums a workload keeps


@dataclass(frozen=True, eq=False)
class Workload:
    """The K kernels of N networks as flat arrays: MACs and bytes of each.

    Bytes are counted as `template` counts them, and kernels of its free kinds are left out.
    """

    template: Roofline
    size: int  # N
    network: NDArray[np.intp]  # [K] index of the network
    kind: NDArray[np.intp]  # [K] index in KINDS
    macs: Array  # [K] of the whole batch
    bytes: Array  # [K]
    shape: Rows  # [K, 3]: pixels of the larger map, output channels, kernel size; see `latency_models.corrections`
    _cache: dict[float, Array] = field(default_factory=dict)
    fits: dict[Any, Any] = field(default_factory=dict)  # of rows and latencies, which forms of several fits share

    @classmethod
    def of(cls, archs: Sequence[ArchSpec], batches: Sequence[int], template: Roofline) -> "Workload":
        """Return the workload of the networks, each at its batch size."""
        rows: list[tuple[float, ...]] = []
        for number, (arch, batch) in enumerate(zip(archs, batches, strict=True)):
            model = replace(template, batch=batch)
            rows += (
                (
                    number,
                    KINDS.index(kernel.kind),
                    kernel.macs * batch,
                    model.moved_bytes(kernel),
                    pixels_of(kernel),
                    kernel.out_shape.channels,
                    kernel.kernel_size,
                )
                for kernel in arch.kernels
                if kernel.kind not in template.free_kinds
            )
        columns = np.array(rows, np.float64).reshape(len(rows), 7).T
        network, kind = columns[:2].astype(np.intp)
        return cls(template, len(archs), network, kind, columns[2], columns[3], columns[4:].T.astype(np.intp))

    def per_kind(self, values: Array) -> Array:
        """Return the sums [N, kinds] of values [K] over the kernels of each network and kind."""
        kinds = len(KINDS)
        sums = np.bincount(self.network * kinds + self.kind, values, self.size * kinds)
        return np.asarray(sums.reshape(self.size, kinds), np.float64)

    def work(self, ridge: float) -> Array:
        """Return the sums [N, kinds] of max(MACs, ridge x bytes) over kernels; MACs alone for a ridge point of 0."""
        if ridge in self._cache:
            return self._cache[ridge]
        work = self.per_kind(np.maximum(self.macs, ridge * self.bytes))
        if len(self._cache) < CACHED:
            self._cache[ridge] = work
        return work

    @cached_property
    def traffic(self) -> Array:
        """Bytes moved [N, kinds]."""
        return self.per_kind(self.bytes)

    @cached_property
    def launches(self) -> Array:
        """Number of kernels [N, kinds]."""
        return self.per_kind(np.ones(len(self.kind)))

    @cached_property
    def shapes(self) -> tuple[Rows, Rows]:
        """The different kinds and shapes [U, 4] of kernels, and which of them each kernel has [K]."""
        found, which = np.unique(np.column_stack([self.kind, self.shape]), axis=0, return_inverse=True)
        return found, which.ravel()

    def factors(self, table: FactorTable) -> Array:
        """Return the factors [K, 2] on compute and memory time that a table of corrections has for the kernels."""
        different, which = self.shapes
        each = [table.at(KINDS[kind], *shape) for kind, *shape in different.tolist()]
        return np.array(each, np.float64).reshape(-1, 2)[which]

    def ridges(self) -> Array:
        """Return ridge points to sweep, from where compute bounds all kernels to where memory bounds all of them."""
        with_macs = (self.macs > 0) & (self.bytes > 0)
        if not with_macs.any():
            return np.ones(1)
        intensity = self.macs[with_macs] / self.bytes[with_macs]
        return np.concatenate([[BELOW * intensity.min()], np.geomspace(intensity.min(), intensity.max(), RIDGES)])
