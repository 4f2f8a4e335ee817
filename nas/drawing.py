"""One network drawn block by block: in a terminal, as a picture (PNG, SVG) or as a page (HTML), for one device."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latency_models.roofline import Roofline
from nas.anatomy import HEAD, Block, blocks, kernel_columns, kernel_times, own_name
from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.files import write_whole
from nas.ops import Kernel, Kind

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

TERMINAL: dict[Kind, str] = {
    "conv": "bright_cyan", "pointwise": "bright_blue", "depthwise": "green", "dense": "white", "matmul": "magenta",
    "pool": "yellow", "elementwise": "bright_black",
}  # fmt: skip
BAR = 10  # characters
EIGHTHS = " ▏▎▍▌▋▊▉"


@dataclass(frozen=True)
class Part:
    """A block with its shares, fractions: of the network's MACs, and of its time in kernels (the floor left out)."""

    block: Block
    kernels: tuple[Kernel, ...]
    macs: int
    time: float  # in the unit of the model
    macs_share: float
    time_share: float


def parts(arch: ArchSpec, model: Roofline) -> list[Part]:
    """Return the blocks of `arch` with what they cost on the device of `model`."""
    columns = kernel_columns([arch])
    times, _ = kernel_times(columns, model)
    macs, total = columns.macs.sum() or 1.0, times.sum() or 1.0
    found = []
    for block in blocks(arch):
        own, time = block.of(columns.macs), block.of(times)
        kernels = arch.kernels[block.first : block.last]
        found.append(Part(block, kernels, int(own), time, own / macs, time / total))
    return found


def drawing(arch: ArchSpec, model: Roofline) -> "Table":
    """Return the network as a table for a terminal: a row per block, its kernels in colour, two bars."""
    from rich.table import Table
    from rich.text import Text

    found = parts(arch, model)
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


def short_words(block: Block) -> str:
    """Return the kind of block, with its stride and what else it has: "UIB ExtraDW s2"."""
    if block.tag == HEAD:
        return "head"
    name, *rest = block.words.split(", ")
    name = " ".join(word for word in name.split() if not (word.startswith("k") and word[1:2].isdigit()))
    return " ".join([name, *(word for word in rest if word in ("skip", "squeeze-excite") or word[0] == "s")])


def kernel_text(part: Part) -> "Text":
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
        "conv": f"{kernel.kernel}x{kernel.kernel}-{out}{stride}",
        "pointwise": f"1x1-{out}{stride}",
        "depthwise": f"dw{kernel.kernel}{stride}",
        "dense": f"fc-{out}",
        "pool": "pool",
        "matmul": own_name(kernel),
        "elementwise": "+" if own_name(kernel) == "add" else own_name(kernel),
    }
    return words[kernel.kind]


def bar(share: float, most: float) -> str:
    """Return a bar of up to `BAR` characters and the share in percent."""
    full, eighths = divmod(round(8 * BAR * share / (most or 1)), 8)
    drawn = ("█" * full + EIGHTHS[eighths].strip()).ljust(BAR)
    return f"{drawn} {share:6.1%}"


def write(arch: ArchSpec, model: Roofline, path: Path) -> None:
    """Draw the network into the new file `path`, whose ending says how; `InvalidInput` where it exists."""
    forms: dict[str, Callable[[], str | bytes]] = {
        ".html": lambda: html(arch, model),
        ".svg": lambda: _picture(arch, model, "svg"),
        ".png": lambda: _picture(arch, model, "png"),
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

    from nas.compared import Entry
    from nas.page import detail, page
    from nas.page_data import page_data

    title = heading(arch, model)
    data = page_data([Entry(arch.name, arch.name, "spec", arch)], {model.name: model}, first=0)
    body = f"<header><h1>{escape(title)}</h1></header><main>{detail('alone')}</main>"
    return page(title, body, data, ())


def _picture(arch: ArchSpec, model: Roofline, form: Any) -> bytes:
    from nas.architecture_picture import picture

    return picture(arch, model, form)
