"""Weights & Biases: a run of the project "nas", or of that in WANDB_PROJECT, in the folder `wandb` of our run.

Offline, unless WANDB_MODE says otherwise: WANDB_MODE=online nas search ..., or later: wandb sync RUN/wandb/offline-*. A
search that is resumed goes on in the run that it began.
"""

import os
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from nas.trackers import TrackedRun, need

need("wandb")
for _name, _value in (("WANDB_MODE", "offline"), ("WANDB_ERROR_REPORTING", "false"), ("WANDB_SILENT", "true")):
    os.environ.setdefault(_name, _value)  # W&B reads them when it is imported

import wandb  # noqa: E402

PROJECT = "nas"
ID_LENGTH = 16


class WeightsAndBiases:
    """Logs numbers and settings to a run."""

    def __init__(self, run: TrackedRun) -> None:
        self._stages = set[str]()
        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT), name=run.name, dir=str(run.folder), resume="allow",
            id=sha256(str(run.folder.resolve()).encode()).hexdigest()[:ID_LENGTH], config=dict(run.settings),
        )  # fmt: skip

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Log the numbers of one step; every stage has an axis of its own, since W&B's own step only grows."""
        stage = next(iter(values)).rpartition("/")[0]
        if stage not in self._stages:
            self._stages.add(stage)
            self._run.define_metric(f"{stage}/*", step_metric=f"{stage}/step")
        self._run.log({**values, f"{stage}/step": step})

    def close(self) -> None:
        """End the run."""
        self._run.finish()
