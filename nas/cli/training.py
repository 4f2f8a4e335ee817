"""nas train: one network, or its proxy, trained alone."""

import argparse
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.cli.arguments import Commands, add_data, count, positive, seed, share
from nas.cli.specs import SPEC_OR_RUN, check_new_folder, network_name
from nas.errors import InvalidInput
from nas.records.networks import arch_of, is_run

if TYPE_CHECKING:
    from nas.arch import ArchSpec
    from nas.data import Dataset
    from nas.training.loop import TrainingProgress, TrainResult


def add_commands(commands: Commands) -> None:
    """Add the command."""
    train = commands.add_parser("train", help="train one network, or its proxy, alone")
    train.add_argument("spec", metavar="SPEC|RUN", help=SPEC_OR_RUN)
    add_data(train, default="that of the run, else digits")
    train.add_argument("--epochs", type=count, default=30, metavar="N", help="(default: 30)")
    train.add_argument("--batch-size", type=count, default=128, metavar="N", help="(default: 128)")
    train.add_argument(
        "--learning-rate", type=positive, metavar="X", help="peak of the schedule (default: AdamW's own)"
    )
    train.add_argument("--proxy", action="store_true", help="train the small proxy, not the deployed network")
    train.add_argument("--proxy-resolution", type=count, metavar="N", help="px of the proxy (default: that of the run)")
    train.add_argument("--proxy-width", type=share, metavar="W", help="its width (default: that of the run)")
    train.add_argument(
        "--from-supernet", action="store_true", help="start from the weights of the run's supernet; needs --proxy"
    )
    train.add_argument("--seed", type=seed, default=0, metavar="N", help="(default: 0)")
    train.add_argument(
        "--out", metavar="DIR", help="new folder, or one to go on with (default: runs/train-NAME-DATA-sN)"
    )
    train.set_defaults(run=run_train)


@dataclass(frozen=True)
class Subject:
    """What is trained: the deployed network, or a proxy of it; `weights` to start from, None for random ones."""

    arch: "ArchSpec"
    proxy_width: float = 1.0
    weights: Any = None


def run_train(args: argparse.Namespace) -> None:
    """Train, then print the test accuracy. Started again with the same flags and folder, it goes on."""
    _check_flags(args)
    arch = arch_of(args.spec)
    from nas.data import load
    from nas.files import CannotWrite

    data, data_dir = (args.data, args.data_dir) if args.data else _data_of_run(args)
    out = Path(args.out) if args.out else _default_out(args, data)
    if not (out / "settings.json").exists():  # of a training to go on with
        check_new_folder(out)
    dataset = load(data, Path(data_dir) if data_dir else None)
    arch = _fitted(args.spec, arch, dataset)
    subject = _proxy(args, arch, dataset) if args.proxy else Subject(arch)
    from nas.cli.live import LiveReporter, console
    from nas.training.loop import TrainingConfig, train
    from nas.training.optimizers import AdamW

    optimizer = AdamW() if args.learning_rate is None else AdamW(learning_rate=args.learning_rate)
    settings = TrainingConfig(args.epochs, args.batch_size, optimizer, seed=args.seed)
    try:
        with LiveReporter() as reporter:
            reporter.plan(_plan(subject, dataset, settings.epochs, out))
            result = train(
                subject.arch, dataset, settings, out, lambda event: reporter.advance(*_state(event)),
                initial_weights=subject.weights, proxy_width=subject.proxy_width,
            )  # fmt: skip
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt("the same command goes on from the last checkpoint") from stop
    except CannotWrite as error:
        raise InvalidInput(f"{error}; then the same command goes on from the last checkpoint") from error
    console().print(_summary(result, out), markup=False)


