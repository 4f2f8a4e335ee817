"""Weights of a network packed into two long arrays, on which an optimizer compiles a handful of operations.

One array holds the tensors named `weight`, which decay, the other all the rest: an optimizer works element by element,
so its result is that on the tensors themselves.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nas.training.optimizers import DECAYED

Packed = dict[str, Array]  # DECAYED and REST -> [n]
REST = "rest"


@dataclass(frozen=True)
class Packing:
    """The names and shapes of tensors, in the order in which they are packed."""

    shapes: tuple[tuple[str, tuple[int, ...]], ...]

    @classmethod
    def of(cls, tensors: Mapping[str, Any]) -> "Packing":
        """Return the packing of `tensors`."""
        return cls(tuple((name, tuple(np.shape(value))) for name, value in tensors.items()))

    @cached_property
    def _groups(self) -> dict[str, list[str]]:
        """The names of each of the two arrays' tensors."""
        groups: dict[str, list[str]] = {DECAYED: [], REST: []}
        for name, _ in self.shapes:
            groups[DECAYED if name.rpartition(".")[2] == DECAYED else REST].append(name)
        return groups

    def pack(self, tensors: Mapping[str, Any]) -> Packed:
        """Return the tensors as two arrays: of jax inside a compiled program, else made by numpy and moved."""
        traced = any(isinstance(value, jax.core.Tracer) for value in tensors.values())
        numbers: Any = jnp if traced else np
        empty = [numbers.zeros(0, np.float32)]
        packed = {
            group: numbers.concatenate([*(numbers.ravel(tensors[name]) for name in names), *empty])
            for group, names in self._groups.items()
        }
        return packed if traced else jax.device_put(packed)

    def unpack(self, packed: Mapping[str, Any]) -> dict[str, Any]:
        """Return the tensors by name, in their order."""
        shapes = dict(self.shapes)
        tensors = {}
        for group, names in self._groups.items():
            start = 0
            for name in names:
                size = math.prod(shapes[name])
                tensors[name] = packed[group][start : start + size].reshape(shapes[name])
                start += size
        return {name: tensors[name] for name in shapes}
