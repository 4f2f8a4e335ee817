"""What the names of blocks and the notation beside them mean, in one sentence each, for the legends of pages."""

from collections.abc import Iterable

MEANINGS = {  # name of a block, as its description begins -> what it computes
    "UIB ExtraDW": "depthwise, 1x1 expansion, depthwise, 1x1 projection",
    "UIB IB": "1x1 expansion, depthwise, 1x1 projection",
    "UIB ConvNext": "depthwise, 1x1 expansion, 1x1 projection",
    "UIB FFN": "1x1 expansion, 1x1 projection; no depthwise",
    "fused ib": "full convolution that expands, 1x1 projection",
    "inverted residual": "1x1 expansion, depthwise, 1x1 projection",
    "separable conv": "depthwise, then 1x1 convolution",
    "mixconv": "1x1 expansion, depthwise of several sizes, 1x1 projection",
    "mobile mqa": "multi-query attention: heads share one key and value",
    "tucker": "1x1 to fewer channels, full convolution of these, 1x1 projection",
    "log mel": "spectrogram of a waveform: DFT of frames, powers of bands on the mel scale, logarithm",
    "max pool": "the largest value of each channel in a window",
    "gram pool": "weighted mean over time, and the products of its channels",
    "time band conv": "full convolution with a window and a stride of its own over time and over bands",
    "conv": "full convolution over space and all channels",
}
NOTATION = {  # word of a description -> its meaning
    "k3": "kernel of 3x3; k3+k5: both depthwise",
    "16-32": "channels: input, output; 16-64-32: expanded between",
    "s2": "stride 2: halves height and width",
    "skip": "the input is added to the output",
}
EXTRAS = {  # word of few descriptions -> its meaning
    "squeeze-excite": "channels weighted by a small network of their means",
    "coordinate attention": "each position weighted by gates of its row and of its column",
    "EvoNorm-B0": "in place of normalisation and activation; stored variances of batches, variances of each image",
    "EvoNorm-S0": "in place of normalisation and activation; variances of groups of channels of each image",
}


def block_name(description: str) -> str:
    """Return the name of a block from its description, without kernel sizes: "UIB ExtraDW"."""
    words = description.partition(",")[0].split()
    return " ".join(word for word in words if not (word.startswith("k") and word[1:2].isdigit()))


def glossary(descriptions: Iterable[str]) -> list[list[str]]:
    """Return [name, meaning] of every kind of block that occurs and is known, then of the notation."""
    all_of_them = list(descriptions)
    used = {block_name(description) for description in all_of_them}
    extras = [[word, text] for word, text in EXTRAS.items() if any(word in description for description in all_of_them)]
    blocks = [[name, text] for name, text in MEANINGS.items() if name in used]
    return [*blocks, *([word, text] for word, text in NOTATION.items()), *extras]
