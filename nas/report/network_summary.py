"""The costs of every block of a network on one device, absolute and as shares, and the totals as lines of text."""

from dataclasses import dataclass

from latency_models.energy import Energy
from latency_models.kernel_times import kernel_columns, kernel_times
from latency_models.latency_error import error_of
from latency_models.roofline import Roofline
from nas.arch import ArchSpec
from nas.ops import Kernel
from nas.report.network_blocks import NetworkBlock, network_blocks


@dataclass(frozen=True)
class BlockCost:
    """A block with its MACs and its time on one device.

    `macs_share` is the fraction of the network's MACs, `time_share` that of the time of its kernels, without the
    launch overhead, `energy_share` that of their energy, where the model of one is given. `memory` are the bytes of
    activations alive at once in the block at most.
    """

    block: NetworkBlock
    kernels: tuple[Kernel, ...]
    macs: int
    time: float  # in the unit of the model
    macs_share: float
    time_share: float
    memory: float = 0.0
    energy_share: float | None = None


def block_costs(arch: ArchSpec, model: Roofline, energy: Energy | None = None) -> list[BlockCost]:
    """Return the cost of every block of `arch` on the device of `model`, in the order of the network."""
    columns = kernel_columns([arch])
    times, _ = kernel_times(columns, model)
    total_macs, total_time = columns.macs.sum() or 1.0, times.sum() or 1.0
    energies = [energy.of_kernel(kernel) for kernel in arch.kernels] if energy else []
    bytes_each = model.bytes_per_activation * model.batch
    costs = []
    for block in network_blocks(arch):
        macs, time = block.sum_of(columns.macs), block.sum_of(times)
        kernels = arch.kernels[block.first : block.last]
        memory = max((kernel.live_elements for kernel in kernels), default=0) * bytes_each
        share = sum(energies[block.first : block.last]) / (sum(energies) or 1.0) if energy else None
        costs.append(BlockCost(block, kernels, int(macs), time, macs / total_macs, time / total_time, memory, share))
    return costs


def title(arch: ArchSpec, model: Roofline) -> str:
    """Return the title of a summary: network, device, input, number of classes; runtime, threads and dtype."""
    shape = "x".join(map(str, arch.input_shape))
    batch = f", batch of {model.batch}" if model.batch > 1 else ""
    setup = f"; {model.setup}" if model.setup else ""
    return f"{arch.name} on {model.name}, {shape}, {arch.num_classes:,} classes{batch}{setup}"


def totals_text(arch: ArchSpec, model: Roofline) -> list[str]:
    """Return lines of text: latency, MACs and parameters, then launch overhead and caution where there are any."""
    latency = model.predict_ms(arch)
    known = error_of(model, arch)
    lines = [f"{latency:.4g} {model.unit} predicted {known.text}, {arch.macs:,} MACs, {arch.params:,} parameters"]
    if model.constant:
        share = f"{model.constant / latency:.0%}"
        lines.append(
            f"launch overhead {model.constant:.4g} {model.unit} ({share}): in no block; shares of time are without it"
        )
    if known.percent is not None:
        lines.append(known.explained)
    caution = model.caution(arch)
    return lines + ([caution] if caution else [])
