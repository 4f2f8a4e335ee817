"""The file experiment.json, which makes a folder a run: what it must hold where it holds it."""

from pathlib import Path
from typing import Any

from nas.records.typed import read_object

FILE = "experiment.json"
DEPENDS_ON, ACCEPTED, RESUMED = "depends_on", "accepted_changes", "resumed_with"  # see nas/runs/dependencies.py
FIELDS: dict[str, Any] = {
    "schema": str, "version": int, "settings": dict[str, Any], "targets": tuple[str, ...], "request": dict[str, Any],
    "algorithm": str | None, "data": dict[str, str], "versions": dict[str, str], "plan": tuple[str, ...],
    "forests": dict[str, str], DEPENDS_ON: dict[str, str], ACCEPTED: tuple[dict[str, str], ...],
    RESUMED: tuple[dict[str, str], ...],
}  # fmt: skip


def read_experiment(run: Path) -> dict[str, Any]:
    """Return the content of the experiment.json of a run; `InvalidInput` where it is missing or was altered."""
    return read_object(run / FILE, FIELDS, "the settings of a search", "start a new one")
