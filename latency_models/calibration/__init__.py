"""Calibration of a target from measurements: read them, fit models, validate these, propose what to measure next."""
