"""What each layer loses in int8, one layer at a time, and which ones to keep in float32 for a bound on the loss.

Wu et al., arXiv 2004.09602, section 5: all layers in float32 but one, whose weights, inputs and outputs are int8; then
the layers that lose most are left in float32, the worst first, until the network loses little enough.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.ops.graph import Tensors
from nas.progress.stop import raise_if_stopped
from nas.quantisation.forward import NO_RANGES, Ranges, composed, numbers_of, on_device, outputs_of
from nas.quantisation.program import Scheme, folded, program_of

Advance = Callable[[int, int, str], object]  # layers done, of how many, and which comes next
ROUNDING = 1e-9  # of a drop in points
Labels = NDArray[np.int32] | None


@dataclass(frozen=True)
class LayerSensitivity:
    """What a network loses where one layer alone is in int8, or all of them where `layer` is empty."""

    layer: str
    error: float  # root mean square of the difference of the outputs, relative to that of the outputs
    accuracy: float | None = None  # fraction; None without labels
    float_accuracy: float | None = None

    @property
    def drop_points(self) -> float | None:
        """How many percentage points of accuracy are lost; None without labels."""
        if self.accuracy is None or self.float_accuracy is None:
            return None
        return 100 * (self.float_accuracy - self.accuracy)

    @property
    def rank(self) -> tuple[float, float]:
        """Sorts the layers, the one that loses most first."""
        return -(self.drop_points or 0.0), -self.error


class SensitivityStudy:
    """Evaluates a network with any layers in int8 on normalised images [N, H, W, C], with labels [N] or without."""

    def __init__(
        self, arch: ArchSpec, tensors: Tensors, ranges: Ranges, images: NDArray[np.float32], labels: Labels = None,
        scheme: Scheme = "integers",
    ) -> None:  # fmt: skip
        self.program = program_of(arch, scheme)
        self._arch, self._scheme, self._images, self._labels = arch, scheme, images, labels
        weights = folded(arch, tensors)
        self._int8 = on_device(numbers_of(self.program, weights, ranges))
        self._floats = on_device(numbers_of(self.program, weights, NO_RANGES, self.program.layers))
        self._expected = outputs_of(arch, self._floats, images, scheme)

    def with_floats(self, floats: frozenset[str], name: str = "") -> LayerSensitivity:
        """Return what is lost where the layers `floats` stay in float32 and all others are int8."""
        numbers = composed(self.program, self._int8, self._floats, floats)
        found = outputs_of(self._arch, numbers, self._images, self._scheme)
        size = float(np.sqrt(np.square(self._expected, dtype=np.float64).mean()))
        error = float(np.sqrt(np.square(found - self._expected, dtype=np.float64).mean())) / (size or 1.0)
        if self._labels is None:
            return LayerSensitivity(name, error)
        accuracies = [float((each.argmax(1) == self._labels).mean()) for each in (found, self._expected)]
        return LayerSensitivity(name, error, *accuracies)

    def by_layer(
        self, layers: Sequence[str] | None = None, advance: Advance = lambda *_: None
    ) -> list[LayerSensitivity]:
        """Return what each of the layers loses alone in int8, by default of all, the one that loses most first."""
        everything = frozenset(self.program.layers)
        chosen = self.program.weighted_layers if layers is None else tuple(layers)
        found = []
        for done, layer in enumerate(chosen):
            raise_if_stopped()
            advance(done, len(chosen), layer)
            found.append(self.with_floats(everything - {layer}, layer))
        return sorted(found, key=lambda one: one.rank)

    def floats_within(
        self, max_drop_points: float, kept: frozenset[str] = frozenset(), advance: Advance = lambda *_: None
    ) -> tuple[frozenset[str], LayerSensitivity]:
        """Return the layers to keep in float32 so that at most so much accuracy is lost, and what is lost then.

        `kept` are among them. Others are added in the order of `by_layer`. Needs labels.
        """
        found = self.with_floats(kept)
        if _loses_at_most(found, max_drop_points):
            return kept, found
        for one in self.by_layer([layer for layer in self.program.weighted_layers if layer not in kept], advance):
            kept = kept | {one.layer}
            found = self.with_floats(kept)
            if _loses_at_most(found, max_drop_points):
                break
        return kept, found


def _loses_at_most(found: LayerSensitivity, max_drop_points: float) -> bool:
    if found.drop_points is None:
        raise InvalidInput("a bound on the loss of accuracy needs labels of the network's classes: name its data")
    return found.drop_points <= max_drop_points + ROUNDING
