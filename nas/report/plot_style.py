"""The colours, ticks and file formats that all plots share."""

import io
import math
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito, safe for the colour-blind
GREY = "#6b6b6b"
HIGHLIGHTED = "mobilenetv4"  # references whose names begin so get the first colour, the others are grey


def reference_colour(name: str) -> str:
    """Return the colour of a reference network."""
    return COLOURS[0] if name.startswith(HIGHLIGHTED) else GREY


def figure_bytes(figure: Figure, form: Literal["png", "svg"], **options: Any) -> bytes:
    """Return the figure as a PNG or SVG file: the same bytes for the same figure, without date and program."""
    metadata: dict[str, None] = {"Software": None} if form == "png" else {"Date": None, "Creator": None}
    buffer = io.BytesIO()
    settings: dict[Any, Any] = {"svg.hashsalt": "nas", "svg.fonttype": "none"}
    with mpl.rc_context(settings):
        figure.savefig(buffer, format=form, metadata=metadata, **options)
    return buffer.getvalue()


def shortened(name: str, longest: int = 30) -> str:
    """Return the name, its middle left out where it has more than `longest` characters."""
    half = longest // 2
    return name if len(name) <= longest else f"{name[:half]}…{name[-half:]}"


def round_ticks(low: float, high: float) -> list[float]:
    """Return up to seven round numbers between `low` and `high`, fit for a logarithmic axis."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    if high / low < 3:
        even = MaxNLocator(nbins=6, steps=[1, 2, 5, 10]).tick_values(low, high)
        return [float(f"{tick:.6g}") for tick in even if low <= tick <= high]
    for digits in ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
        found = [digit * 10.0**decade for decade in decades for digit in digits]
        found = [float(f"{tick:.6g}") for tick in found if low <= tick <= high]
        if len(found) <= 7:
            break
    return found
