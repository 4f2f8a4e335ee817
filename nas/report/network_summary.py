"""What each block of a network costs on one device, as shares of its MACs and of its time, with the totals in words."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from latency_models.kernel_times import kernel_columns, kernel_times
from latency_models.roofline import Roofline
from nas.arch import ArchSpec
from nas.ops import Kernel
from nas.report.network_blocks import NetworkBlock, blocks

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class BlockShare:
    """A block with its shares, fractions: of the network's MACs, and of its time in kernels (the floor left out)."""

    block: NetworkBlock
    kernels: tuple[Kernel, ...]
    macs: int
    time: float  # in the unit of the model
    macs_share: float
    time_share: float


def block_shares(arch: ArchSpec, model: Roofline) -> list[BlockShare]:
    """Return the blocks of `arch` with what they cost on the device of `model`."""
    columns = kernel_columns([arch])
    times, _ = kernel_times(columns, model)
    macs, total = columns.macs.sum() or 1.0, times.sum() or 1.0
    found = []
    for block in blocks(arch):
        own, time = block.of(columns.macs), block.of(times)
        kernels = arch.kernels[block.first : block.last]
        found.append(BlockShare(block, kernels, int(own), time, own / macs, time / total))
    return found


def heading(arch: ArchSpec, model: Roofline) -> str:
    """Return the name of the network, the device, and the input."""
    shape = "x".join(map(str, arch.input_shape))
    batch = f", batch of {model.batch}" if model.batch > 1 else ""
    return f"{arch.name} on {model.name}, {shape}, {arch.num_classes:,} classes{batch}"


def facts(arch: ArchSpec, model: Roofline) -> list[str]:
    """Return the totals in words, a line each, with what must be known before they are used."""
    latency = model.predict_ms(arch)
    said = [f"{latency:.4g} {model.unit} predicted, {arch.macs:,} MACs, {arch.params:,} parameters"]
    if model.constant:
        share = f"{model.constant / latency:.0%}"
        said.append(
            f"launch floor {model.constant:.4g} {model.unit} ({share}): in no block; shares of time are without it"
        )
    caution = model.caution(arch)
    return said + ([caution] if caution else [])
