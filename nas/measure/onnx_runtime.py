"""The runtime ONNX Runtime on the CPU, float32: https://onnxruntime.ai.

Networks are those of nas.export.onnx.graph. The packages are imported where they are used: they are optional
dependencies.
"""

import numpy as np

from nas.arch import ArchSpec
from nas.measure.benchmark import Timed, timed_runs
from nas.measure.in_process import InProcessRuntime
from nas.measure.random_weights import random_images, random_tensor


def _version() -> str:
    """Return the version that a latency depends on."""
    import onnxruntime

    return f"onnxruntime {onnxruntime.__version__}"


def _loaded(threads: int, batch: int, arch: ArchSpec) -> Timed:
    """Return `arch` with random weights, ready to be timed."""
    import onnxruntime

    from nas.export.onnx.graph import onnx_model

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    content = onnx_model(arch, random_tensor, {}).SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    images = np.ascontiguousarray(random_images(arch, batch).transpose(0, 3, 1, 2))  # to NCHW
    inputs = {session.get_inputs()[0].name: images}
    return timed_runs(lambda: session.run(None, inputs))


RUNTIME = InProcessRuntime("onnxruntime", ("onnx", "onnxruntime"), _version, _loaded)
