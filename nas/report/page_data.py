"""The JSON data of a page: networks, architectures with all their kernels, and the cost of each on every target."""

from collections.abc import Mapping, Sequence
from typing import Any

from latency_models.kernel_times import KernelColumns, kernel_columns, kernel_times, totals
from latency_models.latency_error import UNKNOWN, error_of
from latency_models.roofline import Roofline
from nas.arch import ArchSpec
from nas.ops import KINDS
from nas.protocols import LatencyModel
from nas.records.networks import Entry
from nas.records.results import display_text, title_of
from nas.report.block_glossary import block_name, glossary
from nas.report.known_error import error_on
from nas.report.network_blocks import name_in_block, network_blocks
from nas.report.noise import within_noise_of_faster
from nas.report.page import rounded
from nas.search.pareto import non_dominated

Data = dict[str, Any]


def page_data(
    entries: Sequence[Entry],
    models: Mapping[str, LatencyModel],
    *,
    extra_archs: Sequence[ArchSpec] = (),
    target_notes: Mapping[str, Sequence[str]] | None = None,
    first: int | None = None,
) -> Data:
    """Return the data that every page has; latencies and times in the unit of each target's model.

    targets, shown (numbers of the targets chosen at first), kinds (of accuracy), networks (one per entry), latency
    [network][target], fronts and within_noise [target] (numbers of networks; see `_within_noise`), archs (those of the
    entries and `extra_archs`, each once), times and bounds [target][arch], glossary (meanings of the names of their
    blocks). `target_notes` are shown below a target's name; `first` is the number of the network that is selected at
    first.
    """
    archs = list(dict.fromkeys([*(entry.arch for entry in entries), *extra_archs]))
    numbers = {arch: number for number, arch in enumerate(archs)}
    kinds = list(dict.fromkeys(entry.kind for entry in entries if entry.kind))
    columns = kernel_columns(archs)
    costs = [kernel_times(columns, model) for model in models.values()]
    per_arch = [totals(columns, times, model) for (times, _), model in zip(costs, models.values(), strict=True)]
    latency = [[own[numbers[entry.arch]] for own in per_arch] for entry in entries]
    fronts = [_front(entries, [row[target] for row in latency]) for target in range(len(models))]
    described = [arch_data(arch) for arch in archs]
    return {
        "latency_label": "predicted latency",
        "targets": [
            _target_data(name, model, (target_notes or {}).get(name, ()), archs) for name, model in models.items()
        ],
        "shown": list(range(len(models))),
        "first": first,
        "kinds": [display_text(kind) for kind in kinds],
        "metrics": [title_of(kind) for kind in kinds],
        "networks": [_network_data(entry, numbers[entry.arch], kinds, models) for entry in entries],
        "latency": [rounded(row) for row in latency],
        "fronts": fronts,
        "within_noise": [
            _within_noise(entries, [row[target] for row in latency], front) for target, front in enumerate(fronts)
        ],
        "archs": described,
        "times": [[rounded(times[part].tolist()) for part in columns.slices] for times, _ in costs],
        "bounds": [_bounds(columns, bounds) for _, bounds in costs],
        "glossary": glossary(block["description"] for arch in described for block in arch["blocks"]),
    }


def arch_number(data: Data, arch: ArchSpec) -> int:
    """Return the number of `arch` among the architectures of `data`."""
    return next(number for number, one in enumerate(data["archs"]) if one["digest"] == arch.digest)


