"""The error of predicted latencies on screens and pages: that of a finished search, and of a target by its name."""

from collections.abc import Iterable
from contextlib import suppress

from latency_models.latency_error import LatencyError, error_of
from latency_models.roofline import Roofline
from latency_models.target import load_target
from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.records.results import PredictionError, Result

NINETY = "±: 90 % of networks that the model has not seen lie within"


def error_of_target(target: str) -> LatencyError | None:
    """Return the error of the default model of the target of that name, None where there is none of that name."""
    with suppress(InvalidInput, LookupError, OSError):
        return error_of(load_target(target))
    return None


def setup_of_target(target: str) -> str:
    """Return runtime, threads and dtype of the target of that name, "" where there is none of that name."""
    with suppress(InvalidInput, LookupError, OSError):
        return load_target(target).setup
    return ""


def error_of_result(result: Result) -> PredictionError | None:
    """Return the error that a result states; of a release that stated none, that of its target today.

    None where that is not known: an abstract device, a target that is gone, another latency model.
    """
    if result.latency_error is not None or result.latency_model != "default":
        return result.latency_error
    known = error_of_target(result.target)
    if known is None:
        return None
    known = known.at(result.arch)
    return PredictionError(known.percent, known.mean_percent, known.basis, setup_of_target(result.target), None)


def error_on(model: Roofline, archs: Iterable[ArchSpec]) -> LatencyError:
    """Return the error that the latencies of all `archs` on a device have; that of the device where they differ."""
    known = [error_of(model, arch) for arch in archs]
    return known[0] if len({error.percent for error in known}) == 1 else error_of(model)


def error_text(known: PredictionError | None) -> str:
    """Return an error as it stands behind a latency: "± 18 %", or why it has none in brackets; "" for None."""
    return "" if known is None else LatencyError(known.percent, known.basis, known.mean_percent).text


def gap_text(result: Result) -> str:
    """Return how far the predicted latency is from the budget, with the error that this difference drowns in.

    "gap -0.95 % of a latency known to ± 18 %; 61 % of random networks of the space lie as near to the budget".
    """
    gap, known = result.latency / result.latency_budget - 1, error_of_result(result)
    text = f"gap {100 * gap:+.2f} %"
    if known is None:
        return f"{text} of a latency whose error is not known"
    if known.percent is None:
        return f"{text} of a latency whose error is not known ({known.basis})"
    text += f" of a latency known to {error_text(known)}"
    if known.share_within is None:
        return text
    return f"{text}; {100 * known.share_within:.0f} % of random networks of the space lie that near to the budget"
