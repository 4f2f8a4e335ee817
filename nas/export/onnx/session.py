"""Sessions of ONNX Runtime in which int8 sums are exact. Imports no jax."""

from typing import Any

EXACT_SUMS = ("session.x64quantprecision", "1")  # of ONNX Runtime's onnxruntime_session_options_config_keys.h


def open_session(model: bytes | str, threads: int = 0) -> Any:
    """Return the session of ONNX Runtime with the network of an ONNX file, its bytes or its path; 0 threads: all cores.

    Its int8 sums are exact on every processor: without `EXACT_SUMS`, they saturate at 16 bits on x86-64 ones without
    VNNI instructions.
    """
    import onnxruntime  # may be missing

    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(*EXACT_SUMS)
    if threads:
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
