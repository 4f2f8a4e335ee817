"""The colours, ticks and file formats that all plots share."""

import io
import math
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    pass


COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito, safe for the colour-blind

GREY = "#6b6b6b"

FAMILY = "mobilenetv4"  # among references, drawn in the first colour


def saved(figure: Any, form: Literal["png", "svg"], **options: Any) -> bytes:
    """Return the figure as a file of that form: the same bytes for the same figure."""
    import matplotlib as mpl

    nameless: dict[str, None] = {"Software": None} if form == "png" else {"Date": None, "Creator": None}
    buffer = io.BytesIO()
    settings: dict[Any, Any] = {"svg.hashsalt": "nas", "svg.fonttype": "none"}
    with mpl.rc_context(settings):
        figure.savefig(buffer, format=form, metadata=nameless, **options)
    return buffer.getvalue()


def shortened(name: str, longest: int = 30) -> str:
    """Return the name, its middle left out where it is too long for a image."""
    half = longest // 2
    return name if len(name) <= longest else f"{name[:half]}…{name[-half:]}"


def round_ticks(low: float, high: float) -> list[float]:
    """Return up to seven round numbers between `low` and `high`, fit for a logarithmic axis."""
    from matplotlib.ticker import MaxNLocator

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
