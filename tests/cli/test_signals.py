"""How commands end by signals: real processes, stopped while compiling, in a callback, twice, and by each signal."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nas.cli import signals
from nas.progress.stop import raise_if_stopped, request_stop, stop_requested, withdraw_stop

WITHIN_S = 1.0  # of the first signal, on a machine of its own
SLACK_S = 4.0  # on top of it, for machines that run other tests too

# A command line whose command works as the first argument says, in a folder with an experiment.json.
STAND_IN = """
import signal, sys, time
from pathlib import Path
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup or in the background of a shell, tests ignore these,
signal.signal(signal.SIGINT, signal.default_int_handler)  # and so would their processes
import nas.cli as cli
from nas.cli.folders import resumable
from nas.progress.stop import raise_if_stopped

def compile_for_long():
    import jax, jax.numpy as jnp
    def body(x):
        for i in range(500):
            x = jnp.sin(x @ x) * (i + 1.5) + x.T
        return x
    lowered = jax.jit(body).lower(jnp.ones((4, 4)))
    print("ready", flush=True)
    lowered.compile()

class Destructor:
    def __del__(self):  # Python cannot raise from here
        print("ready", flush=True)
        time.sleep(60)

def swallow():
    made = Destructor()
    del made
    while True:
        raise_if_stopped()
        time.sleep(0.01)

def convert():
    print("ready", flush=True)
    try:
        time.sleep(60)
    except KeyboardInterrupt as error:
        raise RuntimeError("a library failed") from error

def save_slowly():
    print("ready", flush=True)
    try:
        time.sleep(60)
    finally:
        time.sleep(60)

def work(argv):
    with resumable(Path(sys.argv[2])):
        {"compile": compile_for_long, "swallow": swallow, "convert": convert, "save": save_slowly}[sys.argv[1]]()

cli._run = work
raise SystemExit(cli.program())
"""


@pytest.fixture(autouse=True)
def _no_request() -> Iterator[None]:
    yield
    withdraw_stop()


def stopped(root: Path, folder: Path, how: str, *signums: int, apart_s: float = 0.2) -> tuple[int, str, str, float]:
    """Return status, output, errors and the seconds from the first of the signals to the end of a command."""
    (folder / "experiment.json").write_text("{}")
    with subprocess.Popen(
        [sys.executable, "-c", STAND_IN, how, str(folder)], env=os.environ | {"PYTHONPATH": str(root)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder,
    ) as command:  # fmt: skip
        assert command.stdout is not None and command.stdout.readline() == "ready\n"
        time.sleep(0.3)  # into the compilation, or the sleep
        began = time.monotonic()
        for number, signum in enumerate(signums):
            time.sleep(apart_s * bool(number))
            command.send_signal(signum)
        try:
            out, err = command.communicate(timeout=60)
        finally:
            command.kill()
        return command.returncode, out, err, time.monotonic() - began


@pytest.mark.parametrize(
    ("how", "signum", "status"),
    [
        ("compile", signal.SIGTERM, 143), ("compile", signal.SIGINT, 130), ("swallow", signal.SIGTERM, 143),
        ("swallow", signal.SIGHUP, 129), ("convert", signal.SIGTERM, 143), ("save", signal.SIGINT, 130),
    ],
)  # fmt: skip
def test_the_first_signal_ends_a_command_within_a_second(
    root: Path, tmp_path: Path, how: str, signum: int, status: int
) -> None:
    code, _, err, seconds = stopped(root, tmp_path, how, signum)
    assert code == status
    assert err == f"nas: stopped; go on with: nas resume {tmp_path}\n"
    assert seconds < WITHIN_S + SLACK_S


def test_the_second_signal_ends_a_command_at_once(root: Path, tmp_path: Path) -> None:
    code, _, err, seconds = stopped(root, tmp_path, "save", signal.SIGTERM, signal.SIGTERM, apart_s=0.05)
    assert code == 143 and seconds < WITHIN_S + SLACK_S
    assert err == f"nas: stopped; go on with: nas resume {tmp_path}\n"


def test_a_signal_that_is_ignored_stays_ignored(root: Path, tmp_path: Path) -> None:
    code = "\n".join(
        (
            "import os, signal, nas.cli as cli",
            "signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does",
            "cli._run = lambda argv: os.kill(os.getpid(), signal.SIGHUP)",
            "raise SystemExit(cli.program())",
        )
    )
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(root)}, cwd=tmp_path)
    assert done.returncode == 0


def test_a_request_is_kept_until_it_is_withdrawn() -> None:
    raise_if_stopped()
    request_stop(signal.SIGTERM)
    request_stop(signal.SIGINT)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            raise_if_stopped()
    assert (stop_requested(), signals.exit_status()) == (signal.SIGTERM, 143)
    withdraw_stop()
    raise_if_stopped()


def fail(error: Exception, signum: int | None) -> None:
    with signals.handled(), signals.interruptible(lambda: "the advice"):
        if signum is not None:
            request_stop(signum)
        raise error


def test_an_error_that_a_library_made_of_the_interruption_says_how_to_go_on_too() -> None:
    with pytest.raises(KeyboardInterrupt, match="the advice"):
        fail(RuntimeError("a library failed"), signal.SIGTERM)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        fail(RuntimeError("a fault of ours"), None)
