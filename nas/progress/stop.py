"""A request to stop, kept as a flag: a signal handler sets it and raises, and loops look at it between two dispatches.

An exception alone can be lost. Where a handler raises inside a callback, a destructor or a library that catches
everything, Python goes on behind it; the flag is still there at the next look. Without a request a look costs nothing.
"""

import signal

_requested: int | None = None  # number of the first signal


def request_stop(signum: int = signal.SIGINT) -> None:
    """Ask all loops to stop, as the signal `signum` would; of several requests the first is kept."""
    global _requested
    _requested = _requested or signum


def withdraw_stop() -> None:
    """Forget a request to stop."""
    global _requested
    _requested = None


def stop_requested() -> int | None:
    """Return the number of the signal that asked to stop, None where none did."""
    return _requested


def raise_if_stopped() -> None:
    """Raise `KeyboardInterrupt` where a stop was requested; to be called between two dispatches of a loop."""
    if _requested is not None:
        raise KeyboardInterrupt
