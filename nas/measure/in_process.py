"""The runtimes that run in this process; their packages come with the extra `export`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from nas.arch import ArchSpec
from nas.export.packages import need
from nas.measure.benchmark import Loader, Timed


@dataclass(frozen=True)
class InProcessRuntime:
    """A `Runtime` in this process: its packages, a function that returns its version, and one that loads a network."""

    name: str
    packages: tuple[str, ...]
    version: Callable[[], str]  # "onnxruntime 1.31.1"
    load: Callable[[int, int, ArchSpec], Timed]  # threads, batch, network

    def versions(self) -> str:
        """Return the versions that a latency depends on; `InvalidInput` with the remedy where a package is missing."""
        need(*self.packages)
        return self.version()

    @contextmanager
    def open(self, *, threads: int, batch: int) -> Iterator[Loader]:
        """Yield the function that loads networks."""
        yield partial(self.load, threads, batch)
