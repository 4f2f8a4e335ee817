"""ONNX Runtime on the CPU, float32: https://onnxruntime.ai; the network as nas.export.onnx_graph writes it."""

import numpy as np

from nas.arch import ArchSpec
from nas.measure import Timed, timed_runs
from nas.runtimes.filling import random_pictures, random_tensor
from nas.runtimes.in_process import InProcess


def _version() -> str:
    import onnxruntime

    return f"onnxruntime {onnxruntime.__version__}"


def _loaded(threads: int, batch: int, arch: ArchSpec) -> Timed:
    import onnxruntime

    from nas.export.onnx_graph import onnx_model

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    content = onnx_model(arch, random_tensor, {}).SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    pictures = np.ascontiguousarray(random_pictures(arch, batch).transpose(0, 3, 1, 2))
    feeds = {session.get_inputs()[0].name: pictures}
    return timed_runs(lambda: session.run(None, feeds))


RUNTIME = InProcess("onnxruntime", ("onnx", "onnxruntime"), _version, _loaded)
