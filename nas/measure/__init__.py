"""Runtimes that nas.measure.benchmark can time: each loads a network with random numbers for weights and runs it on this host."""
