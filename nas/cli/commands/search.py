"""nas search: from flags to settings, and the search under a live display."""

import argparse
from dataclasses import replace
from pathlib import Path

from nas.cli.console import console
from nas.cli.flags.search import JOINT, OF_WEIGHTS, out_folder, space_of, targets_of
from nas.cli.flags.shared import device_flags
from nas.cli.folders import resumable
from nas.cli.live import LiveReporter
from nas.cli.tables.search_result import print_multi_target, summary
from nas.errors import InvalidInput
from nas.runs import joint_search, multi_target
from nas.runs.multi_target_settings import SUPERNET, MultiTargetConfig, default_trials, per_target
from nas.runs.settings import SearchConfig
from nas.runs.workers import open_executor, open_trainers


def run(args: argparse.Namespace) -> None:
    """Search, then print what was found."""
    config, out = search_config(args), out_folder(args)
    if args.algorithm == JOINT:
        by = open_trainers(args.workers, args.ray_address, config.preset, config.finalists)
        with resumable(out), LiveReporter() as reporter:
            result = joint_search.search(config, out, reporter, trainers=by)
        console().print(summary(result, out))
        return
    several, workers = multi_target_config(args, config), open_executor(args.workers, args.ray_address)
    source = Path(args.source) if args.source else None
    with resumable(out), LiveReporter() as reporter:
        found = multi_target.specialise(several, out, reporter, workers=workers, source=source)
    print_multi_target(found, out, console())


def search_config(args: argparse.Namespace) -> SearchConfig:
    """Return what the flags ask for; of several targets all names, and the first latency budget."""
    return SearchConfig(
        space=space_of(args),
        target=device_flags(args),
        ridge_point=args.ridge_point,
        peak_gmacs_per_s=args.peak_gmacs_per_s,
        latency_model=args.latency_model,
        latency_ms=args.latency_ms[0] if args.latency_ms else None,
        latency_ratio=args.latency_ratio,
        max_params=args.max_params,
        max_macs=args.max_macs,
        max_memory_kb=args.max_memory_kb,
        max_flash_kb=args.max_flash_kb,
        max_energy_mj=args.max_energy_mj,
        forest_bounds=tuple(args.bound),
        minimize=args.minimize,
        data=args.data,
        data_dir=args.data_dir,
        resolution=args.resolution,
        preset=args.preset,
        finalists=args.finalists,
        proxy_resolution=args.proxy_resolution,
        proxy_width=args.proxy_width,
        seed=args.seed,
    )


def multi_target_config(args: argparse.Namespace, base: SearchConfig) -> MultiTargetConfig:
    """Return what the flags of a search over a supernet trained once ask for; `base` as `search_config` returns it."""
    if args.finalists is not None:
        raise InvalidInput(f"--finalists goes with joint; after a search by {args.algorithm}: nas finalists RUN")
    source = None
    if args.source is not None:
        other, source = multi_target.supernet_of_run(Path(args.source))
        base = _with_weights_of(args, base, other.settings[0])
    settings = per_target(base, targets_of(args) or [None], args.latency_ms or ())
    trials = args.trials or default_trials(args.algorithm, base.preset)
    return MultiTargetConfig(
        settings, args.algorithm, trials, universal=args.universal, source=source, evaluator=args.evaluator or SUPERNET
    )


def _with_weights_of(args: argparse.Namespace, base: SearchConfig, other: SearchConfig) -> SearchConfig:
    """Return `base` with all that the weights of another run depend on as it was there."""
    for name in OF_WEIGHTS:
        if getattr(args, name) not in (args.defaults.get(name), getattr(other, name)):
            flag = name.replace("_", "-")
            raise InvalidInput(f"--from takes --{flag} from {args.source}, {getattr(other, name)}; leave --{flag} out")
    return replace(base, **{name: getattr(other, name) for name in OF_WEIGHTS})
