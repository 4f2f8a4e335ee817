"""The runtime ONNX Runtime on the CPU, float32: https://onnxruntime.ai.

Networks are those of nas.export.onnx.graph. The packages are imported where they are used: they are optional
dependencies.
"""

from time import perf_counter_ns

import numpy as np
from numpy.typing import NDArray

from nas.arch import ArchSpec
from nas.export.onnx.session import open_session
from nas.measure.benchmark import Clock, Timed, timed_runs
from nas.measure.in_process import InProcessRuntime
from nas.measure.random_weights import random_images, random_tensor


def version() -> str:
    """Return the version that a latency depends on."""
    import onnxruntime

    return f"onnxruntime {onnxruntime.__version__}"


def loaded(threads: int, batch: int, arch: ArchSpec, clock: Clock = perf_counter_ns) -> Timed:
    """Return `arch` with random weights, ready to be timed."""
    from nas.export.onnx.graph import onnx_model

    content = onnx_model(arch, random_tensor, {}).SerializeToString()
    return session_of(content, threads, random_images(arch, batch), clock)


def session_of(content: bytes, threads: int, images: NDArray[np.float32], clock: Clock = perf_counter_ns) -> Timed:
    """Return a session that runs the network of an ONNX file on images [N, H, W, C], ready to be timed."""
    session = open_session(content, threads)
    inputs = {session.get_inputs()[0].name: np.ascontiguousarray(images.transpose(0, 3, 1, 2))}  # to NCHW
    return timed_runs(lambda: session.run(None, inputs), clock)


RUNTIME = InProcessRuntime("onnxruntime", ("onnx", "onnxruntime"), version, loaded)
