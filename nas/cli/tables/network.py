"""One network with its costs: block by block, or kernel by kernel, then what forests predict."""

from rich.console import Group
from rich.text import Text

from latency_models.roofline import Roofline
from nas.arch import ArchSpec
from nas.report.describe import Description
from nas.report.describe_tables import description_table
from nas.report.network_table import network_table


def network_view(arch: ArchSpec, model: Roofline, description: Description, kernels: bool) -> Group:
    """Return the network as a table of blocks, or of `kernels`, and a line for each forest."""
    table = description_table(description) if kernels else network_table(arch, model)
    return Group(table, *(Text(str(forest)) for forest in description.forests))
