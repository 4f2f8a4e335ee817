"""nas scale: a network deeper, wider and for larger images, by one coefficient or up to a latency."""

import argparse
import shlex
from pathlib import Path

from latency_models.roofline import Roofline
from nas.arch import ArchSpec, arch_json
from nas.cli.console import console, show_whole
from nas.cli.models import latency_model, searched_settings, with_device_of
from nas.cli.output import print_json
from nas.cli.tables.scale import scale_table
from nas.errors import InvalidInput
from nas.export.atomic_write import check_new_files
from nas.files import write_whole
from nas.records.networks import arch_of
from nas.registry import is_address
from nas.report.compound import ScaledCosts
from nas.space.compound import PAPER, Coefficients, compound_scaled, largest_phi


def run(args: argparse.Namespace) -> None:
    """Print the network before and after, and write the scaled one where a file is named."""
    out = Path(args.out) if args.out else None
    if out:
        check_new_files(out)
    arch, base = arch_of(args.spec), Coefficients(args.depth, args.width, args.resolution)
    args = with_device_of(args, args.spec)
    shape = arch.input_shape
    model = latency_model(args, shape.size, shape.channels, arch.num_classes)
    assert model is not None  # a target is the default
    phi = args.phi if args.phi is not None else _phi_for(args.latency_ms, model, arch, base)
    scaled = compound_scaled(arch, phi, base)
    before, after = (ScaledCosts.of(one, model) for one in (arch, scaled))
    if out:
        growths = {name: f"{value:g}" for name, value in vars(base).items()}
        origin = {"scaled_from": f"{arch.name} ({arch.digest})", "phi": f"{phi:g}", **growths}
        write_whole(out, arch_json(scaled, origin))
    if args.json:
        key = "latency_ms" if model.unit == "ms" else "latency_ratio"
        both = {name: costs.to_json(key) for name, costs in (("before", before), ("after", after))}
        print_json({"phi": phi, **vars(base), "target": model.name, **both, "arch": scaled.to_dict(), "out": args.out})
        return
    console().print(scale_table(before, after, phi, base, model))
    show_whole(_next_lines(args, phi, out))


def _phi_for(latency: float, model: Roofline, arch: ArchSpec, base: Coefficients) -> float:
    """Return the coefficient for a latency in ms; `InvalidInput` where the device has no milliseconds."""
    if model.unit != "ms":
        raise InvalidInput("--latency needs a device with milliseconds: a --target, or --peak-gmacs-per-s as well")
    return largest_phi(arch, model, latency, base)


def _next_lines(args: argparse.Namespace, phi: float, out: Path | None) -> list[str]:
    """Return the lines on what was written, and on the commands that come next."""
    if out is None:
        changed = [name for name, value in vars(PAPER).items() if getattr(args, name) != value]
        growths = [f"--{name}={getattr(args, name):g}" for name in changed]
        file = f"{Path(args.spec).stem or 'network'}-phi{phi:g}.json"
        return [f"next: {shlex.join(('nas', 'scale', args.spec, f'--phi={phi:g}', *growths, '-o', file))}"]
    trained = f"{out.with_suffix('')}-trained"
    device = ("--target", args.target) if args.target and args.ridge_point is None else ()
    settings = searched_settings(args.spec)
    data = str(settings[0].get("data") or "") if settings else ""
    images = ("--data", data) if data and not is_address(data) else ()
    commands = (
        ("describe", str(out), *device),
        ("train", str(out), *images, "--out", trained),
        ("export", trained, "--format", "onnx"),
    )
    return [f"wrote {out}: a spec without weights", *(f"next: {shlex.join(('nas', *words))}" for words in commands)]
