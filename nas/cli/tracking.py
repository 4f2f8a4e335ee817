"""The trackers that --track names, opened with the settings of a command."""

import argparse
from pathlib import Path

from nas.trackers import TrackingReporter, tracking

SIMPLE = (str, int, float, bool)  # types of settings that are tracked


def trackers(args: argparse.Namespace, folder: Path) -> TrackingReporter | None:
    """Return the reporter for the trackers of a command, None where none is named; those that cannot be had raise."""
    if not args.track:
        return None
    left_out = {"run", "command", "json", "plan", "track"}
    settings = {name: _plain(value) for name, value in vars(args).items() if name not in left_out}
    return tracking(args.track, folder, {name: value for name, value in settings.items() if value is not None})


def _plain(value: object) -> str | int | float | bool | None:
    """Return a flag's value as a tracker takes it; None for what is no setting."""
    if isinstance(value, list | tuple):
        return ",".join(map(str, value)) or None
    return value if isinstance(value, SIMPLE) else None
