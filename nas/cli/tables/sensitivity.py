"""What each layer loses in int8, as a table, with lines on the whole network."""

from rich.console import Group
from rich.text import Text

from nas.cli.console import aligned_table
from nas.quantisation.sensitivity import LayerSensitivity
from nas.runs.sensitivity import Sensitivity


def sensitivity_view(found: Sensitivity, top: int | None) -> Group:
    """Return the layers, a row each, the one that loses most first; `top` of them."""
    title = f"{found.network}, {found.form}: one layer in int8, all others in float32"
    table = aligned_table(title, ["layer in int8"], ["accuracy lost", "error of the outputs"])
    for one in found.layers[:top]:
        table.add_row(one.layer, _drop(one), f"{one.error:.4f}")
    table.add_section()
    table.add_row("all layers", _drop(found.whole), f"{found.whole.error:.4f}")
    return Group(table, *(Text(line) for line in sensitivity_lines(found)))


def sensitivity_lines(found: Sensitivity) -> list[str]:
    """Return sentences below the table: the accuracies of the whole, and what it was measured on."""
    lines = [f"ranges: {found.ranges}; losses on {found.images} other training images of {found.data}"]
    whole = found.whole
    if whole.accuracy is not None and whole.float_accuracy is not None:
        step = 100 / found.images
        lines.append(
            f"accuracy on them: {whole.float_accuracy:.2%} in float32, {whole.accuracy:.2%} in int8; one image is "
            f"{step:.2g} points"
        )
    return lines


def _drop(one: LayerSensitivity) -> str:
    return "" if one.drop_points is None else f"{one.drop_points:+.2f} points"
