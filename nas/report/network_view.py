"""One network drawn block by block: in a terminal, as a image (PNG, SVG) or as a page (HTML), for one device."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latency_models.roofline import Roofline
from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.files import write_whole
from nas.ops import Kernel, Kind
from nas.report.network_blocks import HEAD, NetworkBlock, own_name
from nas.report.network_summary import BlockShare, block_shares, facts, heading

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

TERMINAL: dict[Kind, str] = {
    "conv": "bright_cyan", "pointwise": "bright_blue", "depthwise": "green", "dense": "white", "matmul": "magenta",
    "pool": "yellow", "elementwise": "bright_black",
}  # fmt: skip
BAR = 10  # characters
EIGHTHS = " ▏▎▍▌▋▊▉"


def network_table(arch: ArchSpec, model: Roofline) -> "Table":
    """Return the network as a table for a terminal: a row per block, its kernels in colour, two bars."""
    from rich.table import Table
    from rich.text import Text

    found = block_shares(arch, model)
    most = max(max(part.macs_share, part.time_share) for part in found)
    table = Table(title=heading(arch, model), title_justify="left", caption_justify="left", pad_edge=False)
    for name in ("stage", "block", "kernels", "output"):
        table.add_column(name, overflow="fold")
    for name in ("MACs", "of MACs", model.unit, "of time"):
        table.add_column(name, justify="right" if name in ("MACs", model.unit) else "left", no_wrap=True)
    stage = ""
    for part in found:
        block = part.block
        if stage and block.stage != stage:
            table.add_section()
        first, stage = block.stage != stage, block.stage
        shape = "x".join(map(str, block.out_shape)) if block.tag != HEAD else f"{arch.num_classes:,} classes"
        table.add_row(
            stage.removeprefix("stage ") if first else "",
            Text(short_words(block)),
            kernel_text(part),
            shape,
            f"{part.macs / 1e6:,.2f} M",
            bar(part.macs_share, most),
            f"{part.time:.4f}",
            bar(part.time_share, most),
        )
    table.caption = "\n".join(facts(arch, model))
    return table


def short_words(block: NetworkBlock) -> str:
    """Return the kind of block, with its stride and what else it has: "UIB ExtraDW s2"."""
    if block.tag == HEAD:
        return "head"
    name, *rest = block.words.split(", ")
    name = " ".join(word for word in name.split() if not (word.startswith("k") and word[1:2].isdigit()))
    return " ".join([name, *(word for word in rest if word in ("skip", "squeeze-excite") or word[0] == "s")])


def kernel_text(part: BlockShare) -> "Text":
    """Return the kernels of a block in order: their size, their stride, and the channels they end with."""
    from rich.text import Text

    text = Text()
    for kernel in part.kernels:
        if text:
            text.append(" ")
        text.append(kernel_words(kernel), style=TERMINAL[kernel.kind])
    return text


def kernel_words(kernel: Kernel) -> str:
    """Return a kernel in few letters: "dw5/2", "1x1-96", "3x3-32/2", "fc-1280", "pool", "+"."""
    stride, out = f"/{kernel.stride}" if kernel.stride > 1 else "", kernel.out_shape.channels
    words: dict[Kind, str] = {
        "conv": f"{kernel.kernel_size}x{kernel.kernel_size}-{out}{stride}",
        "pointwise": f"1x1-{out}{stride}",
        "depthwise": f"dw{kernel.kernel_size}{stride}",
        "dense": f"fc-{out}",
        "pool": "pool",
        "matmul": own_name(kernel),
        "elementwise": "+" if own_name(kernel) == "add" else own_name(kernel),
    }
    return words[kernel.kind]


def bar(share: float, most: float) -> str:
    """Return a bar of up to `BAR` characters and the share in percent."""
    full, eighths = divmod(round(8 * BAR * share / (most or 1)), 8)
    sampled = ("█" * full + EIGHTHS[eighths].strip()).ljust(BAR)
    return f"{sampled} {share:6.1%}"


def write(arch: ArchSpec, model: Roofline, path: Path) -> None:
    """Draw the network into the new file `path`, whose ending says how; `InvalidInput` where it exists."""
    forms: dict[str, Callable[[], str | bytes]] = {
        ".html": lambda: html(arch, model),
        ".svg": lambda: _plot(arch, model, "svg"),
        ".png": lambda: _plot(arch, model, "png"),
    }
    check_new_file(path, forms)
    write_whole(path, forms[path.suffix.lower()]())


def check_new_file(path: Path, endings: Any = (".html", ".svg", ".png")) -> None:
    """Raise `InvalidInput` where `path` exists, or does not end with one of the `endings`."""
    if path.suffix.lower() not in endings:
        raise InvalidInput(f"--out must end with {', '.join(endings)}, got {path}")
    if path.exists():
        raise InvalidInput(f"{path} exists; name another file with --out, or remove it")


def html(arch: ArchSpec, model: Roofline) -> str:
    """Return the page of one network: the same drawing as in a comparison, with every kernel on demand."""
    from html import escape

    from nas.records.networks import Entry
    from nas.report.page import detail, page
    from nas.report.page_data import page_data

    title = heading(arch, model)
    data = page_data([Entry(arch.name, arch.name, "spec", arch)], {model.name: model}, first=0)
    body = f"<header><h1>{escape(title)}</h1></header><main>{detail('alone')}</main>"
    return page(title, body, data, ())


def _plot(arch: ArchSpec, model: Roofline, form: Any) -> bytes:
    from nas.report.network_plot import network_plot

    return network_plot(arch, model, form)
