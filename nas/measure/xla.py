"""The runtime XLA on the CPU, float32: the Flax network of nas.nn, compiled ahead of time, in a process of its own.

XLA takes its number of threads from NPROC when it starts (the thread settings in XLA_FLAGS have no effect in jax 0.10),
hence the process. The depthwise convolution is the sum of shifted products of nas.nn.primitives, four times as fast on
a CPU as XLA's own. This says how fast a search runs on this host, not how fast a phone is.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.measure.benchmark import Loader, Timed, timed_runs
from nas.measure.random_weights import random_images, random_tensor

END_TIMEOUT_S = 10


class Xla:
    """The `Runtime` that runs networks in a process started for them."""

    name = "xla"

    def versions(self) -> str:
        """Return the versions that a latency depends on."""
        return f"jax {version('jax')}, jaxlib {version('jaxlib')}"

    @contextmanager
    def open(self, *, threads: int, batch: int) -> Iterator[Loader]:
        """Yield the function that loads networks into a new process, which ends with this context."""
        ours, theirs = get_context("spawn").Pipe()
        process = get_context("spawn").Process(target=_serve, args=(theirs, threads, batch), daemon=True)
        process.start()
        theirs.close()
        loaded = 0

        def load(arch: ArchSpec) -> Timed:
            nonlocal loaded
            index, loaded = loaded, loaded + 1
            _ask(ours, arch.to_dict())
            return lambda runs: _ask(ours, (index, runs))

        try:
            yield load
        finally:
            ours.close()  # the process ends when the other side of its pipe is closed
            process.join(END_TIMEOUT_S)
            process.kill()


def _ask(connection: Connection, question: Any) -> Any:
    """Send a question to the other process and return its answer."""
    try:
        connection.send(question)
        return connection.recv()
    except (EOFError, OSError) as error:
        raise InvalidInput("the process that ran XLA ended early; is there enough memory? measure fewer") from error


def _serve(connection: Connection, threads: int, batch: int) -> None:
    """Answer questions until the pipe is closed: a spec (a dict) is loaded, (index, runs) gives times."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that asks also ends this one
    os.environ |= {"NPROC": str(threads), "JAX_PLATFORMS": "cpu"}  # jax is not imported yet
    networks: list[Timed] = []
    try:
        while True:
            question = connection.recv()
            if isinstance(question, dict):
                networks.append(_loaded(ArchSpec.from_dict(question), batch))
                connection.send(None)
            else:
                index, runs = question
                connection.send(networks[index](runs))
    except (EOFError, BrokenPipeError):
        return


def _loaded(arch: ArchSpec, batch: int) -> Timed:
    """Return `arch` with random weights, compiled, ready to be timed."""
    import jax  # after NPROC is set, and only in the process that runs networks

    from nas.nn.network import merged, weight_shapes

    weights = {name: jax.numpy.asarray(random_tensor(name, shape)) for name, shape in weight_shapes(arch).items()}
    images = jax.numpy.asarray(random_images(arch, batch))
    run = jax.jit(lambda weights, x: merged(arch, weights)(x)).lower(weights, images).compile()
    return timed_runs(lambda: run(weights, images).block_until_ready())


RUNTIME = Xla()
