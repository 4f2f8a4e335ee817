"""The runtime ONNX Runtime on the CPU, int8: what `nas export --format onnx --quantize int8` writes, with QDQ nodes.

Weights are random, and so are the few images from which the ranges of the activations come: only the speed counts. The
packages are imported where they are used: they are optional dependencies.
"""

from time import perf_counter_ns

from nas.arch import ArchSpec
from nas.export.onnx.int8_file import check_supported
from nas.measure.benchmark import Clock, Timed
from nas.measure.in_process import InProcessRuntime
from nas.measure.onnx_runtime import session_of
from nas.measure.onnx_runtime import version as runtime_version
from nas.measure.random_weights import random_images, random_tensor

IMAGES = 4  # for the ranges


def version() -> str:
    """Return the version that a latency depends on, and the form of the files: their activations were int8 once."""
    return f"{runtime_version()}, uint8 activations"


def loaded(threads: int, batch: int, arch: ArchSpec, clock: Clock = perf_counter_ns) -> Timed:
    """Return `arch` with random weights, quantised, ready to be timed; `InvalidInput` for what has no int8 form."""
    from nas.export.calibration import Int8Calibration
    from nas.export.onnx.int8 import int8_model

    check_supported(arch)
    images = random_images(arch, IMAGES)
    calibration = Int8Calibration("random numbers", "", (0.0,), (1.0,), images, images, None)
    content = int8_model(arch, random_tensor, {}, calibration)[0]
    return session_of(content, threads, random_images(arch, batch), clock)


RUNTIME = InProcessRuntime("onnxruntime-int8", ("onnx", "onnxruntime"), version, loaded)
