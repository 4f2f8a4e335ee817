"""LiteRT on the CPU (XNNPACK), float32: https://ai.google.dev/edge/litert; the file of nas.export.tflite_graph."""

from importlib.metadata import version

from nas.arch import ArchSpec
from nas.measure import Timed, timed_runs
from nas.runtimes.filling import random_pictures, random_tensor
from nas.runtimes.in_process import InProcess


def _loaded(threads: int, batch: int, arch: ArchSpec) -> Timed:
    from nas.export.tflite_graph import interpreter, tflite_model

    model = tflite_model(arch, random_tensor, {})
    return timed_runs(interpreter(model, random_pictures(arch, batch), threads).invoke)


RUNTIME = InProcess("litert", ("ai_edge_litert",), lambda: f"ai-edge-litert {version('ai-edge-litert')}", _loaded)
