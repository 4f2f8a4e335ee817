"""nas search: its flags, which of them go together, and what their defaults are."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nas.cli.argument_types import (
    count,
    counts,
    fraction_to_half,
    names,
    positive,
    positives,
    resolution,
    seed,
    share,
    whole,
)
from nas.cli.flags.shared import (
    IMAGENET_PX,
    PREPARATION,
    Container,
    add_accept_changes,
    add_data,
    add_device,
    add_json,
    add_plan,
    add_preparation,
    add_search_workers,
    add_track,
    device_flags,
)
from nas.cli.folders import check_new_folder, default_folder, holds_run
from nas.cli.units import LatencyRange, kibibytes, latency_ranges, millijoules, milliseconds_each
from nas.errors import InvalidInput
from nas.registry import FRONT_ALGORITHM, RUNTIMES, load

DESCRIPTION = """\
Search a space for the network of highest accuracy within a latency budget on a
device, and within whatever other bounds are given. A search that was stopped
goes on with nas resume."""
EXAMPLE = "nas search --target edgetpu --latency-ms 0.8"
JOINT = "joint"  # the algorithm that trains the weights and its policy together
PRESETS = ("smoke", "quick", "standard", "paper")
PRESET_SPACES = {"smoke": "uib_smoke"}  # where --space does not say; uib for all others
NOT_IN_NAME = (  # no settings, or in the name already
    "help", "out", "plan", "json", "accept_changes", "workers", "ray_address", "data_dir", "space", "target",
    "ridge_point", "data", "preset", "algorithm", "seed", "measure_top", "runtime",
)  # fmt: skip
OF_WEIGHTS = (
    "space", "data", "data_dir", "resolution", "drop_strides", "preset", "proxy_resolution", "proxy_width", "seed",
    *PREPARATION,
)  # fmt: skip


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags, group by group."""
    _add_subject(parser.add_argument_group("what to search for"))
    add_constraints(parser.add_argument_group("constraints"))
    add_images(parser.add_argument_group("data"))
    parser.set_defaults(data="digits")
    _add_budget(parser.add_argument_group("algorithm and budget"))
    add_search_workers(parser.add_argument_group("where it runs"))
    _add_measuring(parser.add_argument_group("measured on this host"))
    output = parser.add_argument_group("output")
    output.add_argument(
        "--out", metavar="DIR",
        help="folder of the run (default: runs/SPACE-TARGET-DATA-PRESET-sSEED, with all other settings in the name)",
    )  # fmt: skip
    add_track(output)
    add_plan(output)
    add_json(output)
    defaults = {action.dest: parser.get_default(action.dest) for action in parser._actions}
    parser.set_defaults(check=check, defaults=defaults)


def _add_subject(flags: Container) -> None:
    flags.add_argument("--space", metavar="S", help="see nas spaces (default: uib; uib_smoke for smoke)")
    add_device(flags)
    add_quantize(flags)
    flags.add_argument(
        "--minimize", type=names, default=(), metavar="A,B",
        help="further costs of front.csv: energy, memory, flash, macs, params or FILE.forest.json",
    )  # fmt: skip
    flags.add_argument(
        "--universal", action="store_true", help="also one network for all targets, of least worst regret"
    )


def add_quantize(flags: Container) -> None:
    """Add the flag of the numbers in which candidates are ranked and priced."""
    flags.add_argument(
        "--quantize", metavar="Q",
        help="int8: rank candidates by their accuracy in int8, and price them on the target's form in int8",
    )  # fmt: skip


def add_constraints(flags: Container) -> None:
    """Add the flags of the latency budget and of the hard bounds on other costs."""
    budget = flags.add_mutually_exclusive_group()
    budget.add_argument(
        "--latency", "--latency-ms", dest="latency_ms", type=milliseconds_each, metavar="X",
        help="most latency allowed, 4ms or 250us (default: that of mobilenetv4-conv-s); one per target",
    )  # fmt: skip
    budget.add_argument("--latency-ratio", type=positive, metavar="X", help="the same, relative to mobilenetv4-conv-s")
    budget.add_argument(
        "--front", nargs="?", type=latency_ranges, const=(LatencyRange(),), metavar="A..B",
        help="a whole front, the networks for several latencies from A to B, in the target's unit (0.5..4, 500us..4ms, "
        "0.5.., ..4; alone: what the space reaches; one for each target: A..B,C..D); one supernet, trained once, and "
        "regularized-evolution unless --algorithm names another",
    )  # fmt: skip
    flags.add_argument(
        "--front-points", type=count, metavar="N", help="latencies of the front, both ends included (default: 8)"
    )
    flags.add_argument(
        "--around", action="store_true", help="meet the latency within 1 %% on either side instead: joint, reinforce"
    )
    flags.add_argument("--max-params", type=count, metavar="N", help="hard bound on the parameters: 3M")
    flags.add_argument("--max-macs", type=count, metavar="N", help="hard bound on the MACs: 200M")
    flags.add_argument(
        "--max-memory", "--max-memory-kb", dest="max_memory_kb", type=kibibytes, metavar="X",
        help="hard bound on activations alive at once: 320KiB, 1MB (a bare number: KiB)",
    )  # fmt: skip
    flags.add_argument(
        "--max-flash", "--max-flash-kb", dest="max_flash_kb", type=kibibytes, metavar="X",
        help="hard bound on the bytes of weights: 2MB, 900KiB (a bare number: KiB)",
    )  # fmt: skip
    flags.add_argument(
        "--max-energy", "--max-energy-mj", dest="max_energy_mj", type=millijoules, metavar="X",
        help="hard bound on the energy of a batch: 5mJ",
    )  # fmt: skip
    flags.add_argument(
        "--bound", action="append", default=[], metavar="FILE.forest.json:MAX",
        help="hard bound on what a forest predicts, kept by checked repair; may be repeated",
    )  # fmt: skip


