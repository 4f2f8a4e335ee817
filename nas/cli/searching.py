"""nas search and nas resume: from flags to settings, and the search under a live display."""

import argparse
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nas.cli import specialising
from nas.cli.arguments import (
    Commands,
    add_data,
    add_device,
    count,
    device_flags,
    names,
    positive,
    positives,
    seed,
    share,
    whole,
)
from nas.cli.specs import check_new_folder, run_folder
from nas.errors import InvalidInput

if TYPE_CHECKING:
    from nas.records.results import Result

PRESET_SPACES = {"smoke": "uib_smoke"}  # where --space does not say; uib for all others


def add_commands(commands: Commands) -> None:
    """Add the two commands."""
    search = commands.add_parser("search", help="find a network for a device")
    search.add_argument("--space", metavar="S", help="see nas spaces (default: uib; uib_smoke for smoke)")
    add_device(search)
    budget = search.add_mutually_exclusive_group()
    budget.add_argument(
        "--latency-ms",
        type=positives,
        metavar="X",
        help="latency budget (default: that of mobilenetv4-conv-s); one per target",
    )
    budget.add_argument("--latency-ratio", type=positive, metavar="X", help="the same, relative to mobilenetv4-conv-s")
    search.add_argument("--max-params", type=count, metavar="N", help="hard bound on the parameters")
    search.add_argument("--max-macs", type=count, metavar="N", help="hard bound on the MACs")
    search.add_argument("--max-memory-kb", type=positive, metavar="X", help="hard bound on activations alive at once")
    search.add_argument("--max-flash-kb", type=positive, metavar="X", help="hard bound on the bytes of weights")
    search.add_argument("--max-energy-mj", type=positive, metavar="X", help="hard bound on the energy of a batch")
    search.add_argument(
        "--bound", action="append", default=[], metavar="FILE.forest.json:MAX",
        help="hard bound on what a forest predicts, kept by checked repair; may be repeated",
    )  # fmt: skip
    search.add_argument(
        "--minimize", type=names, default=(), metavar="A,B",
        help="further costs of front.csv: energy, memory, flash, macs, params or FILE.forest.json",
    )  # fmt: skip
    add_data(search, default="digits")
    search.set_defaults(data="digits")
    search.add_argument("--resolution", type=count, default=224, metavar="N", help="deployed px (default: 224)")
    search.add_argument(
        "--preset", default="quick", metavar="P", help="smoke, quick, standard or paper (default: quick)"
    )
    search.add_argument(
        "--finalists",
        type=whole,
        metavar="N",
        help="joint: N candidates of the coarse stage, N/3 of the fine, trained alone (standard: 18; else 0)",
    )
    search.add_argument("--proxy-resolution", type=count, metavar="N", help="px that the supernet sees")
    search.add_argument("--proxy-width", type=share, metavar="W", help="width of the supernet, 1 is the deployed one")
    search.add_argument("--seed", type=seed, default=0, metavar="N", help="(default: 0)")
    search.add_argument("--out", metavar="DIR", help="folder of the run (default: runs/SPACE-TARGET-DATA-PRESET-sSEED)")
    specialising.add_flags(search)
    defaults = {name: search.get_default(name) for name in specialising.OF_WEIGHTS}
    search.set_defaults(run=run_search, defaults=defaults)
    resume = commands.add_parser("resume", help="go on with an interrupted search")
    resume.add_argument("folder", metavar="RUN", help="folder of the run")
    resume.add_argument(
        "--budget",
        type=specialising.additional_trials,
        metavar="+N",
        help="extend a finished run by N trials per target",
    )
    specialising.add_workers(resume)
    resume.set_defaults(run=run_resume)


def run_search(args: argparse.Namespace) -> None:
    """Search, then print what was found."""
    target = device_flags(args)
    joint = args.algorithm == specialising.JOINT
    if joint:
        specialising.check_joint(args)
    out = check_new_folder(Path(args.out) if args.out else default_out(args, target))
    from nas.cli.live import LiveReporter
    from nas.runs.settings import SearchConfig

    settings = SearchConfig(
        space=space_of(args),
        target=target,
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
    if joint:
        from nas.runs.joint_search import search

        trainers = specialising.trainers(args, settings)
        with resumable(out), LiveReporter() as reporter:
            result = search(settings, out, reporter, trainers=trainers)
        _print_summary(result, out)
        return
    from nas.runs.multi_target import specialise

    config, workers = specialising.config_of(args, settings), specialising.workers(args)
    source = Path(args.source) if args.source else None
    with resumable(out), LiveReporter() as reporter:
        found = specialise(config, out, reporter, workers=workers, source=source)
    specialising.print_found(found, out)


def space_of(args: argparse.Namespace) -> str:
    """Return the space asked for, or the one that belongs to the preset."""
    space: str = args.space or PRESET_SPACES.get(args.preset, "uib")
    return space


def run_resume(args: argparse.Namespace) -> None:
    """Go on with a search, then print what was found."""
    run = run_folder(args.folder)
    from nas.cli.live import LiveReporter

    if specialising.is_specialised(run):
        from nas.runs.multi_target import resume as resume_specialised

        workers = specialising.workers(args)
        with resumable(run), LiveReporter() as reporter:
            found = resume_specialised(run, reporter, workers=workers, more=args.budget or 0)
        specialising.print_found(found, run)
        return
    if args.budget:
        raise InvalidInput(f"{run} is a joint search: --budget goes with runs of another --algorithm")
    from nas.runs.joint_search import resume, stored_run
    from nas.runs.settings import SearchConfig

    trainers = specialising.trainers(args, SearchConfig.from_dict(stored_run(run).get("settings")))
    with resumable(run), LiveReporter() as reporter:
        result = resume(run, reporter, trainers=trainers)
    _print_summary(result, run)


def default_out(args: argparse.Namespace, target: str | None) -> Path:
    """Return the folder of a run without --out: the settings that matter, in letters that any file system takes."""
    device = "-".join(Path(name).stem for name in target.split(",")) if target else f"ridge{args.ridge_point:g}"
    algorithm = () if args.algorithm == specialising.JOINT else (args.algorithm,)
    parts = (space_of(args), device, Path(args.data).stem, args.preset, *algorithm, f"s{args.seed}")
    return Path("runs", re.sub(r"[^\w.-]+", "-", "-".join(parts), flags=re.ASCII))


@contextmanager
def resumable(run: Path) -> Iterator[None]:
    """Say in an interruption, and where the disk is full, how to go on with `run`."""
    from nas.files import CannotWrite

    try:
        yield
    except CannotWrite as error:
        raise InvalidInput(f"{error}; then go on with: nas resume {run}") from error
    except KeyboardInterrupt as stop:
        saved = (run / "experiment.json").exists()
        raise KeyboardInterrupt(f"go on with: nas resume {run}" if saved else "nothing was saved yet") from stop


def _print_summary(result: "Result", run: Path) -> None:
    from nas.cli.live import console, summary

    console().print(summary(result, run))
