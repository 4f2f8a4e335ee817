"""Work on Ray, in the only package that imports it: candidates evaluated on workers, and trials under Ray Tune.

Ray and Tune read the variables below when they are imported; those that the environment has already are left alone.
"""

import os

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # no lines of workers and the raylet, such as "a worker died"
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # without a share of a GPU, see none; unset, Ray warns
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # no csv, json and TensorBoard files beside ours
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is ours
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
}
for _name, _value in QUIET.items():
    os.environ.setdefault(_name, _value)
