"""Blocks of networks as Flax NNX modules, NHWC, with plain numbers as arguments; imports jax, flax and numpy only.

One file per block family. The Flax exporter copies these files, primitives.py and layers.py verbatim into a
stand-alone model, and nothing else. A block's attributes are its kernels: one layer each, or a list of layers that
share the channels.
"""

from nas.nn.blocks.conv import ConvBlock, SeparableConvBlock
from nas.nn.blocks.fused_ib import FusedIBBlock
from nas.nn.blocks.head import HeadBlock
from nas.nn.blocks.inverted_residual import InvertedResidualBlock
from nas.nn.blocks.mixconv import MixConvBlock
from nas.nn.blocks.mobile_mqa import MobileMQABlock
from nas.nn.blocks.uib import UIBBlock

__all__ = [
    "ConvBlock",
    "FusedIBBlock",
    "HeadBlock",
    "InvertedResidualBlock",
    "MixConvBlock",
    "MobileMQABlock",
    "SeparableConvBlock",
    "UIBBlock",
]