def arch_data(arch: ArchSpec) -> Data:
    """Return an architecture with its blocks, and its kernels as columns."""
    kernels = arch.kernels
    return {
        "digest": arch.digest,
        "input": list(arch.input_shape),
        "classes": arch.num_classes,
        "macs": arch.macs,
        "params": arch.params,
        "spec": arch.to_dict(),
        "blocks": [
            {
                "stage": block.stage,
                "name": block_name(block.description),
                "description": block.description,
                "shape": list(block.out_shape),
                "skip": block.residual,
                "first": block.first,
                "last": block.last,
            }
            for block in network_blocks(arch)
        ],
        "kernels": {
            "name": [name_in_block(kernel) for kernel in kernels],
            "kind": [KINDS.index(kernel.kind) for kernel in kernels],
            "input": [list(kernel.in_shape) for kernel in kernels],
            "output": [list(kernel.out_shape) for kernel in kernels],
            "size": [kernel.kernel_size for kernel in kernels],
            "stride": [kernel.stride for kernel in kernels],
            "macs": [kernel.macs for kernel in kernels],
            "elements": [kernel.weights + kernel.reads + kernel.writes for kernel in kernels],  # read and written
        },
    }


def _target_data(name: str, model: LatencyModel, notes: Sequence[str], archs: Sequence[ArchSpec]) -> Data:
    unit = getattr(model, "unit", "ms")
    batch = getattr(model, "batch", 1)
    constant = rounded([model.constant])[0]
    known = error_on(model, archs) if isinstance(model, Roofline) else UNKNOWN
    setup = getattr(model, "setup", "")
    tooltip = [name, *notes, *([setup] if setup else []), f"latency {known.explained}"]
    return {
        "name": name, "unit": unit, "batch": batch, "constant": constant, "setup": setup,
        "error": known.text if known.percent is not None else "",
        "tooltip": tooltip,
    }  # fmt: skip


def _network_data(entry: Entry, arch: int, kinds: Sequence[str], models: Mapping[str, LatencyModel]) -> Data:
    cautions = [model.caution(entry.arch) if isinstance(model, Roofline) else None for model in models.values()]
    top1, standard_error = rounded([entry.top1, entry.standard_error])
    return {
        "name": entry.name,
        "item": entry.item,
        "source": entry.source,
        "chosen": entry.chosen,
        "found_for": entry.found_for,
        "kind": kinds.index(entry.kind) if entry.kind else -1,
        "top1": top1,
        "standard_error": standard_error,
        "arch": arch,
        "cautions": cautions,
        "errors": [_error_text(model, entry.arch) for model in models.values()],
    }


def _error_text(model: LatencyModel, arch: ArchSpec) -> str:
    """Return the error of the predicted latency of `arch` as it stands behind it, "" where none is known."""
    known = error_of(model, arch) if isinstance(model, Roofline) else UNKNOWN
    return known.text if known.percent is not None else ""


def _front(entries: Sequence[Entry], latencies: Sequence[float]) -> list[int]:
    """Return the numbers of the entries on the Pareto front of their kind of accuracy."""
    found: list[int] = []
    for kind in dict.fromkeys(entry.kind for entry in entries if entry.kind):
        own = [number for number, entry in enumerate(entries) if entry.kind == kind]
        points = [(latencies[number], entries[number].top1) for number in own]
        kept = non_dominated(points, (True, False))
        found += [number for number, on_front in zip(own, kept, strict=True) if on_front]
    return sorted(found)


def _within_noise(entries: Sequence[Entry], latencies: Sequence[float], front: Sequence[int]) -> list[int]:
    """Return the members of `front` that are not told from a faster one: their accuracy is within a standard error.

    Networks that a run chose are never among them. Only accuracies of one kind are compared.
    """
    found: list[int] = []
    for kind in dict.fromkeys(entries[number].kind for number in front):
        own = [number for number in front if entries[number].kind == kind]
        own.sort(key=lambda number: (latencies[number], entries[number].top1))
        points = [(entries[number].top1, entries[number].standard_error) for number in own]
        alike = within_noise_of_faster(points)
        found += [number for number, one in zip(own, alike, strict=True) if one and not entries[number].chosen]
    return sorted(found)


def _bounds(columns: KernelColumns, bounds: Any) -> list[str]:
    """Return per architecture a string with what bounds each kernel: "c"ompute, "m"emory, "f"ree, "-" if unknown."""
    letters = "".join(bound[:1] or "-" for bound in bounds.tolist())
    return [letters[part] for part in columns.slices]
