"""ONNX Runtime on the CPU, float32: https://onnxruntime.ai; the network as nas.export.onnx_graph writes it."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from nas.arch import ArchSpec
from nas.export.packages import need
from nas.measure import Loader, Timed, timed_runs
from nas.runtimes.filling import random_pictures, random_tensor


class OnnxRuntime:
    """Runs networks in this process."""

    name = "onnxruntime"

    def versions(self) -> str:
        """Return the versions that a latency depends on; `InvalidInput` with the remedy where one is missing."""
        need("onnx", "onnxruntime")
        import onnxruntime

        return f"onnxruntime {onnxruntime.__version__}"

    @contextmanager
    def open(self, *, threads: int, batch: int) -> Iterator[Loader]:
        """Yield what loads networks; they are given back at the end."""
        yield lambda arch: _loaded(arch, threads, batch)


def _loaded(arch: ArchSpec, threads: int, batch: int) -> Timed:
    import onnxruntime

    from nas.export.onnx_graph import onnx_model

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    content = onnx_model(arch, random_tensor, {}).SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    pictures = np.ascontiguousarray(random_pictures(arch, batch).transpose(0, 3, 1, 2))
    feeds = {session.get_inputs()[0].name: pictures}
    return timed_runs(lambda: session.run(None, feeds))


RUNTIME = OnnxRuntime()
