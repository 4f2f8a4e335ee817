"""Neural networks of architectures in Flax: primitives, layers, blocks, and the whole `Network`."""
