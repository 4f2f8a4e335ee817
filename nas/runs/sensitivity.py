"""What each layer of a trained network loses in int8: weights, ranges and images brought together."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.arch import ArchSpec
from nas.errors import InvalidInput, unknown_name
from nas.export.calibration import CHOICE_IMAGES
from nas.export.quantisation_plan import plan_ranges
from nas.export.quantised_file import QuantisedFile, standardised
from nas.export.sources import calibration_of, find_weights, load_source
from nas.quantisation.config import DEFAULT, QuantisationConfig
from nas.quantisation.sensitivity import LayerSensitivity, SensitivityStudy
from nas.registry import INT8_EXPORTERS, load


@dataclass(frozen=True)
class Sensitivity:
    """What the whole network loses in int8, and what each layer does alone, the one that loses most first."""

    network: str
    form: str
    ranges: str  # where the ranges of the activations come from
    images: int
    data: str
    whole: LayerSensitivity
    layers: tuple[LayerSensitivity, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "network": self.network, "format": self.form, "ranges": self.ranges,
            "data": self.data, "images": self.images,
            "float_accuracy": self.whole.float_accuracy, "int8_accuracy": self.whole.accuracy,
            "int8_error": self.whole.error,
            "layers": [
                {"layer": one.layer, "drop_points": one.drop_points, "error": one.error} for one in self.layers
            ],
        }  # fmt: skip


def sensitivity_of(
    arch: ArchSpec, network: str, *, form: str = "tflite", weights: str | None = None, calibration: str | None = None,
    data_dir: str | None = None, images: int = CHOICE_IMAGES, config: QuantisationConfig = DEFAULT,
    calibration_images: int | None = None, advance: Callable[[int, int, str], object] = lambda *_: None,
) -> Sensitivity:  # fmt: skip
    """Return what the layers of a network with `weights`, by default those of its training, lose in int8.

    `form` is an int8 format, whose operators are meant; the data set `calibration`, by default that of the training,
    gives the ranges, and `images` others of its training images the losses. `InvalidInput` for a network without
    weights or one that the format cannot hold.
    """
    if form not in INT8_EXPORTERS:
        raise unknown_name("int8 format", form, INT8_EXPORTERS)
    owner: QuantisedFile = load("format", INT8_EXPORTERS, form).__self__
    owner.check(arch)
    source = load_source(arch, network, find_weights(network, form, weights))
    if source.weights is None:
        raise InvalidInput(f"{network} has no weights: name a training, or weights with --weights")
    found = calibration_of(
        arch, source, calibration, data_dir, images=calibration_images, config=config, choice_images=images
    )
    own, _ = standardised(source.weights, source.signature)

    def tensors(name: str, _: tuple[int, ...]) -> Any:
        return np.asarray(own[name])

    ranges = plan_ranges(arch, tensors, found, owner.scheme)
    shown = found.choice_images[:]
    study = SensitivityStudy(arch, tensors, ranges, shown, found.choice_labels, owner.scheme)
    layers = study.by_layer(advance=advance)
    whole = study.with_floats(frozenset())
    return Sensitivity(network, form, found.ranges_text, len(shown), found.data, whole, tuple(layers))
