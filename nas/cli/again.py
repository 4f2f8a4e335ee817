"""The command that answers the question of a finished run again, for a target that has been calibrated anew.

It repeats every setting of the run that is not as by default. Where the run has a supernet that was trained once, that
is searched, and nothing is trained; else the search begins from new.
"""

import argparse
import shlex
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nas.cli.flags.search import OF_WEIGHTS, add_flags
from nas.records.experiment import read_experiment
from nas.records.front import load_front
from nas.records.results import result_of_run
from nas.runs.settings import SearchConfig, default_settings

SUPERNET = "supernet.safetensors"
STATED = (
    "space",
    "target",
    "ridge_point",
    "peak_gmacs_per_s",
    "latency_model",
    "latency_ms",
    "latency_ratio",
    "left_out",
)
OTHER_NAMES = {"forest_bounds": "bound"}  # setting -> its destination on the command line, where they differ


def again_command(run: Path, target: str) -> str:
    """Return `nas search` with the settings of a finished run on another target, into a new folder beside the run's.

    Its latency budget is that of the run in ms. `InvalidInput` where the run has not finished.
    """
    stored, result = read_experiment(run), result_of_run(run)
    config = SearchConfig.from_dict(stored.get("settings"))
    source = next((folder for folder in (run, run.parent) if (folder / SUPERNET).exists()), None)
    words = ["nas", "search", "--target", target]
    request = _request(run, stored)
    if request:
        words += ["--algorithm", str(request["algorithm"])]
    if source:
        words += ["--from", str(source)]
    else:
        words += ["--space", config.space]
    if front := load_front(run):
        low, high = front.points[0].latency_budget, front.points[-1].latency_budget
        words += ["--front", f"{low:.6g}..{high:.6g}", "--front-points", str(len(front.points))]
    else:
        words += ["--latency-ms", f"{result.latency_budget:.6g}"]
    if request and request.get("evaluator", "supernet") != "supernet":
        words += ["--evaluator", str(request["evaluator"])]
    left = OF_WEIGHTS if source else ()
    words += [word for name, value in _changed(config) if name not in left for word in _words(name, value)]
    return shlex.join([*words, "--out", f"{run}-{Path(target).name.removesuffix('.toml')}"])


def _request(run: Path, stored: dict[str, Any]) -> dict[str, Any] | None:
    """Return what a search over a supernet trained once was asked for, None for a joint one."""
    if "request" in stored:
        return dict(stored["request"])
    if "algorithm" in stored:  # of one of several targets
        parent = read_experiment(run.resolve().parent)
        return dict(parent.get("request", stored))
    return None


def _changed(config: SearchConfig) -> Iterator[tuple[str, Any]]:
    """Yield the settings that are not as by default, without those that the command states in any case."""
    default = default_settings()
    for name, value in asdict(config).items():
        if (
            name not in STATED
            and value is not None
            and (list(value) if isinstance(value, tuple) else value) != default[name]
        ):
            yield name, value


def _words(name: str, value: Any) -> list[str]:
    """Return the words of a command that state a setting."""
    parser = argparse.ArgumentParser(add_help=False)
    add_flags(parser)
    action = next(one for one in parser._actions if one.dest == OTHER_NAMES.get(name, name))
    flag = next(option for option in action.option_strings if option.startswith("--"))
    if isinstance(value, bool):
        return [flag if value else flag.replace("--", "--no-", 1)]
    if name in OTHER_NAMES:  # a flag that may be repeated
        return [word for each in value for word in (flag, str(each))]
    return [flag, ",".join(map(str, value)) if isinstance(value, list | tuple) else f"{value}"]
