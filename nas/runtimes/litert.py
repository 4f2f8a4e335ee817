"""LiteRT on the CPU (XNNPACK), float32: https://ai.google.dev/edge/litert; the file of nas.export.tflite_graph."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

from nas.arch import ArchSpec
from nas.export.packages import need
from nas.measure import Loader, Timed, timed_runs
from nas.runtimes.filling import random_pictures, random_tensor


class LiteRt:
    """Runs networks in this process."""

    name = "litert"

    def versions(self) -> str:
        """Return the versions that a latency depends on; `InvalidInput` with the remedy where one is missing."""
        need("ai_edge_litert")
        return f"ai-edge-litert {version('ai-edge-litert')}"

    @contextmanager
    def open(self, *, threads: int, batch: int) -> Iterator[Loader]:
        """Yield what loads networks; they are given back at the end."""
        yield lambda arch: _loaded(arch, threads, batch)


def _loaded(arch: ArchSpec, threads: int, batch: int) -> Timed:
    from nas.export.tflite_file import interpreter
    from nas.export.tflite_graph import tflite_model

    model = tflite_model(arch, random_tensor, {})
    return timed_runs(interpreter(model, random_pictures(arch, batch), threads).invoke)


RUNTIME = LiteRt()
