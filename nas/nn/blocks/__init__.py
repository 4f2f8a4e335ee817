"""Blocks of networks as Flax NNX modules, NHWC, with plain numbers as arguments; imports jax, flax and numpy only.

One file per block family, which nas.ops.families names. The Flax exporter copies the files that a network needs,
with primitives.py and layers.py, verbatim into a stand-alone model, and nothing else. A block's attributes are its
kernels: one layer each, or a list of layers that share the channels.
"""
