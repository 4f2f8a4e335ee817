"""Latency measured on this host: the benchmark loop, and one file per runtime that it can time.

A runtime loads networks with random weights, since only their speed counts, and runs them here.
"""
