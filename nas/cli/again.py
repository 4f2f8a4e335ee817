"""The command that answers the question of a finished run again, for a target that has been calibrated anew.

It repeats every setting of the run that is not as by default. Where the run has a supernet that was trained once, that
is searched, and nothing is trained; else the search begins from new.
"""

import argparse
import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from latency_models.target import load_target
from nas.cli.flags.search import OF_WEIGHTS, add_flags
from nas.records.experiment import read_experiment
from nas.records.front import load_front
from nas.records.results import Result, result_of_run
from nas.runs.settings import OF_RELEASE, SearchConfig, default_settings
from nas.space.cost_table import compile_table

SUPERNET = "supernet.safetensors"
INSIDE = 1.05  # factor by which a budget that is moved keeps away from the ends of what a space reaches
STATED = (  # by the command in any case, or by the new target
    "space", "target", "ridge_point", "peak_gmacs_per_s", "latency_model", "latency_ms", "latency_ratio", "left_out",
    *OF_RELEASE,
)  # fmt: skip
OTHER_NAMES = {"forest_bounds": "bound"}  # setting -> its destination on the command line, where they differ


@dataclass(frozen=True)
class Again:
    """The command, and what is not as it was in the run, None where all is."""

    command: str
    note: str | None = None


def reach_of(run: Path, target: str) -> tuple[float, float]:
    """Return the smallest and the largest latency in ms of the space of a finished run on another target."""
    from nas.runs.load_run import space_of_run  # imports jax

    table = compile_table(space_of_run(run, result_of_run(run)), load_target(target).model())
    return float(table.minimum()[0]), float(table.maximum()[0])


def again(run: Path, target: str, reach: tuple[float, float]) -> Again:
    """Return `nas search` with the settings of a finished run on another target, into a new folder beside the run's.

    The latency budget is that of the run in ms, or the nearest in `reach`, what `reach_of` returns. `InvalidInput`
    where the run has not finished.
    """
    stored, result = read_experiment(run), result_of_run(run)
    config = SearchConfig.from_dict(stored.get("settings"))
    of_target = "algorithm" in stored  # one of several targets, whose supernet lies above it
    source = next((one for one in (run, *([run.parent] if of_target else [])) if (one / SUPERNET).exists()), None)
    request, name = _request(run, stored), Path(target).name.removesuffix(".toml")
    words = ["nas", "search", "--target", target]
    words += ["--algorithm", str(request["algorithm"])] if request else []
    words += ["--from", str(source)] if source else ["--space", config.space]
    budget, note = _budget(run, result, reach, name)
    words += budget
    if request and request.get("evaluator", "supernet") != "supernet":
        words += ["--evaluator", str(request["evaluator"])]
    left = OF_WEIGHTS if source else ()
    words += [word for name, value in _changed(config) if name not in left for word in _words(name, value)]
    return Again(shlex.join([*words, "--out", f"{run}-{name}"]), note)


def _budget(run: Path, result: Result, reach: tuple[float, float], name: str) -> tuple[list[str], str | None]:
    """Return the flags of the latency budget or budgets, moved to what the space reaches, and a note where they are."""
    (low, high), front = reach, load_front(run)
    if front is None:
        asked = result.latency_budget
        if low <= asked <= high:
            return ["--latency-ms", f"{asked:.6g}"], None
        budget = min(max(asked, INSIDE * low), high / INSIDE)
        return ["--latency-ms", f"{budget:.6g}"], _moved(
            name, reach, f"the budget of the run, {asked:.4g} ms, is moved"
        )
    least, most = front.points[0].latency_budget, front.points[-1].latency_budget
    kept = (max(least, low), min(most, high)) if least < high and most > low else reach
    flags = ["--front", f"{_upward(kept[0])}..{kept[1]:.6g}", "--front-points", str(len(front.points))]
    was = f"the front of the run, {least:.4g} to {most:.4g} ms, is moved"
    return flags, None if kept == (least, most) else _moved(name, reach, was)


def _moved(name: str, reach: tuple[float, float], what: str) -> str:
    return f"{name} takes {reach[0]:.4g} to {reach[1]:.4g} ms for the networks of that space: {what}"


def _upward(value: float) -> str:
    """Return a number in six digits that is no smaller."""
    digits = f"{value:.6g}"
    return digits if float(digits) >= value else f"{value * (1 + 1e-5):.6g}"


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
