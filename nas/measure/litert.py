"""The runtime LiteRT on the CPU (XNNPACK), float32: https://ai.google.dev/edge/litert.

Networks are those of nas.export.tflite.graph. The package is imported where it is used: it is an optional dependency.
"""

from importlib.metadata import version

from nas.arch import ArchSpec
from nas.measure.benchmark import Timed, timed_runs
from nas.measure.in_process import InProcessRuntime
from nas.measure.random_weights import random_images, random_tensor


def _loaded(threads: int, batch: int, arch: ArchSpec) -> Timed:
    """Return `arch` with random weights, ready to be timed."""
    from nas.export.tflite.graph import interpreter, tflite_model

    model = tflite_model(arch, random_tensor, {})
    return timed_runs(interpreter(model, random_images(arch, batch), threads).invoke)


RUNTIME = InProcessRuntime(
    "litert", ("ai_edge_litert",), lambda: f"ai-edge-litert {version('ai-edge-litert')}", _loaded
)
