"""nas search with an --algorithm: from flags to a request, workers, and the tables of what was found."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.cli.arguments import count
from nas.errors import InvalidInput

if TYPE_CHECKING:
    from nas.records.results import Result
    from nas.runs.multi_target import MultiTargetResult
    from nas.runs.multi_target_settings import MultiTargetConfig
    from nas.runs.settings import SearchConfig
    from nas.search.loop import OpenExecutor
    from nas.training.candidates import OpenTrainers

JOINT = "joint"
OF_ALGORITHMS = ("trials", "source", "universal")  # flags that the joint search has no use for
OF_WEIGHTS = ("space", "data", "data_dir", "resolution", "preset", "proxy_resolution", "proxy_width", "seed")


def add_flags(search: argparse.ArgumentParser) -> None:
    """Add what only searches over a supernet trained once take."""
    search.add_argument(
        "--algorithm", default=JOINT, metavar="A",
        help="joint: weights and policy together (default); over a supernet trained once: reinforce, random, "
        "regularized-evolution, nsga2, local-search, swarm, gaussian-process, hybrid",
    )  # fmt: skip
    search.add_argument("--trials", type=count, metavar="N", help="per target and stage (default: by the preset)")
    search.add_argument(
        "--from", dest="source", metavar="RUN", help="search with the supernet of this run, train nothing"
    )
    search.add_argument(
        "--universal", action="store_true", help="also one network for all targets, of least worst regret"
    )
    add_workers(search)


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say who evaluates candidates."""
    parser.add_argument(
        "--workers", type=count, metavar="N", help="Ray processes that evaluate candidates; joint: that train finalists"
    )
    parser.add_argument("--ray-address", metavar="ADDR", help="of a Ray cluster to do that on")


def check_joint(args: argparse.Namespace) -> None:
    """Refuse what belongs to other algorithms beside the joint search."""
    given = [name for name in OF_ALGORITHMS if getattr(args, name)]
    if given:
        flag = {"source": "from"}.get(given[0], given[0]).replace("_", "-")
        raise InvalidInput(f"--{flag} goes with an --algorithm over a supernet trained once, nsga2 say, not with joint")
    if len(args.latency_ms or ()) > 1 or "," in (args.target or ""):
        raise InvalidInput("the joint search trains for one target; for several choose an --algorithm, nsga2 say")


def workers(args: argparse.Namespace) -> "OpenExecutor":
    """Return who evaluates candidates: this process, or Ray's where a flag asks for them.

    `InvalidInput` where Ray cannot be had as asked, so that this is told before any work.
    """
    if args.workers is None and args.ray_address is None:
        from nas.search.loop import in_process

        return in_process
    from nas.distributed.executor import RayExecutor

    return partial(RayExecutor, **_checked(args))


def trainers(args: argparse.Namespace, settings: "SearchConfig") -> "OpenTrainers":
    """Return who trains the finalists of a joint search: this process, or Ray's where a flag asks for them.

    `InvalidInput` where there will be none, or Ray cannot be had as asked.
    """
    from nas.supernet.presets import load_preset

    if args.workers is None and args.ray_address is None:
        from nas.training.candidates import in_process

        return in_process
    if load_preset(settings.preset).with_finalists(settings.finalists).finals is None:
        none = "--finalists 0 asks for none" if settings.finalists == 0 else f"the preset {settings.preset} has none"
        raise InvalidInput(
            f"--workers of a joint search train finalists, and {none}: name --finalists N, or choose an --algorithm "
            "over a supernet trained once, nsga2 say"
        )
    from nas.distributed.trials import on_workers

    return partial(on_workers, **_checked(args))


def _checked(args: argparse.Namespace) -> dict[str, Any]:
    """Return how many workers the flags ask for, and where; `InvalidInput` where they cannot be had."""
    from nas.distributed.cluster import check

    workers, address = args.workers or 1, args.ray_address
    check(workers, address)
    return {"workers": workers, "address": address}


