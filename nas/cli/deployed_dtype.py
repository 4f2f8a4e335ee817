"""Whether a file computes in the numbers that its run predicted latencies for; what counts is what is deployed."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from latency_models.target import Target, load_target, sibling
from nas.arch import ArchSpec
from nas.cli.models import targets_of
from nas.errors import InvalidInput
from nas.records.networks import arch_of, is_training
from nas.records.results import result_of_run
from nas.registry import DEFAULT_FORMAT, INT8_EXPORTERS, load


def dtype_notes(network: str, quantize: str | None) -> list[str]:
    """Return a line for each target of the run of `network` that computes in other numbers than the file.

    An fp32 file is one for an fp16 target too: the runtime halves its numbers by itself. None where no run is known.
    """
    int8 = quantize is not None
    return [_note(target, network, int8) for target in _targets(network) if (target.dtype == "int8") != int8]


def int8_flags(arch: ArchSpec, network: str, targets: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the flags of nas deploy with which its file is in the numbers that latencies were predicted in.

    They ask for int8 where all targets of the run of `network` (of a training, `targets` where they are known) compute
    in int8, and the format that is the default holds `arch` in int8; else there are none.
    """
    names = targets or targets_of([str(_run_of(network))])
    with suppress(InvalidInput, LookupError, OSError):
        if names and all(load_target(name).dtype == "int8" for name in names):
            load("format", INT8_EXPORTERS, DEFAULT_FORMAT).__self__.check(arch)
            return ("--quantize", "int8")
    return ()


def _note(target: Target, network: str, int8: bool) -> str:
    """Return the line on a target of other numbers, with the target that has those of the file."""
    file, searched = ("int8", target.dtype) if int8 else ("fp32", "int8")
    known = sibling(target, "int8" if int8 else "fp32")
    remedy = (
        f"its latency is that of {known.name}: nas describe {network} --target {known.name}"
        if known
        else ("no target has its latency: measure it, nas measure")
    )
    line = f"note: the run predicted latencies on {target.name} in {searched}, the file computes in {file}; {remedy}"
    return line if int8 else f"{line}; or deploy what was searched for: --quantize int8"


def _targets(network: str) -> Iterator[Target]:
    """Yield the targets of the run that a network is from, as far as they can be read."""
    for name in targets_of([str(_run_of(network))]):
        with suppress(InvalidInput, LookupError, OSError):
            yield load_target(name)


def _run_of(network: str) -> Path | str:
    """Return the run that a training was made from: by the name of its folder RUN-..., or by the network it trained.

    The runs beside the training are looked at; where none is known, the network itself.
    """
    folder = Path(network)
    if not is_training(network):
        return network
    places = [folder.resolve(), folder.resolve().parent]  # of nas train; of nas deploy, the training is inside
    runs = {path.parent: place for place in places for path in place.parent.glob("*/experiment.json")}
    named = [run for run, place in runs.items() if place.name.startswith(f"{run.name}-")]
    if named:
        return max(named, key=lambda run: len(run.name))
    digest = arch_of(network).digest
    return next((run for run in sorted(runs) if _found(run) == digest), network)


def _found(run: Path) -> str | None:
    """Return the digest of the network that a run found, None where it has none that can be read."""
    with suppress(InvalidInput, LookupError, OSError):
        return result_of_run(run).arch.digest
    return None
