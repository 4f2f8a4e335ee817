"""Calibration of a target from measurements: read them, fit a model, validate it, propose what to measure next."""
