"""nas rank: its flags."""

import argparse
import os
from pathlib import Path

from nas.cli.argument_types import count, resolution, seed, share, whole
from nas.cli.flags.search import add_constraints, add_images, add_quantize, out_folder
from nas.cli.flags.search import add_flags as add_search_flags
from nas.cli.flags.shared import add_code_of_run, add_device, add_json, add_plan, add_track, device_flags
from nas.cli.folders import check_new_folder, holds_run, run_folder
from nas.errors import InvalidInput
from nas.records.experiment import read_experiment
from nas.records.named_code import check_repeated
from nas.registry import addresses

DESCRIPTION = """\
Show what ranks networks on your own images: random networks within the
constraints are trained alone, and predictors are compared with what they
reached: MACs, parameters, latency, a supernet, an accuracy model. Started again
with the same flags, it goes on where it was stopped; with more networks or seeds
it adds to what is there."""
EXAMPLE = "nas rank runs/uib-pixel6-cpu-digits-quick-s0 --networks 32 --seeds 2"

DATA = "digits"  # of a space, where --data does not say
OF_RUN = ("space", "minimize", "accuracy_model")  # settings that a ranking takes from a run alone
OF_RANKING = (  # flags that a run's own settings do not answer
    "help", "subject", "data", "networks", "seeds", "epochs", "batch_size", "supernet_steps", "workers", "ray_address",
    "out", "track", "plan", "json", *OF_RUN,
)  # fmt: skip


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags, group by group."""
    subject = parser.add_argument_group("what to rank")
    subject.add_argument(
        "subject", metavar="RUN|SPACE", help="a run, with its constraints, images and supernet; or a space"
    )
    add_device(subject)
    add_quantize(subject)
    add_code_of_run(parser.add_argument_group("code of yours that the run names"), *OF_RUN)
    add_constraints(parser.add_argument_group("constraints, of a space"))
    add_images(parser.add_argument_group("data"))
    budget = parser.add_argument_group("budget")
    budget.add_argument("--networks", type=count, default=32, metavar="N", help="how many (default: 32)")
    budget.add_argument("--seeds", type=count, default=2, metavar="K", help="trainings of each (default: 2)")
    budget.add_argument("--epochs", type=count, default=3, metavar="N", help="of each training (default: 3)")
    budget.add_argument("--batch-size", type=count, default=128, metavar="N", help="images per step (default: 128)")
    budget.add_argument(
        "--supernet-steps", type=whole, default=0, metavar="N",
        help="also train a supernet of the whole space for N steps (default: the run's, or none)",
    )  # fmt: skip
    budget.add_argument(
        "--preset", default="standard", metavar="P", help="whose proxies are trained (default: standard)"
    )
    budget.add_argument("--proxy-resolution", type=resolution, metavar="N|HxW", help="px of the proxies")
    budget.add_argument("--proxy-width", type=share, metavar="W", help="width of the proxies")
    budget.add_argument("--seed", type=seed, default=0, metavar="N", help="of the networks and the split (default: 0)")
    place = parser.add_argument_group("where it runs")
    place.add_argument("--workers", type=count, metavar="N", help="Ray workers (default: this process, no Ray)")
    place.add_argument("--ray-address", metavar="A", help="of a Ray cluster that shares this storage")
    output = parser.add_argument_group("output")
    output.add_argument("--out", metavar="DIR", help="folder of the ranking (default: named after run or settings)")
    add_track(output)
    add_plan(output)
    add_json(output)
    defaults = {action.dest: parser.get_default(action.dest) for action in parser._actions}
    parser.set_defaults(check=check, defaults=defaults)


def check(args: argparse.Namespace) -> None:
    """Refuse settings beside those of a run, several latencies or targets, and a folder that cannot be had."""
    if os.sep in args.subject or os.path.isdir(args.subject):
        run_folder(args.subject)
        _refuse_settings(args)
    else:
        _refuse_code_of_run(args)
        device_flags(args)
        if len(args.latency_ms or ()) > 1 or "," in (args.target or ""):
            raise InvalidInput("a ranking is for one target; rank again for another, with another --out")
    if not (folder(args) / "ranking.json").is_file():
        check_new_folder(folder(args))


def _refuse_settings(args: argparse.Namespace) -> None:
    """Raise where a flag would change what the run has decided."""
    repeated = {name: value for name, value in vars(args).items() if name in OF_RUN or addresses(value)}
    check_repeated(read_experiment(Path(args.subject)), repeated)
    changed = [
        name for name, value in args.defaults.items()
        if name not in OF_RANKING and getattr(args, name) != value and not addresses(getattr(args, name))
    ]  # fmt: skip
    if changed:
        flag = "latency-ms" if changed[0] == "latency_ms" else changed[0].replace("_", "-")
        raise InvalidInput(f"a ranking of {args.subject} has the settings of that run; leave --{flag} out")


def _refuse_code_of_run(args: argparse.Namespace) -> None:
    """Raise where a flag repeats the setting of a run, and there is none."""
    if given := [name for name in OF_RUN if getattr(args, name) is not None]:
        raise InvalidInput(f"--{given[0].replace('_', '-')} goes with the folder of a run; leave it out")


def search_flags(args: argparse.Namespace) -> argparse.Namespace:
    """Return what `nas search` would be given for these settings: its defaults, and what is given here."""
    parser = argparse.ArgumentParser()
    add_search_flags(parser)
    defaults = vars(parser.parse_args([]))
    own = {*OF_RANKING, *OF_RUN} - {"data"}
    given = {name: value for name, value in vars(args).items() if name not in own}
    known = args.defaults | {name: defaults[name] for name in OF_RUN}
    fixed = {"space": args.subject, "data": args.data or DATA, "out": None, "defaults": known}
    return argparse.Namespace(**{**defaults, **given, **fixed})


def folder(args: argparse.Namespace) -> Path:
    """Return the folder of the ranking."""
    if args.out:
        return Path(args.out)
    if holds_run(args.subject):
        path = Path(args.subject)
        return path.with_name(f"{path.resolve().name}-rank")
    length = "" if args.epochs == args.defaults["epochs"] else f"-{args.epochs}epochs"
    supernet = f"-supernet{args.supernet_steps}" if args.supernet_steps else ""
    named = out_folder(search_flags(args))
    return named.with_name(f"{named.name}-rank{length}{supernet}")
