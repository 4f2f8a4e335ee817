"""The data type in which each runtime that measures on this host computes; nothing heavy is imported for it."""

from collections.abc import Mapping

from latency_models.target import Dtype

COMPUTES_IN: Mapping[str, Dtype] = {"onnxruntime": "fp32", "onnxruntime-int8": "int8", "litert": "fp32", "xla": "fp32"}


def dtype_measured(runtime: str | None) -> Dtype | None:
    """Return the data type in which a runtime of `registry.RUNTIMES` computes; None for any other."""
    return COMPUTES_IN.get(runtime) if runtime else None


def dtype_doubt(runtime: str | None, dtype: Dtype) -> str | None:
    """Return a line where a target of this data type is fitted to latencies in another; None where it is not."""
    measured = dtype_measured(runtime)
    if measured in (None, dtype):
        return None
    return (
        f"{runtime} computes in {measured}, and the target is said to compute in {dtype}: calibrate with --dtype "
        f"{measured}, or with --like a target in {measured}"
    )
