"""Latency models of devices: roofline and random forest, and targets, which are data files in `targets/`."""
