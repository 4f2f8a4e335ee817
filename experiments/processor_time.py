"""Runtimes for nas measure: ONNX Runtime on one thread, in processor time of the thread instead of wall-clock time.

On a machine with other load, wall-clock medians include the time that a network waits for the processor. Processor time
leaves it out, but not the cost of shared caches and sibling threads: reliable numbers need an unloaded machine.
Command: nas measure SPEC --runtime experiments.processor_time:RUNTIME   (int8: experiments.processor_time:INT8)
"""

import time
from collections.abc import Callable

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.measure.benchmark import Clock, Timed
from nas.measure.in_process import InProcessRuntime
from nas.measure.onnx_runtime import RUNTIME as WALL_CLOCK
from nas.measure.onnx_runtime import loaded as load_float
from nas.measure.onnx_runtime_int8 import loaded as load_int8

Load = Callable[[int, int, ArchSpec, Clock], Timed]


def on_one_thread(load: Load) -> Callable[[int, int, ArchSpec], Timed]:
    """Return the function that loads a network to be timed by the processor time of the one thread that runs it."""

    def loaded(threads: int, batch: int, arch: ArchSpec) -> Timed:
        if threads != 1:
            raise InvalidInput(f"processor time is that of one thread, so --threads must be 1, got {threads}")
        return load(threads, batch, arch, time.thread_time_ns)

    return loaded


PACKAGES = ("onnx", "onnxruntime")
RUNTIME = InProcessRuntime("onnxruntime, processor time", PACKAGES, WALL_CLOCK.version, on_one_thread(load_float))
INT8 = InProcessRuntime("onnxruntime-int8, processor time", PACKAGES, WALL_CLOCK.version, on_one_thread(load_int8))
