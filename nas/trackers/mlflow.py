"""MLflow: a run of the experiment "nas", or of that in MLFLOW_EXPERIMENT_NAME.

Where it is kept says MLflow's own configuration, MLFLOW_TRACKING_URI say; by default in the working directory. A search
that is resumed goes on in the run that it began, which is found by its folder.
"""

import os
from collections.abc import Mapping

from nas.trackers import TrackedRun, need

need("mlflow")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # MLflow reads it when it is imported

import mlflow  # noqa: E402

EXPERIMENT = "nas"
FOLDER_TAG = "nas.folder"


class MLflow:
    """Logs metrics and settings to the active run."""

    def __init__(self, run: TrackedRun) -> None:
        mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT))
        folder = str(run.folder.resolve()).replace("'", "")
        known = mlflow.search_runs(filter_string=f"tags.`{FOLDER_TAG}` = '{folder}'", output_format="list")
        if known:
            mlflow.start_run(run_id=known[0].info.run_id)
            return
        mlflow.start_run(run_name=run.name, tags={FOLDER_TAG: folder})
        mlflow.log_params({name: str(value) for name, value in run.settings.items()})

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Log the numbers of one step."""
        mlflow.log_metrics(dict(values), step=step)

    def close(self) -> None:
        """End the run."""
        mlflow.end_run()
