"""What an int8 file is made with where more is asked for than the extremes: ranges, and the layers in float32."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.export.calibration import Int8Calibration
from nas.ops.graph import Tensors
from nas.quantisation.calibrate import calibrated_ranges, for_all_tensors
from nas.quantisation.forward import fake_quantised_outputs, output_step
from nas.quantisation.grid import Range
from nas.quantisation.program import Scheme, program_of
from nas.quantisation.sensitivity import SensitivityStudy

MANY = 8  # names of layers in a line


@dataclass(frozen=True)
class QuantisationPlan:
    """The ranges of all tensors by name, the layers that stay in float32, and lines that say so."""

    ranges: Mapping[str, Range]
    floats: frozenset[str] = frozenset()
    lines: tuple[str, ...] = ()

    def check(
        self, arch: ArchSpec, tensors: Tensors, images: NDArray[np.float32], found: NDArray[np.float32], scheme: Scheme
    ) -> str:
        """Return a line: how far the outputs of a file are from the fake-quantised forward pass, in steps of int8."""
        expected = fake_quantised_outputs(arch, tensors, self.ranges, images, self.floats, scheme)
        apart = np.abs(found - expected) / output_step(arch, self.ranges, scheme)
        within = float((apart < 1.5).mean())
        return f"against the fake-quantised forward pass: {within:.2%} of the outputs within one step of int8"


def plan_of(arch: ArchSpec, tensors: Tensors, calibration: Int8Calibration, scheme: Scheme) -> QuantisationPlan | None:
    """Return the plan that `calibration` asks for; None for all layers in the ranges of the extremes.

    `InvalidInput` for layers that the network has not, for ranges of another one, and for a bound on the loss without
    labels.
    """
    if calibration.is_plain:
        return None
    config, program = calibration.config, program_of(arch, scheme)
    ranges = plan_ranges(arch, tensors, calibration, scheme)
    floats = config.kept(program.layers)
    lines = [f"ranges: {calibration.ranges_text}"]
    if config.max_drop_points is not None:
        if calibration.choice_labels is None:
            raise InvalidInput(
                "a bound on the accuracy that is lost needs images of the network's classes: add --calibration DATA"
            )
        images = calibration.choice_images[:]
        study = SensitivityStudy(arch, tensors, ranges, images, calibration.choice_labels, scheme)
        floats, left = study.floats_within(config.max_drop_points, floats)
        lines.append(
            f"layers in float32 were chosen by {len(images)} training images, which lose {left.drop_points:.2f} points "
            "with them"
        )
    if floats:
        named = [layer for layer in program.layers if layer in floats]
        more = f" and {len(named) - MANY} more" if len(named) > MANY else ""
        lines.append(f"in float32: {len(named)} of {len(program.layers)} layers, {', '.join(named[:MANY])}{more}")
    return QuantisationPlan(ranges, floats, tuple(lines))


def plan_ranges(arch: ArchSpec, tensors: Tensors, calibration: Int8Calibration, scheme: Scheme) -> Mapping[str, Range]:
    """Return the ranges of all tensors by name: those of the training, or those that a method gives on images."""
    ranges, method = calibration.ranges, calibration.config.method
    if ranges is None or method is not None:
        return calibrated_ranges(arch, tensors, calibration.batches(), method or "max")
    program = program_of(arch, scheme)
    if missing := [name for name in program.observed if name not in ranges]:
        raise InvalidInput(f"the ranges of the training lack those of {missing[0]}: they are of another network")
    return for_all_tensors(program, dict(ranges))
