"""nas search: from flags to settings, and the search under a live display."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from latency_models.target import int8_target
from nas.cli.flags.search import JOINT, OF_WEIGHTS, algorithm_of, out_folder, space_of, targets_of
from nas.cli.flags.shared import device_flags, preparation
from nas.cli.folders import holds_run, resumable
from nas.cli.found import show_multi_target, show_result
from nas.cli.live import LiveReporter
from nas.cli.measuring import Conditions, measure_candidates
from nas.cli.planning import rough_time, show_plan
from nas.cli.tracking import trackers
from nas.errors import InvalidInput, unknown_name
from nas.records.experiment import read_experiment
from nas.records.results import load_result
from nas.runs import joint_search, multi_target
from nas.runs.data_of_run import absolute_data, absolute_folder
from nas.runs.front_config import FrontConfig
from nas.runs.listing import read_run
from nas.runs.multi_target_settings import (
    SUPERNET,
    MultiTargetConfig,
    default_trials,
    make_plans,
    per_target,
    wants_cost_front,
)
from nas.runs.outside_start import absolute_source
from nas.runs.plan import make_plan
from nas.runs.plan_text import describe_plan, describe_plans
from nas.runs.settings import INT8, Quantisation, SearchConfig
from nas.runs.workers import alone_on, open_executor, open_trainers

FILES = ("best.json", "front.csv", "evaluated.csv", "report.html", "experiment.json", "journal.jsonl")


def run(args: argparse.Namespace) -> None:
    """Search, then print what was found; a search that was begun with the same settings goes on."""
    base, out = search_config(args), out_folder(args)
    config = base if algorithm_of(args) == JOINT else multi_target_config(args, base)
    if args.plan:
        show_plan(args, [*_plan(config), *_plan_to_measure(args)], out, FILES)
        return
    reporter = LiveReporter(sys.stderr if args.json else None, folder=out, trackers=trackers(args, out))
    begun = _is_begun(out, config)
    if begun and (read_run(out).state == "finished"):
        reporter.say(f"{out} holds this search, finished; nothing was left to do")
    elif begun:
        reporter.say(f"{out} holds this search, begun before: going on with it")
    if isinstance(config, SearchConfig):
        by = open_trainers(args.workers, args.ray_address, config)
        with resumable(out), reporter:
            result = (
                joint_search.resume(out, reporter, trainers=by, accept_changes=args.accept_changes)
                if begun
                else joint_search.search(config, out, reporter, trainers=by)
            )
        show_result(args, load_result(out / "best.json") if _measured(args, out) else result, out)
        return
    workers, trainers = open_executor(args.workers, args.ray_address), alone_on(args.workers, args.ray_address)
    source = Path(args.source) if args.source else None
    by_accepting = {"workers": workers, "trainers": trainers, "accept_changes": args.accept_changes}
    with resumable(out), reporter:
        found = (
            multi_target.resume(out, reporter, **by_accepting)
            if begun
            else multi_target.specialise(config, out, reporter, source=source, **by_accepting)
        )
    show_multi_target(args, multi_target.load_results(out, config) if _measured(args, out) else found, out)


def _plan_to_measure(args: argparse.Namespace) -> list[str]:
    """Return the line of a plan on what is measured at the end."""
    if args.measure_top is None:
        return []
    runtime = args.runtime or "the runtime of the target, or onnxruntime"
    others = f" and up to {args.measure_top - 1} other candidates" if args.measure_top > 1 else ""
    return [f"then measured on this host with {runtime}: the answer{others}"]


def _measured(args: argparse.Namespace, run: Path) -> bool:
    """Measure the last candidates of a finished search where that was asked for; return whether it was."""
    if args.measure_top is None:
        return False
    try:
        measure_candidates(args, run, args.measure_top, Conditions.of(run, args.runtime, None))
    except InvalidInput as error:
        raise InvalidInput(
            f"the search is finished, see nas show {run}; its candidates were not measured: {error}"
        ) from error
    return True


def _plan(config: SearchConfig | MultiTargetConfig) -> list[str]:
    """Return what a search would do, a line each; raises as a search does where `config` cannot be met."""
    if isinstance(config, SearchConfig):
        known = rough_time(config.preset) if config.model_name is None else []  # else the plan states core hours
        return [*describe_plan(make_plan(config)), *known]
    is_timed = config.front and not config.source and not config.accuracy_model
    return [*describe_plans(config, make_plans(config)), *(rough_time(config.settings[0].preset) if is_timed else [])]


def _is_begun(out: Path, config: SearchConfig | MultiTargetConfig) -> bool:
    """Return whether `out` holds a search with these settings; `InvalidInput` where it holds another."""
    if not holds_run(str(out)):
        return False
    stored = read_experiment(out)
    try:
        if isinstance(config, SearchConfig):
            same = stored.get("schema") == joint_search.SCHEMA and config.is_asked_again(
                SearchConfig.from_dict(stored["settings"])
            )
        else:
            same = "request" in stored and config.is_asked_again(MultiTargetConfig.from_dict(stored["request"]))
    except (InvalidInput, AttributeError, KeyError):
        same = False
    if not same:
        raise InvalidInput(
            f"the folder {out} holds a search with other settings; name another with --out, or see what "
            f"it found: nas show {out}"
        )
    return True


def quantisation_of(args: argparse.Namespace) -> Quantisation | None:
    """Return the numbers in which candidates are ranked and priced; `UnknownName` for others than int8."""
    if args.quantize not in (None, INT8):
        raise unknown_name("quantisation", args.quantize, [INT8])
    return None if args.quantize is None else INT8


def target_of(args: argparse.Namespace, target: str | None) -> str | None:
    """Return the target, with --quantize int8 the same unit in int8."""
    return target if target is None or args.quantize is None else int8_target(target)


def search_config(args: argparse.Namespace) -> SearchConfig:
    """Return what the flags ask for; of several targets all names, and the first latency budget."""
    return SearchConfig(
        space=space_of(args),
        target=target_of(args, device_flags(args)),
        quantize=quantisation_of(args),
        ridge_point=args.ridge_point,
        peak_gmacs_per_s=args.peak_gmacs_per_s,
        latency_model=args.latency_model,
        latency_ms=args.latency_ms[0] if args.latency_ms else None,
        latency_ratio=args.latency_ratio,
        around=args.around,
        baseline=args.baseline or SearchConfig.baseline,
        max_params=args.max_params,
        max_macs=args.max_macs,
        max_memory_kb=args.max_memory_kb,
        max_flash_kb=args.max_flash_kb,
        max_energy_mj=args.max_energy_mj,
        forest_bounds=tuple(args.bound),
        minimize=args.minimize,
        data=absolute_data(args.data),
        data_dir=absolute_folder(args.data_dir),
        resolution=args.resolution,
        drop_strides=args.drop_strides,
        preset=args.preset,
        one_stage=bool(args.one_stage),
        finalists=args.finalists,
        accuracy_model=args.accuracy_model,
        core_hours=args.core_hours,
        supernet_share=SearchConfig.supernet_share if args.supernet_share is None else args.supernet_share,
        proxy_resolution=args.proxy_resolution,
        proxy_width=args.proxy_width,
        window_ms=args.window_ms,
        hop_ms=args.hop_ms,
        bands=args.bands,
        dft=args.dft,
        seed=args.seed,
        weights=absolute_source(args.weights),
        **{name: value for name, value in preparation(args).items() if value is not None},
    )


def multi_target_config(args: argparse.Namespace, base: SearchConfig) -> MultiTargetConfig:
    """Return what the flags of a search over a supernet trained once ask for; `base` as `search_config` returns it."""
    algorithm = algorithm_of(args)
    source = None
    if args.source is not None:
        other, source = multi_target.supernet_of_run(Path(args.source))
        base = _with_weights_of(args, base, other.settings[0])
    targets = [target_of(args, name) for name in targets_of(args) or [None]]
    settings = per_target(base, targets, args.latency_ms or ())
    front = front_config(args)
    trials = args.trials or default_trials(algorithm, base.preset, front)
    config = MultiTargetConfig(
        settings, algorithm, trials, universal=args.universal, source=source, evaluator=args.evaluator or SUPERNET,
        front=front, cost_front=wants_cost_front(algorithm, base, universal=args.universal, front=front),
    )  # fmt: skip
    if config.accuracy_model and args.trials:
        raise InvalidInput("a front by an accuracy model has no --trials: give --core-hours, or --accuracy-model none")
    return config


def front_config(args: argparse.Namespace) -> FrontConfig | None:
    """Return what the flags of a whole front ask for, None where they ask for one latency budget."""
    if args.front is None:
        return None
    ranges = tuple((one.low, one.high) for one in args.front)
    return FrontConfig(ranges, args.front_points or FrontConfig.points)


def _with_weights_of(args: argparse.Namespace, base: SearchConfig, other: SearchConfig) -> SearchConfig:
    """Return `base` with all that the weights of another run depend on as it was there."""
    paths = {"data": base.data, "data_dir": base.data_dir}  # absolute, as in the other run
    for name in OF_WEIGHTS:
        if paths.get(name, getattr(args, name)) not in (args.defaults.get(name), getattr(other, name)):
            flag = name.replace("_", "-")
            raise InvalidInput(f"--from takes --{flag} from {args.source}, {getattr(other, name)}; leave --{flag} out")
    return replace(base, **{name: getattr(other, name) for name in OF_WEIGHTS})
