"""What the tasks of nas calibrate share: the new file of a target or forest, and the target it is to be like."""

import argparse
import re
from itertools import count
from pathlib import Path
from typing import get_args

from latency_models.calibration.kept import kept_file, load_kept
from latency_models.target import Dtype, Target, list_targets, load_target, target_file
from nas.errors import InvalidInput

THIS_HOST = "this-host"  # what nas measure proposes to calibrate
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def new_file(args: argparse.Namespace, suffix: str, kind: str) -> Path:
    """Return the file to write, refused where something is there or the name is taken."""
    if args.name is None and args.out is None:
        raise InvalidInput(f"the new {kind} needs a name: --name my-phone")
    path = Path(args.out or f"{args.name}{suffix}")
    if not path.name.endswith(suffix):
        raise InvalidInput(f"a {kind} is a {suffix} file, so -o must end so, got {path}")
    stem = path.name.removesuffix(suffix)
    name = args.name or stem
    if not NAME.fullmatch(name) or name.endswith(suffix):
        raise InvalidInput(f"--name must be letters, digits, '.', '_' and '-' without {suffix}, got '{name}'")
    if taken := [target.name for target in list_targets() if name in (target.name, *target.aliases)]:
        raise InvalidInput(f"the name '{name}' is taken by the target {taken[0]} of this engine; choose another --name")
    if path.exists():
        raise InvalidInput(f"{path} exists; choose another --name or -o, or remove it")
    if kind == "target" and kept_file(path).exists():
        raise InvalidInput(f"{kept_file(path)} exists, the measurements of another target; choose another --name or -o")
    if not path.parent.is_dir():
        raise InvalidInput(f"there is no folder {path.parent} for {path}; make it, or name another with -o")
    return path


def name_of_next(target: str) -> Path:
    """Return a new file for what `target`, a name or a file, becomes with more measurements: host.toml, host-2.toml.

    `InvalidInput` where it is no file of the user's own, as one that measurements can be added to is.
    """
    path = target_file(target) or Path(f"{load_kept(target)[0].name}.toml")
    stem = re.sub(r"-\d+$", "", path.name.removesuffix(".toml"))
    later = (path.with_name(f"{stem}-{number}.toml") for number in count(2))
    return next(one for one in later if not one.exists() and not kept_file(one).exists())


def free_name(stem: str) -> str:
    """Return a name for a new target in this folder: `stem`, or with a number where there is one: host, host-2."""
    names = (stem if number == 1 else f"{stem}-{number}" for number in count(1))
    return next(name for name in names if not (one := Path(f"{name}.toml")).exists() and not kept_file(one).exists())


def like_and_dtype(args: argparse.Namespace) -> tuple[Target | None, Dtype]:
    """Return the target that --like names, None without it, and the data type."""
    if args.dtype is not None and args.dtype not in get_args(Dtype):
        raise InvalidInput(f"--dtype must be one of {', '.join(get_args(Dtype))}, got '{args.dtype}'")
    if args.dtype is not None and args.like is not None:
        raise InvalidInput("--like gives the data type already; give --dtype or --like, not both")
    return load_target(args.like) if args.like else None, args.dtype or "fp32"
