"""A Ray cluster for one command: N workers started on this machine, or a cluster that runs already.

Workers compute with a fixed number of threads and a fixed share of a GPU, so that the number of workers cannot change a
result. XLA on a CPU takes its number of threads from NPROC (its flags have no effect on it, measured with
jax 0.10.2); a worker gets it from its environment, before Python starts.
"""

import logging
import os
import pickle
import shutil
import signal
import socket
import sys
import tempfile
import threading
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import ray
from ray.exceptions import AuthenticationError

from nas.errors import InvalidInput

MAX_WORKERS = 1024
MIN_STORE_BYTES = 80 * 2**20  # Ray asks for at least 75 MiB
CONNECT_S = 5.0  # within which something must answer at an address
FOLDER = "nas-ray-"  # begins the name of the folder for Ray's sockets and logs; the process id follows
AUTH_MODE = "RAY_AUTH_MODE"  # of the environment: "token", as where it is not set, or "disabled"
NEEDS_TOKEN = "asks for its token: set RAY_AUTH_MODE=token, with the token in RAY_AUTH_TOKEN or ~/.ray/auth_token"
THREAD_VARIABLES = ("NPROC", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Cluster:
    """A connection to Ray, closed by `close`; where Ray already runs in this process it is used and left running."""

    def __init__(self, workers: int, *, address: str | None = None, threads: int = 1, payload_bytes: int = 0) -> None:
        """Start Ray with room for `workers` of `threads` threads here, or connect to `address` ("auto", "host:port").

        `payload_bytes` is what the object store must hold. `InvalidInput` where there is no cluster at `address`.
        """
        _check_workers(workers)
        if threads < 1:
            raise InvalidInput(f"threads per worker must be at least 1, got {threads}")
        if address is not None:
            _check_answers(address)
        self.workers, self.threads = workers, threads
        self._folder: str | None = _new_folder()
        self.environment = _environment(threads, None if address else self.scratch)
        self._owned = not ray.is_initialized()
        if self._owned:
            self._start(address, payload_bytes)

    def _start(self, address: str | None, payload_bytes: int) -> None:
        """Start Ray, or connect to it."""
        common: dict[str, Any] = {
            "log_to_driver": False, "configure_logging": False, "runtime_env": {"env_vars": self.environment}
        }  # fmt: skip
        if address is None:
            _say_where_no_token_is_asked()
            common |= {
                "address": "local", "num_cpus": self.workers * self.threads, "include_dashboard": False,
                "object_store_memory": MIN_STORE_BYTES + 2 * payload_bytes, "_temp_dir": self._folder,
            }  # fmt: skip
        else:
            common["address"] = address
        logging.getLogger("ray").setLevel(logging.ERROR)
        handler = signal.getsignal(signal.SIGTERM)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # jax warns of the fork that starts each of Ray's processes; they exec
                ray.init(**common)
        except (ConnectionError, ValueError, RuntimeError, AuthenticationError) as error:
            self.close()
            if address is not None and _asks_for_token(error):
                raise InvalidInput(f"the Ray cluster at {address} {NEEDS_TOKEN}") from error
            where = "on this machine" if address is None else f"at {address}"
            raise InvalidInput(f"no Ray cluster {where}: {last_line(error)}") from error
        except BaseException:
            self.close()
            raise
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # Ray has replaced it

    @property
    def scratch(self) -> str:
        """A folder on this machine for temporary files; it is removed with the cluster."""
        return os.path.join(self._folder or "", "scratch")

    @property
    def gpus_each(self) -> float:
        """The share of a GPU of each worker: 1, 1/2, 1/3, ... where there are GPUs, so that all workers fit; else 0."""
        gpus = int(ray.cluster_resources().get("GPU", 0))
        return 1 / -(-self.workers // gpus) if gpus else 0.0

    def options(self) -> dict[str, Any]:
        """Return the options of a Ray actor for one worker: processors, share of a GPU, environment."""
        return {
            "num_cpus": self.threads,
            "num_gpus": self.gpus_each,
            "runtime_env": {"env_vars": self.environment},
        }

    def close(self) -> None:
        """Leave the cluster; end it and remove its files if it was started here. May be called again."""
        if self._owned:
            ray.shutdown()
            self._owned = False
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def check(workers: int, address: str | None) -> None:
    """Raise `InvalidInput` where so many workers cannot be had, or no cluster at `address` can be joined."""
    _check_workers(workers)
    if address is not None:
        Cluster(workers, address=address).close()


def _check_workers(workers: int) -> None:
    """Raise `InvalidInput` for a number of workers out of range."""
    if not 1 <= workers <= MAX_WORKERS:
        raise InvalidInput(f"the number of workers must lie between 1 and {MAX_WORKERS}, got {workers}")


def _check_answers(address: str) -> None:
    """Raise `InvalidInput` where nothing listens at `address`, "host:port": Ray itself would try again for minutes."""
    host, _, port = address.rpartition("//")[2].rpartition(":")
    if host and port.isdecimal():
        try:
            socket.create_connection((host, int(port)), timeout=CONNECT_S).close()
        except (OSError, OverflowError) as error:
            raise InvalidInput(f"no Ray cluster at {address}: nothing answers there ({error})") from error


def _asks_for_token(error: BaseException | None) -> bool:
    """Return whether an error of Ray's was caused by a token that is missing or wrong."""
    # Ray raises other errors that have it as their cause, or merely quote its name in their text.
    while error is not None:
        if isinstance(error, AuthenticationError) or AuthenticationError.__name__ in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _new_folder() -> str:
    """Return a new folder for Ray's sockets and logs, and remove those that killed processes of this user left.

    It lies in /tmp whatever TMPDIR says: the path of a socket must be short.
    """
    for old in Path("/tmp").glob(f"{FOLDER}*"):
        owner = old.name.removeprefix(FOLDER).partition("-")[0]
        with suppress(OSError):  # what others left there, links that lead nowhere say, is no matter
            if owner.isdecimal() and not Path("/proc", owner).exists() and old.lstat().st_uid == os.getuid():
                shutil.rmtree(old, ignore_errors=True)
    try:
        return tempfile.mkdtemp(prefix=f"{FOLDER}{os.getpid()}-", dir="/tmp")
    except OSError as error:
        raise InvalidInput(
            f"Ray needs a folder for its sockets in /tmp: {error.strerror}; or leave out --workers"
        ) from error


def _say_where_no_token_is_asked() -> None:
    """Warn where the environment lets Ray start without a token; by default it asks for one."""
    if os.environ.get(AUTH_MODE, "token").lower() != "token":
        warnings.warn(
            f"{AUTH_MODE}={os.environ[AUTH_MODE]}: whoever reaches the ports of Ray on this machine can run code here; "
            f"unset {AUTH_MODE}",
            stacklevel=2,
        )


def _environment(threads: int, scratch: str | None) -> dict[str, str]:
    """Return the environment variables of a worker.

    With `scratch`, a folder on this machine, a worker also finds our modules, and shares what XLA compiled with the
    others: a trial that goes on in another worker does not compile again.
    """
    found = dict.fromkeys(THREAD_VARIABLES, str(threads)) | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    if scratch is not None:
        found["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(os.path.abspath(path) for path in sys.path))
        found["JAX_COMPILATION_CACHE_DIR"] = os.path.join(scratch, "compiled")
    return found


def store_bytes(payload: Any) -> int:
    """Return how many bytes `payload` takes in the object store."""
    buffers: list[pickle.PickleBuffer] = []  # protocol 5 hands arrays out here, without a copy
    head = pickle.dumps(payload, protocol=5, buffer_callback=buffers.append)
    return len(head) + sum(buffer.raw().nbytes for buffer in buffers)


def last_line(error: BaseException) -> str:
    """Return the last line of an error's text that is not blank.

    Where an error crossed processes, its text is a traceback, whose last line is the error itself.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
