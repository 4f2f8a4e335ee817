"""The costs that a run's files state of a network, predicted again when they are shown.

They follow from the architecture and the target: where a file states another number, the model of the target has
changed since the search, or the file was altered. The number of today is shown, and a note says what it was.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from latency_models.latency_error import error_of
from latency_models.roofline import Roofline
from latency_models.target import abstract_target, load_target
from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.records.results import Result
from nas.registry import UnstatedCode
from nas.space.scaling import with_input
from nas.zoo import reference

REFERENCE = "mobilenetv4-conv-s"  # what latencies on an abstract device are relative to
SAME = 1e-9  # relative difference that rounding alone may make
TEXT = {
    "latency": "the predicted latency was", "peak_activation_bytes": "the bytes of activations were",
    "weight_bytes": "the bytes of weights were",
}  # fmt: skip


def predicted_costs(model: Roofline, arch: ArchSpec) -> dict[str, Any]:
    """Return the fields of a `Result` that follow from the architecture and the latency model of its target."""
    return {
        "latency": model.predict_ms(arch),
        "peak_activation_bytes": round(arch.peak_activation_elements * model.bytes_per_activation * model.batch),
        "weight_bytes": round(sum(kernel.weights for kernel in arch.kernels) * model.bytes_per_weight),
    }


def model_of_run(target: str, result: Result, experiment: Mapping[str, Any]) -> Roofline | None:
    """Return the latency model of a target or of the search's abstract device; None where it cannot be made."""
    settings = {**experiment, **experiment.get("settings", {})}
    try:
        if settings.get("ridge_point") is not None:
            shape = result.arch.input_shape
            scale = with_input(reference(REFERENCE), shape.size, shape.channels, result.arch.num_classes)
            return abstract_target(settings["ridge_point"], settings.get("peak_gmacs_per_s"), scale)
        return load_target(target).model(result.latency_model)
    except UnstatedCode:  # not what a page is silent about
        raise
    except (InvalidInput, LookupError, TypeError):
        return None


def as_predicted_now(result: Result, experiment: Mapping[str, Any]) -> Result:
    """Return `result` with the costs that its target's model predicts now, and a note for each that was another one.

    As it is where the target can no longer be read, or is code that no call has named. `experiment` is the content of
    the run's experiment.json.
    """
    try:
        model = model_of_run(result.target, result, experiment)
    except UnstatedCode:
        return result
    if model is None or model.unit != result.latency_unit:
        return result
    now = predicted_costs(model, result.arch)
    changed = {name: value for name, value in now.items() if not _same(value, getattr(result, name))}
    notes = [
        f"{TEXT[name]} {getattr(result, name):.6g}{unit} when searched, {value:.6g}{unit} by the model of "
        f"{result.target} now: that has changed since, or best.json was altered"
        for name, value in changed.items()
        for unit in (f" {result.latency_unit}" if name == "latency" else "",)
    ]
    stated = result.latency_error
    if stated is not None and stated.percent is not None:
        known = error_of(model, result.arch)
        if known.percent is None or not _same(known.percent, stated.percent):
            changed["latency_error"] = replace(
                stated, percent=known.percent, mean_percent=known.mean_percent, basis=known.basis
            )
            notes.append(f"the error of the latency was ± {stated.percent:.3g} % when searched")
    return replace(result, **changed, notes=(*result.notes, *notes)) if changed else result


def _same(now: float, stated: float) -> bool:
    return abs(now - stated) <= SAME * max(abs(now), abs(stated))
