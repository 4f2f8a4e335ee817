"""A runtime of the extra `export` that runs in this process."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from nas.arch import ArchSpec
from nas.export.packages import need
from nas.measure.benchmark import Loader, Timed


@dataclass(frozen=True)
class InProcessRuntime:
    """A `measure.Runtime`: the packages that it needs, what tells its version, and what loads a network."""

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
        """Yield what loads networks."""
        yield partial(self.load, threads, batch)
