"""Schedulers of trainings: successive halving, early stopping by extrapolated learning curves."""