def add_images(flags: Container) -> None:
    """Add the flags of the images, and of the input of target networks."""
    add_data(flags, default="digits")
    add_preparation(flags, default="")
    flags.add_argument(
        "--resolution", type=resolution, metavar="N|HxW",
        help=f"input of the target network in px, 96 or 96x128 (default: {IMAGENET_PX}; of data that are no square "
        "images their own)",
    )  # fmt: skip
    for flag, kind, what in (
        ("--window-ms", positives, "windows of the spectrograms of waveforms (default: 25)"),
        ("--hop-ms", positives, "steps from window to window (default: 10)"),
        ("--bands", counts, "mel bands (default: those of the space's input, else 40)"),
    ):
        flags.add_argument(
            flag, type=kind, default=(), metavar="X,...", help=f"{what}; of several the search takes one"
        )
    flags.add_argument(
        "--dft", choices=("matmul", "fft"), default="matmul",
        help="how their DFT is computed, counted and exported: as a matrix product (default), or by an FFT",
    )  # fmt: skip
    flags.add_argument(
        "--drop-strides", action="store_true",
        help="early strides 1 in target networks below 97 px, for a last feature map of 4x4",
    )  # fmt: skip


def _add_budget(flags: Container) -> None:
    flags.add_argument(
        "--algorithm", default=JOINT, metavar="A",
        help="joint: weights and policy together (default); over a supernet trained once: reinforce, random, "
        "regularized-evolution, nsga2, local-search, swarm, gaussian-process, hybrid",
    )  # fmt: skip
    flags.add_argument(
        "--preset", default="quick", metavar="P", help="smoke, quick, standard or paper (default: quick)"
    )
    flags.add_argument(
        "--evaluator", metavar="E",
        help="what gives candidates their accuracy instead of a supernet trained once: trained (each alone, stopped "
        "early where another beats it), or module:ATTRIBUTE",
    )  # fmt: skip
    flags.add_argument(
        "--accuracy-model", metavar="M",
        help="joint: what learns from networks trained alone which to train next: ridge, random (the baseline: none), "
        "or none for the two-stage search over supernets (default: ridge in standard, else none)",
    )  # fmt: skip
    flags.add_argument(
        "--core-hours", type=positive, metavar="H",
        help="hours of one processor core for the whole search with an accuracy model (default: by the preset)",
    )  # fmt: skip
    flags.add_argument(
        "--supernet-share", type=fraction_to_half, metavar="S",
        help="of the core hours, at most, for a supernet beside the accuracy model (default: 0.2)",
    )  # fmt: skip
    flags.add_argument("--trials", type=count, metavar="N", help="per target and stage (default: by the preset)")
    flags.add_argument(
        "--baseline", metavar="NAME",
        help="joint: reference network trained beside the one found; none for none (default: mobilenetv4-conv-s)",
    )  # fmt: skip
    flags.add_argument(
        "--one-stage", action="store_const", const=True,
        help="joint: all decisions together for as long as two stages take, filters and depths first, then blocks",
    )  # fmt: skip
    flags.add_argument(
        "--finalists", type=whole, metavar="N",
        help="joint in two stages: N candidates of the coarse one, N/3 of the fine, trained alone (default: 0)",
    )  # fmt: skip
    flags.add_argument(
        "--proxy-resolution", type=resolution, metavar="N|HxW", help="px that the supernet sees, 16 or 32x16"
    )
    flags.add_argument(
        "--proxy-width", type=share, metavar="W", help="width of the supernet, 1 is that of the target network"
    )
    flags.add_argument(
        "--from", dest="source", metavar="RUN", help="search with the supernet of this run, train nothing"
    )
    flags.add_argument(
        "--weights", metavar="W",
        help="start the supernet from what fits of a training, or of NETWORK=FILE (.safetensors, .pth)",
    )  # fmt: skip
    flags.add_argument("--seed", type=seed, default=0, metavar="N", help="(default: 0)")
    add_accept_changes(flags)


def _add_measuring(flags: Container) -> None:
    flags.add_argument(
        "--measure-top", type=count, metavar="K",
        help="at the end measure the answer and up to K - 1 other candidates on this host, beside their predictions",
    )  # fmt: skip
    flags.add_argument(
        "--runtime", metavar="R",
        help="that measures them: onnxruntime, onnxruntime-int8, litert or xla (default: that of the target where it "
        "was calibrated with one, else onnxruntime)",
    )  # fmt: skip


