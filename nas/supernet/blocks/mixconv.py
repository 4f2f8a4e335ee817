"""The searchable MixNet block: kernel sizes of the depthwise convolution, expansion (or none), squeeze-excite."""

from nas.supernet.blocks.inverted_residual import SearchableInvertedResidual


class SearchableMixConv(SearchableInvertedResidual):
    """A MixNet block with shared weights, or a stack of them; see `nas.ops.mixconv.MixConv`."""

    SWITCHED = ("kernel_sizes",)