def config_of(args: argparse.Namespace, base: "SearchConfig") -> "MultiTargetConfig":
    """Return what the flags ask for; `base` are the settings without target and latency."""
    from nas.cli.arguments import names
    from nas.runs.multi_target import borrowed
    from nas.runs.multi_target_settings import MultiTargetConfig, default_trials, per_target

    if args.finalists is not None:
        raise InvalidInput(f"--finalists goes with joint; after a search by {args.algorithm}: nas finalists RUN")
    source = None
    if args.source is not None:
        theirs, source = borrowed(Path(args.source))
        base = _with_weights_of(args, base, theirs.settings[0])
    try:
        targets: Sequence[str | None] = names(base.target) if base.target else [None]
    except argparse.ArgumentTypeError as error:
        raise InvalidInput(f"--target {error}") from error
    settings = per_target(base, targets, args.latency_ms or ())
    trials = args.trials or default_trials(args.algorithm, base.preset)
    return MultiTargetConfig(settings, args.algorithm, trials, universal=args.universal, source=source)


def _with_weights_of(args: argparse.Namespace, base: "SearchConfig", theirs: "SearchConfig") -> "SearchConfig":
    """Return `base` with all that the weights of another run depend on as it was there."""
    for name in OF_WEIGHTS:
        if getattr(args, name) not in (args.defaults.get(name), getattr(theirs, name)):
            flag = name.replace("_", "-")
            raise InvalidInput(f"--from takes --{flag} from {args.source}, {getattr(theirs, name)}; leave --{flag} out")
    return replace(base, **{name: getattr(theirs, name) for name in OF_WEIGHTS})


def print_found(found: "MultiTargetResult", run: Path) -> None:
    """Print the summary of one target, or a table of several and what one network for all loses."""
    from nas.cli.live import aligned_table, console, latency_text, summary
    from nas.runs.multi_target_settings import UNIVERSAL

    out = console()
    if len(found.results) == 1:
        result = next(iter(found.results.values()))
        out.print(summary(result, run, chosen_by=None if result.policy_entropy else "the best that was evaluated"))
        return
    table = aligned_table("found", ("target",), ("latency", "wanted", "proxy top-1 %", "MACs", "parameters"))
    for name, result in found.results.items():
        top1 = f"{100 * result.accuracy.top1:.2f} +- {100 * result.accuracy.standard_error:.2f}"
        latency_budget = latency_text(result.latency_budget, result.latency_unit)
        latency = latency_text(result.latency, result.latency_unit)
        table.add_row(name, latency, latency_budget, top1, f"{result.macs:,}", f"{result.params:,}")
    out.print(table)
    folders = list(found.folders.values())
    if found.universal is not None:
        out.print(_regrets(found.regrets, found.results))
    for folder in folders:
        out.print(f"wrote {folder}: best.json, front.csv, evaluated.csv, report.html", markup=False)
    if found.universal is not None:
        folders.append(run / UNIVERSAL)
        out.print(f"wrote {folders[-1]}: best.json, report.html; {run / 'universal.json'}: the regrets", markup=False)
    out.print(f"next: nas compare {' '.join(map(str, folders))} --targets {','.join(found.results)}")


def _regrets(data: dict[str, Any], results: "Mapping[str, Result]") -> Any:
    """Return the table of regrets per target, in points of top-1: specialists, then the network for all."""
    from nas.cli.live import aligned_table, latency_text

    def cell(row: dict[str, Any], target: str) -> str:
        latency = latency_text(row["latency"][target], results[target].latency_unit)
        if not row["keeps_bounds"][target]:
            return f"over, {latency}"
        return f"{100 * row['regret'][target]:.2f}{'*' if row['on_front'][target] else ''} at {latency}"

    targets = data["targets"]
    table = aligned_table("regret in points of top-1", ("network",), ("top-1 %", *targets, "worst"))
    for row in data["networks"]:
        worst = row["worst_regret"]
        cells = [cell(row, target) for target in targets]
        table.add_row(row["name"], f"{100 * row['top1']:.2f}", *cells, "-" if worst is None else f"{100 * worst:.2f}")
    table.caption = f"regret: {data['regret']}; over: takes more than is allowed there; *: on the front at its latency"
    return table


def is_specialised(run: Path) -> bool:
    """Return whether the folder holds a run over a supernet trained once, or the results of one target of it."""
    from nas.files import read_json

    stored = read_json(run / "experiment.json")
    return isinstance(stored, dict) and str(stored.get("schema")).startswith("nas.specialise")


def additional_trials(text: str) -> int:
    """Return the number of trials in `text`, "+200" say."""
    return count(text.removeprefix("+"))
