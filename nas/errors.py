"""Errors that a user can cause: each message is one line with what must hold, what came instead, and the remedy."""

from collections.abc import Iterable
from difflib import get_close_matches


class InvalidInput(ValueError):
    """A value, file or request that cannot be used; the command line prints it as one line and exits with status 2."""


class UnknownName(LookupError):
    """A name that no registry knows; built by :func:`unknown_name`, which adds the nearest known one."""

    def __str__(self) -> str:
        return str(self.args[0])


class Stopped(KeyboardInterrupt):
    """Raised where a callback asks a search or training to stop; treated as Ctrl-C, so the run can be resumed."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UnknownName:
    """Return the error for `name` missing among the `known` names of a `kind` ("space", "target", ...)."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(names)}"
    return UnknownName(f"unknown {kind} '{name}'; {hint}")
