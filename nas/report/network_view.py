"""One network block by block with its costs on one device, written to a file: a plot (PNG, SVG) or a page (HTML)."""

from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path
from typing import Literal

from latency_models.roofline import Roofline
from nas.arch import ArchSpec
from nas.errors import InvalidInput
from nas.files import write_whole
from nas.records.networks import Entry
from nas.report.network_summary import title
from nas.report.page import architecture_place, page
from nas.report.page_data import page_data


def write(arch: ArchSpec, model: Roofline, path: Path) -> None:
    """Write the network as a page or plot to the new file `path` (.html, .svg, .png); `InvalidInput` if it exists."""
    forms: dict[str, Callable[[], str | bytes]] = {
        ".html": lambda: html(arch, model),
        ".svg": lambda: _plot(arch, model, "svg"),
        ".png": lambda: _plot(arch, model, "png"),
    }
    check_new_file(path, forms)
    write_whole(path, forms[path.suffix.lower()]())


def check_new_file(path: Path, endings: Iterable[str] = (".html", ".svg", ".png")) -> None:
    """Raise `InvalidInput` where `path` exists, or does not end with one of the `endings`."""
    if path.suffix.lower() not in endings:
        raise InvalidInput(f"--out must end with {', '.join(endings)}, got {path}")
    if path.exists():
        raise InvalidInput(f"{path} exists; name another file with --out, or remove it")


def html(arch: ArchSpec, model: Roofline) -> str:
    """Return the HTML page of one network: its blocks as in a comparison, and on demand the cost of every kernel."""
    name = title(arch, model)
    data = page_data([Entry(arch.name, arch.name, "spec", arch)], {model.name: model}, first=0)
    body = f"<header><h1>{escape(name)}</h1></header><main>{architecture_place('alone')}</main>"
    return page(name, body, data, ())


def _plot(arch: ArchSpec, model: Roofline, form: Literal["png", "svg"]) -> bytes:
    from nas.report.network_plot import network_plot  # loads matplotlib

    return network_plot(arch, model, form)
