"""Runtime for nas measure: ONNX Runtime on one thread, in processor time of the thread instead of wall-clock time.

On a machine with other load, wall-clock medians include the time that a network waits for the processor. Processor time
leaves it out, but not the cost of shared caches and sibling threads: reliable numbers need an unloaded machine.
Command: nas measure SPEC --runtime experiments.processor_time:RUNTIME
"""

import time

import numpy as np

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.measure.benchmark import Timed
from nas.measure.in_process import InProcessRuntime
from nas.measure.onnx_runtime import RUNTIME as WALL_CLOCK
from nas.measure.random_weights import random_images, random_tensor


def _loaded(threads: int, batch: int, arch: ArchSpec) -> Timed:
    import onnxruntime

    from nas.export.onnx.graph import onnx_model

    if threads != 1:
        raise InvalidInput(f"processor time is that of one thread, so --threads must be 1, got {threads}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = 1, 1
    content = onnx_model(arch, random_tensor, {}).SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    images = np.ascontiguousarray(random_images(arch, batch).transpose(0, 3, 1, 2))
    inputs = {session.get_inputs()[0].name: images}

    def run(count: int) -> list[float]:
        times_ms = []
        for _ in range(count):
            start = time.thread_time_ns()
            session.run(None, inputs)
            times_ms.append((time.thread_time_ns() - start) / 1e6)
        return times_ms

    return run


RUNTIME = InProcessRuntime("onnxruntime, processor time", ("onnx", "onnxruntime"), WALL_CLOCK.version, _loaded)
