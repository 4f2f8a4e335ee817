"""One network block by block with its costs on one device, as a table for a terminal."""

from rich.text import Text

from latency_models.roofline import Roofline
from nas.arch import ArchSpec
from nas.ops import Kernel, Kind
from nas.report.describe_tables import bytes_text
from nas.report.energy import energy_of_target, energy_rows
from nas.report.network_blocks import HEAD, NetworkBlock, name_in_block
from nas.report.network_summary import BlockCost, block_costs, title, totals_text
from nas.report.terminal_table import Column, FittedTable, short_number, unit_text

KIND_STYLES: dict[Kind, str] = {
    "conv": "bright_cyan", "pointwise": "bright_blue", "depthwise": "green", "dense": "white", "matmul": "magenta",
    "pool": "yellow", "elementwise": "bright_black",
}  # fmt: skip
BAR_WIDTH = 10  # characters
EIGHTHS = " ▏▎▍▌▋▊▉"


def network_table(arch: ArchSpec, model: Roofline) -> FittedTable:
    """Return the network as a table: a row per block with its kernels in colour, its share of MACs and of time."""
    energy = energy_of_target(model.name)
    costs = block_costs(arch, model, energy)
    largest = max(max(cost.macs_share, cost.time_share) for cost in costs)
    most = max(cost.memory for cost in costs)
    left = [Column("stage"), Column("block", fold=True), Column("kernels", fold=True), Column("output", drop=2)]
    right = [Column("MACs", True, drop=1), Column("of MACs", drop=3)]
    unit = Column(unit_text(model.unit, model.batch), True)
    memory = [Column("memory", True, drop=4), *([Column("of energy", True, drop=5)] if energy else [])]
    table = FittedTable(title(arch, model), [*left, *right, unit, Column("of time"), *memory])
    stage = ""
    for cost in costs:
        block = cost.block
        if stage and block.stage != stage:
            table.add_section()
        first, stage = block.stage != stage, block.stage
        shape = "x".join(map(str, block.out_shape)) if block.tag != HEAD else f"{arch.num_classes:,} classes"
        table.add_row(
            stage.removeprefix("stage ") if first else "",
            Text(short_description(block)),
            kernel_labels(cost),
            shape,
            short_number(cost.macs),
            bar(cost.macs_share, largest),
            f"{cost.time:.4f}",
            bar(cost.time_share, largest),
            bytes_text(cost.memory) + ("*" if cost.memory == most else ""),
            *([f"{cost.energy_share:.1%}"] if cost.energy_share is not None else []),
        )
    lines = [f"*: most activations alive at once, {bytes_text(most)}"]
    if energy:
        lines += [f"{name}: {value}" for name, value in energy_rows(arch, energy)]
    table.caption = "\n".join([*totals_text(arch, model), *lines])
    return table


def short_description(block: NetworkBlock) -> str:
    """Return the description of a block without kernel sizes and channels: "UIB ExtraDW s2"."""
    if block.tag == HEAD:
        return "head"
    name, *rest = block.description.split(", ")
    name = " ".join(word for word in name.split() if not (word.startswith("k") and word[1:2].isdigit()))
    return " ".join([name, *(word for word in rest if word in ("skip", "squeeze-excite") or word[0] == "s")])


def kernel_labels(cost: BlockCost) -> Text:
    """Return the labels of a block's kernels in order, each in the colour of its kind."""
    text = Text()
    for kernel in cost.kernels:
        if text:
            text.append(" ")
        text.append(kernel_label(kernel), style=KIND_STYLES[kernel.kind])
    return text


def kernel_label(kernel: Kernel) -> str:
    """Return size, output channels and stride of a kernel in short: "dw5/2", "1x1-96", "3x3-32/2", "fc-1280", "+"."""
    stride, out = f"/{kernel.stride}" if kernel.stride > 1 else "", kernel.out_shape.channels
    height, width = kernel.window
    labels: dict[Kind, str] = {
        "conv": f"{height}x{width}-{out}{stride}",
        "pointwise": f"1x1-{out}{stride}",
        "depthwise": f"dw{height}{stride}" if height == width else f"dw{height}x{width}{stride}",
        "dense": f"fc-{out}",
        "pool": "pool",
        "matmul": name_in_block(kernel),
        "elementwise": "+" if name_in_block(kernel) == "add" else name_in_block(kernel),
    }
    return labels[kernel.kind]


def bar(share: float, largest: float) -> str:
    """Return a bar of characters, `BAR_WIDTH` long where `share` is `largest`, and the share in percent."""
    full, eighths = divmod(round(8 * BAR_WIDTH * share / (largest or 1)), 8)
    blocks = ("█" * full + EIGHTHS[eighths].strip()).ljust(BAR_WIDTH)
    return f"{blocks} {share:6.1%}"
