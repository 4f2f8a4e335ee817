"""How a network becomes int8: the calibration method, and the layers that stay in float32."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from nas.errors import InvalidInput
from nas.registry import CALIBRATION_METHODS, load


@dataclass(frozen=True)
class QuantisationConfig:
    """The calibration method, layers to keep in float32, and the largest loss of accuracy in percentage points.

    With a largest loss the layers that lose most are kept in float32 too, until it is kept.
    """

    method: str | None = None  # a name of CALIBRATION_METHODS; None: the ranges of the training, else the extremes
    keep_float: tuple[str, ...] = ()  # names of layers, or of blocks as a whole
    max_drop_points: float | None = None

    def __post_init__(self) -> None:
        if self.method is not None:
            load("calibration method", CALIBRATION_METHODS, self.method)
        if self.max_drop_points is not None and not 0 <= self.max_drop_points < math.inf:
            raise InvalidInput(f"the largest drop must be at least 0 points, got {self.max_drop_points}")

    def kept(self, layers: Iterable[str]) -> frozenset[str]:
        """Return the layers to keep in float32, of those of a network; `InvalidInput` for one that it has not."""
        known = tuple(layers)
        found = set[str]()
        for name in self.keep_float:
            named = [layer for layer in known if layer == name or layer.startswith(f"{name}.")]
            if not named:
                near = get_close_matches(name, known, 1)
                hint = f"did you mean {near[0]}?" if near else f"it has {known[0]} to {known[-1]}, see nas sensitivity"
                raise InvalidInput(f"the network has no layer '{name}'; {hint}")
            found.update(named)
        return frozenset(found)


DEFAULT = QuantisationConfig()