def check(args: argparse.Namespace) -> None:
    """Refuse flags that contradict each other, a folder that cannot be had, and targets of no known name."""
    device_flags(args)
    if args.front:
        _check_front(args)
    if algorithm_of(args) == JOINT:
        _check_joint(args)
    if not holds_run(str(out_folder(args))):  # a run goes on, where it has the same settings
        check_new_folder(out_folder(args))
    from latency_models.target import load_target  # imports numpy, which --help does without

    for name in targets_of(args):
        load_target(name)
    if args.measure_top is not None:
        _check_measuring(args)


def _check_measuring(args: argparse.Namespace) -> None:
    """Refuse several targets, which one host cannot be, and a runtime that is not known or not installed."""
    if len(targets_of(args)) > 1:
        raise InvalidInput("--measure-top is for one target; measure each: nas measure RUN/TARGET --top K")
    if args.runtime is not None:
        load("runtime", RUNTIMES, args.runtime).versions()


def algorithm_of(args: argparse.Namespace) -> str:
    """Return the algorithm that the flags ask for: of a whole front one that the joint search cannot be."""
    return FRONT_ALGORITHM if args.front and args.algorithm == JOINT else str(args.algorithm)


def _check_front(args: argparse.Namespace) -> None:
    """Refuse latencies in ms on a device that has none."""
    ratios = args.ridge_point is not None and args.peak_gmacs_per_s is None
    if ratios and any(one.has_unit for one in args.front):
        raise InvalidInput(
            "latencies of an abstract device are relative to mobilenetv4-conv-s: give --front without a unit, 0.5..2"
        )


def _check_joint(args: argparse.Namespace) -> None:
    """Refuse several targets beside the joint search."""
    if len(args.latency_ms or ()) > 1 or "," in (args.target or ""):
        raise InvalidInput("the joint search trains for one target; for several choose an --algorithm, nsga2 say")


def targets_of(args: argparse.Namespace) -> tuple[str, ...]:
    """Return the names of the targets, none for an abstract device."""
    target = device_flags(args)
    try:
        return names(target) if target is not None else ()
    except argparse.ArgumentTypeError as error:
        raise InvalidInput(f"--target {error}") from error


def space_of(args: argparse.Namespace) -> str:
    """Return the space asked for, or the one that belongs to the preset."""
    space: str = args.space or PRESET_SPACES.get(args.preset, "uib")
    return space


def out_folder(args: argparse.Namespace) -> Path:
    """Return the folder of the run; without --out it is named after its settings, so that each search has its own."""
    if args.out:
        return Path(args.out)
    target = device_flags(args)
    device = "-".join(Path(name).stem for name in target.split(",")) if target else f"ridge{args.ridge_point:g}"
    algorithm = () if args.algorithm == JOINT else (args.algorithm,)  # of a front too, where none is named
    changed = {name: value for name, value in vars(args).items() if value != args.defaults.get(name, value)}
    first = [write(changed.pop(name)) for name, write in IN_NAME.items() if name in changed]
    others = [_in_name(name, changed[name]) for name in args.defaults if name in changed and name not in NOT_IN_NAME]
    return default_folder(
        space_of(args), device, *first, Path(args.data).stem, args.preset, *algorithm, *others, f"s{args.seed}"
    )


def _in_name(setting: str, value: object) -> str:
    """Return a setting as a part of a folder's name: "proxy_width0.5", "universal", "minimizememory-flash"."""
    values = value if isinstance(value, list | tuple) else [value]
    return setting if value is True else setting + "-".join(Path(str(each)).name for each in values)


def _number(value: float) -> str:
    return f"{value:.12g}"


def _range(one: LatencyRange) -> str:
    """Return a range as it is written, "" for all that a space reaches."""
    return "" if one[:2] == (None, None) else "..".join("" if end is None else _number(end) for end in one[:2])


def _short_count(value: float) -> str:
    """Return a count exactly, in millions or thousands where these are few digits: "3M", "3.5M", "1234567"."""
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if value >= size and value * 100 % size == 0:
            return _number(value / size) + letter
    return str(value)


IN_NAME: dict[str, Callable[[Any], str]] = {  # settings in the name of a folder, behind the target
    "latency_ms": lambda each: "-".join(map(_number, each)) + "ms",
    "latency_ratio": lambda value: f"{_number(value)}x",
    "front": lambda ranges: "front" + "-".join(map(_range, ranges)),
    "max_params": lambda value: f"params{_short_count(value)}",
    "max_macs": lambda value: f"macs{_short_count(value)}",
    "max_memory_kb": lambda value: f"memory{_number(value)}KiB",
    "max_flash_kb": lambda value: f"flash{_number(value)}KiB",
    "max_energy_mj": lambda value: f"energy{_number(value)}mJ",
    "resolution": lambda value: f"{value}px",
}