def _check_flags(args: argparse.Namespace) -> None:
    if args.from_supernet and not (args.proxy and is_run(args.spec)):
        raise InvalidInput("--from-supernet needs --proxy and the folder of a run: a supernet trains proxies")
    changed = args.proxy_resolution is not None or args.proxy_width is not None
    if changed and (not args.proxy or args.from_supernet):
        raise InvalidInput("--proxy-resolution and --proxy-width go with --proxy, and not with --from-supernet")


def _data_of_run(args: argparse.Namespace) -> tuple[str, str | None]:
    """Return the data set and its folder that a run was made on; the digits where there is no run."""
    if not is_run(args.spec):
        return "digits", args.data_dir
    from nas.files import read_json

    stored = read_json(Path(args.spec) / "experiment.json")
    settings = stored.get("settings") if isinstance(stored, dict) else None
    if not isinstance(settings, dict):
        raise InvalidInput(f"{args.spec}/experiment.json holds no settings; name the data with --data")
    return settings.get("data", "digits"), args.data_dir or settings.get("data_dir")


def _fitted(text: str, arch: "ArchSpec", dataset: "Dataset") -> "ArchSpec":
    """Return `arch`, a reference network with the classes of the data; any other spec stays as it was written."""
    from dataclasses import replace

    from nas.zoo import is_reference

    return replace(arch, num_classes=dataset.num_classes) if is_reference(text) else arch


def _proxy(args: argparse.Namespace, arch: "ArchSpec", dataset: "Dataset") -> Subject:
    """Return the proxy: as the run had it, as the flags say, or as the quick preset would."""
    from nas.records.results import result_of_run
    from nas.space.scaling import scale_down
    from nas.supernet.presets import QUICK, proxy_resolution

    resolution, width = proxy_resolution(QUICK, dataset.resolution, args.proxy_resolution), QUICK.proxy_width
    if is_run(args.spec):
        result = result_of_run(Path(args.spec))
        resolution, width = args.proxy_resolution or result.proxy_resolution, result.proxy_width
    width = args.proxy_width or width
    small = scale_down(arch, resolution, width)
    if not args.from_supernet:
        return Subject(small, width)
    from nas.nn.network import load_weights

    weights, _ = load_weights(Path(args.spec) / "inherited.safetensors", small)
    return Subject(small, width, weights)


def _default_out(args: argparse.Namespace, data: str) -> Path:
    parts = ("train", network_name(args.spec), *(["proxy"] if args.proxy else []), Path(data).stem, f"s{args.seed}")
    return Path("runs", re.sub(r"[^\w.-]+", "-", "-".join(parts), flags=re.ASCII))


def _plan(subject: Subject, dataset: "Dataset", epochs: int, out: Path) -> list[str]:
    arch = subject.arch
    side, _, channels = arch.input_shape
    network = "deployed network" if subject.proxy_width == 1 else f"proxy of width {subject.proxy_width:g}"
    start = "random weights" if subject.weights is None else "the supernet's weights"
    return [
        f"network: {arch.name}, {network}, {side} px, {channels} channels, {arch.num_classes} classes",
        f"costs of what is trained: {arch.macs:,} MACs, {arch.params:,} parameters",
        f"data {dataset.name}: {len(dataset.y_train):,} training and {len(dataset.y_test):,} test images",
        f"{epochs} epochs from {start}, into {out}",
    ]


def _state(event: "TrainingProgress") -> tuple[str, int, int, str]:
    from nas.cli.live import duration

    left = duration(event.step_s * (event.steps - event.step))
    return "train", event.step, event.steps, f"loss {event.loss:.3f}, training top-1 {event.top1:.1%}, {left} left"


def _summary(result: "TrainResult", out: Path) -> str:
    accuracy = result.accuracy
    error = f"+- {100 * accuracy.standard_error:.2f} points (standard error, {accuracy.images:,} images)"
    return (
        f"test top-1 {accuracy.top1:.2%} {error}\n"
        f"of: {accuracy.kind.label()}\n"
        f"wrote {out}/arch.json, weights.safetensors, train.json\n"
        f"next: nas compare {out} --targets edgetpu"
    )
