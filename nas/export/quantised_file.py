"""Export as one int8 file: calibrate, write, run it, and compare it with the float32 network on other images."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.data.input_spec import Signature
from nas.errors import InvalidInput
from nas.export.atomic_write import card_path, check_new_files
from nas.export.calibration import Int8Calibration, pixels_of
from nas.export.card import model_card
from nas.export.interface import Interface, check_signature, companions, files_beside, input_metadata
from nas.export.options import DEFAULT, FileOptions
from nas.export.packages import need
from nas.export.predict.script import predict_script
from nas.export.provenance import metadata, unsupported_lines
from nas.export.quantisation_plan import QuantisationPlan, plan_of
from nas.export.weights import checked_weights, difference, logits, weights_messages
from nas.files import write_all
from nas.nn.lowering import has_front_end
from nas.nn.network import CLASSIFIER
from nas.ops.graph import Tensors
from nas.quantisation.program import Scheme

TOLERANCE = 0.3  # largest root mean square of y - y* relative to that of y*; rounding gives 0.03 to 0.13


@dataclass(frozen=True)
class QuantisedFile:
    """An int8 file format: the packages that write and run it, and functions for both."""

    form: str  # name of the format
    packages: tuple[str, ...]  # as imported, the one that runs it last
    runtime_name: str
    interface: Interface
    check: Callable[[ArchSpec], None]  # `InvalidInput` for a network that the format cannot hold
    content: Callable[
        [ArchSpec, Tensors, Mapping[str, str], Int8Calibration, FileOptions, QuantisationPlan | None], tuple[bytes, str]
    ]  # -> file, and which operators are int8
    run: Callable[[bytes, NDArray[Any]], NDArray[np.float32]]  # images [N, H, W, C] -> logits [N, classes]
    loading: str  # Python that loads the file {name} and runs it on {images}
    loading_uint8: str = ""  # the same for uint8 images, or waveforms in float32, where it differs
    behind_floats: Interface | None = None  # of networks with a front end, where it differs
    scheme: Scheme = "integers"  # of the fake-quantised forward pass that the file equals

    def export(
        self, arch: ArchSpec, out: Path, *, calibration: Int8Calibration, weights: Mapping[str, Any] | None = None,
        provenance: Mapping[str, str] | None = None, signature: Signature | None = None,
        options: FileOptions = DEFAULT,
    ) -> list[str]:  # fmt: skip
        """Write the new file `out` with its card and return lines to print; as `SingleFile.export`, in int8.

        The file is run on the check images: its error against the float32 network is at most `TOLERANCE`, else
        `InvalidInput` and nothing is written. How often both choose the same class is printed, and the top-1 of both
        where the data has the network's classes.
        """
        need(*self.packages)
        self.check(arch)
        check_signature(signature, arch)
        pixels = options.uint8_input
        floats = self.behind_floats if has_front_end(arch) else None
        interface = floats or (self.interface.of_pixels() if pixels else self.interface)
        script = partial(predict_script, self.form, out.name, self.packages[-1])
        beside = files_beside(out, companions(signature, interface, script))
        check_new_files(out, *beside)
        weights, known = checked_weights(arch, weights, provenance)
        weights, signature = standardised(weights, signature)
        known |= calibration.provenance()
        described = metadata(arch, known, *(package.replace("_", "-") for package in self.packages))
        described |= input_metadata(signature, interface)
        tensors: Tensors = lambda name, _: np.asarray(weights[name])  # noqa: E731
        plan = plan_of(arch, tensors, calibration, self.scheme)
        if plan is not None and plan.floats:
            interface = replace(interface, text=f"{interface.text}, but for {len(plan.floats)} layers in float32")
        content, quantised = self.content(arch, tensors, described, calibration, options, plan)
        images = calibration.check_images
        expected = logits(arch, weights, images)
        found = self.run(content, pixels_of(images, pixels) if pixels else images)
        checks = [*calibration.notes, quantised, self._check(found, expected, calibration)]
        if plan is not None:
            own = () if pixels else (plan.check(arch, tensors, images, found, self.scheme),)
            checks = [*calibration.notes, *plan.lines, *checks[len(calibration.notes) :], *own]
        loading = self.loading_uint8 if (pixels or floats) and self.loading_uint8 else self.loading
        text = model_card(
            out.name, arch, known,
            interface=interface, signature=signature, checks=checks,
            loading=loading.format(name=out.name, images=interface.images),
        )  # fmt: skip
        write_all({**beside, card_path(out): text, out: content})
        return [
            f"wrote {out}: {len(content):,} bytes, {arch.params:,} parameters, {interface.text}",
            *(f"wrote {path}" for path in (*beside, card_path(out))),
            *weights_messages(known),
            *unsupported_lines(arch),
            *checks,
        ]

    def _check(self, found: NDArray[Any], expected: NDArray[Any], calibration: Int8Calibration) -> str:
        """Return a line with the result of the check; `InvalidInput` where the logits are too far off."""
        absolute, _ = difference(found, expected)
        middle = expected.mean(0) if calibration.outputs == "numbers" else 0.0
        error = relative_error(found - middle, expected - middle)
        if not error <= TOLERANCE:
            raise InvalidInput(
                f"the int8 model's logits are off by {error:.2f} of their size ({TOLERANCE} is allowed); nothing was "
                + "; ".join(
                    ["written: train longer, calibrate with the training data, or export float32", *calibration.notes]
                )
            )
        checked = calibration.check_data or calibration.data
        same = {
            "classes": f"same class as float32 on {agreement(found, expected):.2%}, ",
            "labels": f"same label as float32 on {np.mean((found > 0) == (expected > 0)):.2%}, ",
            "numbers": "",
        }[calibration.outputs]
        outputs = "outputs" if calibration.outputs == "numbers" else "logits"
        line = (
            f"checked in {self.runtime_name} on {len(expected)} test images of {checked}: {same}"
            f"largest difference of the {outputs} {absolute:.1e}, error {error:.3f}"
        )
        if calibration.check_labels is None:
            return line
        top1 = [float((one.argmax(1) == calibration.check_labels).mean()) for one in (found, expected)]
        return f"{line}; top-1 {top1[0]:.2%} in int8, {top1[1]:.2%} in float32"


def standardised(weights: Mapping[str, Any], signature: Signature | None) -> tuple[Mapping[str, Any], Signature | None]:
    """Return weights whose outputs are standardised numbers, with the signature that says so; others as they are."""
    if signature is None or not signature.outputs.mean:
        return weights, signature
    mean, std = (np.array(values, np.float64) for values in (signature.outputs.mean, signature.outputs.std))
    weight, bias = (np.asarray(weights[name], np.float64) for name in CLASSIFIER)
    small = {CLASSIFIER[0]: weight / std, CLASSIFIER[1]: (bias - mean) / std}
    changed = {name: value.astype(np.float32) for name, value in small.items()}
    return {**weights, **changed}, replace(signature, outputs=replace(signature.outputs, standardised=True))


def agreement(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """Return the share of images for which both choose the same class."""
    return float((found.argmax(1) == expected.argmax(1)).mean())


def relative_error(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """Return the root mean square of the difference relative to that of `expected`; infinite where shapes differ."""
    if found.shape != expected.shape or not np.isfinite(found).all():
        return float("inf")
    error, size = np.square(found - expected, dtype=np.float64).sum(), np.square(expected, dtype=np.float64).sum()
    return float(np.sqrt(error / size)) if size else float(np.sqrt(error))
