"""`FAMILIES`: the op, the Flax block and the searchable form of each block family, as texts that are imported on use.

So this room stays free of jax, and a family without its third file can be priced, trained and exported, but not
searched. A spec file names tags of this table, never code: an op of another package becomes usable by an entry here.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from nas.errors import InvalidInput, unknown_name
from nas.ops.base import Op


@dataclass(frozen=True)
class Family:
    """Where the classes of a block family are, each "module:attribute"; `searchable` None where no search takes it."""

    op: str
    block: str  # a Flax module that takes the input channels, the op's fields, padding, norm_eps and rngs
    searchable: str | None = None

    def load_block(self) -> Any:
        """Return the class of the Flax block; imports jax."""
        return _load(self.block)

    def load_searchable(self) -> Any:
        """Return the class of the searchable form; `InvalidInput` where the family has none."""
        if self.searchable is None:
            raise InvalidInput(f"the family of {self.op} cannot be searched: it has no searchable form")
        return _load(self.searchable)


FAMILIES: dict[str, Family] = {
    "conv": Family("nas.ops.conv:Conv", "nas.nn.blocks.conv:ConvBlock", "nas.supernet.blocks.conv:SearchableConv"),
    "fused_ib": Family(
        "nas.ops.fused_ib:FusedIB",
        "nas.nn.blocks.fused_ib:FusedIBBlock",
        "nas.supernet.blocks.fused_ib:SearchableFusedIB",
    ),
    "uib": Family("nas.ops.uib:UIB", "nas.nn.blocks.uib:UIBBlock", "nas.supernet.blocks.uib:SearchableUIB"),
    "separable_conv": Family(
        "nas.ops.conv:SeparableConv",
        "nas.nn.blocks.conv:SeparableConvBlock",
        "nas.supernet.blocks.separable_conv:SearchableSeparableConv",
    ),
    "inverted_residual": Family(
        "nas.ops.inverted_residual:InvertedResidual",
        "nas.nn.blocks.inverted_residual:InvertedResidualBlock",
        "nas.supernet.blocks.inverted_residual:SearchableInvertedResidual",
    ),
    "mixconv": Family(
        "nas.ops.mixconv:MixConv",
        "nas.nn.blocks.mixconv:MixConvBlock",
        "nas.supernet.blocks.mixconv:SearchableMixConv",
    ),
    "mobile_mqa": Family(
        "nas.ops.mobile_mqa:MobileMQA",
        "nas.nn.blocks.mobile_mqa:MobileMQABlock",
        "nas.supernet.blocks.mobile_mqa:SearchableMobileMQA",
    ),
    "tucker": Family(
        "nas.ops.tucker:Tucker", "nas.nn.blocks.tucker:TuckerBlock", "nas.supernet.blocks.tucker:SearchableTucker"
    ),
    "log_mel": Family(
        "nas.ops.log_mel:LogMel", "nas.nn.blocks.log_mel:LogMelBlock", "nas.supernet.blocks.log_mel:SearchableLogMel"
    ),
    "max_pool": Family("nas.ops.max_pool:MaxPool", "nas.nn.blocks.max_pool:MaxPoolBlock"),
    "gram_pool": Family("nas.ops.gram_pool:GramPool", "nas.nn.blocks.gram_pool:GramPoolBlock"),
    "time_band_conv": Family("nas.ops.time_band_conv:TimeBandConv", "nas.nn.blocks.time_band_conv:TimeBandConvBlock"),
}  # tag -> family of an op that may stand in a stage


def op_class(tag: str) -> type[Op]:
    """Return the class of the op with this tag; `UnknownName` where no family has it."""
    if tag not in FAMILIES:
        raise unknown_name("op", tag, FAMILIES)
    found: type[Op] = _load(FAMILIES[tag].op)
    return found


def family_of(op: Op) -> Family:
    """Return the family of an op; `UnknownName` where its tag is in no family."""
    if op.tag not in FAMILIES:
        raise unknown_name("op", op.tag, FAMILIES)
    return FAMILIES[op.tag]


def _load(address: str) -> Any:
    module, _, attribute = address.partition(":")
    return getattr(import_module(module), attribute)
